"""`nas report`: maps against a direct computation, kinds and table values worked by hand, and every mistake."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import nas
from nas import Architecture, Head, NasError, Stage, Stem
from nas.baseline import Baseline, save
from nas.cam import activation_maps, framed, prepared, sees_whole, upsampled
from nas.cli import app
from nas.documents import BaselineDocument, Facts
from nas.family_pictures import Point, accuracy_figure
from nas.family_report import Wanted, compared, family_files, rows
from nas.latency import LEAST, Latency, machine, measure
from nas.members import common, family_of, kind_of
from nas.report import family_of as asked
from nas.report import save_family
from nas.report_job import PAGE, REPORT, Request, claimed, run_or_baseline, run_report
from nas.search.journal import FILE, Journal
from nas.weights import Facts as WeightsFacts
from nas.weights import save_weights

ARCH = Architecture(
    Stem(8, 1, 1),
    (Stage("dsconv", 3, 8, skip="identity"), Stage("mbconv", 3, 16, expand=2, stride=2)),
    Head(16, 3),
    "relu",
    8,
)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def base(in_folder: Path) -> Baseline:
    """A baseline `tiny` in ./baselines."""
    found = Baseline("tiny", ARCH, facts=Facts(params=ARCH.params, macs=ARCH.macs))
    save(found, Path("baselines/tiny.yml"))
    return found


@pytest.fixture
def family(base: Baseline) -> Baseline:
    """With members of every kind: tiny-w2, tiny-d2, tiny-r12, tiny-phi1."""
    for width, depth, resolution in ((2.0, None, None), (None, 2.0, None), (None, None, 12)):
        save_family(base, asked(base, None, False, None, None, None, width, depth, resolution), False)
    save_family(base, asked(base, "1", False, None, None, None, None, None, None), False)
    return base


def trained(
    name: str, accuracy: float | None = 0.5, data: str = "digits", scored: str = "val", epochs: int = 5
) -> Path:
    """Weights of a baseline where `nas train` leaves them."""
    facts = WeightsFacts(
        baseline=name, data=data, recipe=f"cifar: {epochs} epochs", accuracy=accuracy,
        scored=scored if accuracy else "",
        class_names=("a", "b", "c"), mean=(0.5,), std=(0.25,),
    )  # fmt: skip
    torch.manual_seed(0)
    net = nas.build(nas.load(name).architecture)
    return save_weights(net, Path("trained", name, f"{name}.safetensors"), facts)


def report(target: str = "tiny", **wanted) -> tuple[str, dict[str, bytes]]:
    files = family_files(Console(quiet=True), target, Wanted(**{"latency": False, **wanted}), "nas report")
    return files[REPORT].decode(), files


def picture(path: str, mode: str = "L", size: tuple[int, int] = (20, 16)) -> Path:
    shape = (size[1], size[0], *([3] if mode == "RGB" else []))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), mode).save(path)
    return Path(path)


# Class activation maps


def test_the_mean_of_a_map_is_the_logit_without_its_bias(lively):
    net = lively(nas.build(replace(ARCH, stem=Stem(8, 1, 3), resolution=16)), 16)
    x = torch.randn(4, 3, 16, 16)
    for classes in (None, torch.tensor([0, 1, 2, 1])):
        found = activation_maps(net, x, classes)
        with torch.no_grad():
            logits = net(x)
        chosen = logits.argmax(1) if classes is None else classes
        assert found.classes.tolist() == chosen.tolist()
        wanted = logits.gather(1, chosen[:, None])[:, 0] - net.classifier.bias[chosen]
        torch.testing.assert_close(found.maps.mean((1, 2)), wanted)
        torch.testing.assert_close(found.probabilities, logits.softmax(1)[range(4), chosen])


def test_a_map_is_the_weighted_sum_of_features():
    net = nas.build(ARCH).eval()
    x = torch.randn(2, 1, 8, 8)
    found = activation_maps(net, x)
    with torch.no_grad():
        features = net.forward_features(x)
    for n in range(2):
        weights = net.classifier.weight[found.classes[n]].detach()
        by_hand = torch.stack([w * f for w, f in zip(weights, features[n], strict=True)]).sum(0)
        torch.testing.assert_close(found.maps[n], by_hand)


def test_a_map_is_enlarged_from_0_to_1():
    large = upsampled(torch.tensor([[[1.0, 3.0], [1.0, 3.0]], [[2.0, 2.0], [2.0, 2.0]]]), 4)
    assert large[0, 0].tolist() == [0, 0.25, 0.75, 1]  # bilinear: 1, 1.5, 2.5, 3
    assert large[1].max() == 0  # a flat map, divided by nothing


def test_images_are_framed_and_normalized_as_in_training():
    image = Image.new("RGB", (512, 256), (255, 0, 51))
    assert framed(image, 224, whole=False).size == framed(image, 224, whole=True).size == (224, 224)
    assert [sees_whole(WeightsFacts(data=d)) for d in ("digits", "npz:x", "folder:x", "imagenet", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    net = nas.build(ARCH, in_chans=3)
    x = prepared(image, net, WeightsFacts(mean=(0.5, 0.5, 0.2), std=(0.5, 0.25, 1)), "x")
    torch.testing.assert_close(x[0, :, 0, 0], torch.tensor([1.0, -2.0, 0.0]))
    x = prepared(image, net, WeightsFacts(), "x")  # ImageNet's
    torch.testing.assert_close(x[0, :, 3, 3], torch.tensor([0.515 / 0.229, -0.456 / 0.224, -0.206 / 0.225]))
    with pytest.raises(NasError, match=r"x: does not say how images of 1 channel are normalized"):
        prepared(image, nas.build(ARCH), WeightsFacts(), "x")
    with pytest.raises(NasError, match=r"x: takes 4 channels, and image files have 1 or 3"):
        prepared(image, nas.build(ARCH, in_chans=4), WeightsFacts(), "x")


def test_the_networks_of_figure_7_are_compared(family):
    for name in ("tiny", "tiny-w2", "tiny-d2", "tiny-r12", "tiny-phi1"):
        trained(name)
    members, _ = family_of("tiny")
    assert [m.kind for m in compared(members)] == ["base", "depth", "width", "resolution", "compound"]
    text, files = report(images=(picture("one.png"), picture("two.jpg", "RGB")))
    assert "![Class activation maps](cam.png)" in text
    width, height = Image.open(io.BytesIO(files["cam.png"])).size
    assert (width, height) == (round(1.9 * 6 * 165), round((2.2 * 2 + 0.3) * 165 - 0.5))


def test_the_base_alone_with_weights_of_anywhere(base):
    path = trained("tiny").rename("elsewhere.safetensors")
    text, files = report(images=(picture("one.png"),), weights=path)
    assert set(files) == {"report.md", "table.csv", "cam.png"}
    assert text.startswith("# tiny\n")


# Members


@pytest.mark.parametrize(
    ("ratios", "kind"),
    [
        ((2, 1, 1), "width"), ((1, 2, 1), "depth"), ((1, 1, 1.5), "resolution"), ((0.5, 1, 1), "width"),
        ((1.1, 1.2, 1.15), "compound"), ((1, 1.1, 240 / 224), "compound"), ((2, 2, 1), "compound"),
    ],
)  # fmt: skip
def test_kinds(ratios, kind):
    assert kind_of(*ratios) == kind


def test_a_saved_family_is_found_by_its_provenance(family):
    made = nas.load("tiny-phi1").provenance
    assert made is not None
    assert (made.scaled_from, made.phi, made.width, made.depth) == ("tiny", 1, 1.1, 1.2)
    made = nas.load("tiny-w2").provenance
    assert made is not None
    assert (made.phi, made.width, made.depth) == (None, 2, 1)
    save(Baseline("tiny-x", ARCH), Path("baselines/tiny-x.yml"))  # a name alone makes no member
    members, notes = family_of("tiny")
    assert {m.name: m.kind for m in members} == {
        "tiny": "base", "tiny-d2": "depth", "tiny-r12": "resolution", "tiny-phi1": "compound", "tiny-w2": "width",
    }  # fmt: skip
    assert notes == []
    assert members[0].kind == "base"
    assert [m.arch.macs for m in members[1:]] == sorted(m.arch.macs for m in members[1:])


def test_a_member_made_by_coefficients_is_compound_even_where_two_of_them_are_1(base):
    save_family(base, asked(base, "1", False, 1, 1.4, 1, None, None, None), False)
    save_family(base, asked(base, None, False, None, None, None, 1.4, None, None), False)
    assert {m.name: m.kind for m in family_of("tiny")[0][1:]} == {
        "tiny-phi1": "compound",
        "tiny-w1.4": "width",
    }


def test_members_of_another_network_of_that_name_are_left_out(family):
    stages = (Stage("dsconv", 5, 8, skip="identity"), ARCH.stages[1])
    save(Baseline("tiny", replace(ARCH, stages=stages)), Path("baselines/tiny.yml"), force=True)
    members, notes = family_of("tiny")
    assert [m.name for m in members] == ["tiny"]
    assert "baselines/tiny-d2.yml was scaled from another network called tiny, and is left out." in notes


def test_documents_without_the_new_fields_load():
    text = "name: x\nresolution: 8\nstem: {channels: 8}\nhead: {channels: 8}\n"
    text += "stages: [{op: conv, kernel: 3, channels: 8}]\nprovenance: {space: digits, trial: 3}\n"
    made = BaselineDocument.parse(text, "x").provenance
    assert made is not None
    assert (made.trial, made.scaled_from, made.width) == (3, None, None)


def test_b0s_published_family_is_the_papers():
    """EfficientNet (arXiv:1905.11946v5), Table 2: top-1 and parameters of B0 to B7."""
    members, _ = family_of("efficientnet-b0")
    assert [m.name for m in members] == [f"efficientnet-b{phi}" for phi in range(8)]
    assert {m.kind for m in members[1:]} == {"compound"}
    found = rows(members, common(members))
    assert [row[5] for row in found] == [0.771, 0.791, 0.801, 0.816, 0.829, 0.836, 0.840, 0.843]
    assert [round(row[7] / 1e6, 1) for row in found] == [5.3, 7.8, 9.1, 12.2, 19.3, 30.4, 43.0, 66.3]
    assert found[7][8] == pytest.approx(66_347_960 / 5_288_548)
    assert found[7][10] == pytest.approx(37_745_884_192 / 385_814_752)


# Accuracies


def test_the_table_says_of_what_an_accuracy_is(family):
    trained("tiny", 0.75)
    trained("tiny-w2", 0.875)
    trained("tiny-d2", None)
    text, files = report()
    arch, wide = ARCH, nas.load("tiny-w2").architecture
    table = {row["model"]: row for row in csv.DictReader(files["table.csv"].decode().splitlines())}
    assert list(table) == ["tiny", *(m.name for m in family_of("tiny")[0][1:])]
    row = table["tiny-w2"]
    assert (row["scaled"], row["width"], row["depth"], row["px"]) == ("width", "2.0", "1.0", "8")
    assert (row["top-1"], row["of"]) == ("0.875", "val of digits")
    assert (int(row["params"]), int(row["multiply-adds"])) == (wide.params, wide.macs)
    assert float(row["multiply-adds ratio"]) == wide.macs / arch.macs
    assert (table["tiny-d2"]["top-1"], table["tiny-d2"]["of"]) == ("", "")
    assert f"| tiny-w2 | width | 2 | 1 | 8 | 0.8750 | val of digits | {wide.params / 1e3:.3g}k | " in text
    assert "| tiny-d2 | depth | 1 | 2 | 8 | - |  | " in text
    (without,) = [
        line for line in text.splitlines() if line.startswith("Without an accuracy, and so not in the")
    ]
    assert set(without.rstrip(".").split(": ")[1].split(", ")) == {"tiny-d2", "tiny-phi1", "tiny-r12"}
    assert {"accuracy-macs.png", "accuracy-params.png"} <= set(files)
    assert "Trained: cifar: 5 epochs." in text


def test_networks_that_were_not_trained_alike_are_told_apart(family):
    trained("tiny", 0.9, epochs=12)
    trained("tiny-w2", 0.7)
    trained("tiny-d2", 0.6)
    text, files = report()
    assert "accuracy-macs.png" in files
    assert "**Not trained alike, so that the curves compare trainings as much as networks:**\n\n" in text
    lines = text.splitlines()
    assert "- cifar: 12 epochs: tiny" in lines
    (others,) = [line for line in lines if line.startswith("- cifar: 5 epochs: ")]
    assert set(others.removeprefix("- cifar: 5 epochs: ").split(", ")) == {"tiny-w2", "tiny-d2"}
    assert "Trained: " not in text


def test_without_any_accuracy_the_costs_remain(family):
    text, files = report()
    assert set(files) == {"report.md", "table.csv"}
    assert (
        "No member has an accuracy, so there are no curves: train them with `nas train NAME --data DATA`"
        in text
    )
    assert "| tiny-r12 | resolution | 1 | 1 | 12 | - |" in text


def test_what_is_of_another_split_is_told_and_not_compared(family):
    """The base was tested, as a search's winner is, and its members were scored on val."""
    facts = Facts(params=ARCH.params, macs=ARCH.macs, accuracy=0.9, data="digits", recipe="60 epochs")
    save(replace(family, facts=facts), Path("baselines/tiny.yml"), force=True)
    trained("tiny-w2", 0.8)
    trained("tiny-d2", 0.7)
    members, _ = family_of("tiny")
    assert common(members) == "val of digits"
    text, _ = report()
    assert "0.9000 | test of digits" in text
    assert "Left out of the curves, which are of val of digits, because theirs is another: tiny." in text
    trained("tiny", 0.6)  # now it is known, too, and taken: the document's comes first only where it compares
    text, _ = report()
    assert "0.6000 | val of digits" in text
    assert "Left out" not in text


def test_the_documents_accuracy_comes_first(base):
    facts = Facts(params=ARCH.params, macs=ARCH.macs, accuracy=0.9, data="digits")
    save(replace(base, facts=facts), Path("baselines/tiny.yml"), force=True)
    trained("tiny", 0.6)
    (member,), _ = family_of("tiny")
    assert [(s.accuracy, s.of) for s in member.scores] == [(0.9, "test of digits"), (0.6, "val of digits")]
    assert common([member]) == "test of digits"


def test_a_line_for_each_kind_from_the_base_on():
    points = [
        Point("b", "base", 100, 0.5), Point("4x", "compound", 400, 0.7), Point("2x", "compound", 200, 0.6),
        Point("w2", "width", 390, 0.55),
    ]  # fmt: skip
    axes = accuracy_figure(points, "multiply-adds", "top-1").axes[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}  # type: ignore[union-attr]
    assert lines == {
        "compound": [[100, 0.5], [200, 0.6], [400, 0.7]],
        "width alone": [[100, 0.5], [390, 0.55]],
    }


# Latency


def test_networks_take_turns_and_warm_up_does_not_count():
    nets = {"a": nas.build(ARCH), "b": nas.build(replace(ARCH, resolution=12))}
    order, time = [], [0.0]
    for name, net in nets.items():
        net.register_forward_hook(
            lambda *_, name=name: (order.append(name), time.__setitem__(0, time[0] + 2.0))[2:]
        )
    found = measure(nets, 2, rounds=4, warm_up=1, seconds=1e9, clock=lambda: time[0])
    assert order == ["a", "b"] * 5
    assert found["a"] == Latency(2, (2000.0,) * 4)
    assert all(net.training for net in nets.values())
    order.clear()
    assert measure(nets, 1, rounds=50, warm_up=0, seconds=1, clock=lambda: time[0])["b"].n == LEAST


def test_median_and_percentiles_by_hand():
    """11 values 0 ... 100: the 10th, 50th and 90th percentiles are themselves among them."""
    found = Latency(1, tuple(float(v) for v in range(0, 101, 10)))
    assert (found.low, found.median, found.high, found.n) == (10, 50, 90, 11)


def test_the_report_says_what_measured(family):
    text, _ = report(latency=True, threads=1)
    assert f"Of this machine alone: {machine()}; 1 thread." in text
    assert "| model | multiply-adds | batch 1 | x base | n | batch 8 | x base | n |" in text
    assert f"torch {torch.__version__}" in machine()


@pytest.mark.parametrize(("slowest", "busy"), [(19.0, False), (21.0, True)])
def test_a_busy_machine_is_told(family, monkeypatch, slowest, busy):
    def measured(nets, batch):
        found = {name: Latency(batch, (10.0, 10.0, 10.0)) for name in nets}
        return found | {"tiny-w2": Latency(batch, (10.0,) * 8 + (slowest,) * 12)}

    monkeypatch.setattr("nas.family_latency.measure", measured)
    text, _ = report(latency=True, threads=1)
    assert (
        "**The machine was busy:** the 90th percentile of tiny-w2 is over 2 times the 10th" in text
    ) is busy


# A run


@pytest.fixture
def run(in_folder: Path) -> Path:
    """runs/abc: three complete trials of digits and a failed one, the second the best."""
    space = nas.SearchSpace.load("digits")
    journal = Journal(Path("runs/abc") / FILE)
    journal.start(
        experiment="abc", space="digits", sha256=space.sha256, classes=10, in_chans=1, strategy={"name": "random"},
        document=space.document.model_dump(mode="json", exclude_defaults=True), concurrency=2, max_trials=4,
        command="python -m nas.search.trial --data digits", seed=0, versions={"torch": "2"},
        trial={"reward": {"form": "soft", "target": 700_000, "w": -0.07}, "limits": {"macs": None}, "seed": 0},
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for reward in (0.5, 0.8, 0.6, None):
        sample = space.sample(rng)
        arch = space.decode(sample)
        number = journal.asked(sample, arch.key, macs=arch.macs, params=arch.params)
        if reward is None:
            journal.told(number, "failed", reason="diverged")
        else:
            journal.told(number, "complete", accuracy=reward, reward=reward, seconds=1.0)
    return Path("runs/abc")


def test_a_runs_report(run):
    page = run_report(Console(quiet=True), Request("abc"))
    assert page == (run / "report" / REPORT).resolve()
    assert {p.name for p in page.parent.iterdir()} == {
        "report.md", "report.html", "rewards.png", "pareto.png", "choices.png",
    }  # fmt: skip
    text = page.read_text()
    assert "| strategy | name random |" in text
    assert "| reward | form soft, target 700000, w -0.07 |" in text
    assert "4 trials: 3 complete, 1 failed; 3 distinct networks evaluated." in text
    lines = text.splitlines()
    start = lines.index("| trial | reward | accuracy | multiply-adds | params | seconds |") + 2
    assert [line.split(" | ")[0] for line in lines[start : start + 3]] == ["| 1", "| 2", "| 0"]
    assert "Trial 1: reward 0.8000, accuracy 0.8000" in text
    assert "Not frozen in ./baselines or here: nas freeze abc." in text


def test_a_runs_report_says_where_its_winner_is(run):
    assert CliRunner().invoke(app, ["freeze", "abc", "--name", "mine"]).exit_code == 0
    text = run_report(Console(quiet=True), Request("runs/abc", output=Path("out"))).read_text()
    assert "Frozen in `mine.yml` (mine)." in text


def test_a_run_without_a_winner_says_why(run):
    journal = Journal(Path("runs/none") / FILE)
    journal.refresh()
    head = json.loads((run / FILE).read_text().splitlines()[0])
    journal.start(
        **{k: v for k, v in head.items() if k not in ("event", "time", "experiment")}, experiment="none"
    )
    text = run_report(Console(quiet=True), Request("none")).read_text()
    assert "No winner: " in text
    assert "no trial has ended yet" in text


# Mistakes: one sentence, nothing written, nothing overwritten


def fails(match: str, target: str = "tiny", **fields) -> None:
    before = sorted(Path().rglob("*"))
    with pytest.raises(NasError, match=match):
        run_report(Console(quiet=True), Request(target, **{"latency": False, **fields}))
    assert sorted(Path().rglob("*")) == before


def test_unknown_targets(family, run):
    fails(
        r"^there is neither a baseline nor a run 'tinny' \(did you mean 'tiny'.*; runs here: abc; or give",
        "tinny",
    )
    fails(r"^\./tyni\.yml: there is no such file; give the path of a baseline's YAML$", "./tyni.yml")
    fails(r"there is no run 'runs/nope'", "runs/nope")
    assert run_or_baseline("tiny") is None


def test_without_a_family_it_says_how_to_make_one(base):
    fails(
        r"^tiny has no family in its folder.*make one with nas scale tiny --macs 2x,4x --save, or give --images"
    )


def test_images_that_cannot_be_used(family):
    Path("bad.png").write_text("no image")
    fails(r"^--images: bad\.png: not a readable image \(.*\); give JPEG or PNG files$", images="bad.png")
    fails(r"^--images: no\.png: there is no such file; give paths", images="no.png")
    whole = picture("whole.png").read_bytes()
    for missing in (12, 20, len(whole) // 2):  # its end mark, its last checksum, half of its pixels
        Path("cut.png").write_bytes(whole[:-missing])
        fails(r"^--images: cut\.png: not a readable image \(.*\); give JPEG or PNG files$", images="cut.png")
    fails(r"^--images is empty; give paths", images=" , ")
    picture("one.png")
    fails(r"^--images: no member has weights in trained/NAME/NAME\.safetensors; train", images="one.png")


def test_weights_of_another_network(family):
    other = trained("tiny-w2")
    fails(
        r"tiny-w2\.safetensors: is of another architecture than the baseline tiny; give weights",
        weights=other,
    )
    wrong = Path("trained/tiny/tiny.safetensors")
    wrong.parent.mkdir()
    wrong.write_bytes(other.read_bytes())
    fails(r"^trained/tiny/tiny\.safetensors: is of another architecture")
    wrong.write_text("nonsense")
    fails(r"^trained/tiny/tiny\.safetensors: is no readable safetensors file")
    fails(r"^no\.safetensors: there is no such file", weights=Path("no.safetensors"))


def test_output_that_is_taken_or_cannot_be_written(family):
    Path("file").write_text("mine")
    fails(r"^file is a file, and a report is a folder; choose another --output$", output=Path("file"))
    fails(r"^file/x: cannot be written \(Not a directory\); choose another --output$", output=Path("file/x"))
    run_report(Console(quiet=True), Request("tiny", latency=False))
    page = Path("report/tiny/report.md")
    page.write_text("kept")
    fails(r"^report/tiny is not empty; give another --output, or --force to replace the report in it$")
    assert page.read_text() == "kept"
    Path("report/tiny/cam.png").write_text("of an older report")
    Path("report/tiny/notes.txt").write_text("the user's")
    run_report(Console(quiet=True), Request("tiny", latency=False, force=True))
    assert {p.name for p in page.parent.iterdir()} == {"report.md", "report.html", "table.csv", "notes.txt"}


def test_a_failed_report_leaves_no_folder(in_folder):
    with pytest.raises(RuntimeError), claimed(Path("a/b/c"), False):
        raise RuntimeError
    assert not Path("a").exists()


def test_a_runs_report_takes_no_option_of_a_familys(run):
    fails(r"^--threads, --latency: of the report of a baseline, and abc is a run", "abc", threads=1)


def test_the_command(family):
    trained("tiny", 0.5)
    result = CliRunner().invoke(app, ["report", "tiny", "--no-latency", "--output", "out"])
    assert result.exception is None
    assert f"report: {Path('out', REPORT)}" in result.stdout
    assert f"page:   {Path('out', PAGE)}" in result.stdout
    text, picture = Path("out", PAGE).read_text(), Path("out", "accuracy-macs.png").read_bytes()
    assert f'src="data:image/png;base64,{base64.b64encode(picture).decode()}"' in text
    assert "<h1>tiny and its family</h1>" in text
    assert not re.search(r'(src|href)="(?!data:image/png|#)', text)
    assert Path("out", "accuracy-macs.png").read_bytes()[:4] == b"\x89PNG"
