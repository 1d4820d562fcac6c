"""The simulation of large searches keeps time, loses nothing, and reports what its rows say."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nni_node
import numpy as np
import pytest

from nas.search.journal import Journal
from nas.space import SearchSpace

ROOT = Path(__file__).parent.parent
NNI = Path(nni_node.__path__[0])
if str(ROOT / "benchmarks") not in sys.path:
    sys.path.append(str(ROOT / "benchmarks"))

generations, imagenet_cost, manager_submit, scale_report, scale_rows, rows_, simulate = map(
    importlib.import_module,
    ("generations", "imagenet_cost", "manager_submit", "scale_report", "scale_rows", "rows", "simulate"),
)
virtual_clock, virtual_costs, virtual_nni, virtual_search, virtual_tally, weather = map(
    importlib.import_module,
    ("virtual_clock", "virtual_costs", "virtual_nni", "virtual_search", "virtual_tally", "weather"),
)

COSTS = virtual_costs.Costs(
    jobs=(100, 1000), listed=(1.0, 20.0), one=(0.001, 0.01), settings=0.003, submit=0.02, stored=0.03, profile=0.02,
    seen=0.01, fetch=0.25,
)  # fmt: skip


class Play:
    """A world of trials that succeed, whose tuner thinks so long for each proposal.

    Attributes:
        asks, begins, ends: (time, how many), times, (time, job), as they come.
    """

    def __init__(
        self, monkeypatch: Any, folder: Path, workers: int, durations: list[float], think: float
    ) -> None:
        monkeypatch.setattr(
            virtual_nni, "attempt", lambda seed, number, mean: (durations[number], "SUCCEEDED")
        )
        params = {"maxTrialNumber": len(durations), "trialConcurrency": workers}
        self.world = virtual_nni.World(folder, params, 0, 10.0, lambda *_: {"default": 0.5}, COSTS)
        self.think, self.given = think, 0
        self.asks: list[tuple[float, int]] = []
        self.begins: list[float] = []
        self.ends: list[tuple[float, int]] = []
        begin = self.world._begin
        self.world._begin = lambda at, packed: (self.begins.append(at), begin(at, packed))

    def propose(self, count: int) -> None:
        for _ in range(count):
            self.world.clock.pass_(self.think)
            self.world.proposed(proposal(self.given))
            self.given += 1

    def go(self) -> None:
        world = self.world
        self.propose(self.world.params["trialConcurrency"])
        world.advance()
        while not world.over:
            if world.messages and world.messages[0][0] <= world.tick:
                when, kind, content = world.next_message()
                world.clock.reach(when)
                if kind == "ask":
                    self.asks.append((when, content))
                    self.propose(content)
                elif kind == "end":
                    self.ends.append((when, int(content["trial_job_id"][1:])))
            else:
                world.clock.reach(world.tick)
            world.advance()
            assert len(world.live) <= world.params["trialConcurrency"]


def proposal(number: int) -> str:
    return json.dumps({"parameter_id": number, "parameters": {"a": 1, "run": {"number": number}}})


def test_a_worker_waits_for_the_loop_of_nni(tmp_path, monkeypatch):
    """Two workers, six trials of 10 s, nobody thinks; worked by hand. The manager looks at 0, begins one trial after
    the other, rests at 0.10 for half a second, and looks at 0.60, 1.10 ... 10.10, when the first two, of 10.02 and
    10.07, are over. It has seen that at 10.11 and 10.12, asks for two, has none yet, and rests until 10.62."""
    play = Play(monkeypatch, tmp_path, 2, [10.0] * 6, think=0.0)
    play.go()
    assert play.begins == pytest.approx([0.02, 0.07, 10.64, 10.69, 21.26, 21.31])
    assert [(pytest.approx(when), count) for when, count in play.asks] == [(10.12, 2), (20.74, 2)]
    assert [when for when, _ in play.ends] == pytest.approx([10.11, 10.12, 20.73, 20.74, 31.35, 31.36])
    tally = play.world.tally
    assert (tally.busy, tally.lost, tally.end) == pytest.approx((60, 0, 31.31))
    assert tally.marks["wanted"] == pytest.approx((21.31, 40.05))
    assert tally.shares()["busy_work"] == pytest.approx(40.05 / 2 / 21.31, abs=1e-5)
    assert tally.shares()["busy_all"] == tally.shares()["useful"] == pytest.approx(60 / 2 / 31.31, abs=1e-5)
    assert {part: total for part, (total, _) in tally.idle.items()} == pytest.approx(
        {"seen": 0.42, "proposed": 0, "started": 2.15, "begun": 0.12}
    )


def test_what_is_proposed_while_others_are_begun_is_begun_with_them(tmp_path, monkeypatch):
    play = Play(monkeypatch, tmp_path, 3, [10.0] * 3, think=0.0)
    play.propose(1)
    play.world.advance()
    play.world.clock.reach(0.04)
    play.propose(1)  # the first is stored until 0.05
    play.world.advance()
    play.world.clock.reach(0.2)
    play.propose(1)  # the loop rests since 0.10
    play.world.clock.reach(1.0)
    play.world.advance()
    assert play.begins == pytest.approx([0.02, 0.07, 0.62])


@pytest.mark.parametrize(("workers", "think"), [(4, 0.0113), (12, 0.0007), (3, 0.31), (40, 0.013)])
def test_the_manager_does_what_nnis_own_loop_does(tmp_path, monkeypatch, workers, think):
    """NNI's manageTrials is run on a clock of its own, with the same durations and costs."""
    durations = np.random.default_rng(workers).uniform(0.7, 6.0, 200).tolist()
    play = Play(monkeypatch, tmp_path, workers, durations, think)
    play.go()
    setting = {
        "poll": virtual_nni.POLL, "think": think, "workers": workers, "durations": durations, "submit": COSTS.submit,
        "profile": COSTS.profile, "begun": COSTS.stored - COSTS.profile, "seen": COSTS.seen,
    }  # fmt: skip
    command = [str(NNI / "node"), str(ROOT / "tests" / "manage_trials.cjs"), str(NNI)]
    done = subprocess.run(command, input=json.dumps(setting), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    real = json.loads(done.stdout)
    assert real["poll"] == virtual_nni.POLL
    assert play.begins == pytest.approx(real["begins"])
    assert np.array(play.asks) == pytest.approx(np.array(real["asks"]))
    assert np.array(play.ends) == pytest.approx(np.array(real["ends"]))


def test_nni_rests_as_long_as_the_simulation_says_and_its_service_not_at_all():
    """Where it is neither hybrid nor of Kubernetes, NNI sets pollInterval as it makes its service."""
    text = (NNI / "core" / "nnimanager.js").read_text()
    found = re.findall(r"else \{\s+this\.pollInterval = ([\d.]+);\s+const module_ = [^;]*v3/compat", text)
    assert [float(one) for one in found] == [virtual_nni.POLL]
    compat = (NNI / "training_service" / "v3" / "compat.js").read_text()
    submit = compat[compat.index("async submitTrialJob") : compat.index("async updateTrialJob")]
    assert "await this.v3.createTrial(" in submit
    keeper = (NNI / "common" / "trial_keeper" / "keeper.js").read_text()
    create = keeper[keeper.index("async createTrial") : keeper.index("async stopTrial")]
    assert "await trial.spawn(" in create
    assert not re.search("delay|setTimeout|setInterval", create)


@pytest.fixture
def world(tmp_path, monkeypatch) -> Any:
    """Two workers, six trials of ten seconds; nobody thinks."""
    return Play(monkeypatch, tmp_path, 2, [10.0] * 6, think=0.0).world


def test_its_manager_answers_as_nnis_does(world):
    manager = virtual_nni.VirtualManager(0, "", world)
    world.proposed(proposal(0))
    world.clock.reach(5.0)
    (job,) = manager.jobs()
    assert (job.status, job.parameters[0]["parameters"]["run"]["number"]) == ("RUNNING", 0)
    assert job == manager.job(job.id)
    world.clock.reach(20.0)
    (ended,) = manager.jobs()
    assert (ended.status, ended.final, ended.seconds) == ("SUCCEEDED", ("0", {"default": 0.5}), 10.0)
    assert ended == manager.job(job.id)
    world.proposed(proposal(1))
    world.clock.reach(21.0)
    assert [job.status for job in manager.jobs()] == ["SUCCEEDED", "RUNNING"]
    manager.set_concurrency(3)
    manager.set_trials(7)
    assert (world.change, world.params) == (1, {"maxTrialNumber": 7, "trialConcurrency": 3})
    assert world.tally.lists == 3
    before = world.clock.now
    assert "CUDA" in manager.stderr(job.id)
    assert world.clock.now == before + COSTS.fetch


def test_a_list_of_all_jobs_takes_its_time_and_stops_the_loop_for_as_long(world):
    world.proposed(proposal(0))
    world.proposed(proposal(1))
    world.clock.reach(10.0)
    world.advance()
    assert world.tick == pytest.approx(10.1)
    world.submitted = 550  # jobs, half way from 100 to 1,000
    virtual_nni.VirtualManager(0, "", world).jobs()
    assert world.clock.now == world.tick == pytest.approx(10 + 10.5)
    world.advance()
    assert world.messages[-1][0] > 20.5


def test_thinking_passes_on_the_clock_and_the_simulations_own_work_does_not(monkeypatch):
    real = iter([100.0, 101.0, 104.0, 106.0])
    monkeypatch.setattr(virtual_clock, "time", SimpleNamespace(perf_counter=lambda: next(real)))
    clock = virtual_clock.Clock()
    with clock.thinking(), clock.aside():  # from 100; aside from 101 to 104
        assert clock.time() == 1.0
        clock.pass_(7.0)
        assert clock.time() == 8.0
    assert clock.thought == 3.0  # of 6
    assert clock.now == clock.time() == 10.0


def test_shares_leave_out_what_they_say():
    """Two workers; the second trial of three is begun at 1 and the last at 8; one of 6 s is lost."""
    tally = virtual_tally.Tally(workers=2, wanted=3, since=2)
    flying = [
        virtual_nni.Flying(number, "", begins, ends, fate)
        for number, (begins, ends, fate) in enumerate(
            [(0.0, 6.0, weather.LOST), (1.0, 7.0, "SUCCEEDED"), (8.0, 16.0, "SUCCEEDED")]
        )
    ]
    tally.begun(1, 0.0, flying[:1])
    tally.begun(2, 1.0, flying[:2])
    assert tally.shares()["useful"] is None
    tally.ended(flying[0])
    tally.ended(flying[1])
    tally.begun(3, 8.0, flying[2:])
    tally.ended(flying[2])
    assert tally.shares() == {
        "busy_work": 12 / 2 / 8, "busy_all": 20 / 2 / 16, "useful": 14 / 2 / 16, "steady": round(11 / 2 / 7, 5), "n": 1,
    }  # fmt: skip


def test_costs_are_those_that_were_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(scale_rows, "RESULTS", tmp_path)
    with pytest.raises(SystemExit, match=r"first run: simulate\.py manager --work DIR"):
        virtual_costs.measured()
    for jobs in (1000, 100):
        times = {"list": [jobs / 100] * 3, "one": [jobs / 1e5] * 3, "settings": [0.002, 0.004, 0.003]}
        scale_rows.append("manager", {"jobs": jobs, **times})
    mean = {"submit": 0.02, "profile": 0.03, "begun": 0.02, "ended": 0.01, "metric": 0.03}
    scale_rows.append("manager.submit", {"mean": mean})
    costs = virtual_costs.measured()
    assert [costs.list_of(jobs) for jobs in (0, 50, 550)] == [0.0, 0.5, 5.5]
    assert costs.one_of(10) == 0.001
    assert costs.submit == 0.02 + virtual_costs.ROUND_TRIP
    assert (costs.settings, costs.stored, costs.profile, costs.seen) == (0.003, 0.05, 0.03, 0.01)


def test_a_start_is_measured_by_what_nnis_loop_waits_for():
    def call(
        name: str, began: int, took: float, event: Any = None, count: int | None = None
    ) -> dict[str, Any]:
        return {"name": name, "began": began, "took": took, "event": event, "count": count}

    first = manager_submit.AT_A_TIME
    calls = [call("submitTrialJob", at, 99.0) for at in range(first)]  # the first wave is left out
    calls += [
        call("submitTrialJob", first, 20.0), call("storeExperimentProfile", first, 30.0),
        call("storeTrialJobEvent", first, 10.0, "RUNNING"), call("storeTrialJobEvent", first, 5.0, "SUCCEEDED"),
        call("storeMetricData", first, 7.0), call("requestTrialJobsStatus", first, 1.0, count=0),
        call("requestTrialJobsStatus", first, 50.0, count=3),
    ]  # fmt: skip
    row = manager_submit.summary(calls)
    assert row["mean"] == {"submit": 0.02, "profile": 0.03, "begun": 0.01, "ended": 0.005, "metric": 0.007}
    assert (row["n"]["submit"], row["empty_look"]) == (1, 0.001)


def test_durations_have_the_mean_that_is_asked_for():
    found = [weather.attempt(0, number, 1200.0) for number in range(20_000)]
    whole = [seconds for seconds, fate in found if fate == "SUCCEEDED"]
    assert np.mean(whole) == pytest.approx(1200, rel=0.01)
    fates = [fate for _, fate in found]
    assert fates.count("FAILED") / len(fates) == pytest.approx(weather.FAILED, rel=0.2)
    assert fates.count("USER_CANCELED") / len(fates) == pytest.approx(weather.KILLED, rel=0.2)
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
        "evolution", 40, 4, 60.0, tmp_path / "it", stages=stages, costs=COSTS
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
    last = found[-1]
    assert 0.6 < last["useful"] < last["busy_all"] < last["busy_work"] < 1
    assert (last["steady"] > 0.6, last["n"]) == (True, 32)
    assert last["idle"]["begun"] == COSTS.submit
    assert found[0]["thought"] > 0
    assert {row["code"] for row in found} == {scale_rows.code()} != {rows_.code()}
    assert rows_.lines(whole.folder / scale_rows.ROWS) == found


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
        "busy": 0.99, "busy_work": 0.987, "busy_all": 0.931, "useful": 0.912, "code": "a", "at": "2026-01-01",
        "idle": {"seen": 2.5, "proposed": 1.0, "started": 4.0, "begun": 2.5},
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
    assert lines["workers busy while there is work for all"] == "98.7%"
    assert lines["until the last result"] == "93.1%"
    assert lines["until then, without work that was lost"] == "91.2%"
    assert lines["worst twentieth"] == "90.0%"
    assert lines["idle between two trials, seconds"].startswith("10.0: end seen 2.5, proposal 1.0")
    assert lines["processor time of the tuner"] == "20 minutes"
    assert "93.1%" in scale_report.waiting()


def test_rows_of_other_code_are_left_out_and_told(results):
    rows = [stage(400 * n) for n in range(1, 21)]
    write(results, "run.model", rows)
    assert (len(scale_rows.stages("model")), scale_rows.stale()) == (20, "")
    write(results, "replay", [{"search": "model", "part": "read", "code": "b", "at": "2026-01-02"}])
    assert scale_rows.stages("model") == []
    assert scale_rows.stale() == "Of other code than the newest row, and left out: 20 of run.model.jsonl."
    assert scale_rows.stale() in scale_report.report()
    assert scale_rows.current("run.model", "a") == rows


def test_rows_of_a_run_are_those_of_its_folder(results, tmp_path):
    """A stage is written there before the run goes on, so that no interruption loses it; one that was done again
    counts once."""
    folder = tmp_path / "run"
    rows_.add(folder / scale_rows.ROWS, stage(400, busy=0.5))
    with (folder / scale_rows.ROWS).open("a") as file:
        file.write('{"cut')
    rows_.add(folder / scale_rows.ROWS, stage(400))
    rows_.add(folder / scale_rows.ROWS, stage(800))
    scale_rows.fill("model", folder)
    assert scale_rows.read("run.model") == [stage(400), stage(800)]


def test_a_run_that_other_code_began_is_refused(results, tmp_path, monkeypatch):
    monkeypatch.setattr(virtual_costs, "measured", lambda: COSTS)
    folder = simulate.folder(tmp_path, "evolution", 40, 4, 60.0)
    rows_.add(folder / scale_rows.ROWS, stage(20))
    (folder / "state.json").write_text("{}")
    with pytest.raises(SystemExit, match="other code began this run; remove the folder"):
        simulate.run("evolution", tmp_path, 40, 4, 60.0, 2, None)


def test_the_length_from_which_workers_are_busy_is_between_those_that_were_run(results):
    workers, trials, since = scale_rows.SHORT["model"]
    rows = [
        {
            "search": "model", "workers": workers, "trials": trials, "mean": mean, "steady": mean / (mean + 10),
            "n": trials - since, "code": "a", "at": "2026-01-01",
        }
        for mean in scale_rows.MEANS
    ]  # fmt: skip
    write(results, "sweep", rows[:-1])
    assert scale_report.least("model") == "not run yet"
    write(results, "sweep", [*rows, rows[0] | {"trials": 40, "steady": 0.1}])
    assert scale_report.least("model") == f"{10 * 0.98 / 0.02 / 60:.1f} minutes"
    write(results, "sweep", [row | {"steady": 0.5} for row in rows])
    assert scale_report.least("model") == "longer than 20 minutes"
    assert f"n = {trials - since:,}" in scale_report.shorter()
    assert "\n| 1 minute |" in scale_report.shorter()


def test_short_trials_of_model_are_measured_after_its_thinking_has_grown():
    from nas.search import guide

    assert scale_rows.SHORT["model"][2] > guide.KEEP


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
