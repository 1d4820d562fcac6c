"""Warm trials: forks of a process that has all loaded, which are as good as cold ones, and nothing hangs on them.

Trials are real processes here, and NNI's manager is pretended: its environment, and its files (its oldest channel).
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import nas
from nas.errors import NasError
from nas.search import runs, warm, warm_asking, warm_key, warm_worker
from nas.search.journal import Journal
from nas.space import SearchSpace

ROOT = Path(nas.__file__).parents[1]
EXPERIMENT = "warm123"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="trials are warm on Linux alone")


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} seconds")


class Machine:
    """A machine on which NNI runs trials of one experiment, whose journal is there."""

    def __init__(self, folder: Path, journal: Journal, space: SearchSpace, images: Path) -> None:
        self.folder, self.journal, self.space, self.images = folder, journal, space, images
        self.temporary = folder / "tmp" / ("long" * 30)  # longer than a socket's path may be
        self.temporary.mkdir(parents=True)
        self.processes: list[subprocess.Popen[str]] = []
        self.sample = space.sample(np.random.default_rng(7))
        self.job = 0

    def start(
        self, *words: str, python: tuple[str, ...] = ("-m", "nas.search.trial"), **environment: str
    ) -> subprocess.Popen[str]:
        """NNI's own process of a trial; `job` and `number` are counted."""
        arch = self.space.decode(self.sample)
        number = self.journal.asked(
            self.sample, f"{arch.key}/{self.job}", macs=arch.macs, params=arch.params, seen=0
        )
        own = self.folder / f"job{self.job}"
        own.mkdir()
        parameters = {**self.sample, "run": {**self.journal.run["trial"], "number": number}}
        (own / "parameter.cfg").write_text(json.dumps({"parameter_id": number, "parameters": parameters}))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("NNI_", "B0NAS"))}
        environment = {
            **kept, "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT), "NNI_PLATFORM": "local",
            "NNI_EXP_ID": EXPERIMENT, "NNI_TRIAL_JOB_ID": f"job{self.job}", "NNI_TRIAL_SEQ_ID": str(number),
            "NNI_SYS_DIR": str(own), "NNI_OUTPUT_DIR": str(own), "NNI_CODE_DIR": str(self.folder), **environment,
        }  # fmt: skip
        words = words or ("--data", f"npz:{self.images}", "--epochs", "2", "--batch-size", "18")
        self.job += 1
        with (own / "stdout").open("w") as out, (own / "stderr").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, *python, *words], env=environment, cwd=self.folder, text=True,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def said(self, job: int) -> str:
        return (self.folder / f"job{job}" / "stderr").read_text()

    def final(self, job: int) -> dict[str, Any]:
        """What NNI was told."""
        text = (self.folder / f"job{job}" / ".nni" / "metrics").read_text()
        metric = json.loads(text[text.rindex('{"parameter_id"') :])
        assert metric["type"] == "FINAL"
        return json.loads(metric["value"])

    def trial(self, number: int) -> Any:
        self.journal.refresh()
        return self.journal.trials[number]

    def began(self, number: int) -> dict[str, Any] | None:
        self.journal.refresh()
        found = [e for e in self.journal.events if e["event"] == "began" and e["number"] == number]
        return found[-1] if found else None

    def warm(self) -> list[int]:
        """Processes of the warm kind: the one that waits, and its forks."""
        return [
            pid for pid, kind in runs.processes_of(EXPERIMENT).items() if kind == runs.WARM and lives(pid)
        ]

    def marks(self) -> list[Path]:
        """What says that a warm process failed."""
        return list(self.temporary.glob("b0nas-*/*.failed"))

    def waiting(self) -> int:
        """The one that waits: the only one of its session."""
        (found,) = {pid for pid in self.warm() if os.getsid(pid) == pid}
        return found

    def forks(self) -> set[int]:
        return {pid for pid in self.warm() if os.getsid(pid) != pid}


def lives(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def machine(
    tmp_path: Path, make_run: Callable[..., Journal], tiny: SearchSpace, images: Path
) -> Iterator[Machine]:
    found = Machine(tmp_path, make_run(name=EXPERIMENT), tiny, images)
    yield found
    runs.end_processes(EXPERIMENT)
    for process in found.processes:
        process.kill()
        process.wait()
    until(lambda: not found.warm())


def test_a_warm_trial_is_as_good_as_a_cold_one(machine):
    cold = machine.start("--data", f"npz:{machine.images}", "--epochs", "2", "--batch-size", "18", "--cold")
    assert cold.wait(120) == 0
    assert not machine.warm()
    first, second = machine.start(), machine.start(CUDA_VISIBLE_DEVICES="0")
    assert (first.wait(120), second.wait(120)) == (0, 0)
    assert len(machine.warm()) == 1, "trials that start together start one"
    assert machine.start().wait(120) == 0
    assert len(machine.warm()) == 1
    told = [machine.final(job) for job in range(4)]
    facts = [{k: v for k, v in one.items() if k != "seconds"} for one in told]
    assert facts[1:] == facts[:1] * 3
    assert [machine.trial(number).state for number in range(4)] == ["complete"] * 4
    assert [machine.said(job) for job in range(4)] == [""] * 4
    assert machine.began(1)["pid"] == first.pid, "who looks for the trial finds NNI's process"
    assert all((machine.folder / f"runs/{EXPERIMENT}/trials/{n:03d}").is_dir() for n in range(4))
    folder = machine.temporary / f"b0nas-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.suffix for path in folder.iterdir()) == [".log", ".sock"]
    assert [path.stat().st_mode & 0o077 for path in folder.glob("*.log")] == [0]


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def test_threads_of_the_user_are_no_hindrance_and_a_fork_has_those_of_its_trial(machine):
    """numpy and torch would start theirs as the warm process loads; a fork then has as many as a cold trial."""
    pools = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    forever = ("--data", f"npz:{machine.images}", "--batch-size", "80", "--epochs", "100000")
    found = {}
    for way in ((), ("--cold",)):
        for count in (1, 2):
            number = machine.job
            process = machine.start(*forever, "--threads", str(count), *way, **pools)
            until(lambda: list((machine.folder / f"runs/{EXPERIMENT}/trials/{number:03d}").glob("events*")))  # noqa: B023
            time.sleep(1)
            found[way, count] = threads(process.pid if way else min(machine.forks()))
            assert way or threads(process.pid) == 1
            process.kill()
            process.wait()
            until(lambda: not machine.forks())
            assert machine.said(number) == ""
    more = {way: found[way, 2] - found[way, 1] for way, _ in found}  # a cold one has numpy's own, too
    assert more[()] == more[("--cold",)] > 0, found


def test_a_fork_fails_as_its_trial_would(machine):
    """By a user's mistake, and by a training that diverges; what is said comes out of NNI's process."""
    training = ["--data", f"npz:{machine.images}", "--epochs", "1", "--batch-size", "18"]
    assert machine.start("--data", "npz:nowhere.npz").wait(120) == 2
    assert machine.start(*training, "--lr", "1e30").wait(120) == 1
    assert machine.start(*training, "--epoch", "3").wait(120) == 2
    assert "nas trial: npz:nowhere.npz" in machine.said(0)
    assert "diverged" in machine.said(1)
    assert "unrecognized arguments: --epoch 3" in machine.said(2)
    assert [machine.trial(number).state for number in range(2)] == ["failed"] * 2
    assert len(machine.warm()) == 1


def long(machine: Machine) -> tuple[subprocess.Popen[str], int]:
    """A trial that would train for long, and its fork, which has begun to."""
    number = machine.job
    process = machine.start("--data", f"npz:{machine.images}", "--epochs", "100000", "--batch-size", "18")
    until(lambda: machine.began(number))
    until(lambda: list((machine.folder / f"runs/{EXPERIMENT}/trials/{number:03d}").glob("events*")))
    (fork,) = machine.forks()
    return process, fork


def test_signals_reach_the_fork(machine):
    """NNI ends a trial by SIGTERM, waits, then kills: of both the fork ends, and the first leaves its mark."""
    process, fork = long(machine)
    process.terminate()
    assert process.wait(30) == -signal.SIGKILL  # as a cold one dies, of its watch
    until(lambda: not lives(fork))
    assert runs.trial_file(machine.journal.path.parent, 0, runs.INTERRUPTED).exists()
    process, fork = long(machine)
    process.kill()
    process.wait()
    until(lambda: not lives(fork))
    assert not runs.trial_file(machine.journal.path.parent, 1, runs.INTERRUPTED).exists()
    assert len(machine.warm()) == 1


def test_a_fork_that_is_killed_is_a_trial_that_is_killed(machine):
    process, fork = long(machine)
    os.kill(fork, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert machine.trial(0).state == "running"


AFTER_ITS_TRIAL = """
import sys
from nas.search import trial, warm
warm.stands_for = int(sys.argv[1])
trial.main(sys.argv[2:])
"""


def test_a_fork_that_outlives_nnis_process_dies_without_a_word(machine):
    """For a moment it does, where that was killed; a failure in the journal would be the end of its sample."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    words = ("--data", f"npz:{machine.images}", "--epochs", "1", "--batch-size", "18")
    fork = machine.start(str(gone.pid), *words, python=("-c", AFTER_ITS_TRIAL))
    assert fork.wait(120) == -signal.SIGKILL
    assert machine.trial(0).state == "running"
    assert machine.began(0) is None
    assert machine.said(0) == ""


def test_where_the_warm_process_ends_its_trials_end_as_killed_and_the_next_are_cold(machine):
    """NNI gives a process its parameters once: a second time they are another trial's."""
    words = ("--data", f"npz:{machine.images}", "--epochs", "60", "--batch-size", "18")
    process = machine.start(*words)
    until(lambda: machine.began(0))
    (fork,), waiting = machine.forks(), machine.waiting()
    os.kill(waiting, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    until(lambda: not lives(fork))
    assert machine.said(0) == "nas trial: the warm process ended, and this trial with it\n"
    assert machine.trial(0).state == "running"
    assert len(machine.marks()) == 1, "for a while none is started"
    assert machine.start().wait(120) == 0
    assert not machine.warm()


def test_a_warm_process_that_does_not_start_costs_no_trial(machine, tmp_path):
    """Here something ends it as it begins."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(
        "import os, sys\nif 'B0NAS_WARM' in os.environ:\n    sys.exit(3)\n"
    )
    path = f"{tmp_path / 'broken'}{os.pathsep}{ROOT}"
    assert machine.start(PYTHONPATH=path).wait(120) == 0
    assert machine.said(0).startswith("nas trial: no warm process (")
    assert machine.trial(0).state == "complete"
    assert len(machine.marks()) == 1


def test_what_is_left_of_one_that_was_killed_is_no_hindrance(machine):
    assert machine.start().wait(120) == 0
    os.kill(machine.waiting(), signal.SIGKILL)
    until(lambda: not machine.warm())
    assert machine.start().wait(120) == 0
    assert machine.said(1) == ""
    assert len(machine.warm()) == 1


@pytest.fixture
def handing(monkeypatch, tmp_path) -> Path:
    """As in a trial of NNI's; the folder of warm processes, which nobody has made."""
    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "j")
    monkeypatch.setenv("NNI_EXP_ID", EXPERIMENT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    return tmp_path / f"b0nas-{os.getuid()}"


def test_a_folder_that_others_may_enter_is_not_used(handing, capsys):
    handing.mkdir()
    handing.chmod(0o777)
    assert warm.hand_over(["--data", "digits"]) is None
    assert capsys.readouterr().err == (
        f"nas trial: no warm process (PermissionError: {handing} is not this user's alone); this trial starts cold\n"
    )
    assert list(handing.iterdir()) == []


def test_after_a_failure_none_is_started_for_ten_minutes(handing, monkeypatch, capsys):
    words = ["--data", "digits"]
    fresh, old = [warm.private_folder() / f"{name}.failed" for name in ("fresh", "old")]
    for other in (fresh, old):
        other.touch()
    os.utime(old, (0, time.time() - warm.AGAIN - 1))
    mark = warm.private_folder() / f"{warm_key.key_of(words)}.failed"
    mark.touch()
    assert warm.hand_over(words) is None
    assert capsys.readouterr().err == ""
    os.utime(mark, (0, time.time() - warm.AGAIN - 1))
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **_: started.append(words))
    assert warm.hand_over(words) is None
    assert len(started) == 1
    assert "this trial starts cold" in capsys.readouterr().err
    assert fresh.exists()
    assert not old.exists()


def test_what_those_left_that_were_killed_is_removed_as_another_starts(handing, monkeypatch):
    """And nothing of those that live, of which one cannot be reached for so many wait on it."""
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: None)
    words, folder = ["--data", "digits"], warm.private_folder()
    with contextlib.ExitStack() as held:
        for name in ("killed", "idle", "busy"):
            listening = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listening.bind(str(folder / f"{name}.sock"))
            listening.listen(0)
            (folder / f"{name}.log").touch()
            if name == "killed":
                listening.close()
        waiting = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        waiting.connect(str(folder / "busy.sock"))
        assert warm.hand_over(words) is None
    own = warm_key.key_of(words)
    left = [f"{name}.{kind}" for name in ("busy", "idle", own) for kind in ("log", "sock")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(left)


def folder_of(images: Path, folder: Path) -> Path:
    """The same images as files."""
    from PIL import Image

    arrays = np.load(images)
    for part in ("train", "test"):
        for n, (image, label) in enumerate(zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True)):
            path = folder / {"train": "train", "test": "val"}[part] / str(label) / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.stack([image] * 3, -1)).save(path)
    return folder


LOADS = """
import json, sys
from nas.search import warm_worker, trial
warm_worker.load(sys.argv[1])
before = set(sys.modules)
code = trial.main(sys.argv[2:])
new = {name for name in set(sys.modules) - before if name.split(".")[0] != "nni"}
print(json.dumps([code, sorted(new)]), file=sys.stderr)
"""


def test_a_fork_loads_nothing_but_nni_itself(machine):
    """Which reads the environment of its trial as it is imported."""
    data = f"folder:{folder_of(machine.images, machine.folder / 'classes')}"
    words = [
        warm_key.kind_of(["--data", data]),
        "--data",
        data,
        "--epochs",
        "1",
        "--batch-size",
        "18",
        "--workers",
        "0",
    ]
    process = machine.start(*words, python=("-c", LOADS), OMP_NUM_THREADS="1")
    assert process.wait(120) == 0
    code, new = json.loads(machine.said(0).splitlines()[-1])
    assert code == 0
    assert {name.split(".")[0] for name in new} <= {"sqlite3", "_sqlite3", "encodings"}, new


LIGHT = """
import sys, runpy
try:
    runpy.run_module("nas.search.trial", run_name="__main__", alter_sys=True)
except SystemExit as end:
    heavy = {"numpy", "pydantic", "torch", "nni", "psutil", "yaml"} & set(sys.modules)
    sys.exit(f"{end.code} {heavy}" if end.code or heavy else 0)
"""


def test_a_trial_that_hands_its_work_over_loads_nothing(machine):
    process = machine.start(
        "--data", f"npz:{machine.images}", "--epochs", "1", "--batch-size", "18", python=("-c", LIGHT)
    )
    assert process.wait(120) == 0, machine.said(0)
    assert len(machine.warm()) == 1


KEEPER = """
import subprocess, sys
code = "from nas.search import trial; trial.end_with_keeper(); print(flush=True); import time; time.sleep(600)"
with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
    assert process.stdout.readline(), "it ended by itself"
    print(process.pid, flush=True)
"""


@pytest.mark.parametrize(("platform", "ends"), [("remote", True), ("local", False)])
def test_on_another_machine_a_trial_ends_with_what_keeps_it(platform, ends):
    """At home it goes on: a resumed search takes its result from the journal."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NNI_PLATFORM": platform}
    with subprocess.Popen([sys.executable, "-c", KEEPER], env=environment, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        pid = int(keeper.stdout.readline())
        keeper.kill()
    try:
        if ends:
            until(lambda: not lives(pid), 20)
        else:
            time.sleep(1)
            assert lives(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_process_whose_parent_has_ended_before_it_could_ask_for_that_ends():
    code = "from nas.search import trial; trial.end_with_parent(-1); print('goes on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


# What is for a warm process


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        ([], {"NNI_TRIAL_JOB_ID": "j", "NNI_EXP_ID": "e"}, True),
        (["--cold"], {"NNI_TRIAL_JOB_ID": "j", "NNI_EXP_ID": "e"}, False),
        (["--help"], {"NNI_TRIAL_JOB_ID": "j", "NNI_EXP_ID": "e"}, False),
        ([], {"NNI_TRIAL_JOB_ID": "j", "NNI_EXP_ID": "STANDALONE"}, False),
        ([], {"NNI_EXP_ID": "e"}, False),
        ([], {"NNI_TRIAL_JOB_ID": "j", "NNI_EXP_ID": "e", "REUSE_MODE": "true"}, False),
        ([], {}, False),
    ],
)
def test_trials_of_nni_are_warm_and_those_by_hand_are_not(monkeypatch, words, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert warm_key.wanted(words) is expected
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not warm_key.wanted(words)


def test_one_is_for_trials_that_differ_in_nothing_that_a_fork_inherits(monkeypatch, tmp_path):
    monkeypatch.setenv("NNI_EXP_ID", "e")
    key = warm_key.key_of(["--data", "digits"])
    for name in ("NNI_TRIAL_JOB_ID", "NNI_SYS_DIR", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "other")
        assert warm_key.key_of(["--data", "digits", "--epochs", "3"]) == key
    assert warm_key.key_of(["--table", "x.json"]) != key
    others = {warm_key.key_of([f"--table={name}.json"]) for name in "xy"}
    assert len(others) == 1
    for name in ("NNI_EXP_ID", "LD_LIBRARY_PATH", "MKL_NUM_THREADS"):
        with monkeypatch.context() as other:
            other.setenv(name, "other")
            assert warm_key.key_of(["--data", "digits"]) != key, name
    with monkeypatch.context() as other:
        other.chdir(tmp_path)
        assert warm_key.key_of(["--data", "digits"]) != key
    for name, value in (("warnoptions", ["error"]), ("_xoptions", {"dev": True})):
        with monkeypatch.context() as other:
            other.setattr(sys, name, value)
            assert warm_key.key_of(["--data", "digits"]) != key, name


def test_code_that_has_changed_is_for_another_warm_process(monkeypatch, tmp_path):
    """Else an orphan trial of a killed search would keep the old code for those of the resumed one."""
    monkeypatch.setenv("NNI_EXP_ID", "e")
    monkeypatch.setattr(warm_key, "PACKAGE", tmp_path)
    (tmp_path / "deep").mkdir()
    module = tmp_path / "deep" / "module.py"
    module.write_text("")
    key = warm_key.key_of(["--data", "digits"])
    (tmp_path / "notes.txt").write_text("no code")
    assert warm_key.key_of(["--data", "digits"]) == key
    os.utime(module, (0, 0))
    assert warm_key.key_of(["--data", "digits"]) != key


OPTIONS = "import json, sys; from nas.search import warm_key; print(json.dumps(warm_key.flags()))"


@pytest.mark.parametrize(
    "options", [[], ["-O"], ["-OO", "-B"], ["-I"], ["-s", "-W", "error::UserWarning"],
                ["-X", "dev"], ["-X", "int_max_str_digits=9999", "-X", "no_debug_ranges"]]
)  # fmt: skip
def test_the_warm_process_has_the_options_of_the_interpreter(options):
    """The options that were read, given to another, are read as the same."""
    code = OPTIONS if "-I" not in options else f"import sys; sys.path.insert(0, {str(ROOT)!r}); {OPTIONS}"
    state = f"{code}; print(sys.flags, sys.warnoptions, sys._xoptions)"

    def told(words: list[str]) -> list[str]:
        done = subprocess.run(
            [sys.executable, *words, "-c", state], capture_output=True, text=True, check=True, cwd=ROOT
        )
        return done.stdout.splitlines()

    first = told(options)
    assert told(json.loads(first[0]))[1] == first[1]


def test_they_are_given_to_it(handing, monkeypatch):
    started: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda words, **_: started.append(words))
    monkeypatch.setattr(warm, "flags", lambda: ["-O", "-X", "dev"])
    assert warm.hand_over(["--data", "digits"]) is None
    assert started[0][:6] == [sys.executable, "-O", "-X", "dev", "-m", "nas.search.warm_worker"]


def test_a_signal_that_is_ignored_stays_ignored():
    """As SIGHUP under nohup."""
    mine, theirs = socket.socketpair()
    seen = []

    class Lines:
        def readline(self, _: int) -> str:
            seen.extend(signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM))
            return '{"status": 0}\n'

    before = {number: signal.getsignal(number) for number in warm.SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert warm._follow(mine, Lines()) == 0
        assert seen[0] is signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert callable(seen[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        mine.close()
        theirs.close()


# The warm process itself


@pytest.fixture
def pair() -> Iterator["Pair"]:
    found = Pair()
    yield found
    found.mine.close()
    found.theirs.close()


class Pair:
    """A trial's end of a connection to a worker in this process."""

    def __init__(self) -> None:
        self.mine, self.theirs = socket.socketpair()
        self.asking = warm_asking.Asking(self.theirs)

    def send(self, text: bytes, size: int | None = None, files: int = 3) -> None:
        head = (len(text) if size is None else size).to_bytes(4, "big")
        socket.send_fds(self.mine, [head], [0, 1, 2][:files])
        self.mine.sendall(text)


def test_a_request_is_read_whole(pair):
    pair.send(json.dumps({"words": ["--data", "x"]}).encode())
    request, files = pair.asking.request()
    assert request == {"words": ["--data", "x"]}
    assert [os.fstat(file).st_ino for file in files] == [os.fstat(n).st_ino for n in range(3)]
    for file in files:
        os.close(file)


@pytest.mark.parametrize(
    ("text", "size", "files", "error"),
    [
        (b"{}", warm_asking.LARGEST + 1, 3, "no request"),
        (b"{}", None, 2, "no request"),
        (b"not JSON", None, 3, "Expecting value"),
        (b"{}", 100, 3, "gone"),
    ],
)
def test_what_is_no_request_is_refused_and_its_files_closed(pair, text, size, files, error):
    pair.send(text, size, files)
    pair.mine.shutdown(socket.SHUT_WR)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises((OSError, ValueError), match=error):
        pair.asking.request()
    assert len(os.listdir("/proc/self/fd")) == before


def test_another_user_is_refused(pair, monkeypatch):
    pair.send(b"{}")
    monkeypatch.setattr(os, "getuid", lambda: -1)
    with pytest.raises(PermissionError):
        pair.asking.request()


SERVE = """
import sys
from nas.search import warm_worker
warm_worker.IDLE, warm_worker.LOOK = float(sys.argv[1]), 0.1
warm_worker.load = lambda kind: None
{managers}
sys.exit(warm_worker.main(sys.argv[2:]))
"""


def serve(folder: Path, idle: float, managers: str = "") -> tuple[subprocess.Popen[str], Path]:
    path = folder / "x.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        code = SERVE.format(managers=managers)
        words = [str(idle), str(listening.fileno()), str(path), "table"]
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words], pass_fds=[listening.fileno()], text=True, cwd=ROOT
        )
    return process, path


def test_it_ends_when_nothing_is_asked_of_it(tmp_path):
    process, path = serve(tmp_path, idle=0.5)
    assert process.wait(60) == 0
    assert not path.exists()


def test_it_ends_with_nni_s_manager(tmp_path):
    manager = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    found = f"import psutil\nwarm_worker.managers_above = lambda: [psutil.Process({manager.pid})]"
    process, path = serve(tmp_path, idle=600, managers=found)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    manager.kill()
    manager.wait()
    assert process.wait(60) == 0
    assert not path.exists()


def test_what_its_trial_raises_is_not_told_as_of_the_fork(monkeypatch):
    class Worker:
        def __init__(self, listening: socket.socket, *_: Any) -> None:
            listening.close()

        def serve(self) -> None:
            raise warm_worker.Forked({}, [], 0)

    handled: list[object] = []
    monkeypatch.setattr(warm_worker, "Worker", Worker)
    monkeypatch.setattr(warm_worker, "load", lambda _: None)
    monkeypatch.setattr(warm_worker, "become", lambda _: handled.append(sys.exc_info()[1]) or 3)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    assert warm_worker.main([str(listening.detach()), "x", "table"]) == 3
    assert handled == [None]


def test_it_refuses_nonsense_and_goes_on(tmp_path):
    process, path = serve(tmp_path, idle=600)
    try:
        for _ in range(2):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
                trial.connect(str(path))
                trial.sendall(b"GET / HTTP/1.1\r\n\r\n")
                answer = json.loads(trial.makefile().readline())
                assert answer == {"refused": "ValueError: no request"}
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_a_trial_says_the_option(capsys):
    from nas.search.options import parser

    assert parser().parse_args(["--data", "digits", "--cold"]).cold
    with pytest.raises(NasError, match="--cold"):
        parser().parse_args(["--data", "digits", "--cold=1"])
