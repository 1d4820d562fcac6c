"""What a search.yml may make NNI import, and what of it may become an object or a path."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from nas import NasError, main_job
from nas.search.config import SearchConfig

OURS = {"codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner"}
MINE = {"codeDirectory": ".", "className": "mine.Own"}
NNI = {"searchSpaceFile": "nni.json", "trialCommand": "python mine.py"}


@pytest.fixture
def read(tmp_path: Path, document: dict[str, Any]):
    """Reads a search.yml with keys changed (None: left out)."""
    (tmp_path / "tiny.yml").write_text(yaml.safe_dump(document))
    (tmp_path / "nni.json").write_text('{"x": {"_type": "choice", "_value": [1, 2]}}')

    def reading(allow_import: bool = False, **changes: Any) -> SearchConfig:
        content = {
            "searchSpaceFile": "tiny.yml", "trialCommand": "python -m nas.search.trial --data digits",
            "trialConcurrency": 1, "maxTrialNumber": 3, "tuner": OURS, "trainingService": {"platform": "local"},
            **changes,
        }  # fmt: skip
        path = tmp_path / "search.yml"
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return SearchConfig.read(path, data=False, allow_import=allow_import)

    return reading


def refused(sentence: str, read: Any, **changes: Any) -> None:
    with pytest.raises(NasError) as caught:
        read(**changes)
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()


# Classes


@pytest.mark.parametrize(
    ("changes", "instead"),
    [
        ({"tuner": MINE, **NNI}, "tuner.className is 'mine.Own'; give nas.search.tuner.StrategyTuner"),
        (
            {"tuner": MINE | {"className": "os.system"}},
            "tuner.className is 'os.system'; give nas.search.tuner.StrategyTuner",
        ),
        ({"assessor": MINE}, "assessor.className is 'mine.Own'; give name: Medianstop"),
        (
            {"assessor": {**OURS}},
            "assessor.className is 'nas.search.tuner.StrategyTuner'; give name: Medianstop",
        ),
    ],
)
def test_a_class_of_ones_own_is_refused_with_the_option_that_allows_it(read, changes, instead):
    refused(
        f"{instead}, or let NNI import and run this class with nas search --allow-import", read, **changes
    )


def test_a_class_of_ones_own_passes_where_it_is_allowed(read):
    config = read(allow_import=True, tuner=MINE, **NNI)
    assert (config.tuner, config.subject, config.proposer) == (None, None, "mine.Own")
    assert config.data["tuner"]["className"] == "mine.Own"
    config = read(allow_import=True, assessor=MINE)
    assert config.tuner is not None
    assert config.data["assessor"] == MINE


@pytest.mark.parametrize("allowed", [False, True])
def test_nnis_own_pass_without(read, allowed):
    config = read(allow_import=allowed, tuner={"name": "TPE"}, assessor={"name": "Medianstop"}, **NNI)
    assert config.proposer == "NNI's TPE"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tuner": {"name": "Registered"}}, "tuner.name is 'Registered'; of NNI's own tuners Random, TPE,"),
        (
            {"assessor": {"name": "Registered"}},
            "assessor.name is 'Registered'; allowed: Medianstop, Curvefitting",
        ),
        ({"tuner": {"name": ["TPE"]}}, "tuner.name is ['TPE']"),
        ({"assessor": "Medianstop"}, "assessor is 'Medianstop'; give a mapping with name: Medianstop"),
        (
            {"assessor": MINE | {"name": "Medianstop"}},
            "both assessor.name and assessor.className are given; keep one",
        ),
        (
            {"assessor": {"className": "mine.Own"}, "allow_import": True},
            "codeDirectory is missing in assessor; NNI wants it",
        ),
        ({"assessor": MINE | {"classFileName": "x.py"}}, "unknown key 'classFileName' in assessor"),
        (
            {"tuner": MINE | {"className": "own; import os"}, "allow_import": True},
            "give MODULE.CLASS, such as nas.search",
        ),
        (
            {"tuner": MINE | {"className": "Own"}, "allow_import": True},
            "tuner.className is 'Own'; give MODULE.CLASS",
        ),
        ({"tuner": {"codeDirectory": "."}}, "tuner.name is None; of NNI's own tuners"),
        ({"advisor": MINE}, "advisor is NNI's old word for a tuner; leave it out, and give tuner alone"),
        (
            {"experimentType": "nas"},
            "experimentType is 'nas', for which NNI unpickles objects that the file names",
        ),
    ],
)
def test_other_ways_to_name_a_class_are_no_ways(read, changes, sentence):
    refused(sentence, read, **changes)


def test_the_option_of_the_command_line(read, tmp_path, monkeypatch):
    """It is refused without; with it, the search goes on to its start, which is none of this test's."""
    with pytest.raises(NasError):
        read(tuner=MINE, **NNI)
    words = (Console(quiet=True), tmp_path / "search.yml", None, None, None, None, None)
    monkeypatch.setattr(main_job, "conducted", lambda _, experiment, __: pytest.skip(experiment.options))
    with pytest.raises(NasError, match=r"with nas search --allow-import$"):
        main_job.run_search(*words)
    with pytest.raises(pytest.skip.Exception, match=r"^ --allow-import$"):
        main_job.run_search(*words, allow_import=True)


# Search spaces of NNI's own tuners, which NNI's decoder turns into objects


@pytest.mark.parametrize(
    "space",
    [
        {"x": {"__nni_obj__": "a pickle in base64"}},
        {"x": {"_type": "choice", "_value": [{"__symbol__": "path:os.system", "__args__": ["touch x"]}]}},
        {"__nni_type__": "path:os.system"},
        {"x": [{"__instance_type__": "path:a.B"}]},
        {"x": {"__enum__": {"name": "a"}}},
    ],
)
@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("inline", [False, True])
def test_a_search_space_is_plain_data(read, tmp_path, space, allowed, inline):
    given = {"tuner": {"name": "TPE"}, "trialCommand": "python mine.py", "allow_import": allowed}
    (tmp_path / "evil.yml").write_text(yaml.safe_dump(space))
    place = {"searchSpaceFile": None, "searchSpace": space} if inline else {"searchSpaceFile": "evil.yml"}
    refused("of which NNI may make an object by running code; give plain data", read, **given, **place)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &a [1]\nb: *a\n", "line 1: anchors and aliases (& and *) are refused"),
        ("a: !!python/object:os.system {}", "line 1: the tag"),
        ("[" * 100_000, "nested deeper than 12 levels"),
        ("[" * 500 + "]" * 500, "nested deeper than 64 levels"),
        ("#" * (1 << 20) + "##", "larger than 1 MiB, which no search space is"),
    ],
)
def test_its_file_is_read_as_safely_as_ours(read, tmp_path, text, sentence):
    (tmp_path / "x.yml").write_text(text)
    given = {"tuner": {"name": "TPE"}, "trialCommand": "python mine.py", "searchSpaceFile": "x.yml"}
    refused(sentence, read, **given)


# Paths and commands


def test_pipes_and_circles(read, tmp_path):
    os.mkfifo(tmp_path / "pipe.yml")
    (tmp_path / "circle.yml").symlink_to("circle.yml")
    with pytest.raises(NasError, match=r"pipe\.yml: cannot be read \(a pipe"):
        SearchConfig.read(tmp_path / "pipe.yml")
    for name in ("pipe.yml", "circle.yml", "a\0b.yml", "x" * 5000):
        with pytest.raises(NasError):
            read(searchSpaceFile=name)
        with pytest.raises(NasError):
            read(**NNI | {"searchSpaceFile": name, "tuner": {"name": "TPE"}})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trialCodeDirectory": "nowhere"}, "there is no folder "),
        (
            {"trialCodeDirectory": "nowhere", "searchSpaceFile": None, "searchSpace": "scale:mobilenet-v2"},
            "no folder ",
        ),
        ({"trialCodeDirectory": "a\0b"}, "trialCodeDirectory is 'a\\x00b'; give a path"),
        ({"trialCommand": "  "}, "trialCommand is '  '; give the command of a trial"),
        (
            {"trialCommand": "python -m nas.search.trial --help"},
            "one of the arguments --data --table is required",
        ),
        ({"trialCommand": "python -m nas.search.trial --data digits -h"}, "unrecognized arguments: -h"),
    ],
)
def test_what_ended_in_a_traceback_or_in_nothing(read, changes, sentence):
    refused(sentence, read, **changes)
