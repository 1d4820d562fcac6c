"""The main job through the real NNI manager: few tests, retried for NNI's start-up race alone.

Each runs in a folder and a home of its own, so that no experiment of the user's is touched.
"""

import contextlib
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

import nas
from nas.baseline import Baseline, save
from nas.search.journal import FILE, Journal

pytestmark = pytest.mark.nni

BIN = Path(sys.executable).parent
RACE = ("did not start", "did not connect", "Connection refused", "did not resume")


class Workspace:
    """A user's folder: a search.yml of one-epoch trials on digits, two at a time."""

    def __init__(self, folder: Path, trials: int = 4) -> None:
        self.folder = folder
        self.config = folder / "project" / "search.yml"
        self.config.parent.mkdir()
        self.home = folder / "home"
        self.home.mkdir()
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.write(trials=trials)

    def write(self, trials: int = 4, epochs: int = 1, **changes: object) -> None:
        config = yaml.safe_load(Path("search.yml").read_text())
        config |= {
            "searchSpaceFile": str(Path("search_spaces/digits.yml").resolve()),
            "trialCommand": f"{sys.executable} -m nas.search.trial --data digits --epochs {epochs}",
            "maxTrialNumber": trials,
        }
        config = {key: value for key, value in (config | changes).items() if value is not None}
        self.config.write_text(yaml.safe_dump(config))

    @property
    def environment(self) -> dict[str, str]:
        """A user's own: what importing nas.search sets in this process is not in it."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("NNI_")}
        return {**kept, "HOME": str(self.home), "PATH": "/usr/bin:/bin"}

    def run(self, *command: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in command],
            cwd=self.elsewhere, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def search(self, *words: object, attempts: int = 3) -> subprocess.CompletedProcess[str]:
        done = self.run(BIN / "nas", "search", self.config, *words)
        if done.returncode != 0 and any(word in done.stderr for word in RACE) and attempts > 1:
            return self.search(*words, attempts=attempts - 1)
        return done

    def runs(self) -> list[Path]:
        return sorted((self.config.parent / "runs").glob(f"*/{FILE}"), key=lambda p: p.stat().st_mtime)

    def journal(self) -> Journal:
        journal = Journal(self.runs()[-1])
        journal.refresh()
        return journal

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get("HOME") == str(self.home):
                found.append(process)
        return found

    def kill_everything(self) -> None:
        for process in self.processes():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def wait_for(self, condition, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.3)


@pytest.fixture
def workspace(tmp_path):
    space = Workspace(tmp_path)
    yield space
    space.kill_everything()


def assert_private(workspace: Workspace) -> None:
    """NNI's ports are reached from this machine's loopback alone, its and our files by their user."""
    listening = []
    for process in workspace.processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # a trial that ended meanwhile
            connections = process.net_connections("inet")
            listening += [one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN]
    assert listening
    assert set(listening) == {"127.0.0.1"}
    run = workspace.runs()[-1].parent
    for folder in (run, workspace.home / "nni-experiments"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def told(journal: Journal) -> int:
    journal.refresh()
    return len(journal.ended())


def test_the_main_job_from_another_directory_ends_with_the_true_argmax(workspace):
    done = workspace.search("--name", "found", "--full-epochs", 2)
    assert done.returncode == 0, done.stderr
    journal = workspace.journal()
    trials = journal.ended()
    assert [t.state for t in trials] == ["complete"] * 4
    assert len({t.key for t in trials}) == 4
    found = nas.load(workspace.elsewhere / "found.yml")
    assert found.facts is not None
    assert found.provenance is not None
    assert found.facts.reward == max(t.reward for t in trials)
    assert found.provenance.trial == max(trials, key=lambda t: t.reward).number
    assert 0 < found.facts.accuracy < 1
    assert "the winner is the same for every T" in done.stdout
    assert "x the target" in done.stdout
    assert not workspace.processes()


def test_killed_in_the_middle_and_resumed_it_ends_with_all_trials_distinct(workspace):
    workspace.write(trials=5)
    with (workspace.folder / "out.txt").open("w") as out:
        process = subprocess.Popen(
            [str(BIN / "nas"), "search", str(workspace.config)],
            cwd=workspace.elsewhere, env=workspace.environment, stdout=out, stderr=out,
        )  # fmt: skip
        workspace.wait_for(lambda: workspace.runs() and told(workspace.journal()) >= 2)
        assert_private(workspace)
        workspace.kill_everything()
        process.wait()
    before = workspace.journal().ended()
    run = workspace.runs()[-1].parent.name
    done = workspace.search("--resume", run, "--name", "resumed")
    assert done.returncode == 0, done.stderr
    after = workspace.journal().ended()
    assert after[: len(before)] == before or {t.number for t in before} <= {t.number for t in after}
    assert {t.number: t.reward for t in before}.items() <= {t.number: t.reward for t in after}.items()
    assert len({t.key for t in after if t.scored}) == len([t for t in after if t.scored]) == 5
    assert nas.load(workspace.elsewhere / "resumed.yml").facts.reward == max(t.reward for t in after)


def test_nnictl_create_stop_and_resume_by_hand(workspace):
    for attempt in range(3):
        port = 18080 + 10 * attempt
        created = workspace.run(BIN / "nnictl", "create", "--config", workspace.config, "--port", port)
        if created.returncode == 0:
            break
    assert created.returncode == 0, created.stderr
    workspace.wait_for(lambda: workspace.runs() and told(workspace.journal()) >= 1)
    run = workspace.runs()[-1].parent.name
    workspace.run(BIN / "nnictl", "stop", run)
    known = {t.number: t.reward for t in workspace.journal().ended()}
    assert len(known) < 4
    for attempt in range(3):
        resumed = workspace.run(BIN / "nnictl", "resume", run, "--port", port + 4 + 2 * attempt)
        if resumed.returncode == 0:
            break
    assert resumed.returncode == 0, resumed.stderr
    workspace.wait_for(lambda: told(workspace.journal()) >= 4)
    trials = workspace.journal().ended()
    assert known.items() <= {t.number: t.reward for t in trials}.items()
    assert len({t.key for t in trials}) == 4
    frozen = workspace.run(BIN / "nas", "freeze", run, "--name", "by-hand")
    assert frozen.returncode == 0, frozen.stderr
    assert nas.load(workspace.elsewhere / "by-hand.yml").facts.reward == max(t.reward for t in trials)
    workspace.run(BIN / "nnictl", "stop", run)


def test_a_grid_search_of_coefficients_writes_them_into_the_baseline(workspace):
    """Two networks; killed after the first, and resumed."""
    space = nas.SearchSpace.load("digits")
    architecture = space.decode({label: values[0] for label, values in space.choices.items()})
    document = save(Baseline("mine", architecture), workspace.folder / "mine.yml")
    workspace.write(searchSpaceFile=None, maxTrialNumber=None, trialConcurrency=1, tuner={
        "codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner",
        "classArgs": {"scaling": {"step": 0.4}},
    })  # fmt: skip
    command = [BIN / "nas", "scale", document, "--search", workspace.config]
    with (workspace.folder / "out.txt").open("w") as out:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=workspace.elsewhere, env=workspace.environment, stdout=out, stderr=out,
        )  # fmt: skip
        workspace.wait_for(lambda: workspace.runs() and told(workspace.journal()) >= 1)
        workspace.kill_everything()
        process.wait()
    run = workspace.runs()[-1].parent.name
    for _ in range(3):
        done = workspace.run(*command, "--resume", run, "--json")
        if done.returncode == 0 or not any(word in done.stderr for word in RACE):
            break
    assert done.returncode == 0, done.stderr
    trials = workspace.journal().ended()
    assert len({t.key for t in trials}) == len(trials) == workspace.journal().run["max_trials"]
    printed, scaling = json.loads(done.stdout), nas.load(document).scaling
    assert scaling is not None
    assert scaling.search is not None
    assert {**scaling.model_dump(mode="json"), "name": "mine"} == printed
    assert scaling.search.trial == max(trials, key=lambda t: (t.reward, -t.number)).number
    assert {row.trial for row in scaling.table} == {t.number for t in trials}


STOPPER = """
from nni.assessor import Assessor, AssessResult


class Stopper(Assessor):
    \"\"\"Lets the first trial be and stops every other at its third epoch.\"\"\"

    first = None

    def assess_trial(self, trial_job_id, trial_history):
        self.first = self.first or trial_job_id
        bad = trial_job_id != self.first and len(trial_history) >= 3
        return AssessResult.Bad if bad else AssessResult.Good
"""


def test_an_assessor_stops_a_trial_and_its_last_accuracy_counts(workspace):
    (workspace.folder / "stopper.py").write_text(STOPPER)
    assessor = {"codeDirectory": str(workspace.folder), "className": "stopper.Stopper"}
    workspace.write(trials=2, epochs=16, trialConcurrency=1, assessor=assessor)
    done = workspace.search("--allow-import")
    assert done.returncode == 0, done.stderr
    first, second = workspace.journal().ended()
    assert (first.state, second.state) == ("complete", "stopped")
    assert 0 < second.accuracy < 1
    assert second.reward == pytest.approx(
        nas.reward(second.accuracy, second.macs, workspace.journal().run["trial"]["reward"]["target"])
    )


def test_nnis_own_tuner_draws_from_the_exported_space(workspace):
    exported = workspace.run(BIN / "nas", "export", "digits", "--to", "nni", "--output", "space.json")
    assert exported.returncode == 0, exported.stderr
    workspace.write(
        trials=3,
        searchSpaceFile=str(workspace.elsewhere / "space.json"),
        trialCommand=f"{sys.executable} -m nas.search.trial --data digits --epochs 1 --space digits --target-macs 700k",
        tuner={"name": "Random", "classArgs": {"seed": 1}},
    )
    done = workspace.search("--name", "random")
    assert done.returncode == 0, done.stderr
    trials = workspace.journal().ended()
    assert len(trials) == 3
    assert nas.load(workspace.elsewhere / "random.yml").facts.reward == max(t.reward for t in trials)


def test_trials_that_all_fail_end_the_search_with_their_own_reason(workspace):
    data = workspace.folder / "data.npz"
    import numpy as np

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (200, 8, 8, 1), np.uint8), np.arange(200) % 4
    np.savez(data, x_train=images, y_train=labels, x_test=images, y_test=labels)
    workspace.write(
        trials=8, trialCommand=f"{sys.executable} -m nas.search.trial --data npz:{data} --epochs 1 --lr 1e30"
    )
    done = workspace.search()
    assert done.returncode == 2
    assert "all failed alike" in done.stderr
    assert "loss" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(workspace.runs()[-1].read_text().splitlines()[-1])["event"] in ("asked", "told")


def test_a_search_over_recorded_results_ends_with_the_best_recorded_of_those_it_looked_up(workspace):
    """27 networks of three layers; nothing is trained."""
    layers, blocks = ("layer1", "layer2", "layer3"), ("identity", "mb3k3", "mb6k5")
    records = [
        {"sample": dict(zip(layers, names, strict=True)), "accuracy": [0.5 + number / 90, 0.52 + number / 90],
         "macs": 100 * (1 + number) + 7 * number % 5}
        for number, names in enumerate(itertools.product(blocks, repeat=3))
    ]  # fmt: skip
    table = {"name": "blocks", "choices": {layer: list(blocks) for layer in layers}, "records": records}
    (workspace.config.parent / "results.json").write_text(json.dumps(table))
    workspace.write(
        trials=6,
        trialCommand=f"{sys.executable} -m nas.search.trial --table results.json",
        searchSpace="table:results.json",
        searchSpaceFile=None,
    )
    done = workspace.search()
    assert done.returncode == 0, done.stderr
    journal = workspace.journal()
    trials = journal.ended()
    assert [t.state for t in trials] == ["complete"] * 6
    assert len({t.key for t in trials}) == 6
    target = journal.run["table"]["target"]

    def worth(sample: dict[str, str]) -> float:
        found = next(record for record in records if record["sample"] == sample)
        return nas.reward(sum(found["accuracy"]) / 2, found["macs"], target)

    assert [t.reward for t in trials] == pytest.approx([worth(t.sample) for t in trials])
    best = max(trials, key=lambda t: worth(t.sample))
    assert (
        f"winner: trial {best.number}, reward {worth(best.sample):.4f}, accuracy {best.accuracy:.4f}"
        in done.stdout
    )
    assert ", ".join(f"{label} {value}" for label, value in best.sample.items()) in done.stdout
    assert "blocks is a table of plain choices, so there is no baseline to freeze" in done.stdout
    refused = workspace.run(BIN / "nas", "freeze", journal.path.parent)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "the table blocks is of plain choices, which make no baseline to freeze" in refused.stderr
