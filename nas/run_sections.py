"""The parts of a run's report below its tables: each a heading, how to read it, and a picture or what is missing.

Each function gives lines of Markdown and puts the pictures that they name into `files`.
"""

from pathlib import Path

from nas.errors import NasError
from nas.run_costs import costs
from nas.search.certificate_file import Certificate, read_certificate
from nas.search.costs import MACS, UNITS
from nas.search.drawing import png
from nas.search.importance import FEW, LOW, Importances, distinct, importances
from nas.search.journal import Journal
from nas.search.known import FILE as KNOWN_FILE
from nas.search.known import read_checked
from nas.search.pictures import choices_figure, pareto_figure
from nas.search.reward_picture import rewards_figure
from nas.search.settings import RewardSettings
from nas.search.subject import SpaceSubject, Subject
from nas.search.verdict_pictures import SHOWN, importance_figure, margins_figure
from nas.search.verdict_words import certificate_markdown, known_markdown, plain

Files = dict[str, bytes]


def rewards(journal: Journal, files: Files) -> list[str]:
    """Reward by order of result."""
    results = [(str(event["state"]), event.get("reward")) for event in journal.results()]
    if not results:
        return []
    files["rewards.png"] = png(rewards_figure(results))
    return [
        "## Reward over trials", "",
        "A dot is a trial, in the order in which results came; the line is the best so far, and crosses and strokes "
        "at the foot are trials without a reward. A line that still rises at the end says that more trials may pay.",
        "", "![Reward over trials](rewards.png)", "",
    ]  # fmt: skip


def front(run: Path, journal: Journal, subject: Subject, files: Files) -> list[str]:
    """Accuracy against the reward's cost, with known answers."""
    reward = RewardSettings(**journal.run["trial"]["reward"])
    known, mistake = [], None
    try:
        known = read_checked(run / KNOWN_FILE)
    except NasError as error:
        mistake = str(error)
    target = reward.target or subject.target
    files["pareto.png"] = png(pareto_figure(journal.ended(), target, reward, subject.measured, known))
    words = UNITS[reward.cost].words
    text = [
        f"## Accuracy against {words}", "",
        "A dot is a network, the later the lighter; on the front's steps are those that no other beats at the same "
        "cost or less. What lies above the dotted line would have a higher reward than the winner.", "",
        f"![Accuracy against {words}](pareto.png)", "",
    ]  # fmt: skip
    if mistake is not None:
        return [*text, f"The known answers cannot be read: {plain(mistake)}.", ""]
    if known:
        return [
            *text, "### Known answers", "",
            "Published networks, brought to T and trained by the same proxy, hidden from the strategy: what good "
            "networks score here. Percentages are of their peers that they are better than.", "",
            *known_markdown(known),
        ]  # fmt: skip
    if isinstance(subject, SpaceSubject) and subject.table is None and reward.cost == MACS:
        text += [
            "No published networks were held against these: `nas search ... --known-answers` does it.",
            "",
        ]
    return text


def mattered(journal: Journal, subject: Subject, files: Files) -> list[str]:
    """Which choices mattered, with intervals."""
    trials = journal.ended()
    if not subject.choices or not trials:
        return []
    head = ["## What mattered", ""]
    found, networks = importances(trials, subject.choices), len(distinct(trials))
    if found is None and networks < FEW:
        few = f"Too few trials to say which choices mattered: {networks} distinct networks with an accuracy of {FEW}."
        return [*head, few, ""]
    if found is None:
        return [
            *head,
            "The accuracies, or the choices, are (nearly) all alike: nothing says which choices mattered.",
            "",
        ]
    files["importance.png"] = png(importance_figure(found))
    return [
        *head,
        "An ensemble of trees learns accuracy from the choices of some trials and predicts the others; a bar is the "
        "share of the others' variance that is lost when one choice is permuted, the median of 100 random draws, and "
        "the line its 90 % interval. Pale choices have an interval that is not above 0: these trials cannot tell them "
        "from choices that do nothing.", "",
        "![What mattered](importance.png)", "", *_importance_words(found), "",
    ]  # fmt: skip


def _importance_words(found: Importances) -> list[str]:
    sure = [one.label for one in found.choices if one.distinguishable]
    told = f"distinguishable: {plain(', '.join(sure))}" if sure else "no choice is distinguishable from none"
    words = (
        f"{found.networks} distinct networks, {len(found.choices)} choices that were varied; {told}. Out-of-bag R² "
        f"{found.explained:.2f} ({found.low:.2f} to {found.high:.2f})"
    )
    if found.explained <= 0:
        words += ": the mean accuracy would predict as well, so these trials do not say what matters."
    elif found.explained < LOW:
        words += ": little of the accuracy is explained, so these trials hardly say what matters."
    else:
        words += ", the share of the accuracy's variance that the choices explain."
    lines = [words]
    if len(found.choices) > SHOWN:
        lines += ["", f"Drawn are the {SHOWN} most important."]
    if found.constant:
        lines += ["", f"Never varied, and so not judged: {plain(', '.join(found.constant))}."]
    lines += [
        "",
        "A strategy proposes what did well before, so that its trials are no random sample: choices that it always "
        "made together share their importance.",
    ]
    return lines


def proposed(journal: Journal, subject: Subject, files: Files) -> list[str]:
    """Shares of every choice's values over the trials."""
    trials = journal.ended()
    if not subject.choices or not trials:
        return []
    files["choices.png"] = png(choices_figure(trials, subject.choices))
    return [
        "## What was proposed", "",
        "Each panel is a choice: from left to right the trials, by height the shares of its values. A colour that "
        "takes over is what the strategy settled on.", "",
        "![Shares of every choice's values](choices.png)", "",
    ]  # fmt: skip


def certified(run: Path, experiment: str, files: Files) -> tuple[list[str], Certificate | None]:
    """The winner against its rivals; the certificate, where there is one."""
    head = ["## Winner's certificate", ""]
    try:
        found = read_certificate(run)
    except NasError as error:
        return [*head, f"It cannot be read: {plain(error)}.", ""], None
    if found is None:
        return [
            *head,
            f"Nobody has tested yet whether the winner is better than its rivals or had lucky seeds: `nas certify "
            f"{plain(experiment)}` does.", "",
        ], None  # fmt: skip
    files["certificate.png"] = png(margins_figure(found))
    text = [
        *head,
        "A row is a network. Left, by how many points of test accuracy the winner is better, with intervals that hold "
        f"together with {100 * found.level:.0f} % confidence (Dunnett's test); one that crosses 0 is drawn hollow: no "
        "difference is shown. Right, every seed's accuracy.", "",
        "![The winner against its rivals](certificate.png)", "", *certificate_markdown(found),
    ]  # fmt: skip
    if found.run != experiment:
        text += [f"**Warning**: the certificate says that it is of the run {plain(found.run)}.", ""]
    return text, found


def cost(journal: Journal, pilot: Path | None, certificate: Certificate | None) -> list[str]:
    """What all of that cost."""
    return [
        "## What it cost", "",
        "Computing is the time of every training, summed; from first to last is by the clock, pauses included. Known "
        "answers are not timed.", "",
        *costs(journal, pilot, certificate),
    ]  # fmt: skip
