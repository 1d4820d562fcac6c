"""A small space, a small data set and a small search, for tests that need no more."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import nas.search  # noqa: F401  (sets NNI_FRAMEWORK before nni is imported)
from nas.files import UMASK
from nas.search.journal import FILE, Journal
from nas.space import SearchSpace

TINY: dict[str, Any] = {
    "name": "tiny",
    "resolution": 8,
    "target": 60_000,
    "stem": {"channels": 8, "stride": 1, "in_chans": 1},
    "stages": [
        {"op": ["conv", "dsconv"], "kernel": [3, 5], "skip": ["none", "identity"], "channels": [8, 16],
         "layers": [1, 2], "stride": 1},
        {"op": "mbconv", "kernel": 3, "expand": [3, 6], "se": [0, 0.25], "channels": 16, "stride": 2},
    ],
    "head": {"channels": 16, "classes": 2},
}  # fmt: skip
"""128 samples, 112 networks: in stage 1 a skip changes nothing in one layer from 8 to 16 channels."""


@pytest.fixture(autouse=True, scope="session")
def quiet() -> None:
    """NNI logs to the stdout of its import."""
    import nni

    nni.silence_stdout()


@pytest.fixture(autouse=True)
def no_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run inside of an NNI experiment; they are no part of it."""
    for name in (
        "NNI_EXP_ID",
        "NNI_TRIAL_JOB_ID",
        "NNI_CODE_DIR",
        "NNI_LOG_DIRECTORY",
        "NNI_TUNER_COMMAND_CHANNEL",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study's pictures take a second a trial here: they are drawn in tests that are marked `drawn` alone."""
    if "drawn" not in request.keywords:
        from nas.search.board import StudyBoard

        monkeypatch.setattr(StudyBoard, "_pictures", lambda *_: None)


@pytest.fixture(autouse=True)
def unguarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A tuner guards its whole process, and a trial watches its own: signals, umask, locks. Here that is pytest's."""
    from nas.search import guard, watch

    monkeypatch.setattr(guard, "guard_tuner", lambda: None)
    monkeypatch.setattr(watch, "Watch", lambda *_: None)
    monkeypatch.setenv(UMASK, "22")  # a trial sets it in its process
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def document() -> dict[str, Any]:
    """The small space as plain data, as NNI hands it to a tuner."""
    return json.loads(json.dumps(TINY))


@pytest.fixture
def tiny() -> SearchSpace:
    return SearchSpace.from_data(TINY)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An npz of 2 classes, 80 + 20 grey images of 8 x 8 pixels: bright above, or bright below."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 80), ("test", 20)):
        labels = np.arange(count) % 2
        x = rng.integers(0, 160, (count, 8, 8), dtype=np.uint8)
        for image, label in zip(x, labels, strict=True):
            image[4 * label : 4 * label + 4] += 60
        arrays |= {f"x_{part}": x, f"y_{part}": labels}
    path = tmp_path_factory.mktemp("images") / "small.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def make_run(tmp_path: Path, tiny: SearchSpace) -> Callable[..., Journal]:
    """Makes a run directory whose journal has the given results, (state, facts) in order."""

    def make(*results: tuple[str, dict[str, Any]], name: str = "abc123", **run: Any) -> Journal:
        journal = Journal(tmp_path / "runs" / name / FILE)
        settings: dict[str, Any] = {
            "experiment": name, "space": "tiny", "sha256": tiny.sha256,
            "document": tiny.document.model_dump(mode="json", exclude_defaults=True),
            "strategy": {"name": "random"}, "concurrency": 2, "max_trials": 40,
            "command": "python -m nas.search.trial --data digits --epochs 3", "nni": None,
            "classes": 2, "in_chans": 1, "seed": 7, "versions": {"b0nas": "0.1.0"},
            "trial": {"space": "tiny", "sha256": tiny.sha256, "seed": 7,
                      "reward": {"form": "soft", "target": 60_000, "w": -0.07},
                      "limits": {"macs": None, "params": None}},
        }  # fmt: skip
        journal.start(**settings | run)
        document = tiny.document.model_dump_json(exclude_defaults=True)
        (journal.path.parent / "space.json").write_text(document)
        rng = np.random.default_rng(0)
        for state, facts in results:
            sample = tiny.sample(rng)
            arch = tiny.decode(sample)
            while any(trial.key == arch.key for trial in journal.trials.values()):
                sample = tiny.sample(rng)
                arch = tiny.decode(sample)
            number = journal.asked(sample, arch.key, macs=arch.macs, params=arch.params, seen=0)
            if state != "running":
                journal.told(number, state, macs=arch.macs, params=arch.params, **facts)
        return journal

    return make


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Makes a function training's work -> its result stand in for the processes of `nas.search.trainings`."""
    from nas.search import trainings

    def install(answer: Callable[..., Any]) -> None:
        class Pool(contextlib.nullcontext[Any]):
            broken = False

            def __init__(self, *_: Any) -> None:
                super().__init__(self)

            def submit(self, _: Any, work: dict[str, Any]) -> Future[dict[str, Any]]:
                future: Future[dict[str, Any]] = Future()
                if self.broken:
                    raise BrokenProcessPool
                try:
                    future.set_result(answer(work))
                except BrokenProcessPool as error:
                    self.broken = True
                    future.set_exception(error)
                return future

        monkeypatch.setattr(trainings, "ProcessPoolExecutor", Pool)

    return install


@pytest.fixture
def search_yml(tmp_path: Path) -> Callable[..., Path]:
    """Writes a search.yml of digits, with the given keys changed."""

    def write(**changes: Any) -> Path:
        root = Path(__file__).parents[2]
        config = yaml.safe_load((root / "search.yml").read_text())
        config["searchSpaceFile"] = str(root / "search_spaces" / "digits.yml")
        path = tmp_path / "search.yml"
        path.write_text(yaml.safe_dump(config | changes))
        return path

    return write
