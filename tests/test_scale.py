"""The simulation of large searches keeps time, loses nothing, and reports what its rows say."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nas.search.journal import Journal
from nas.space import SearchSpace

ROOT = Path(__file__).parent.parent
if str(ROOT / "benchmarks") not in sys.path:
    sys.path.append(str(ROOT / "benchmarks"))

generations, imagenet_cost, scale_report, scale_rows, virtual_nni, virtual_search, weather = map(
    importlib.import_module,
    (
        "generations",
        "imagenet_cost",
        "scale_report",
        "scale_rows",
        "virtual_nni",
        "virtual_search",
        "weather",
    ),
)


@pytest.fixture
def world(tmp_path, monkeypatch) -> Any:
    """Two workers, six trials of ten seconds; nobody thinks."""
    monkeypatch.setattr(virtual_nni, "attempt", lambda *_: (10.0, "SUCCEEDED"))
    params = {"maxTrialNumber": 6, "trialConcurrency": 2}
    return virtual_nni.World(tmp_path, params, 0, 10.0, lambda packed, seconds: {"default": 0.5})


def proposal(number: int) -> str:
    return json.dumps({"parameter_id": number, "parameters": {"a": 1, "run": {"number": number}}})


def test_a_worker_waits_for_the_looks_of_nni(world):
    """Begun at 7.5, ended at 17.5, seen at 20, the next asked for at once, handed on at 25, begun at 27.5."""
    world.proposed(proposal(0))
    world.proposed(proposal(1))
    asked = []
    while not world.over:
        if world.messages and world.messages[0][0] <= world.tick:
            when, kind, content = world.next_message()
            world.now = max(world.now, when)
            if kind == "ask":
                asked.append((when, content))
                for _ in range(content):
                    world.proposed(proposal(world.submitted))
        else:
            world.now = world.tick
            world.advance()
            assert len(world.live) <= 2
    assert asked == [(20.0, 2), (40.0, 2), (60.0, 2)][: len(asked)]
    assert (world.submitted, world.last, world.busy) == (6, 47.5, 60.0)
    assert world.last_busy == 40.0
    assert {part: total / count for part, (total, count) in world.idle.items() if count} == {
        "seen": 2.5, "started": pytest.approx(5.0), "begun": 2.5,
    }  # fmt: skip


def test_its_manager_answers_as_nnis_does(world):
    manager = virtual_nni.VirtualManager(0, "", world)
    world.proposed(proposal(0))
    world.now = 5.0
    (job,) = manager.jobs()
    assert (job.status, job.parameters[0]["parameters"]["run"]["number"]) == ("RUNNING", 0)
    assert job == manager.job(job.id)
    world.now = 20.0
    (ended,) = manager.jobs()
    assert (ended.status, ended.final, ended.seconds) == ("SUCCEEDED", ("0", {"default": 0.5}), 10.0)
    assert ended == manager.job(job.id)
    manager.set_concurrency(3)
    manager.set_trials(7)
    assert (world.change, world.params) == (1, {"maxTrialNumber": 7, "trialConcurrency": 3})
    assert world.lists == 2


def test_thinking_passes_on_the_clock_and_the_simulations_own_work_does_not(world, monkeypatch):
    clock = iter([100.0, 101.0, 104.0, 106.0, 106.0])
    monkeypatch.setattr(virtual_nni, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    with world.thinking(), world.aside():  # from 100; aside from 101 to 104
        pass
    assert world.thought == world.now == 3.0  # of 6


def test_durations_have_the_mean_that_is_asked_for():
    found = [weather.attempt(0, number, 1200.0) for number in range(20_000)]
    whole = [seconds for seconds, fate in found if fate == "SUCCEEDED"]
    assert np.mean(whole) == pytest.approx(1200, rel=0.01)
    fates = [fate for _, fate in found]
    assert fates.count("FAILED") / len(fates) == pytest.approx(weather.FAILED, rel=0.2)
    assert fates.count("SYS_CANCELED") / len(fates) == pytest.approx(weather.KILLED, rel=0.2)
    assert max(whole) > 2.5 * 1200


def test_generations_wait_for_their_last(monkeypatch):
    seconds = [1.0, 3.0, 2.0, 2.0, 9.0]
    monkeypatch.setattr(generations, "attempt", lambda seed, number, *_: (seconds[number], ""))
    assert generations.busy(trials=5, workers=2, mean=1.0) == pytest.approx(8 / 2 / 5)


@pytest.fixture
def search(tmp_path, monkeypatch) -> Any:
    """Makes searches of 40 trials on 4 workers; what they put in the place of NNI's is taken back."""
    from nas.search import board, flights, guard, jobs
    from nas.search import tuner as tuner_module

    for module, name in (
        (tuner_module, "time"), (flights, "time"), (jobs, "time"), (tuner_module, "Manager"), (guard, "guard_tuner"),
        (board, "PICTURES"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(tuner_module, "_over", {})
    monkeypatch.setattr(board.StudyBoard, "_pictures", lambda *_: None)
    for name in ("NNI_LOG_DIRECTORY", "NNI_TUNER_COMMAND_CHANNEL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(jobs, "MANY", 10)
    monkeypatch.setattr(weather, "KILLED", 0.15)
    return lambda stages: virtual_search.VirtualSearch(
        "evolution", 40, 4, 60.0, tmp_path / "it", stages=stages
    )


def test_a_search_is_simulated_and_goes_on_where_it_was_interrupted(search):
    found = []
    interrupted = search(4)
    for row in interrupted.rows():
        found.append(row)
        if len(found) == 2:
            break
    interrupted._step()  # what a stage did that did not end is done again
    interrupted.tuner._on_exit()
    whole = search(4)
    assert whole.begun
    found += whole.rows()
    journal = Journal(whole.run / "journal.jsonl")
    journal.refresh()
    assert len(journal.ended()) == 40
    assert {trial.state for trial in journal.ended()} <= {"complete", "failed"}
    assert journal.repeated > 0
    assert journal.unreadable == 0
    assert not journal.running or min(journal.running) >= 36  # what NNI asked for and never began
    assert [row["ended"] for row in found] == [10, 20, 30, 40]
    assert 0.6 < found[-1]["busy_to_last"] < 1
    assert found[-1]["idle"]["begun"] == virtual_nni.PHASE
    assert found[0]["thought"] > 0


# Reports


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(scale_rows, "RESULTS", tmp_path)
    return tmp_path


def write(results: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (results / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def stage(ended: int, **changes: Any) -> dict[str, Any]:
    return {
        "search": "model", "trials": 8000, "workers": 64, "mean": 1200.0, "ended": ended, "virtual": 86400.0,
        "busy": 0.99, "busy_to_last": 0.987, "idle": {"seen": 2.5, "proposed": 1.0, "started": 4.0, "begun": 2.5},
        "ms": {"ask": [200.0, 300.0, 4000.0]}, "largest": 3, "lists": 1, "cpu": 60.0, "peak_mb": 800,
        "journal_mb": 9.0, **changes,
    }  # fmt: skip


def test_of_a_run_that_is_not_complete_nothing_is_told(results):
    write(results, "run.model", [stage(400 * n) for n in range(1, 20)])
    assert set(scale_report.full_runs().split("\n")[2].split(" | ")[1:]) == {"not run yet", "not run yet |"}
    with pytest.raises(SystemExit, match="model, evolution: not run yet"):
        scale_report.pictures()


def test_a_complete_run_is_told_by_its_rows(results):
    write(results, "run.model", [stage(400 * n, busy=0.9 if n == 7 else 0.99) for n in range(1, 21)])
    lines = dict(line[2:].split(" | ")[:2] for line in scale_report.full_runs().split("\n")[2:])
    assert lines["workers busy while there is work"] == "98.7%"
    assert lines["worst twentieth"] == "90.0%"
    assert lines["idle between two trials, seconds"].startswith("10.0: end seen 2.5, proposal 1.0")
    assert lines["processor time of the tuner"] == "20 minutes"
    assert "98.7%" in scale_report.waiting()


def test_the_length_from_which_workers_are_busy_is_between_those_that_were_run(results):
    rows = [
        {"search": "model", "workers": 64, "mean": mean, "busy_to_last": mean / (mean + 10)}
        for mean in scale_rows.MEANS
    ]
    write(results, "sweep", rows[:-1])
    assert scale_report.least("model", 64) == "not run yet"
    write(results, "sweep", rows)
    assert scale_report.least("model", 64) == f"{10 * 0.98 / 0.02 / 60:.1f} minutes"
    write(results, "sweep", [row | {"busy_to_last": 0.5} for row in rows])
    assert scale_report.least("model", 64) == "longer than 20 minutes"


def test_what_imagenet_costs_is_arithmetic():
    one = imagenet_cost.Fidelity("", 8000, 5, held_out=50_000)
    seconds = (5 * 1_231_167 + 50_000 / 3) / 1751.72
    assert one.seconds == pytest.approx(seconds)
    assert one.total(64) == pytest.approx(8000 * seconds / 64)
    half = imagenet_cost.Fidelity("", 2, 1, fraction=0.5, ratio=0.5, held_out=0, first=7.0)
    assert half.total(1) == pytest.approx(7 + 2 * 0.25 * 0.5 * 1_281_167 / 1751.72)
    assert imagenet_cost.supernet(2) == 2 * imagenet_cost.supernet(1) > 0


def test_a_step_of_a_supernet_costs_what_its_networks_do():
    """Of one choice of two values: the larger, the smaller, and four that are fair to both."""
    stage = {"op": "conv", "kernel": 3, "channels": [8, 16]}
    space = SearchSpace.from_data({
        "name": "two", "resolution": 8, "stem": {"channels": 8, "stride": 1, "in_chans": 1}, "stages": [stage],
        "head": {"channels": 8, "classes": 10},
    })  # fmt: skip
    small, large = (space.decode({"stage1.channels": channels}).macs for channels in (8, 16))
    assert imagenet_cost.step_macs(space, 400) == pytest.approx(3 * (small + large), rel=0.02)


def test_the_page_has_what_the_rows_say():
    page = (ROOT / "docs" / "scale.md").read_text()
    assert [name for name, text in scale_report.parts().items() if text not in page] == []
