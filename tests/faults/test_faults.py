"""What else days bring: disks, clocks, ports, ill trials, damaged files, a second search; each in a real search."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.search.journal import DAMAGED, FILE

from .harness import TRIALS, Disturbed, Told, out_of, wait_for

pytestmark = pytest.mark.faults

HERE = Path(__file__).parent
ROWS = os.environ.get("ROWS")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Told:
    search = Disturbed(tmp_path_factory.mktemp("undisturbed") / "search", 18700)
    try:
        assert search.nas("--port", search.port).wait(300) == 0
        return search.result()
    finally:
        search.sweep()


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Disturbed]]:
    """Makes a search, swept away in the end; ROWS gets a line for it."""
    made: list[Disturbed] = []

    def begin(**kwargs: Any) -> Disturbed:
        made.append(Disturbed(tmp_path / "search", 18710, **kwargs))
        return made[-1]

    yield begin
    for search in made:
        search.sweep()
    if ROWS:
        passed = getattr(request.node, "passed", False)
        with Path(ROWS).open("a") as file:
            file.write(json.dumps({"fault": request.node.name, "survived": passed}) + "\n")


def ended(search: Disturbed, seconds: float = 300) -> int:
    assert search.process is not None
    return search.process.wait(seconds)


def begun(search: Disturbed, trials: int = 3) -> None:
    """A search with so many results."""
    process = search.nas("--port", search.port)
    wait_for(lambda: search.told() >= trials or process.poll() is not None, 180)
    assert process.poll() is None, out_of(search)


def resumed(search: Disturbed, *words: object) -> None:
    assert search.nas("--resume", search.id, *words).wait(300) == 0, out_of(search)[-3000:]


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"a disk of its own needs the right to mount one: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(path: Path) -> None:
    """Takes what is left of a disk."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 512):
            continue


def test_a_full_disk(make, small_disk, undisturbed):
    search = make()
    (search.folder / "runs").symlink_to(small_disk)
    begun(search)
    fill(small_disk / "filler")
    assert ended(search) == 2
    assert "No space left on device" in out_of(search)
    assert "Traceback" not in out_of(search)
    (small_disk / "filler").unlink()
    resumed(search)
    assert search.result() == undisturbed


def test_a_run_folder_that_becomes_read_only(make, small_disk, undisturbed):
    search = make()
    (search.folder / "runs").symlink_to(small_disk)
    begun(search)
    subprocess.run(
        ["mount", "--bind", str(small_disk), str(small_disk)], check=True
    )  # nobody writes in this one
    subprocess.run(["mount", "-o", "remount,bind,ro", str(small_disk)], check=True)
    assert ended(search) == 2
    assert "Read-only file system" in out_of(search)
    assert "Traceback" not in out_of(search)
    subprocess.run(["umount", "-l", str(small_disk)], check=True)
    resumed(search)
    assert search.result() == undisturbed


# The journal


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_a_journal_whose_end_is_cut_off(make, undisturbed, lines):
    search = make()
    begun(search)
    search.kill("group")
    path = search.folder / "runs" / search.id / FILE
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-lines]) + whole[-lines][: len(whole[-lines]) // 2])
    resumed(search)
    assert search.result() == undisturbed


@pytest.mark.parametrize("back", [1, 2, 3])
def test_a_journal_with_a_flipped_bit_in_one_of_its_last_lines(make, undisturbed, back):
    search = make()
    begun(search)
    search.kill("group")
    path = search.folder / "runs" / search.id / FILE
    whole = [bytearray(line) for line in path.read_bytes().splitlines(keepends=True)]
    whole[-back][len(whole[-back]) // 2] ^= 4
    path.write_bytes(b"".join(whole))
    resumed(search)
    assert search.result() == undisturbed
    assert path.with_name(DAMAGED).stat().st_size > 0


# Ill trials


def others(told: Told, number: int) -> list[tuple[int, str]]:
    return [(n, state) for n, _, state, _ in told if n != number]


def ill(make: Any, kind: str, script: str = "ill.py", **changes: Any) -> tuple[Disturbed, int]:
    """A search whose third trial falls ill; its exit code."""
    changes = {"trial": f"{HERE / script} '{kind}' 2", **changes}
    search = make(**changes)
    return search, search.nas("--port", search.port).wait(400)


@pytest.mark.parametrize("kind", ["hangs", "hangs in C"])
def test_a_trial_that_hangs_is_ended_by_the_time_limit_of_search_yml(make, kind):
    search, code = ill(make, kind, maxTrialDuration="20s")
    assert code == 0, out_of(search)
    trial = search.journal().trials[2]
    assert trial.state == "failed"
    assert "it took longer than maxTrialDuration (20 s)" in trial.reason
    assert others(search.result(), 2) == [(n, "complete") for n in range(TRIALS) if n != 2]


def test_a_trial_that_eats_memory_is_ended_by_its_limit(make):
    search, code = ill(make, "eats memory", trial=f"{HERE / 'ill.py'} 'eats memory' 2 --memory-limit 1G")
    assert code == 0, out_of(search)
    trial = search.journal().trials[2]
    assert trial.state == "failed"
    assert re.search(r"out of memory: 1\.\d+ GB in use, over --memory-limit 1G", trial.reason)
    assert others(search.result(), 2) == [(n, "complete") for n in range(TRIALS) if n != 2]


def test_a_trial_that_raises_is_shown_with_its_own_words(make):
    search, code = ill(make, "raises")
    assert code == 0
    assert "trial   2  failed: RuntimeError: the dog ate it" in out_of(search)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nan", "the trial reported nan"),
        ("nothing", "exit code 0"),
        ("crash", "RuntimeError: the dog ate it"),
    ],
)
def test_a_command_of_the_users_own_that_falls_ill(make, kind, reason):
    search, code = ill(make, kind, "foreign.py")
    assert code == 0, out_of(search)
    trial = search.journal().trials[2]
    assert trial.state == "failed"
    assert reason in trial.reason
    assert others(search.result(), 2) == [(n, "complete") for n in range(TRIALS) if n != 2]


def test_trials_that_are_all_ill_end_the_search_early(make):
    search = make(trial=f"{HERE / 'foreign.py'} nothing $NNI_TRIAL_SEQ_ID")
    assert search.nas("--port", search.port).wait(300) == 2
    assert "the first 3 trials all failed alike" in out_of(search)
    assert "Traceback" not in out_of(search)


# Clocks


BACK = """
import os, time
_begun, _time = time.monotonic(), time.time
def back():
    return _time() - 86400 * (time.monotonic() - _begun > 4)
time.time = back
"""
NODE_BACK = """
const now = Date.now, begun = now()
Date.now = () => now() - (now() - begun > 30000 ? 86400000 : 0)
"""


def test_a_clock_that_is_set_back_a_day(make, undisturbed, monkeypatch):
    """In each process after some seconds, the manager too: as after a computer learnt the true time."""
    search = make()
    (search.folder / "clock").mkdir()
    (search.folder / "clock" / "sitecustomize.py").write_text(BACK)
    (search.folder / "clock" / "back.cjs").write_text(NODE_BACK)
    paths = [str(search.folder / "clock"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    monkeypatch.setenv("NODE_OPTIONS", f"--require {search.folder / 'clock' / 'back.cjs'}")
    begun(search)
    search.kill("manager")
    assert ended(search) == 0, out_of(search)
    assert search.result() == undisturbed


# Ports and processes


def test_the_port_is_taken_while_it_is_resumed(make, undisturbed):
    search = make()
    begun(search)
    search.kill("group")
    with socket.create_server(("127.0.0.1", search.port)):
        refused = search.nas("--resume", search.id, "--port", search.port)
        assert refused.wait(120) == 2
        assert f"port {search.port} is in use" in out_of(search)
        resumed(search)
    assert search.result() == undisturbed


def test_an_orphan_tuner_ends_before_it_reconnects(make, undisturbed):
    """As a user of bare nnictl meets it: the manager is killed and resumed on the same port at once."""
    search = make()
    search.create()
    wait_for(lambda: search.told() >= 2, 180)
    tuners = search.victims("tuner")
    search.kill("manager")
    search.resume()
    assert not any(tuner.is_running() for tuner in tuners)
    wait_for(lambda: search.told() >= TRIALS, 300)
    search.nnictl("stop", search.id)
    assert search.result() == undisturbed


def test_two_searches_in_one_run_folder(make, undisturbed):
    search = make()
    begun(search, trials=2)
    first = search.process
    second = search.nas("--resume", search.id)
    assert second.wait(120) == 2
    assert "another nas search follows this run" in out_of(search)
    search.process = first
    assert ended(search) == 0, out_of(search)
    assert search.result() == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", [0.5, 3.0, 6.0, 12.0])
def test_a_signal_at_any_moment_leaves_no_process(make, number, moment):
    search = make()
    process = search.nas("--port", search.port)
    time.sleep(moment)
    process.send_signal(number)
    assert process.wait(120) != 0
    wait_for(lambda: not search.victims("group") or not search.journals(), 20)
    time.sleep(1)
    import psutil

    left = [
        one for one in psutil.process_iter(["environ"])
        if (one.info["environ"] or {}).get("HOME") == str(search.home)
    ]  # fmt: skip
    assert left == []
    if search.journals() and moment > 6:
        assert f"--resume {search.id}" in out_of(search)


def test_a_home_without_nnis_registry_is_told(make):
    """NNI resumes what it knows; the journal is whole all the same."""
    search = make()
    begun(search, trials=2)
    search.kill("group")
    shutil.rmtree(search.home / "nni-experiments")
    assert search.nas("--resume", search.id).wait(200) == 2
    out = out_of(search)
    assert "Traceback" not in out
    assert "NNI did not resume after 3 attempts: " in out
    assert f"--resume {search.id}" in out
