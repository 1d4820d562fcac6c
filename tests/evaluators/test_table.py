"""Tables: what the files say is what is looked up, and every mistake in them is one sentence."""

import csv
import io
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import NasError, SearchSpace
from nas.evaluators import Evaluator
from nas.evaluators.table import Table, TableEvaluator

CHOICES = {"layer1": ["identity", "mb3"], "width": [8, 16]}
RECORDS: list[dict[str, Any]] = [
    {"sample": {"layer1": "identity", "width": 8}, "accuracy": 0.5, "macs": 10, "params": 3, "seconds": 2},
    {"sample": {"layer1": "identity", "width": 16}, "accuracy": [0.5, 0.75], "macs": "20", "params": 5},
    {"sample": {"layer1": "mb3", "width": 8}, "accuracy": 0.25, "macs": 40},
    {"sample": {"width": 16, "layer1": "identity"}, "accuracy": 1, "macs": 20.0, "params": 5, "seconds": 4},
]
DOCUMENT: dict[str, Any] = {"name": "mine", "source": "by hand", "choices": CHOICES, "records": RECORDS}

SPACE: dict[str, Any] = {
    "name": "tiny", "resolution": 8, "stem": {"channels": 8, "stride": 1, "in_chans": 1},
    "stages": [{"op": ["conv", "mbconv"], "kernel": 3, "expand": [3, 6], "channels": 8}],
    "head": {"channels": 16, "classes": 2},
}  # fmt: skip
"""4 samples, 3 networks: a convolution has no expansion."""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a table: text as it is, else JSON, with keys changed (None: left out)."""

    def writing(content: Any = None, file: str = "results.json", **changes: Any) -> Path:
        data = {key: value for key, value in (DOCUMENT | changes).items() if value is not None}
        text = content if isinstance(content, str) else json.dumps(data if content is None else content)
        path = tmp_path / file
        path.write_text(text)
        return path

    return writing


def record(**changes: Any) -> list[dict[str, Any]]:
    """Two records, the second one changed (None: left out)."""
    second = {key: value for key, value in (RECORDS[2] | changes).items() if value is not None}
    return [RECORDS[0], second]


# Reading


def test_a_json_says_choices_records_and_runs(write):
    table = Table.read(write())
    assert (table.name, table.source, table.space) == ("mine", "by hand", None)
    assert table.choices == {"layer1": ("identity", "mb3"), "width": (8, 16)}
    assert [(r.accuracies, r.macs, r.params, r.seconds) for r in table.records] == [
        ((0.5,), 10, 3, 2.0), ((0.5, 0.75, 1.0), 20, 5, 4.0), ((0.25,), 40, None, None),
    ]  # fmt: skip
    assert table.find({"layer1": "mb3", "width": 16}) is None
    assert table.target == 20  # the median of 10, 20 and 40


def test_records_of_one_network_are_its_runs(write):
    records = [RECORDS[n] | {"network": name, "macs": 10, "params": 3} for n, name in enumerate("aab")]
    table = Table.read(write(records=records))
    assert [(r.key, r.accuracies) for r in table.records] == [("a", (0.5, 0.5, 0.75)), ("b", (0.25,))]
    samples = [r["sample"] for r in records]
    assert [table.key(sample) for sample in samples] == ["a", "a", "b"]
    assert table.find(samples[1]) is table.find(samples[0])
    assert table.has_networks


CSV = """\
layer1,width,accuracy,macs,params,seconds
identity,8,0.5,10,3,2
identity,16,0.5,20,5,
identity,16,0.75,20,5,
mb3,8,0.25,40,,
identity,16,1,20,5,4
"""


def test_a_csv_says_the_same(write):
    table, same = Table.read(write(CSV, "my results.csv")), Table.read(write())
    assert (table.name, table.choices) == ("my-results", same.choices)
    assert [r.accuracies for r in table.records] == [r.accuracies for r in same.records]
    assert [(r.macs, r.seconds) for r in table.records] == [(r.macs, r.seconds) for r in same.records]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["10", "9", "2.5", "9.0"], (2.5, 9, 10)),
        (["10", "9", "none"], ("10", "9", "none")),
        (["007", "7"], ("007", "7")),
        (["1e2", "-1"], (-1, 100)),
        (["b", "a", "b"], ("a", "b")),
    ],
)
def test_values_of_a_csv_are_in_order(write, cells, values):
    table = Table.read(write("x,accuracy,macs\n" + "".join(f"{c},0.5,9\n" for c in cells), "r.csv"))
    assert table.choices == {"x": values}
    assert [type(value) for value in table.choices["x"]] == [type(value) for value in values]


def test_a_spreadsheets_csv_is_read(tmp_path):
    """With a byte order mark, blank lines, spaces, quotes and lines that end as on Windows."""
    path = tmp_path / "r.csv"
    path.write_bytes(b'\xef\xbb\xbf"x", accuracy , macs\r\n"a, b",0.5,1.5M\r\n\r\nc,0.25,9\r\n')
    table = Table.read(path)
    assert table.choices == {"x": ("a, b", "c")}
    assert table.records[0].macs == 1_500_000


def test_the_fingerprint_is_of_the_content(write):
    shas = [Table.read(write()).sha256, Table.read(write(json.dumps(DOCUMENT, indent=3))).sha256]
    assert shas[0] == shas[1]
    others = [
        DOCUMENT | {"name": "other"}, DOCUMENT | {"choices": CHOICES | {"width": [16, 8]}},
        DOCUMENT | {"records": RECORDS[:3]}, DOCUMENT | {"records": [RECORDS[0] | {"accuracy": 0.51}, *RECORDS[1:]]},
    ]  # fmt: skip
    assert len({Table.read(write(other)).sha256 for other in others} | set(shas)) == 5


def test_a_large_table_is_read(write):
    """3^8 samples of eight layers, as of NAS-Bench-Macro."""
    names = [f"layer{n}" for n in range(8)]
    grid = np.stack(np.unravel_index(np.arange(3**8), (3,) * 8), axis=1)
    rows = [f"{','.join(map(str, row))},{0.5 + n / 1e5},{n + 1}" for n, row in enumerate(grid)]
    table = Table.read(write("\n".join([",".join([*names, "accuracy", "macs"]), *rows]), "r.csv"))
    assert len(table.records) == 3**8
    assert table.find(dict(zip(names, [2] * 8, strict=True))).macs == 3**8


# A search space's


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace.from_data(SPACE)


def samples_of(space: SearchSpace) -> list[dict[str, Any]]:
    return [{"stage1.op": op, "stage1.expand": e} for op in ("conv", "mbconv") for e in (3, 6)]


def test_a_table_of_a_search_space_has_its_costs_and_its_networks(write, space, tmp_path):
    (tmp_path / "tiny.yml").write_text(json.dumps(SPACE))
    records = [{"sample": sample, "accuracy": n / 4} for n, sample in enumerate(samples_of(space))]
    table = Table.read(write(choices=None, space="./tiny.yml", records=records[:3]))
    assert table.space is not None
    assert table.space.sha256 == space.sha256
    first, second = table.records
    arch = space.decode(records[0]["sample"])
    assert (first.key, first.macs, first.params, first.accuracies) == (
        arch.key,
        arch.macs,
        arch.params,
        (0, 0.25),
    )
    assert table.find(records[3]["sample"]) is None
    assert TableEvaluator(table).evaluate(arch).accuracy == 0.125
    with pytest.raises(NasError, match=r"is not recorded$"):
        TableEvaluator(table).evaluate(space.decode(records[3]["sample"]))
    assert second.accuracies == (0.5,)


def test_a_csv_of_a_search_space_takes_its_values(write, space):
    text = "stage1.expand,stage1.op,accuracy\n6,conv,0.5\n3,mbconv,0.25\n"
    table = Table.read(write(text, "r.csv"), space)
    assert table.choices == space.choices
    assert table.samples[0] == {"stage1.op": "conv", "stage1.expand": 6}


# Looking up


def test_the_mean_of_the_runs(write):
    found = TableEvaluator(Table.read(write())).look_up({"layer1": "identity", "width": 16})
    assert (found.accuracy, found.macs, found.params, found.seconds) == (0.75, 20, 5, 4.0)


def test_one_run_is_drawn_by_seed_and_network(write):
    records = [
        {"sample": {"layer1": layer, "width": width}, "accuracy": [0.1, 0.2, 0.3], "macs": 9}
        for layer in CHOICES["layer1"]
        for width in CHOICES["width"]
    ]
    table = Table.read(write(records=records))
    draws = [
        [TableEvaluator(table, "draw", seed).look_up(r["sample"]).accuracy for r in records]
        for seed in range(60)
    ]
    again = [TableEvaluator(table, "draw", 7).look_up(r["sample"]).accuracy for r in records]
    assert again == draws[7]
    for column in np.array(draws).T:
        assert {0.1, 0.2, 0.3} == set(column.tolist())
        assert statistics.fmean(column) == pytest.approx(0.2, abs=0.05)
    assert any(len(set(row)) > 1 for row in draws)


def test_it_is_an_evaluator_and_says_what_it_cannot(write):
    table = Table.read(write())
    evaluator = TableEvaluator(table)
    assert isinstance(evaluator, Evaluator)
    with pytest.raises(NasError, match=r"^table mine: .* is not recorded$"):
        evaluator.look_up({"layer1": "mb3", "width": 16})
    with pytest.raises(NasError, match=r"^sample: width is 9; allowed: 8, 16$"):
        evaluator.look_up({"layer1": "mb3", "width": 9})
    with pytest.raises(NasError, match=r"^table mine is of plain choices, which make no architecture$"):
        evaluator.evaluate(SearchSpace.from_data(SPACE).decode(samples_of(SearchSpace.from_data(SPACE))[0]))
    with pytest.raises(NasError, match=r"^table: runs is 'median'; allowed: mean, draw$"):
        TableEvaluator(table, "median")


# Mistakes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nam": 1}, "results.json: unknown key 'nam' (did you mean 'name'?); the table has name, source, choices"),
        ({"name": None}, "results.json: 'name' is missing; a table has name, source"),
        ({"name": "../x"}, "results.json: name is '../x'; give up to 128 letters"),
        ({"source": 3}, "results.json: source is 3; give text"),
        ({"records": None}, "results.json: 'records' is missing"),
        ({"records": []}, "results.json: the table is empty; give at least one record"),
        ({"records": 5}, "results.json: records is 5; give a list of mappings"),
        ({"choices": None}, "results.json: neither 'choices' nor 'space' is given; give one of them"),
        ({"space": "cifar"}, "results.json: both 'choices' and 'space' are given; give one of them"),
        ({"choices": None, "space": "cifer"}, "results.json: space: there is no search space 'cifer' (did you mean"),
        ({"choices": None, "space": 5}, "results.json: space is 5; give a search space's name, or a path"),
        ({"choices": []}, "results.json: choices is []; give a mapping"),
        ({"choices": {"a": 3}}, "results.json: choices.a is 3; give a list of values"),
        ({"choices": {"a": []}}, "results.json: choices.a is []; give a list of values"),
        ({"choices": {"a": [[1]]}}, "results.json: choices.a has the value [1]; give a number, true, false, or"),
        ({"choices": {"a": [float("nan")]}}, "results.json: choices.a has the value nan; give a number"),
        ({"choices": {"a": [1, True]}}, "results.json: choices.a has True twice; write each value once"),
        ({"choices": {"a/b": [1]}}, "results.json: a choice is called 'a/b'; give printable text"),
        ({"choices": {"run": [1]}}, "results.json: a choice cannot be called 'run'; taken are accuracy, macs"),
        ({"records": [3]}, "results.json, record 1 is 3; give a mapping such as"),
        ({"records": record(acuracy=1)}, "results.json, record 2: unknown key 'acuracy' (did you mean 'accuracy'?)"),
        ({"records": record(accuracy=None)}, "results.json, record 2: 'accuracy' is missing; a record has"),
        ({"records": record(sample=None)}, "results.json, record 2: 'sample' is missing; a record has"),
        ({"records": record(sample=[1])}, "results.json, record 2: sample is [1]; give a mapping"),
        ({"records": record(accuracy=91.5)},
         "results.json, record 2: accuracy is 91.5; give a fraction from 0 to 1 (divide percent by 100)"),
        ({"records": record(accuracy=-0.1)}, "results.json, record 2: accuracy is -0.1; give a fraction from 0 to 1"),
        ({"records": record(accuracy=float("nan"))}, "results.json, record 2: accuracy is nan; give a fraction"),
        ({"records": record(accuracy=True)}, "results.json, record 2: accuracy is True; give a fraction"),
        ({"records": record(accuracy="0.5")}, "results.json, record 2: accuracy is '0.5'; give a fraction"),
        ({"records": record(accuracy=[])}, "results.json, record 2: accuracy is empty; give a fraction"),
        ({"records": record(accuracy=[0.5, 2])}, "results.json, record 2: accuracy is 2; give a fraction"),
        ({"records": record(macs=None)}, "results.json, record 2: macs is missing; give the network's multiply-adds"),
        ({"records": record(macs=0)}, "results.json, record 2: macs is 0; give a whole number of 1 or more"),
        ({"records": record(macs=1.5)}, "results.json, record 2: macs is 1.5; give a whole number of 1 or more"),
        ({"records": record(macs=float("inf"))}, "results.json, record 2: macs is inf; give a whole number"),
        ({"records": record(params=-1)}, "results.json, record 2: params is -1; give a whole number of 0 or more"),
        ({"records": record(seconds=-1)}, "results.json, record 2: seconds is -1; give a number of 0 or more"),
        ({"records": record(network=3)}, "results.json, record 2: network is 3; give text"),
        ({"records": record(network="a")}, "results.json, record 2: give 'network' in all records or in none ("),
        ({"records": record(sample={"layer1": "mb3", "width": 9})},
         "results.json, record 2: sample: width is 9; allowed: 8, 16"),
        ({"records": record(sample={"layer1": "mb3"})}, "results.json, record 2: sample: choice 'width' is missing"),
        ({"records": record(sample={"layer1": "mb3", "widht": 8, "width": 8})},
         "results.json, record 2: sample: 'widht' is no choice of mine (did you mean 'width'?)"),
        ({"records": record(sample={"layer1": None})}, "results.json, record 2: 'layer1' is None; give a number"),
        ({"records": [*RECORDS, RECORDS[0] | {"macs": 11}]},
         "results.json, record 5: macs is 11, but 10 of the same network in "),
        ({"records": [*RECORDS, RECORDS[0] | {"params": 4}]},
         "results.json, record 5: params is 4, but 3 of the same network in "),
        ({"records": [RECORDS[0] | {"network": "a"}, RECORDS[0] | {"network": "b"}]},
         "results.json, record 2: network is 'b', and 'a' for the same sample before"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_json_is_one_sentence(write, tmp_path, changes, sentence):
    refused(write(**changes), tmp_path, sentence)


def refused(path: Path, folder: Path, sentence: str, space: SearchSpace | None = None) -> None:
    with pytest.raises(NasError) as caught:
        Table.read(path, space)
    said = str(caught.value).replace(f"{folder}/", "")
    assert said.startswith(sentence), said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "r.json, line 1: not JSON (Expecting property name"),
        ("[]", "r.json: found []; a table is a mapping"),
        ("", "r.json, line 1: not JSON (Expecting value)"),
        ('{"name": "a", "name": "b"}', "r.json: key 'name' is written twice in one mapping; keep one"),
        ("[" * 100_000, "r.json: nested deeper than any table"),
        ('{"name": ' + "1" * 5000 + "}", "r.json: a number is too long"),
    ],
)
def test_what_is_no_table_is_one_sentence(write, tmp_path, text, sentence):
    refused(write(text, "r.json"), tmp_path, sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "r.csv: the table is empty; give a header, and a line for each run"),
        ("x,accuracy,macs\n", "r.csv: the table is empty; give at least one record"),
        ("x,macs\n1,2\n", "r.csv, line 1: column 'accuracy' is missing; the columns are 'x, macs'"),
        ("x,acuracy,macs\n1,2\n", "r.csv, line 1: column 'accuracy' is missing (did you mean 'acuracy'?)"),
        ("x,accuracy\n1,0.5\n", "r.csv, line 1: column 'macs' is missing"),
        ("x;accuracy;macs\n1;0.5;9\n", "r.csv, line 1: column 'accuracy' is missing"),
        ("accuracy,macs\n0.5,9\n", "r.csv, line 1: no column is a choice"),
        ("x,x,accuracy,macs\n1,1,0.5,9\n", "r.csv, line 1: column 'x' stands twice; keep one"),
        ("x,,accuracy,macs\n1,1,0.5,9\n", "r.csv, line 1: a choice is called ''; give printable text"),
        (
            "x,accuracy,macs\n1,0.5,9\n\n2,0.5\n",
            "r.csv, line 4: has 2 cells, and the header 3; give one a column",
        ),
        (
            "x,accuracy,macs\n1,50.5,9\n",
            "r.csv, line 2: accuracy is 50.5; give a fraction from 0 to 1 (divide",
        ),
        ("x,accuracy,macs\n1,nan,9\n", "r.csv, line 2: accuracy is 'nan'; give a fraction"),
        ("x,accuracy,macs\n1,,9\n", "r.csv, line 2: 'accuracy' is missing"),
        ("x,accuracy,macs\n1,0.5,\n", "r.csv, line 2: macs is missing"),
        ("x,accuracy,macs\n,0.5,9\n", "r.csv, line 2: x is ''; give a number"),
        ("x,accuracy,macs\n1,0.5,few\n", "r.csv, line 2: macs is 'few'; give a whole number"),
        ("x,accuracy,macs\n1,0.5,9\n1,0.6,8\n", "r.csv, line 3: macs is 8, but 9 of the same network in "),
        ('x,accuracy,macs\n"1,0.5,9\n', "r.csv, line 2: not CSV (unexpected end of data)"),
    ],
)
def test_a_mistake_in_a_csv_is_one_sentence(write, tmp_path, text, sentence):
    refused(write(text, "r.csv"), tmp_path, sentence)


def test_a_mistake_against_the_search_space_is_one_sentence(write, tmp_path, space):
    head = "stage1.op,stage1.expand,accuracy"
    for text, sentence in (
        ("stage1.op,accuracy\nconv,1\n", "r.csv, line 1: column 'stage1.expand' is missing"),
        (f"{head},stage1.kernel\nconv,3,1,3\n", "r.csv, line 1: 'stage1.kernel' is no choice of tiny"),
        (f"{head}\nconv,4,1\n", "r.csv, line 2: sample: stage1.expand is 4; allowed: 3, 6"),
        (f"{head},macs\nconv,3,1,5\n", "r.csv, line 2: macs is 5, but the space tiny counts "),
        (
            f"{head},network\nconv,3,1,a\n",
            "r.csv, line 2: the search space tells which samples are one network",
        ),
    ):
        refused(write(text, "r.csv"), tmp_path, sentence, space)
    refused(
        write(),
        tmp_path,
        "results.json: is a table of plain choices, and the search is of the space tiny",
        space,
    )
    other = [{"sample": {}, "accuracy": 0.5}]
    (tmp_path / "one.yml").write_text(
        json.dumps(SPACE | {"name": "one", "stages": [SPACE["stages"][0] | {"op": "conv", "expand": 3}]})
    )
    path = write(choices=None, space="./one.yml", records=other)
    refused(path, tmp_path, "results.json: is a table of the space one (sha256 ", space)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere.json", "nowhere.json: cannot be read (No such file or directory); check the path"),
        ("folder.csv", "folder.csv: cannot be read (Is a directory); check the path"),
        ("latin.csv", "latin.csv: not UTF-8 text (byte 0); save it as UTF-8"),
        ("r.xlsx", "r.xlsx: a table is a file that ends in .json or .csv"),
        ("a\0b.json", "a\\x00b.json: cannot be read (embedded null byte); check the path"),
    ],
)
def test_an_unreadable_file_is_one_sentence(tmp_path, name, sentence):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "latin.csv").write_bytes(b"\xe9")
    refused(tmp_path / name, tmp_path, sentence)


# Whatever stands in a file

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["layer1", "identity", 8, 0.5, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def paths_in(data: Any, path: tuple = ()) -> list[tuple]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(found for key, value in inner for found in paths_in(value, (*path, key)))]


def changed(data: Any, path: tuple, value: Any) -> Any:
    if not path:
        return value
    key, *rest = path
    copied = dict(data) if isinstance(data, dict) else list(data)
    copied[key] = changed(data[key], tuple(rest), value)
    return copied


def read_or_refused(path: Path) -> None:
    said = ""
    try:
        table = Table.read(path)
    except NasError as error:
        said = str(error)
    else:
        for sample in table.samples:
            assert 0 <= TableEvaluator(table, "draw").look_up(sample).accuracy <= 1
    assert "\n" not in said
    assert len(said) < 2000


@given(st.sampled_from(paths_in(DOCUMENT)), junk)
def test_any_json_is_read_or_refused_in_one_sentence(tmp_path_factory, path, value):
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps(changed(DOCUMENT, path, value)))
    read_or_refused(file)


cells = st.sampled_from(["", "1", "0.5", "1.0", "x", "nan", "1e999", "accuracy", "-0", "9" * 30]) | st.text(
    max_size=4
)


@given(st.lists(st.lists(cells, min_size=3, max_size=4), max_size=4), st.booleans())
def test_any_csv_is_read_or_refused_in_one_sentence(tmp_path_factory, rows, header):
    out = io.StringIO()
    csv.writer(out).writerows([["x", "accuracy", "macs"], *rows] if header else rows)
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_text(out.getvalue(), encoding="utf-8", errors="replace", newline="")
    read_or_refused(file)


@given(st.binary(max_size=60), st.sampled_from(["json", "csv"]))
def test_any_bytes_are_read_or_refused_in_one_sentence(tmp_path_factory, raw, ending):
    file = tmp_path_factory.getbasetemp() / f"bytes.{ending}"
    file.write_bytes(raw)
    read_or_refused(file)
