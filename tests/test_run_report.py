"""A run's report as a page: every part, nothing from elsewhere, and a sentence where a file is missing or damaged."""

import base64
import io
import json
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import nas
from nas import run_sections
from nas.calibration_section import calibrated
from nas.certificate import contrasts
from nas.html_page import html_page
from nas.report_job import PAGE, REPORT, Request, run_report
from nas.run_costs import costs, duration
from nas.search import importance
from nas.search.calibration_file import calibration_of, proxy_of, read_calibration
from nas.search.certificate_file import read_certificate
from nas.search.fidelity import Fidelity
from nas.search.finding import subject_of
from nas.search.importance import FEW, importances
from nas.search.journal import FILE, Journal, Trial
from nas.search.reward_picture import best_so_far, rewards_figure
from nas.search.runs import open_journal
from nas.search.verdict_pictures import importance_figure, margins_figure

PARTS = [
    "Winner", "The best trials", "Reward over trials", "Accuracy against multiply-adds", "What mattered",
    "What was proposed", "Proxy certificate", "Winner's certificate", "What it cost",
]  # fmt: skip
NAMED = "<script>alert(1)</script> ![x](http://elsewhere/x.png) [y](http://elsewhere/) | z"
"""A name that would do harm in a page that trusted it."""


class Page(HTMLParser):
    """What a browser would see: tags, texts of headings, images, and everything that is loaded or linked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.headings: list[str] = []
        self.links: list[str] = []
        self.images: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br", "hr"):
            self.open.append(tag)
        if tag == "h2":
            self.headings.append("")
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")
        ]
        self.images += [dict(attrs).get("src") or ""] if tag == "img" else []
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["h2"]:
            self.headings[-1] += data
        if self.open[-1:] != ["style"]:
            self.text += data


def page_of(path: Path) -> Page:
    page = Page(path.read_text())
    assert page.open == []
    assert "script" not in page.tags
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    return page


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Path:
    """A folder with runs/abc: 30 trained networks of digits, whose accuracy stage 1's channels alone decide."""
    folder = tmp_path_factory.mktemp("searched")
    space = nas.SearchSpace.load("digits")
    journal = Journal(folder / "runs/abc" / FILE)
    journal.start(
        experiment="abc", space="digits", sha256=space.sha256, classes=10, in_chans=1, concurrency=2, max_trials=34,
        document=space.document.model_dump(mode="json", exclude_defaults=True), strategy={"name": NAMED}, seed=0,
        command="python -m nas.search.trial --data digits --epochs 4", versions={"torch": "2"},
        trial={"reward": {"form": "soft", "target": 700_000, "w": -0.07}, "limits": {"macs": None}, "seed": 0},
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for number in range(34):
        sample = space.sample(rng)
        arch = space.decode(sample)
        journal.asked(sample, arch.key, macs=arch.macs, params=arch.params)
        accuracy = 0.8 + 0.05 * space.choices["stage1.channels"].index(sample["stage1.channels"])
        accuracy += float(rng.normal(0, 0.005))
        if number in (5, 9):
            journal.told(number, "failed", reason="diverged" if number == 5 else NAMED, seconds=2.0)
        elif number in (6, 7):
            journal.told(number, "rejected", reason="over")
        else:
            journal.told(number, "complete", accuracy=accuracy, reward=accuracy, seconds=10.0)
    return folder


KEPT: dict[int, Any] = {}
"""Importances of the run, by its number of trials: seconds each, and the same in every report."""


@pytest.fixture
def run(searched: Path, tmp_path: Path, monkeypatch) -> Path:
    """A copy of runs/abc in the working directory."""

    def once(found: list[Trial], choices: Any) -> Any:
        if len(found) not in KEPT:
            KEPT[len(found)] = importances(found, choices)
        return KEPT[len(found)]

    monkeypatch.setattr(run_sections, "importances", once)
    shutil.copytree(searched / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return Path("runs/abc")


def known() -> list[dict[str, Any]]:
    found = {"sample": {"a": 1}, "reward": 0.9, "off": None, "failed": None}
    return [
        {**found, "name": "efficientnet-b0", "macs": 700_000, "accuracy": 0.9, "peers": 12, "by_accuracy": 41.7,
         "by_reward": 50.0},
        {**found, "name": "mnasnet-a1", "macs": 690_000, "accuracy": 0.91, "peers": 3, "by_accuracy": None,
         "by_reward": None},
        {"name": NAMED, "off": "stage1.se 0.25 is not in the space"},
    ]  # fmt: skip


def calibration(**changes: Any) -> dict[str, Any]:
    def verdict(epochs: int, cost: float, rank: float, regret: float) -> dict[str, Any]:
        fidelity = {"epochs": epochs, "fraction": 1.0, "resolution": 1.0, "width": 1.0}
        return {"fidelity": fidelity, "cost": cost, "rank": rank, "rank_low": rank - 0.2, "rank_high": rank + 0.05,
                "rank_at_cost": rank, "noise": None, "regret": regret, "regret_high": 2 * regret}  # fmt: skip

    return {
        "space": "digits", "sha256": nas.SearchSpace.load("digits").sha256, "data": "digits", "target": 700_000,
        "pilot": 12, "level": 0.9, "exponent": {"value": -0.03, "low": -0.05, "high": -0.01},
        "landing": {"value": 200_000.0, "low": 70_000.0, "high": 400_000.0, "w": -0.07, "percent": 12.0},
        "frontier": [[60_000.0, 0.8], [200_000.0, 0.9], [900_000.0, 0.93]],
        "proxies": {
            "longest": verdict(8, 1, 1, 0)["fidelity"], "top": 3, "bound": 0.005, "chance": 0.02,
            "verdicts": [verdict(4, 0.5, 0.8, 0.002), verdict(8, 1.0, 0.9, 0.001)],
            "cheapest": verdict(4, 1, 1, 0)["fidelity"],
        },
    } | changes  # fmt: skip


def certificate(run: str = "abc") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    means = {"winner": 0.95, "runner-up": 0.949, "random search": 0.90}
    tests = {name: mean + rng.normal(0, 0.003, 5) for name, mean in means.items()}
    found = contrasts(tests["winner"], {name: values for name, values in tests.items() if name != "winner"})
    network = {"key": "k0", "macs": 70_000, "params": 11_000}
    return {
        "format": 1, "run": run, "space": "digits", "data": "digits", "winner": {"trial": 3, **network},
        "proxy_winner": 4, "recipe": "cifar: 60 epochs", "level": 0.95, "seeds": {"choose": [1, 2], "judge": [3, 4]},
        "finalists": [
            {"of": "random", "trial": None, **network, "key": "k1", "proxy": 0.9, "val": [0.9, None], "reward": 0.8,
             "family_reward": 0.7},
            {"of": "search", "trial": 3, **network, "proxy": 0.95, "val": [0.95, 0.96], "reward": 0.9,
             "family_reward": None},
        ],
        "random": {"networks": 30, "run": None},
        "judged": [{"name": name, **network, "test": [*values, None], "note": NAMED} for name, values in tests.items()],
        "contrasts": [
            {"rival": one.rival, "margin": one.margin, "low": one.low, "high": one.high, "n": list(one.n),
             "distinguishable": one.distinguishable}
            for one in found
        ],
        "family": {"changed": 1, "of": 4, "choice": 2, "alone": 3},
        "seconds": {"random": 60.0, "finalists": 100.0, "judged": 200.0},
    }  # fmt: skip


def write(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def reported(**wanted: Any) -> tuple[str, Page, Path]:
    """(Markdown, page, folder)."""
    path = run_report(Console(quiet=True), Request("runs/abc", **{"force": True, **wanted}))
    return path.read_text(), page_of(path.with_name(PAGE)), path.parent


# The page


def test_the_page_of_a_run_has_every_part_and_needs_nothing_else(run):
    write(run / "known.json", known())
    write(Path("pilots/digits/calibration.json"), calibration())
    write(run / "certificate/certificate.json", certificate())
    text, page, folder = reported()
    assert page.headings == PARTS
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == PARTS
    pictures = {"rewards", "pareto", "importance", "choices", "frontier", "proxies", "certificate"}
    files = {f"{name}.png": (folder / f"{name}.png").read_bytes() for name in pictures}
    assert {path.name for path in folder.iterdir()} == {*files, REPORT, PAGE}
    inside = [base64.b64decode(image.partition(",")[2]) for image in page.images]
    assert sorted(inside) == sorted(files.values())
    for content in inside:
        picture = Image.open(io.BytesIO(content))
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) > 200
    assert NAMED in page.text.replace("\n", " ")
    assert "<script>" not in (folder / PAGE).read_text()

    for words in (
        "34 trials: 30 complete, 2 failed, 2 rejected",
        "distinguishable: stage1.channels.",
        "At T = 700k the slope is w = -0.030, 90 % interval -0.050 to -0.010.",
        "w = -0.07 would end at 200k multiply-adds (90 % interval 70k to 400k), which 12 % of",
        "outside of the interval: expect its winner to be cheaper than T.",
        "The cheapest that has a regret of at most 0.005 with 90 % confidence: 4 epochs.",
        "4 epochs (this run's)",
        "The winner is not distinguishable from runner-up",
        "The winner is better than random search",
        "where the proxy named trial 4",
        "the choice was another in 1 of 4 cases. Here the family chooses trial 2, and the network alone trial 3.",
        "Warning: the proxy puts efficientnet-b0 into the lower half",
    ):
        assert words in page.text.replace("\n", " "), words
    rows = [line.split(" | ") for line in text.splitlines()]
    assert ["| mnasnet-a1", "690k", "0.9100", "0.9000", "3", "too few", "too few |"] in rows
    finalists = [row for row in rows if row[1:2] in (["search"], ["random"])]
    assert [(row[0], row[2], row[6], row[7], row[8]) for row in finalists] == [
        ("| 1", "-", "0.9000", "1", "0.8000"), ("| -", "**3**", "0.9550", "2", "0.9000"),
    ]  # fmt: skip


def test_what_is_not_there_is_said_with_the_command_that_makes_it(run):
    text, page, folder = reported()
    assert page.headings == PARTS
    assert not (folder / "frontier.png").exists()
    assert not (folder / "certificate.png").exists()
    for command in (
        "nas search ... --known-answers",
        "nas calibrate digits --data digits",
        "nas certify abc",
    ):
        assert f"`{command}`" in text


def test_the_same_report_twice(run):
    first, again = (reported(output=Path(name))[2] for name in ("one", "two"))
    for path in first.iterdir():
        content, other = path.read_bytes(), (again / path.name).read_bytes()
        assert content == other, path.name


DAMAGES: dict[str, Any] = {
    "no JSON": "{", "another thing": [1, 2], "deep": "[" * 100_000, "no number": '{"format": NaN}', "empty": "",
    "many": [{"name": "x"}] * 1000, "no fraction": [{"name": "x", "accuracy": 2.0}],
    "a value": {"format": 1, "sha256": calibration()["sha256"], "data": "digits", "winner": 5, "frontier": "x"},
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_a_sentence(run, damage):
    for path in (
        run / "known.json",
        Path("pilots/digits/calibration.json"),
        run / "certificate/certificate.json",
    ):
        write(path, DAMAGES[damage])
    journal, files = open_journal(run), {}
    subject = subject_of(journal.run)
    assert "The known answers cannot be read: runs/abc/known.json" in "".join(
        run_sections.front(run, journal, subject, files)
    )
    proxy, pilot = calibrated(run, journal, subject, files)
    assert pilot is None
    assert sum(line.startswith("A calibration was passed over: ") for line in proxy) == 1
    verdict, found = run_sections.certified(run, "abc", files)
    assert found is None
    assert sum(line.startswith("It cannot be read: runs/abc/certificate/") for line in verdict) == 1
    assert set(files) == {"pareto.png"}


def test_a_report_with_damaged_files_has_every_part(run):
    for path in (
        run / "known.json",
        Path("pilots/digits/calibration.json"),
        run / "certificate/certificate.json",
    ):
        write(path, "{")
    text, page, _ = reported()
    assert page.headings == PARTS
    assert text.count("not JSON") == 3


def test_a_certificate_of_another_format_or_run_is_told(run):
    path = write(run / "certificate/certificate.json", certificate() | {"format": 2})
    with pytest.raises(nas.NasError, match="is of format 2, and this version reads 1"):
        read_certificate(run)
    assert "is of format 2, and this version reads 1" in "".join(run_sections.certified(run, "abc", {})[0])
    write(path, certificate("xyz"))
    told = "".join(run_sections.certified(run, "abc", {})[0])
    assert "**Warning**: the certificate says that it is of the run xyz." in told
    assert read_certificate(Path("nowhere")) is None


def test_a_page_escapes_and_loads_nothing():
    page = Page(
        html_page(f"# {NAMED}\n\n## a\n\n{NAMED}\n\n<img src=x onerror=y>\n\n## b\n\n`{NAMED}`", {}).decode()
    )
    assert page.open == []
    assert set(page.tags) & {"script", "img"} == set()
    assert page.links == ["#part1", "#part2"]
    assert page.text.count("<script>alert(1)</script>") == 4  # the title, the heading, the text, the code
    assert "<img src=x onerror=y>" in page.text


def test_a_picture_in_a_name_is_text_and_none_is_there_twice(run):
    named = "![x](certificate.png) \\![y](certificate.png) " * 20
    found = certificate()
    found["judged"][1]["note"] = found["recipe"] = named.strip()
    write(run / "certificate/certificate.json", found)
    text, page, folder = reported()
    assert len(page.images) == len(set(page.images)) == text.count("\n![")
    assert "![x](certificate.png)" in page.text
    picture = (folder / "certificate.png").read_bytes()
    once = html_page("# a\n\n![](a.png)\n\n![again](a.png)", {"a.png": picture}).decode()
    assert once.count("data:image/png") == 1
    assert "<p>again</p>" in once


# What was there to be shown


def test_the_best_so_far_never_falls():
    results = [("failed", None), ("complete", 0.5), ("stopped", 0.9), ("complete", 0.4), ("complete", 0.6)]
    assert best_so_far(results)[1:] == [0.5, 0.5, 0.5, 0.6]
    assert np.isnan(best_so_far(results)[0])
    figure = rewards_figure([*results, ("rejected", None), ("duplicate", 0.5)])
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {
        "complete", "stopped early (at least this)", "best so far", "failed", "rejected",
        "answered by an earlier trial",
    }  # fmt: skip
    rewards_figure([("failed", None)]).canvas.draw()
    rewards_figure([("complete", 0.5)] * 300).canvas.draw()


def test_the_latest_calibration_of_the_same_space_and_data_is_taken(run):
    journal = open_journal(run)
    assert calibration_of(run, journal) == (None, None, [])
    for name, changes in {"other": {"sha256": "0"}, "data": {"data": "cifar10"}}.items():
        write(Path(f"pilots/{name}/calibration.json"), calibration(**changes))
    assert calibration_of(run, journal) == (None, None, [])
    old = write(Path("pilots/a/calibration.json"), calibration(pilot=8))
    new = write(Path("pilots/b/calibration.json"), calibration(pilot=9))
    os.utime(new, (1, 1))
    found, path, _ = calibration_of(run, journal)
    assert (found, path and path.resolve()) == (read_calibration(old), old.resolve())
    os.utime(old, (0, 0))
    assert calibration_of(run, journal)[0] == read_calibration(new)
    assert proxy_of(journal) == Fidelity(4)


def test_a_calibration_beside_the_runs_folder_and_relative_data(run, monkeypatch, tmp_path):
    """The run trained on npz:x.npz of its own folder; a pilot called it by its whole path."""
    journal = open_journal(run)
    journal.run["command"] = "python -m nas.search.trial --data npz:x.npz"
    path = write(Path("pilots/a/calibration.json"), calibration(data=f"npz:{tmp_path / 'x.npz'}"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert calibration_of(tmp_path / run, journal)[1] == tmp_path / path
    write(tmp_path / path, calibration(data="npz:y.npz"))
    assert calibration_of(tmp_path / run, journal)[1] is None


def test_no_proxy_that_passed_is_said(run):
    data = calibration()
    data["proxies"]["cheapest"] = None
    write(Path("pilots/digits/calibration.json"), data)
    journal = open_journal(run)
    text = calibrated(run, journal, subject_of(journal.run), {})[0]
    assert "**None passed**: no proxy has a regret of at most 0.005 with 90 % confidence." in text


def test_costs_add_up(run):
    """30 of 10 s and 2 of 2 s; a certificate's 360 s; a pilot of two trainings, one of which does not say."""
    journal = open_journal(run)
    pilot = Journal(Path("pilots/digits") / FILE)
    pilot.start(space="digits")
    for number, seconds in enumerate((90.0, None)):
        pilot.told(pilot.asked({}, f"k{number}"), "complete", accuracy=0.5, seconds=seconds)
    write(run / "certificate/certificate.json", certificate())
    rows = [
        line.strip("| ").split(" | ")
        for line in costs(journal, pilot.path.with_name("x"), read_certificate(run))
    ]
    table = {row[0]: row[1:3] for row in rows if len(row) == 4}
    assert table["the search"] == ["34", duration(304)]
    assert table["of it complete"] == ["30", duration(300)]
    assert table["of it failed"] == ["2", duration(4)]
    assert table["of it rejected"] == ["2", duration(0)]
    assert table["the pilot"] == ["2", f"over {duration(90)}"]
    assert table["certificate: finalists"] == ["4", duration(100)]
    assert table["**in all**"] == [str(34 + 2 + 30 + 4 + 18), f"over {duration(304 + 90 + 360)}"]


def test_costs_are_of_what_a_certificate_trained(run):
    """Larger networks of families, too; not a random search that was there before."""
    found = certificate()
    found["random"]["run"] = "xyz"
    for one in found["finalists"]:
        one["larger"] = [0.9, None]
    write(run / "certificate/certificate.json", found)
    lines = costs(open_journal(run), None, read_certificate(run))
    assert not any("random search" in line for line in lines)
    assert f"| certificate: finalists | 8 | {duration(100)} | - |" in lines


# What mattered

CHOICES: dict[str, tuple[Any, ...]] = {f"stage{n // 5}.f{n % 5}": (3, 5, "x") for n in range(15)}


def trials(n: int, effect: float, seed: int) -> list[Trial]:
    """Of random samples; accuracy is noise of 0.01, and `effect` for each step of stage1.f2."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        steps = rng.integers(0, 3, len(CHOICES))
        sample = {label: values[i] for i, (label, values) in zip(steps, CHOICES.items(), strict=True)}
        accuracy = 0.8 + effect * steps[list(CHOICES).index("stage1.f2")] + rng.normal(0, 0.01)
        found.append(Trial(number, sample, str(number), "complete", float(accuracy), float(accuracy), 10, 10))
    return found


def test_the_one_choice_that_matters_is_found():
    found = importances(trials(60, 0.02, seed=1), CHOICES)
    assert found is not None
    assert found.choices[0].label == "stage1.f2"
    assert [one.label for one in found.choices if one.distinguishable] == ["stage1.f2"]
    assert found.explained > 0.3
    assert found.low <= found.explained <= found.high
    assert all(one.low <= one.value <= one.high for one in found.choices)
    figure = importance_figure(found)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {
        "interval above 0", "not distinguishable from none",
    }  # fmt: skip


def test_of_pure_noise_nothing_matters():
    for seed in (2, 3):
        found = importances(trials(40, 0.0, seed), CHOICES)
        assert found is not None
        assert not any(one.distinguishable for one in found.choices)
        assert found.explained < 0


def test_importance_repeats_and_follows_its_seed(monkeypatch):
    monkeypatch.setattr(importance, "BOOTSTRAPS", 20)
    some = trials(30, 0.02, seed=4)
    assert importances(some, CHOICES) == importances(some, CHOICES)
    assert importances(some, CHOICES) != importances(some, CHOICES, seed=1)


def test_too_few_or_all_alike_is_no_importance():
    some = trials(FEW, 0.02, seed=5)
    assert importances(some[1:], CHOICES) is None
    twice = [*some[1:], Trial(99, some[1].sample, some[1].key, "complete", 0.9, 0.9)]
    assert importances(twice, CHOICES) is None  # one network twice is one
    alike = [Trial(t.number, t.sample, t.key, "complete", 0.5, 0.5) for t in some]
    assert importances(alike, CHOICES) is None
    same = [Trial(t.number, some[0].sample, t.key, "complete", t.accuracy, t.reward) for t in some]
    assert importances(same, CHOICES) is None
    fixed = [
        Trial(t.number, t.sample | {"stage0.f0": 3}, t.key, "complete", t.accuracy, t.reward) for t in some
    ]
    found = importances(fixed, CHOICES)
    assert found is not None
    assert found.constant == ("stage0.f0",)
    assert len(found.choices) == len(CHOICES) - 1


def test_too_few_trials_are_told_in_the_report(run):
    lines = (run / FILE).read_text().splitlines(keepends=True)
    (run / FILE).write_text("".join(lines[:21]))  # the run and ten trials
    text, page, folder = reported()
    assert page.headings == PARTS
    assert (
        f"Too few trials to say which choices mattered: 6 distinct networks with an accuracy of {FEW}."
        in text
    )
    assert not (folder / "importance.png").exists()


# The winner against its rivals


def test_margins_are_drawn_around_zero(run):
    write(run / "certificate/certificate.json", certificate())
    found = read_certificate(run)
    assert found is not None
    left, right = margins_figure(found).axes
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names == ["winner", "runner-up", "random search"]
    places = [tuple(np.asarray(dots.get_offsets())[0]) for dots in left.collections]
    assert places == [
        (pytest.approx(100 * one.margin), names.index(one.rival)) for one in found.contrasts
    ]  # fmt: skip
    values = [np.sort(np.asarray(dots.get_offsets())[:, 0]) for dots in right.collections]
    for shown, one in zip(values, found.judged, strict=True):
        np.testing.assert_allclose(shown, np.sort(one.accuracies) * 100)


def test_a_certificate_without_accuracies_has_a_picture(run):
    data = certificate()
    data["judged"][1]["test"] = [None, None]
    data |= {"contrasts": data["contrasts"][1:], "family": None}
    write(run / "certificate/certificate.json", data)
    files: dict[str, bytes] = {}
    text = "\n".join(run_sections.certified(run, "abc", files)[0])
    assert "| runner-up | 70k | 11k | - | - | 0 of 2 |  |" in text
    assert set(files) == {"certificate.png"}
    data |= {"contrasts": [], "judged": [], "finalists": []}
    write(run / "certificate/certificate.json", data)
    assert "No rival could be compared." in run_sections.certified(run, "abc", {})[0]
