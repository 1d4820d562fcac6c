"""One search of `simulate.py`: NNI's dispatcher, the tuner, the journal and the strategy, in a virtual world.

Results are those of remote workers: they come as NNI's messages. Accuracies are made up (`thinking.MadeUp`) with noise.
What it has done is written down at every stage; a search that was interrupted goes on from the last one, the tuner
being resumed as NNI resumes it.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import rows
import thinking  # before numpy: it keeps it to one thread
import virtual_costs
from scale_rows import FULL, ROWS, STAGES, stamped
from thinking import MadeUp
from virtual_measures import Measures
from virtual_nni import VirtualManager, World
from weather import LOST

import nas
import nas.search  # before nni
from nas.search import board, flights, guard, jobs
from nas.search import tuner as tuner_module
from nas.search.arguments import hush

SPACE = "mnasnet"
NOISE = 0.003
STRATEGIES = {
    "model": {"name": "model"},
    "evolution": {"name": "evolution", "population_size": 1500, "sample_size": 50},
}
"""A population must be over the trials at a time; tournaments are of two thirds of Real et al.'s share, 25 of 100 being
for hundreds."""

PICTURES = board.PICTURES
"""Of a full run; a shorter one draws as often, and not as many."""

Row = dict[str, Any]


class VirtualSearch:
    """A search of so many trials on so many workers.

    Args:
        kind: of STRATEGIES.
        mean: seconds of a trial, on average.
        folder: of its files, which it goes on from.
        stages: how many rows there are.
        since: of `virtual_tally.Tally`; without the first wave unless given.
        costs: of NNI's manager, as it was measured unless given.
    """

    def __init__(
        self,
        kind: str,
        trials: int,
        workers: int,
        mean: float,
        folder: Path,
        seed: int = 0,
        stages: int = STAGES,
        since: int | None = None,
        costs: virtual_costs.Costs | None = None,
    ) -> None:
        self.kind, self.trials, self.workers, self.mean, self.seed = kind, trials, workers, mean, seed
        self.folder, self.stages = folder, stages
        self.space = nas.SearchSpace.load(SPACE)
        self.accuracy = MadeUp(self.space)
        params = {
            "maxTrialNumber": trials, "trialConcurrency": workers, "trialCommand": "./evaluate",
            "trialCodeDirectory": str(folder), "trainingService": {"platform": "remote"},
            "searchSpace": self.space.document.model_dump(mode="json", exclude_defaults=True),
            "tuner": {"codeDirectory": str(folder)},
        }  # fmt: skip
        costs = virtual_costs.measured() if costs is None else costs
        since = 2 * workers if since is None else since
        self.world = World(folder, params, seed, mean, self._value, costs, since)
        self.ended = 0

    @property
    def run(self) -> Path:
        """Its run directory."""
        return self.folder / "runs" / "simulated"

    @property
    def begun(self) -> bool:
        """Whether there is a stage to go on from."""
        return (self.folder / "state.json").exists()

    def rows(self) -> Iterator[Row]:
        """Runs what is left; a row for each stage as it ends, of an interrupted search only of those that follow."""
        if self.begun:
            self.resume()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._initialize()
            self.world.send(self.world.clock.now, "ask", self.workers)
        ends = [round(self.trials * stage / self.stages) for stage in range(1, self.stages + 1)]
        for end in [end for end in ends if end > self.ended]:
            self.measures = Measures(self.world)
            while self.ended < end and not self.world.over:
                self._step()
            yield self._keep(self._facts | self.measures.row(self.run / "journal.jsonl"))
        assert not self.tuner._looking
        self.tuner._on_exit()

    @property
    def _facts(self) -> Row:
        return {
            "search": self.kind, "trials": self.trials, "workers": self.workers, "mean": self.mean,
            "seed": self.seed, "ended": self.ended,
        }  # fmt: skip

    # The dispatcher

    def _initialize(self) -> None:
        logs = self.folder / "nni-experiments" / "simulated" / "log"
        logs.mkdir(parents=True, exist_ok=True)
        os.environ |= {
            "NNI_LOG_DIRECTORY": str(logs),
            "NNI_TUNER_COMMAND_CHANNEL": "ws://localhost:8080/tuner",
        }
        from nni.runtime import msg_dispatcher

        hush()
        manager = VirtualManager(0, "", self.world)
        clock = SimpleNamespace(monotonic=self.world.clock.time, sleep=self.world.clock.pass_)
        tuner_module.time = flights.time = jobs.time = clock  # type: ignore[assignment]
        tuner_module.Manager = SimpleNamespace(of_channel=lambda _: manager)  # type: ignore[assignment,misc]
        guard.guard_tuner = lambda: None  # of a process of NNI's
        board.PICTURES = max(1, round(PICTURES * self.trials / FULL[self.kind][0]))
        self.tuner = tuner_module.StrategyTuner(
            strategy=STRATEGIES[self.kind], seed=self.seed, reward={"form": "soft", "w": -0.07}
        )
        self.dispatcher = msg_dispatcher.MsgDispatcher("ws://_unittest_", self.tuner)
        self.dispatcher._channel = SimpleNamespace(_send=self._sent)  # type: ignore[assignment]
        with self.world.thinking():
            self._process("Initialize", json.loads(json.dumps(self.world.params["searchSpace"])))

    def resume(self) -> None:
        """Goes back to the end of the last stage, and gives a new tuner the state that it had."""
        kept = json.loads((self.folder / "state.json").read_text())
        os.truncate(self.run / "journal.jsonl", kept["journal"])
        os.truncate(self.folder / "jobs.jsonl", kept["jobs"])
        self.world.restore(kept["world"])
        self.ended = kept["ended"]
        from nni.runtime import msg_dispatcher

        msg_dispatcher._next_parameter_id = kept["next"]
        for job in self.world.live.values():
            proposal = json.loads(job.packed)
            msg_dispatcher._trial_params[proposal["parameter_id"]] = proposal["parameters"]
        if self.world.waiting:  # a new tuner hands out again what NNI has made no job of
            self.world.send(self.world.clock.now, "ask", len(self.world.waiting))
            self.world.waiting.clear()
        self._initialize()

    def imported(self, results: list[dict[str, Any]]) -> None:
        """Tells the tuner the results that NNI had, as it does when an experiment is resumed."""
        with self.world.thinking():
            self._process("ImportData", results)

    def _keep(self, row: Row) -> Row:
        """Writes down the row, which is returned, and then what `resume` goes on from: between the two lies a stage
        that is done again, and whose row is then the later of two."""
        from nni.runtime import msg_dispatcher

        row = stamped(row)
        kept = {
            "world": self.world.state(), "ended": self.ended, "next": msg_dispatcher._next_parameter_id,
            "journal": (self.run / "journal.jsonl").stat().st_size,
            "jobs": (self.folder / "jobs.jsonl").stat().st_size,
        }  # fmt: skip
        rows.add(self.folder / ROWS, row)
        path = self.folder / "state.json"
        path.with_suffix(".new").write_text(json.dumps(kept))
        path.with_suffix(".new").replace(path)
        return row

    def _step(self) -> None:
        """The next message to the dispatcher, or the manager's next step."""
        world = self.world
        if not world.messages or world.messages[0][0] > world.tick:
            world.clock.reach(world.tick)
            world.advance()
            return
        when, kind, content = world.next_message()
        world.clock.reach(when)
        with world.thinking():
            cpu = time.process_time()
            self._handle(when, kind, content)
            cpu = time.process_time() - cpu
        self.measures.handled(kind, content if kind == "ask" else 1, world.clock.thought, cpu)
        self.ended += kind == "end" and content["event"] != LOST

    def _handle(self, when: float, kind: str, content: Any) -> None:
        if kind == "ask":
            self._asked = when
            self._process("RequestTrialJobs", content)
        elif kind == "result":
            self._process("ReportMetricData", dict(content))
        else:
            self._process("TrialEnd", dict(content))

    def _process(self, command: str, data: Any) -> None:
        from nni.runtime.tuner_command_channel import CommandType

        self.dispatcher.process_command(getattr(CommandType, command), data)

    def _sent(self, command: Any, data: str) -> None:
        """What the dispatcher sends."""
        if command.name == "NewTrialJob":
            self.world.proposed(data)
            if self.world.submitted >= self.workers:
                self.world.tally.waited("proposed", self.world.clock.time() - self._asked)
        else:
            assert command.name == "Initialized", (command, data)

    def _value(self, packed: str, seconds: float) -> dict[str, Any]:
        """What a trial reports."""
        parameters = json.loads(packed)["parameters"]
        run = parameters.pop("run")
        params, macs = (int(found[0]) for found in self.space.costs(self.space.costs.indices([parameters])))
        noise = thinking.np.random.default_rng((self.seed, run["number"], 1)).normal(0, NOISE)
        accuracy = min(1.0, max(0.0, self.accuracy(parameters) + float(noise)))
        worth = nas.reward(accuracy=accuracy, macs=macs, target=run["reward"]["target"], w=run["reward"]["w"])
        return {"default": worth, "accuracy": accuracy, "macs": macs, "params": params, "seconds": seconds}
