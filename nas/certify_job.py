"""`nas certify`: the best of a run retrained, and the winner judged against its rivals by fresh seeds.

RUN/certificate/journal.jsonl       every training
RUN/certificate/certificate.json    what came of it, as plain data: what is printed, reported and frozen
"""

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nas.carrying_out import carried_out
from nas.certificate import expected_reach
from nas.certificate_content import Judged, content
from nas.certificate_report import check_name, finalists_table, freeze_certificate, judged_table, sentences
from nas.certify_request import Request, Searched, searched
from nas.checkpoints import CHECKPOINT
from nas.errors import NasError, plural
from nas.files import write_whole
from nas.rivals import CLOSE, REFERENCES, off, rival
from nas.search.certificate_file import FILE, FOLDER
from nas.search.certifying import (
    Course,
    Finalist,
    best,
    cost_of,
    drawn,
    evaluated,
    larger,
    ranked,
    scores,
    unpacked_hits,
)
from nas.search.full_length import fully_trained
from nas.search.journal import Journal
from nas.search.short_training import shortly_trained
from nas.search.trainings import Training, Trainings
from nas.search.verdict_board import write_certificate
from nas.strict_json import dump_lines
from nas.terminal import show
from nas.training_lock import locked

RANDOM = "random search"


def run_certificate(console: Console, request: Request) -> dict[str, Any]:
    """Trains what is left of a certificate, prints what it says, and writes it down.

    Returns:
        certificate.json's content.

    Raises:
        NasError: for a mistake, a run that cannot be certified, a folder that is taken, or too few accuracies.
    """
    run = searched(request)
    folder = request.out or run.folder / FOLDER
    if request.name is not None:
        check_name(request.name, request.force)
    if (folder / "journal.jsonl").exists() and not request.resume:
        raise NasError(f"{folder} has a certificate already; go on with --resume, or choose another --out")
    with locked(folder):
        work = _Work(console, request, run, Trainings(folder, "certificate", run.about))
        found = work.done()
    write_whole(folder / FILE, dump_lines(found))
    console.print(f"\nfinalists, retrained: {found['recipe']}")
    show(console, finalists_table(found))
    for line in sentences(found):
        console.print(line, markup=False)
    show(console, judged_table(found))
    if request.out is None:
        write_certificate(run.folder)
    console.print(f"\nwritten: {folder / FILE}; every training: {folder / 'journal.jsonl'}", markup=False)
    path = freeze_certificate(found, run.journal, request.name, request.force)
    console.print(f"baseline     {path}", markup=False)
    return found


class _Work:
    """The trainings of a certificate, one step after the other."""

    def __init__(self, console: Console, request: Request, run: Searched, trainings: Trainings) -> None:
        self.console, self.request, self.run, self.trainings = console, request, run, trainings
        self.course: Course = run.course(trainings.folder)
        self.drawn = 0 if request.no_random else run.budget

    def done(self) -> dict[str, Any]:
        """certificate.json's content."""
        run, request = self.run, self.request
        self._announced()
        rivals = self._random()
        own = self._best(run.journal, "search")
        finalists = self._chosen(own + rivals)
        first = {
            of: ranked([one for one in finalists if one.of == of], request.family)
            for of in ("search", "random")
        }
        if not first["search"]:
            raise NasError(
                f"{self.trainings.folder}: no finalist of the search was trained to an accuracy; its journal says why"
            )
        judged = self._judged(first)
        judged[0] = self._compared_with_chance(judged[0])
        return content(run, self.course, request.family, finalists, judged) | {
            "proxy_winner": own[0].trial, "random": self._random_facts(), "seconds": self._seconds(),
        }  # fmt: skip

    def _random_facts(self) -> dict[str, Any]:
        known = self.run.random
        return {"networks": self.drawn, "run": None if known is None else known.run["experiment"]}

    def _announced(self) -> None:
        run, request = self.run, self.request
        if run.missing:
            self.console.print(f"note: {run.missing}", markup=False)
        if request.resume and not self.trainings.journal.ended():
            self.console.print(
                f"note: --resume: {self.trainings.folder} has no training that has ended; this begins anew"
            )
        if request.top > run.networks:
            self.console.print(
                f"note: --top is {request.top}, and the search has {run.networks} networks with an accuracy: all of "
                "them are retrained"
            )
        top = min(request.top, run.networks)
        searches, rivals = 2 - request.no_random, len(REFERENCES) + 3 - request.no_random
        full = request.seeds * (searches * top * (1 + request.family) + rivals)
        short_ = 0 if request.no_random or run.random is not None else run.budget
        self.console.print(
            f"run {run.experiment}: {len(run.journal.ended())} trials, {run.budget} networks evaluated; "
            f"up to {full} trainings of {plural(run.config.epochs, 'epoch')}"
            + f", and {short_} trials of a random search"
            * bool(short_)
        )
        hours = (short_ * run.pace + full * run.full_pace) / 3600 / request.jobs
        if math.isfinite(hours):
            self.console.print(
                f"about {hours:.1f} hours, {request.jobs} at a time, at the pace of the search's own trials"
            )

        images = len(run.loaded.test)
        score = max(trial.accuracy or 0.0 for trial in run.journal.ended())
        reach = 100 * expected_reach(images, score, rivals - 1)
        self.console.print(
            f"the test has {images:,} images: differences up to about {reach:.1f} points are their luck, however many "
            "seeds there are"
        )

    def _best(self, journal: Journal, of: str) -> list[Finalist]:
        trials = evaluated(journal, self.run.budget)
        return best(
            trials, self.run.space, self.run.reward, self.run.target, self.request.top, of, self.run.latency
        )

    def _random(self) -> list[Finalist]:
        """The best of a random search of the same budget."""
        run = self.run
        if self.request.no_random:
            return []
        if run.random is not None:
            return self._best(run.random, "random")
        seed = int(run.journal.run["seed"])
        samples = drawn(run.space, run.limits, run.budget, seed, run.latency)
        self.drawn = len(samples)
        tasks = self.course.short(samples)
        self._carried_out(RANDOM, tasks, shortly_trained)
        found = []
        accuracies = scores(tasks, self.trainings.done())
        for number, ((sample, arch), accuracy) in enumerate(zip(samples, accuracies, strict=True)):
            if math.isfinite(accuracy):
                paid = run.reward.paid(cost_of(arch, run.latency))
                factor = float(run.reward.factor(paid, run.target))
                found.append(Finalist("random", number, sample, arch, accuracy, factor))
        found.sort(key=lambda one: (-one.factor * one.proxy, one.trial))
        return found[: self.request.top]

    def _carried_out(self, title: str, tasks: list[Training], function: Any) -> None:
        def ended(task: Training) -> None:
            if "folder" in task.work:
                (Path(task.work["folder"]) / CHECKPOINT).unlink(missing_ok=True)

        distinct = list({task.name: task for task in tasks}.values())
        carried_out(self.console, title, self.trainings, distinct, function, self.request.jobs, ended)

    def _chosen(self, finalists: list[Finalist]) -> list[Finalist]:
        """Trains them all, and with --family the network twice as large of each."""
        if self.request.family:
            finalists = [self._with_larger(one) for one in finalists]
        alone = [self.course.choose(one.arch, one.sample, one.label) for one in finalists]
        twice = [
            [] if one.twice is None else self.course.choose(one.twice, one.sample, one.label, phi=1)
            for one in finalists
        ]
        tasks = [task for trainings in (*alone, *twice) for task in trainings]
        self._carried_out("finalists", sorted(tasks, key=lambda task: task.about["seed"]), fully_trained)
        done = self.trainings.done()
        return [
            replace(one, val=scores(base, done), larger=scores(more, done))
            for one, base, more in zip(finalists, alone, twice, strict=True)
        ]

    def _with_larger(self, one: Finalist) -> Finalist:
        """With its larger member; one that has none is no candidate of a family."""
        try:
            twice = larger(one.arch, self.run.coefficients)
        except NasError as error:
            self.console.print(
                f"trial {one.trial} has no larger network, and is left out: {error}", markup=False
            )
            return one
        factor = float(self.run.reward.factor(twice.macs, 2 * self.run.target))
        return replace(one, twice=twice, larger_factor=factor)

    def _judged(self, first: dict[str, list[Finalist]]) -> list[Judged]:
        """Trains winner and rivals with fresh seeds; each training looks at the test split once, when it has ended."""
        winner, *others = first["search"]
        found = [Judged("winner", winner.arch, self.course.judge(winner.arch, winner.sample, "winner"))]
        found += [self._of("runner-up", others[0], winner)] if others else []
        found += [self._of(RANDOM, first["random"][0], winner)] if first["random"] else []
        found += [self._reference(name, winner) for name in REFERENCES]
        self._carried_out("judged", [task for one in found for task in one.trainings], fully_trained)
        done, journal = self.trainings.done(), self.trainings.journal
        return [
            replace(one, test=scores(one.trainings, done), hits=unpacked_hits(one.trainings, journal))
            for one in found
        ]

    def _compared_with_chance(self, winner: Judged) -> Judged:
        """With a note where it has learnt nothing, which no rival shows."""
        from nas.evaluation import at_chance

        test = [score for score in winner.test if math.isfinite(score)]
        guess = at_chance(statistics.mean(test), self.run.loaded, "test") if test else None
        if guess is None:
            return winner
        note = f"no better than naming one class for every image, which gives {100 * guess:.1f} %: it learnt nothing"
        return replace(winner, note=note)

    def _of(self, name: str, one: Finalist, winner: Finalist) -> Judged:
        note = "found the same network as the search" if one.arch.key == winner.arch.key else None
        return Judged(
            name, one.arch, self.course.judge(one.arch, one.sample, name), one.factor / winner.factor, note
        )

    def _reference(self, name: str, winner: Finalist) -> Judged:
        try:
            arch = rival(name, winner.arch)
        except NasError as error:
            return Judged(name, None, [], note=str(error))
        ratio = f"it has {arch.macs / winner.arch.macs:.2f} x the winner's multiply-adds, the nearest of its shape"
        note = ratio if off(arch, winner.arch) > CLOSE else None
        return Judged(name, arch, self.course.judge(arch, {"network": name}, name), note=note)

    def _seconds(self) -> dict[str, float]:
        """Of all trainings, by what they were for."""
        found = {"random": 0.0, "finalists": 0.0, "judged": 0.0}
        phases = {event["number"]: event.get("phase", "") for event in self.trainings.journal.events
                  if event["event"] == "asked"}  # fmt: skip
        for trial in self.trainings.journal.ended():
            phase = phases.get(trial.number, "")
            found[{"random": "random", "judge": "judged"}.get(phase, "finalists")] += trial.seconds or 0.0
        return {name: round(seconds, 1) for name, seconds in found.items()}
