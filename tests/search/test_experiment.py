"""A search in the foreground, with a manager of the tests' own: following it, resuming it."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from rich.console import Console

from nas.errors import NasError
from nas.main_job import conducted
from nas.search import experiment as experiment_module
from nas.search import foreground
from nas.search.config import SearchConfig
from nas.search.experiment import Experiment, StartFailed
from nas.search.foreground import follow
from nas.search.manager import Job
from nas.search.runs import MARK

GOOD = ("complete", {"accuracy": 0.9, "reward": 0.9})
BAD = ("failed", {"reason": "no CUDA device"})


class FakeManager:
    """NNI's manager: one answer of `statuses` a question, the last for ever."""

    def __init__(self, *statuses: str | BaseException, trials: int = 40, jobs: tuple[Job, ...] = ()) -> None:
        self.statuses = list(statuses)
        self.trials = trials
        self.running = jobs

    def status(self) -> tuple[str, list[str]]:
        answer = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer, ["the reason"] if answer == "ERROR" else []

    def jobs(self) -> list[Job]:
        return list(self.running)

    def profile(self) -> dict[str, Any]:
        return {"id": "abc123", "params": {"maxTrialNumber": self.trials}}

    def set_trials(self, trials: int) -> None:
        self.trials = trials


@pytest.fixture
def search(tmp_path: Path, search_yml: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an Experiment of the run abc123 under a FakeManager; `said` are its lines and nnictl's."""
    monkeypatch.setattr(foreground.time, "sleep", lambda _: None)

    def make(manager: FakeManager, trials: int | None = None) -> Experiment:
        said: list[str] = []
        made = Experiment(SearchConfig.read(search_yml()), said.append, trials=trials)
        made.id, made.said = "abc123", said
        monkeypatch.setattr(Experiment, "manager", manager)
        monkeypatch.setattr(Experiment, "_nnictl", lambda _, *words: said.append(" ".join(words)))
        monkeypatch.setattr(Experiment, "_resume", lambda _: said.append("resume"))
        monkeypatch.setattr(experiment_module.runs, "processes_of", lambda _: {})
        monkeypatch.setattr(experiment_module.runs, "registered", lambda _: {})
        return made

    return make


QUIET = Console(quiet=True)


# Following


def test_at_its_end_the_manager_is_ended(search, make_run):
    make_run(GOOD)
    found = search(FakeManager("RUNNING", "DONE"))
    assert follow(found, QUIET).best().number == 0
    assert found.said == ["stop abc123"]


def test_everything_that_ended_is_shown_what_was_rejected_too(search, make_run):
    make_run(GOOD, ("rejected", {"reason": "macs 9 is over the limit of 8"}), BAD)
    console = Console(width=200, file=io.StringIO())
    follow(search(FakeManager("DONE")), console)
    lines = [line.strip() for line in console.file.getvalue().splitlines() if line.startswith("trial")]
    assert lines[0].startswith("trial   0  reward 0.9000  accuracy 0.9000")
    assert lines[1:] == [
        "trial   1  rejected: macs 9 is over the limit of 8",
        "trial   2  failed: no CUDA device",
    ]


def test_a_tuner_with_nothing_more_to_propose_ends_the_search_once_no_trial_runs(search, make_run):
    make_run(GOOD)
    follow(search(FakeManager("TUNER_NO_MORE_TRIAL")), QUIET)
    busy = FakeManager(*["TUNER_NO_MORE_TRIAL"] * 30, "ERROR", jobs=(Job("a", "RUNNING", []),))
    with pytest.raises(NasError, match="ended with an error: the reason; resume with"):
        follow(search(busy), QUIET)


def test_first_trials_that_fail_alike_end_it_but_not_again_once_resumed(search, make_run):
    journal = make_run(("running", {}), ("running", {}), ("running", {}), ("running", {}))

    class Failing(FakeManager):
        def status(self) -> tuple[str, list[str]]:
            journal.told(len(journal.ended()), *BAD[:1], **BAD[1])
            return "RUNNING", []

    with pytest.raises(
        NasError,
        match=r"alike: no CUDA device; a trialCommand that is mended needs another search; resume with: nas search",
    ):
        follow(search(Failing("RUNNING")), QUIET)
    journal.told(3, *GOOD[:1], **GOOD[1])
    assert follow(search(FakeManager("RUNNING", "DONE")), QUIET).best().number == 3


def test_logs_of_their_own_make_failures_no_less_alike(search, make_run):
    reasons = [
        f"the process ended: no module nas; all of it is in /home/trials/{job}/stderr" for job in "abc"
    ]
    journal = make_run(("running", {}), ("running", {}), ("running", {}))

    class Failing(FakeManager):
        def status(self) -> tuple[str, list[str]]:
            journal.told(len(journal.ended()), "failed", reason=reasons[len(journal.ended())])
            return "RUNNING", []

    with pytest.raises(
        NasError, match="the first 3 trials all failed alike: the process ended: no module nas; a trialC"
    ):
        follow(search(Failing("RUNNING")), QUIET)


def test_why_a_tuner_gave_up_is_found_in_its_log(search, make_run, monkeypatch, tmp_path):
    """NNI says that it may have crashed, and no more."""
    make_run(GOOD)
    log = tmp_path / "nni" / "abc123" / "log" / "dispatcher.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        "Dispatcher started\nnas.errors.NasError: of an earlier start\nDispatcher started\nTraceback\n"
        "nas.errors.NasError: journal.jsonl: cannot be written (No space left on device)\n"
    )
    found = search(FakeManager("ERROR"))
    monkeypatch.setattr(experiment_module.runs, "registered", lambda _: {"logDir": str(tmp_path / "nni")})
    with pytest.raises(
        NasError,
        match=r"^NNI ended with an error: journal\.jsonl: cannot be written \(No space left on device\); resume with",
    ):
        follow(found, QUIET)


def test_a_breakdown_is_resumed_as_long_as_trials_end_in_between(search, make_run):
    journal = make_run(*[("running", {})] * 6)

    class Breaking(FakeManager):
        def status(self) -> tuple[str, list[str]]:
            ended = len(journal.ended())
            if ended < 6:
                journal.told(ended, *GOOD[:1], **GOOD[1])
            return "ERROR", []

    found = search(Breaking("ERROR"))
    with pytest.raises(NasError, match="NNI ended with an error: it names none; resume with: nas search"):
        follow(found, QUIET)
    assert found.said.count("resume") == 8  # after each of six trials, and two more
    assert found.said[-1] == "stop abc123"


def test_done_is_believed_once_no_trial_is_about_to_be_repeated(search, make_run):
    """One that was killed leaves NNI DONE for a moment, until the tuner asks for it again."""
    journal = make_run(GOOD, ("running", {}), max_trials=2)

    class Repeating(FakeManager):
        turns = 0

        def status(self) -> tuple[str, list[str]]:
            self.turns += 1
            if self.turns == 8:
                journal.told(1, "complete", accuracy=0.95, reward=0.95)
            return ("DONE" if self.turns < 5 or self.turns > 8 else "RUNNING"), []

    found = search(Repeating("DONE"), trials=2)
    assert follow(found, QUIET).best().number == 1


def test_a_manager_that_is_gone_is_told_and_one_that_stutters_is_not(search, make_run):
    make_run(GOOD)
    follow(search(FakeManager(*[ConnectionError("gone")] * 5, "DONE")), QUIET)
    with pytest.raises(
        NasError, match=r"NNI's manager does not answer \(gone\); resume with: nas search .* abc123$"
    ):
        follow(search(FakeManager(ConnectionError("gone"))), QUIET)


@pytest.mark.parametrize(("trials", "end"), [(None, "--resume abc123"), (6, "--resume abc123 --trials 6")])
def test_interrupted_it_says_how_to_resume_with_as_many_trials(search, make_run, trials, end):
    make_run(GOOD)
    found = search(FakeManager(KeyboardInterrupt()), trials)
    with pytest.raises(KeyboardInterrupt):
        follow(found, QUIET)
    with pytest.raises(NasError, match=f"^interrupted; nothing is lost: nas search .*search.yml {end}$"):
        raise found.interrupted()
    assert found.said == ["stop abc123"]


# Resuming


def test_it_has_the_runs_own_number_of_trials_and_not_search_ymls(search, make_run):
    make_run(GOOD, BAD, max_trials=2)
    found = search(FakeManager("DONE", trials=2))
    assert not found.resume("abc123")
    assert found.trials == 2


def test_nnis_number_of_trials_counts_unless_another_is_asked_for(search, make_run):
    make_run(GOOD, max_trials=2)
    found, manager = search(FakeManager("RUNNING", trials=7)), FakeManager("RUNNING", trials=7)
    assert found.resume("abc123")
    assert found.trials == 7
    found = search(manager, trials=9)
    assert found.resume("abc123")
    assert (found.trials, manager.trials) == (9, 9)


def test_one_that_still_runs_is_followed_with_as_many_trials_as_asked_for(search, make_run, monkeypatch):
    make_run(GOOD, max_trials=2)
    manager = FakeManager("RUNNING", trials=2)
    found = search(manager, trials=5)
    monkeypatch.setattr(experiment_module.runs, "registered", lambda _: {"port": 8123})
    monkeypatch.setattr(experiment_module, "_served", lambda port: "abc123" if port == 8123 else "")
    assert found.resume("abc123")
    assert (found.port, manager.trials) == (8123, 5)
    assert "resume" not in found.said


def test_an_interruption_while_nni_resumes_leaves_no_manager(search, make_run, monkeypatch):
    make_run(GOOD)
    found = search(FakeManager("RUNNING"))

    def interrupted(_: Experiment) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Experiment, "_resume", interrupted)
    with pytest.raises(NasError, match=r"interrupted; nothing is lost: nas search .* --resume abc123"):
        conducted(QUIET, found, "abc123")
    assert found.said[-1] == "stop abc123"


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """Of this process, which are not the search's to change."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_hang_up_that_is_ignored_stays_ignored(search, make_run, monkeypatch):
    """As under nohup."""
    make_run(GOOD, max_trials=1)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    conducted(QUIET, search(FakeManager("DONE", trials=1)), "abc123")
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL


def test_what_runs_on_its_port_is_another_search_and_is_left_alone(search, make_run, monkeypatch):
    """Two that start at once may both find the port free; the experiment there is not ours to end."""
    make_run(GOOD)
    found = search(FakeManager("RUNNING"))
    found.id = ""
    argv = [
        sys.executable,
        "-c",
        "import time; time.sleep(60)",
        "--port",
        str(found.port),
        "--experiment-id",
        "theirs",
    ]
    monkeypatch.setattr(
        Experiment,
        "_nnictl",
        lambda self, *words: self.said.append(words[0]) or CompletedProcess(words, 1, "", "not idle"),
    )
    theirs = subprocess.Popen(argv, env={**os.environ, MARK: "1-1"})
    try:
        with pytest.raises(
            NasError,
            match=r"NNI did not start after 3 attempts: not idle \(it gives its own processes ten seconds, .*\)$",
        ):
            found.start()
        assert theirs.poll() is None
        assert found.said.count("create") == 3
        assert not [word for word in found.said if word.startswith("stop")]
        assert experiment_module.runs.experiment_marked("1-1") == "theirs"
        assert experiment_module.runs.experiment_marked("1-2") == ""
    finally:
        theirs.kill()
        theirs.wait()


def test_after_a_breakdown_trials_of_before_go_on(search, make_run, monkeypatch):
    """Their results count; an interruption ends them."""
    make_run(GOOD)
    ended = []
    found = search(FakeManager(ConnectionError("gone")))
    monkeypatch.setattr(experiment_module.runs, "processes_of", lambda _: {1: "trial", 2: "tuner"})
    monkeypatch.setattr(experiment_module.runs, "end_processes", lambda _, *kinds: ended.append(kinds) or 0)
    monkeypatch.setattr(experiment_module.time, "sleep", lambda _: None)
    found.end(trials=False)
    found.end()
    assert ended == [("manager", "tuner"), (experiment_module.runs.WARM,), ()]


def test_one_that_was_stopped_is_not_over(search, make_run):
    make_run(GOOD)
    with pytest.raises(
        NasError, match=r"^the search was stopped, by nnictl stop or .*; resume with: nas search"
    ):
        follow(search(FakeManager("RUNNING", "STOPPING")), QUIET)


def test_a_manager_that_was_stopped_is_no_breakdown(search, make_run, monkeypatch):
    """nnictl stop: its port is closed first, and its last word is that it was stopped."""
    make_run(GOOD)
    monkeypatch.setattr(experiment_module.runs, "registered", lambda _: {"status": "STOPPED"})
    found = search(FakeManager(ConnectionError("refused")))
    monkeypatch.setattr(experiment_module.runs, "registered", lambda _: {"status": "STOPPED"})
    with pytest.raises(
        NasError, match=r"^the search was stopped, by nnictl stop or .*; resume with: nas search"
    ):
        follow(found, QUIET)
    assert "resume" not in found.said


def test_where_the_manager_answers_nobody_waits_for_its_end(search, make_run, monkeypatch):
    """A tuner that broke down leaves it there, and is resumed at once."""
    make_run(GOOD, ("running", {}), max_trials=2)
    monkeypatch.setattr(Experiment, "was_stopped", lambda _: pytest.fail("waited for the manager"))
    found = search(FakeManager("ERROR"))
    with pytest.raises(NasError, match="NNI ended with an error: the reason; resume with"):
        follow(found, QUIET)
    assert found.said.count("resume") == 2


def test_what_was_changed_in_search_yml_is_named(search, make_run, search_yml):
    run = make_run(GOOD, max_trials=1).path.parent
    found = search(FakeManager("DONE", trials=1))
    (run / "config.json").write_text(
        json.dumps(found.config.prepared() | {"trialCommand": "python other.py"})
    )
    assert not found.resume("abc123")
    assert found.said[0].startswith(
        "note: trialCommand of search.yml changed since this search began, which keeps its own"
    )
    found = search(FakeManager("DONE", trials=1))
    (run / "config.json").write_text(json.dumps(found.config.prepared()))
    assert not found.resume("abc123")
    assert not [line for line in found.said if line.startswith("note")]


def test_an_attempt_that_is_interrupted_ends_its_own_manager(search, make_run, monkeypatch):
    """Not that of the attempt before, which lost its race."""
    found = search(FakeManager("RUNNING"))
    found.id = "before"
    monkeypatch.setattr(experiment_module.runs, "experiment_marked", lambda _: "mine")

    def interrupted(self: Experiment, *words: str) -> Any:
        self.said.append(" ".join(words)[:12])
        if words[0] == "create":
            raise KeyboardInterrupt

    monkeypatch.setattr(Experiment, "_nnictl", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found.start()
    with pytest.raises(NasError, match="interrupted; no search has begun"):
        raise found.interrupted()
    assert found.said[-1] == "stop mine"


def test_of_a_changed_number_of_trials_the_last_counts(search, make_run):
    journal = make_run(GOOD, GOOD, GOOD, max_trials=3)
    journal.change("trials", trials=8)
    assert search(FakeManager("RUNNING", trials=8)).resume("abc123")
    journal.change("exhausted")
    assert not search(FakeManager("DONE", trials=8)).resume("abc123")


def test_a_space_that_is_exhausted_is_believed_at_once(search, make_run):
    make_run(GOOD, max_trials=40).change("exhausted")
    turns = FakeManager("DONE")
    assert follow(search(turns), QUIET).best().number == 0


def test_failures_that_differ_in_numbers_are_alike(search, make_run):
    reasons = [f"out of memory: 1.0{n} GB in use, over --memory-limit 1G" for n in range(3)]
    journal = make_run(("running", {}), ("running", {}), ("running", {}))

    class Failing(FakeManager):
        def status(self) -> tuple[str, list[str]]:
            journal.told(len(journal.ended()), "failed", reason=reasons[len(journal.ended())])
            return "RUNNING", []

    with pytest.raises(NasError, match=r"the first 3 trials all failed alike: out of memory: 1\.00 GB"):
        follow(search(Failing("RUNNING")), QUIET)


def test_a_start_that_loses_its_race_is_tried_three_times(search, make_run, monkeypatch):
    make_run(GOOD)
    found = search(FakeManager("RUNNING"))

    def lost(_: Experiment) -> None:
        raise StartFailed("the tuner did not connect")

    monkeypatch.setattr(Experiment, "_resume", lost)
    with pytest.raises(NasError, match="NNI did not resume after 3 attempts: the tuner did not connect"):
        found.resume("abc123")
    assert found.said.count("stop abc123") == 3
