"""`nas search --in-process`: the same journal, winner and document without NNI's manager, and trials that inherit."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

import nas
from nas.errors import NasError
from nas.main_job import run_search
from nas.search import evaluating
from nas.search.journal import FILE, Journal
from nas.supernet_job import Request, run_supernet

from .conftest import TINY

ROOT = Path(__file__).parents[2]
NNIS = {
    "tuner": {"name": "TPE"}, "searchSpace": {"a": {"_type": "choice", "_value": [1]}}, "searchSpaceFile": None,
}  # fmt: skip
"""A search that NNI's own tuner proposes for."""


@pytest.fixture
def folder(tmp_path, monkeypatch, images):
    """A folder with a space, a supernet of it (of a space of conv and dsconv) and a search.yml of both."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yml").write_text(json.dumps(TINY))
    return tmp_path


@pytest.fixture
def supernet(folder, images):
    run_supernet(
        Console(quiet=True),
        Request(
            "./tiny.yml",
            f"npz:{images}",
            epochs=2,
            batch_size=16,
            lr=0.05,
            threads=1,
            device="cpu",
            out=Path("net"),
        ),
    )
    return "net"


@pytest.fixture
def search(folder, images):
    """Runs a search of so many trials in this process; what it prints."""

    def run(command, trials=8, resume=None, strategy="evolution", extra=None, asked=None, **options):
        config = {
            "searchSpaceFile": "tiny.yml", "trialConcurrency": 2, "maxTrialNumber": trials,
            "trialCommand": f"python -m nas.search.trial {command}",
            "tuner": {
                "codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner",
                "classArgs": {"strategy": {"name": strategy}, "reward": {"form": "soft", "w": -0.07}, "seed": 3},
            },
            "trainingService": {"platform": "local"},
        }  # fmt: skip
        Path("search.yml").write_text(yaml.safe_dump(config | (extra or {})))
        with Path("out.txt").open("a") as out:
            console = Console(file=out, width=200)
            run_search(
                console, Path("search.yml"), asked, None, resume, None, None, in_process=True, **options
            )
        return Path("out.txt").read_text()

    return run


def told(run):
    journal = Journal(run / FILE)
    journal.refresh()
    kept = ("number", "sample", "state", "accuracy", "reward", "macs")
    return [{name: getattr(t, name) for name in kept} for t in journal.ended()], journal


def only_run():
    (found,) = Path("runs").iterdir()
    return found


@pytest.mark.parametrize("strategy", ["evolution", "model"])
def test_a_search_with_shared_weights_ends_with_a_frozen_winner(search, supernet, images, strategy):
    out = search(f"--data npz:{images} --supernet {supernet}", strategy=strategy)
    trials, journal = told(only_run())
    assert len(trials) == 8
    assert len({t["number"] for t in trials}) == 8
    best = max(trials, key=lambda t: (t["reward"], -t["number"]))
    assert f"winner: trial {best['number']}, reward {best['reward']:.4f}" in out
    (document,) = (path for path in Path().glob("*.yml") if path.stem.startswith("tiny-"))
    found = nas.load(document)
    assert found.architecture.macs == best["macs"]
    assert found.facts.search_accuracy == best["accuracy"]
    assert (found.provenance.experiment, found.provenance.trial) == (only_run().name, best["number"])
    assert (only_run() / "study").is_dir()
    assert (only_run() / "trials" / f"{best['number']:03d}").is_dir()
    assert journal.run["nni"] is None
    space = nas.SearchSpace.load("./tiny.yml").with_data(2, 1)
    assert best["macs"] == space.decode(best["sample"]).macs


def test_interrupted_and_resumed_it_is_the_same_search(search, supernet, images, monkeypatch):
    command = f"--data npz:{images} --supernet {supernet}"
    search(command)
    whole, _ = told(only_run())
    only_run().rename("whole")
    from nas.evaluators.supernet import SupernetEvaluator

    evaluate, calls = SupernetEvaluator.evaluate, []

    def interrupted(self, arch, report=None):
        calls.append(arch.key)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(self, arch, report)

    monkeypatch.setattr(SupernetEvaluator, "evaluate", interrupted)
    with pytest.raises(
        NasError, match=r"^interrupted; nothing is lost: nas search .*search\.yml --in-process --resume"
    ):
        search(command)
    run = only_run()
    assert len(told(run)[0]) == 3
    search(command, resume=run.name)
    assert told(run)[0] == whole
    assert len(set(calls)) == len(calls) - 1 == 8  # the one that was interrupted was evaluated again
    out = search(command, resume=run.name, asked=10)
    assert [t["number"] for t in told(run)[0]] == list(range(10))
    assert "10 complete" in out


def test_trials_that_train_run_in_process_too(search, images):
    search(f"--data npz:{images} --epochs 1", trials=2)
    assert [t["state"] for t in told(only_run())[0]] == ["complete", "complete"]


def test_trials_that_fail_alike_end_it_with_their_reason(search, images, supernet, monkeypatch):
    from nas.evaluators.supernet import SupernetEvaluator

    def fails(self, arch, report=None):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(SupernetEvaluator, "evaluate", fails)
    with pytest.raises(
        NasError, match=r"^the first 3 trials all failed alike: RuntimeError: no such thing; .*--resume"
    ):
        search(f"--data npz:{images} --supernet {supernet}")
    assert [t["state"] for t in told(only_run())[0]] == ["failed"] * 3


@pytest.mark.parametrize(
    ("command", "extra", "sentence"),
    [
        ("--data digits --supernet net", {}, r"its supernet is of the space tiny \(sha256 \w+, with 2 classes"),
        ("--data {} --supernet gone", {}, r"^search\.yml, line \d+: gone: holds no supernet \(no supernet"),
        ("--data {} --supernet net --epochs 3", {}, r"--epochs belongs to training, and --supernet trains nothing"),
        ("--data {} --recalibrate 9", {}, r"--recalibrate belongs to --supernet, which is not given; leave it out"),
        ("--data {} --supernet net --space tiny.yml", NNIS, r"--in-process runs a strategy of ours, and this search's "
         "proposals come from NNI's TPE"),
        ("--data {} --supernet net", {"assessor": {"name": "Medianstop"}}, r"an assessor is NNI's, and --in-process"),
        ("other.py", {"trialCommand": "python other.py"}, r"--in-process runs trials of nas\.search\.trial, and"),
    ],
)  # fmt: skip
def test_mistakes(search, supernet, images, command, extra, sentence):
    with pytest.raises(NasError, match=sentence):
        search(command.format(f"npz:{images}"), extra=extra)
    assert not Path("runs").exists()


def test_other_machines_take_no_part(search, supernet, images):
    Path("key").touch(mode=0o600)
    host = {"host": "h.invalid", "user": "me", "sshKeyFile": "key"}
    with pytest.raises(
        NasError, match=r"--in-process runs its trials here, and trainingService has other machines"
    ):
        search(
            f"--data npz:{images} --supernet net",
            extra={"trainingService": {"platform": "remote", "machineList": [host]}},
        )
    assert not Path("runs").exists()


def test_images_that_the_supernet_did_not_train_on_are_refused(search, supernet, images, tmp_path):
    with np.load(images) as arrays:
        changed = {name: arrays[name].copy() for name in arrays}
    changed["y_train"] = 1 - changed["y_train"]
    np.savez(tmp_path / "others.npz", **changed)
    with pytest.raises(
        NasError,
        match=r"^net: its supernet was trained on other images than those of npz:others\.npz.*give --data npz:",
    ):
        search("--data npz:others.npz --supernet net")
    assert not Path("runs").exists()


def test_settings_that_are_lost_are_not_replaced(search, supernet, images):
    command = f"--data npz:{images} --supernet {supernet}"
    assert "2 trials by evolution, 1 at a time" in search(command, trials=2)
    run = only_run()
    (run / "config.json").write_text("{}")
    with pytest.raises(
        NasError, match=r"config\.json: cannot be read \('trialCommand'\), and it has what the search"
    ):
        search(command, resume=run.name, asked=4)
    assert len(told(run)[0]) == 2


def test_the_same_labels_of_other_images_are_refused(search, supernet, images, tmp_path):
    with np.load(images) as arrays:
        changed = {name: arrays[name].copy() for name in arrays}
    changed["x_train"][3, 0, 0] ^= 1
    np.savez(tmp_path / "others.npz", **changed)
    with pytest.raises(
        NasError,
        match=r"^net: its supernet was trained on other images than those of npz:others\.npz.*give --data npz:",
    ):
        search("--data npz:others.npz --supernet net")
    assert not Path("runs").exists()


def test_a_resumed_run_keeps_its_own_command_limits_and_supernet(search, supernet, images):
    command = f"--data npz:{images} --supernet net"
    search(command, trials=4)
    run = only_run()
    tuner = {
        "codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner",
        "classArgs": {"strategy": {"name": "evolution"}, "limits": {"macs": 50_000}, "seed": 3},
    }  # fmt: skip
    out = search(f"{command} --recalibrate 5", trials=4, resume=run.name, asked=6, extra={"tuner": tuner})
    assert (
        "note: trialCommand, classArgs of search.yml changed since this search began, which keeps its own"
        in out
    )
    trials, journal = told(run)
    assert [t["state"] for t in trials] == ["complete"] * 6
    assert "--recalibrate" not in json.loads((run / "config.json").read_text())["trialCommand"]
    search(command, trials=6)
    (other,) = (path for path in Path("runs").iterdir() if path != run)
    assert told(run)[0] == told(other)[0]
    assert len(journal.run["supernet"]) == 64
    weights = Path("net/supernet.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(NasError, match=r"the supernet was trained anew since this search began"):
        search(command, trials=4, resume=run.name, asked=8)


def test_an_in_process_run_is_not_resumed_under_nni(search, supernet, images):
    search(f"--data npz:{images} --supernet net", trials=3)
    with pytest.raises(NasError, match=r"was begun with --in-process; resume it with --in-process"):
        run_search(Console(quiet=True), Path("search.yml"), 5, None, only_run().name, None, None)


def test_what_nni_would_heed_is_said(search, supernet, images):
    out = search(
        f"--data npz:{images} --supernet net --memory-limit 4G", trials=2, extra={"maxTrialDuration": "1s"}
    )
    assert "note: maxTrialDuration, --memory-limit: for NNI's manager alone, and there is none" in out


def test_a_frozen_winner_says_whose_weights_it_had(search, supernet, images):
    search(f"--data npz:{images} --supernet net", trials=2)
    (document,) = (path for path in Path().glob("*.yml") if path.stem.startswith("tiny-"))
    assert "with weights of a supernet (sha256 " in (nas.load(document).source or "")


def test_a_certificate_of_inherited_weights_wants_a_recipe_and_no_random_search(search, supernet, images):
    from nas.certify_request import Request as Certify
    from nas.certify_request import searched
    from nas.search.calibration_file import proxy_of

    search(f"--data npz:{images} --supernet net", trials=3)
    run = only_run()
    assert proxy_of(told(run)[1]) is None
    for given in ({}, {"recipe": "cifar", "epochs": 2}, {"no_random": True}):
        with pytest.raises(
            NasError, match=r"its trials trained nothing, .*; give --recipe cifar .* and --no-random"
        ):
            searched(Certify(run.name, **given))
    assert searched(Certify(run.name, recipe="cifar", epochs=2, no_random=True)).config.epochs == 2


def test_a_run_under_nni_is_not_resumed_in_process(search, images, make_run):
    make_run(("complete", {"accuracy": 0.5, "reward": 0.5}), nni="/somewhere")
    with pytest.raises(
        NasError, match=r"abc123: was begun under NNI's manager; resume it without --in-process"
    ):
        search(f"--data npz:{images} --epochs 1", resume="abc123")


def test_a_trial_by_hand_inherits(supernet, images, capsys):
    words = shlex.split(f"--data npz:{images} --space ./tiny.yml --supernet {supernet} --seed 1")
    assert evaluating.main(words) == 0
    first = json.loads(capsys.readouterr().out)
    assert evaluating.main(words) == 0
    again = json.loads(capsys.readouterr().out)
    assert first["accuracy"] == again["accuracy"]


def test_a_baseline_begins_from_a_supernets_weights(supernet, images):
    import torch

    from nas.baseline import Baseline, save
    from nas.evaluators.supernet import SupernetEvaluator
    from nas.full_training import Request as Training
    from nas.full_training import run_training
    from nas.supernet.folder import load_supernet
    from nas.weights import read_tensors

    space = nas.SearchSpace.load("./tiny.yml").with_data(2, 1)
    arch = space.decode(space.sample(np.random.default_rng(0)))
    save(Baseline("one", arch), Path("one.yml"))
    given = {"recipe": "cifar", "fields": {"epochs": 1, "lr": 1e-9}, "threads": 1, "device": "cpu"}
    run_training(
        Console(quiet=True),
        Training("./one.yml", f"npz:{images}", init="supernet:net", out=Path("t"), **given),
    )
    wanted = load_supernet(Path("net")).supernet.extract(arch).state_dict()
    first, _ = read_tensors(Path("t/initial.safetensors"))
    names = [name for name in wanted if name.endswith("weight")]
    assert names
    assert all(torch.equal(first[name], wanted[name]) for name in names)
    from nas.data import load_data

    judge = SupernetEvaluator(load_supernet(Path("net")).supernet, load_data(f"npz:{images}"))
    recalibrated = judge.network(arch).state_dict()
    assert all(
        torch.allclose(first[name], recalibrated[name], atol=1e-5) for name in wanted if "running" in name
    )
    run_training(
        Console(quiet=True),
        Training("./one.yml", f"npz:{images}", init="supernet:net", out=Path("t"), resume=True, **given),
    )
    with pytest.raises(
        NasError, match=r"^--transfer is a new classifier for --weights, and what --init gives has"
    ):
        run_training(
            Console(quiet=True),
            Training(
                "./one.yml", f"npz:{images}", init="supernet:net", transfer=True, out=Path("u"), **given
            ),
        )
    for init, sentence in (
        ("net", r"^--init is 'net'; give supernet:DIR"),
        ("supernet:gone", r"^gone: holds no supernet"),
    ):
        with pytest.raises(NasError, match=sentence):
            run_training(
                Console(quiet=True), Training("./one.yml", f"npz:{images}", init=init, out=Path("u"), **given)
            )
    with pytest.raises(
        NasError,
        match=r"^net: its supernet has no mobilenet-v2: tiny does not contain this network: stages: 7",
    ):
        run_training(
            Console(quiet=True),
            Training("mobilenet-v2", f"npz:{images}", init="supernet:net", out=Path("u"), **given),
        )
    assert not Path("u/training.json").exists()
