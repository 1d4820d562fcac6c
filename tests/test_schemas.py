"""The schemas that editors use: those of the models; they take every good document, and refuse what readers refuse."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from nas.documents import BaselineDocument, SpaceDocument
from nas.errors import NasError
from nas.evaluators.table_json import read_json
from nas.search.rewarding import RewardSettings
from nas.search.settings import BY_NAME, TunerSettings
from nas.space import SearchSpace

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import schemas as tool  # noqa: E402

SCHEMAS = tool.schemas()
SPACE = {
    "name": "x", "resolution": 32, "stem": {"channels": 16}, "head": {"channels": 64, "classes": 10},
    "stages": [{"op": ["conv", "mbconv"], "kernel": [3, 5], "expand": 6, "channels": [16, "2k"]}],
}  # fmt: skip


def mistakes(name: str, data: object) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMAS[name]).iter_errors(data)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_shipped_schemas_are_those_of_the_models(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    written = json.loads((ROOT / "schemas" / name).read_text(encoding="utf-8"))
    assert written == SCHEMAS[name], "the models have changed: run `make docs`"
    assert {path.name for path in (ROOT / "schemas").glob("*")} == set(SCHEMAS)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *(("space.json", path) for path in sorted((ROOT / "search_spaces").glob("*.yml"))),
        *(("baseline.json", path) for path in sorted((ROOT / "baselines").glob("*.yml"))),
        *(("search.json", path) for path in sorted(ROOT.glob("search*.yml"))),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_shipped_documents_are_taken(name, path):
    text = path.read_text(encoding="utf-8")
    assert mistakes(name, yaml.safe_load(text)) == []
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2]).resolve() == ROOT / "schemas" / name


@pytest.mark.parametrize(
    "change",
    [
        {"kernal": 3},
        {"op": "mbcnov"},
        {"op": []},
        {"skip": ["identity", "sum"]},
        {"channels": "many"},
        {"layers": True},
        {"stride": 3},
        {"pointwise_activation": "perhaps"},
        {"se_kind": "hard"},
    ],
    ids=str,
)
def test_what_a_reader_refuses_of_a_stage_the_schema_does(change):
    data = json.loads(json.dumps(SPACE))
    assert mistakes("space.json", data) == []
    data["stages"][0] |= change
    assert mistakes("space.json", data) != []
    with pytest.raises(NasError):
        SearchSpace.from_data(data)


@pytest.mark.parametrize(
    "change", [{"nmae": "x"}, {"name": "../x"}, {"stages": []}, {"activation": "gelu2"}, {"stem": 16}]
)
def test_what_a_reader_refuses_of_a_document_the_schemas_do(change):
    for name in ("space.json", "baseline.json"):
        data = {**SPACE, "stages": [{"op": "conv", "kernel": 3, "channels": 16}], **change}
        assert mistakes(name, data) != []


def test_numbers_may_be_text_where_readers_take_it():
    for text, taken in (("400M", True), ("400e6", True), (" 1.2G", True), ("4OOM", False), ("", False)):
        assert (mistakes("space.json", SPACE | {"target": text}) == []) is taken
        if taken:
            assert SpaceDocument.check(SPACE | {"target": text}, "x").target
        else:
            with pytest.raises(NasError):
                SpaceDocument.check(SPACE | {"target": text}, "x")


SEARCH = {
    "trialCommand": "python -m nas.search.trial --data digits", "trainingService": {"platform": "local"},
    "tuner": {"className": "nas.search.tuner.StrategyTuner", "codeDirectory": ".", "classArgs": {}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        ({}, True),
        ({"strategy": "random", "seed": 1}, True),
        ({"strategy": {"name": "evolution", "population_size": 16}}, True),
        ({"reward": {"form": [0, -0.2], "target": "700k"}, "limits": {"macs": "1M"}}, True),
        ({"strategy": {"name": "evolutoin"}}, False),
        ({"strategy": {"name": "random", "population_size": 16}}, False),
        ({"reward": {"form": "firm"}}, False),
        ({"limit": {"macs": 1}}, False),
        ({"seed": -1}, False),
        ({"limits": {"macs": 0}}, False),
    ],
    ids=str,
)
def test_class_args(arguments, taken):
    data = json.loads(json.dumps(SEARCH))
    data["tuner"]["classArgs"] = arguments
    assert (mistakes("search.json", data) == []) is taken
    if taken:
        TunerSettings.read(arguments)
    else:
        with pytest.raises(NasError):
            TunerSettings.read(arguments)


def test_nnis_own_tuners_have_arguments_of_their_own():
    data = SEARCH | {"tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}}}
    assert mistakes("search.json", data) == []


TABLE = {
    "name": "t",
    "choices": {"depth": [1, 2]},
    "records": [{"sample": {"depth": 1}, "accuracy": 0.9, "macs": 9}],
}


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, True),
        ({"source": "mine"}, True),
        ({"records": [{"sample": {"depth": 2}, "accuracy": [0.9, 1], "macs": "1.2M", "seconds": 3}]}, True),
        ({"records": [{"sample": {"depth": 2}, "accuracy": 91.5}]}, False),
        ({"records": [{"accuracy": 0.9}]}, False),
        ({"choices": {"accuracy": [1]}}, False),
        ({"choices": {"a/b": [1]}}, False),
        ({"choices": {}}, False),
        ({"space": "digits"}, False),
        ({"note": ""}, False),
        ({"name": "-x"}, False),
    ],
    ids=str,
)
def test_tables(change, taken):
    data = TABLE | change
    assert (mistakes("table.json", data) == []) is taken
    if taken:
        read_json(json.dumps(data), Path("t.json"))
    else:
        with pytest.raises(NasError):
            read_json(json.dumps(data), Path("t.json"))


def test_a_split_that_nas_init_writes(tmp_path):
    document = {
        "data": "folder:birds", "class_names": ["a", "b"], "train": {"a": ["1.jpg"], "b": ["2.jpg"]},
        "val": {"a": ["3.jpg"], "b": ["4.jpg"]}, "test": {"a": ["5.jpg"], "b": ["6.jpg"]},
    }  # fmt: skip
    assert mistakes("split.json", document) == []
    assert mistakes("split.json", document | {"metric": "f1"}) != []


def test_every_field_of_spaces_and_most_of_baselines_say_what_they_mean():
    """An editor shows the description; those of spaces are the rows of search_spaces/README.md."""
    space = SCHEMAS["space.json"]
    for part in (space, *space["$defs"].values()):
        for field, value in part["properties"].items():
            assert value.get("description"), field
    assert space["properties"]["activation"]["description"].startswith("relu, relu6, swish")
    assert space["$defs"]["StageLine"]["properties"]["activation"]["description"].startswith("instead of the")
    assert set(SCHEMAS["baseline.json"]["properties"]) == set(BaselineDocument.model_fields)
    assert all(value.get("description") for value in SCHEMAS["baseline.json"]["properties"].values())


def test_every_field_of_class_args_says_what_it_means():
    """By its full path: arguments of `nas.Search`, which have a table too, are called as fields of the reward are."""
    search = SCHEMAS["search.json"]
    arguments = search["properties"]["tuner"]["then"]["properties"]["classArgs"]
    told = {
        (name or "classArgs", field): value.get("description")
        for name, part in [("", arguments), *search["$defs"].items()]
        for field, value in part["properties"].items()
    }
    assert [path for path, text in told.items() if not text] == []
    of_the_reward = [text for (name, _), text in told.items() if name == "RewardSettings"]
    assert len(set(of_the_reward)) == len(RewardSettings.model_fields)
    for path, words in {
        ("classArgs", "seed"): "0 unless given",
        ("RewardSettings", "cost"): "what is paid for: macs unless given, or latency",
        ("RewardSettings", "w"): "the exponent of soft, -0.07 unless given",
        ("Limits", "macs"): "multiply-adds, such as 2M",
        ("GridSettings", "step"): "of alpha, beta and gamma, from 1 on; 0.05 unless given",
        ("RandomSettings", "name"): "NNI's Random: uniform, never the same network twice",
        ("EvolutionSettings", "crossover"): "default: false",
        ("TPESettings", "n_startup_jobs"): "default: 20",
    }.items():  # fmt: skip
        assert (told[path] or "").startswith(words), path


def test_defaults_on_the_page_are_those_of_the_code():
    """docs/search.md: `clip` 0.2; a default that is worked out, such as a population, is told in words."""
    told = tool.hyper_parameters()
    for name, model in BY_NAME.items():
        for field, info in model.model_fields.items():
            if field != "name" and info.default is not None:
                found = told[f"{name}.{field}"].removeprefix("default: ").split(" ")[0]
                assert found == str(info.default).lower() or float(found) == info.default, (name, field)
