"""TensorBoard: known answers, the winner's certificate and calibrations, in runs of their own beside the study.

    runs/EXPERIMENT_ID/known       Text: where published networks stand; Scalars; the Pareto picture with them
    runs/EXPERIMENT_ID/verdict     Text and picture: the winner against its rivals
    pilots/SPACE/verdict           Text and pictures: the exponent, and what shorter proxies are worth

Each is written whole, and anew when it is called again. What goes wrong costs pictures and never the run.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.search.board import or_without
from nas.search.calibration_file import FILE as CALIBRATION
from nas.search.calibration_file import read_calibration
from nas.search.calibration_words import exponent_markdown, proxies_markdown
from nas.search.certificate_file import read_certificate
from nas.search.finding import subject_of
from nas.search.known import FILE, read_checked
from nas.search.runs import open_journal
from nas.search.settings import RewardSettings
from nas.search.verdict_words import certificate_markdown, known_markdown

log = logging.getLogger(__name__)

KNOWN, VERDICT = "known", "verdict"


def write_known(run: Path) -> None:
    """Shows what RUN/known.json holds; nothing where there is none."""
    _written(run / KNOWN, lambda: _known(run))


def write_certificate(run: Path) -> None:
    """Shows RUN/certificate/certificate.json; nothing where there is none."""
    _written(run / VERDICT, lambda: _certificate(run))


def write_calibration(folder: Path) -> None:
    """Shows FOLDER/calibration.json, of a pilot."""
    _written(folder / VERDICT, lambda: _calibration(folder))


def _written(folder: Path, drawn: Callable[[], Callable[[Any], None] | None]) -> None:
    """Everything is read and drawn first, and then the folder made anew."""
    try:
        write = drawn()
    except NasError as error:
        log.warning("TensorBoard does not show it (%s)", error)
        return
    if write is None:
        return
    with or_without():
        shutil.rmtree(folder, ignore_errors=True)
        writer = _writer(folder)
        write(writer)
        writer.close()


def _writer(folder: Path) -> Any:
    from nas.search.events import EventWriter

    return EventWriter(folder)


def _known(run: Path) -> Callable[[Any], None] | None:
    found = read_checked(run / FILE)
    if not found:
        return None
    from nas.search.pictures import pareto_figure

    journal = open_journal(run)
    subject = subject_of(journal.run, str(journal.path))
    reward = RewardSettings(**journal.run["trial"]["reward"])
    text = "\n".join(known_markdown(found))
    picture = pareto_figure(journal.ended(), reward.target or subject.target, reward, subject.measured, found)

    def write(writer: Any) -> None:
        writer.text("known answers", text, 0)
        writer.figure("known answers", picture, 0)
        for one in found:
            values = {"accuracy": one.accuracy, "reward": one.reward, "better by accuracy than (%)": one.by_accuracy,
                      "better by reward than (%)": one.by_reward}  # fmt: skip
            for name, value in values.items():
                if value is not None:
                    writer.scalar(f"known {name}/{one.name}", value, 0)

    return write


def _certificate(run: Path) -> Callable[[Any], None] | None:
    found = read_certificate(run)
    if found is None:
        return None
    from nas.search.verdict_pictures import margins_figure

    text, picture = "\n".join(certificate_markdown(found)), margins_figure(found)

    def write(writer: Any) -> None:
        writer.text("certificate", text, 0)
        writer.figure("certificate", picture, 0)
        for one in found.contrasts:
            writer.scalar(f"margin of the winner (points)/{one.rival}", 100 * one.margin, 0)

    return write


def _calibration(folder: Path) -> Callable[[Any], None]:
    from nas.search.calibration_pictures import drawable, frontier_figure, proxies_figure

    found = read_calibration(folder / CALIBRATION)
    text = "\n".join([*exponent_markdown(found), *proxies_markdown(found)])
    proxies = found.proxies

    def write(writer: Any) -> None:
        writer.text("calibration", text, 0)
        writer.figure("frontier", frontier_figure(found), 0)
        if proxies is not None and any(drawable(one) for one in proxies.verdicts):
            writer.figure("proxies", proxies_figure(proxies, found.level), 0)

    return write
