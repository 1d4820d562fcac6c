"""Documents are read strictly: every mistake is one sentence with file, line, value and what is allowed."""

import json

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nas import NasError, SearchSpace, catalog
from nas.baseline import from_document, load
from nas.documents import BaselineDocument, SpaceDocument
from nas.errors import listed, near, short
from nas.reading import count, number
from nas.strict_yaml import MAX_BYTES, load_yaml, read_text

SPACE = """\
name: mine
resolution: 32
target: 10M
stem: {channels: 16, stride: 1}
stages:
  - {op: [conv, mbconv], kernel: [3, 5], expand: [3, 6], se: [0, 0.25], channels: [16, 24], layers: 2}
  - {op: mbconv, kernel: 3, expand: 6, skip: [none, identity], channels: 32, stride: 2}
head: {channels: 128, classes: 10}
activation: swish
added: {stage1.channels: [24]}
"""


def space(text):
    return SearchSpace(SpaceDocument.parse(text, "mine.yml"))


def baseline(text):
    return from_document(BaselineDocument.parse(text, "mine.yml"))


def sentence(read, text):
    with pytest.raises(NasError) as error:
        read(text)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_document_that_the_mistakes_are_made_in_is_good():
    found = space(SPACE)
    assert (found.target, found.size_raw) == (10_000_000, 64)
    assert found.choices["stage1.op"] == ("conv", "mbconv")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # unknown keys, at every level
        (
            "resolution:",
            "resolutoin:",
            "line 2: unknown key 'resolutoin' (did you mean 'resolution'?); allowed: name, source, "
            "resolution, stem, stages, head, activation, target, added (and 1 more mistake)",
        ),
        (
            "layers: 2}",
            "layer: 2}",
            "line 6: unknown key 'layer' in stage1 (did you mean 'layers'?); allowed: op, kernel, expand, "
            "se, skip, channels, layers, stride, pointwise_activation, always_expand",
        ),
        (
            "classes: 10",
            "clases: 10",
            "line 8: unknown key 'clases' in head (did you mean 'classes'?); allowed: channels, classes",
        ),
        ("stride: 1}", "strides: 1}", "line 4: unknown key 'strides' in stem (did you mean 'stride'?); "),
        ("added:", "'a[b':", "line 10: unknown key 'a[b'; allowed: name, "),
        ("added:", "int:", "line 10: unknown key 'int'; allowed: name, "),
        # missing
        ("name: mine\n", "", "'name' is missing"),
        ("channels: 16, stride: 1}", "stride: 1}", "line 4: 'stem.channels' is missing"),
        ("op: mbconv, ", "", "line 7: 'stage2.op' is missing"),
        # wrong types
        ("resolution: 32", "resolution: big", "line 2: resolution is 'big'; give a whole number, such as 24"),
        ("resolution: 32", "resolution: 32.5", "line 2: resolution is 32.5; give a whole number"),
        ("resolution: 32", "resolution: yes", "line 2: resolution is True; give a whole number"),
        ("resolution: 32", "resolution: [32]", "line 2: resolution is [32]; give a whole number"),
        ("resolution: 32", "resolution: .inf", "line 2: resolution is inf; give a whole number"),
        ("kernel: [3, 5]", "kernel: [3, five]", "line 6: stage1.kernel[1] is 'five'; give a whole number"),
        (
            "kernel: [3, 5]",
            "kernel: {3: 5}",
            "line 6: key '3' is a number, yes, no or null to YAML; quote it",
        ),
        ("kernel: [3, 5]", "kernel: {a: 5}", "line 6: stage1.kernel is {'a': 5}; give a whole number"),
        ("kernel: [3, 5]", "kernel: [[3, 5]]", "line 6: stage1.kernel[0] is [3, 5]; give a whole number"),
        ("kernel: [3, 5]", "kernel: ", "line 6: stage1.kernel is None; give a whole number"),
        (
            "se: [0, 0.25]",
            "se: [0, much]",
            "line 6: stage1.se[1] is 'much'; give a number, such as 6 or 400M",
        ),
        ("se: [0, 0.25]", "se: .nan", "line 6: stage1.se is nan; give a finite number"),
        *(
            (
                "op: mbconv",
                f"{field}: {found}, op: mbconv",
                f"line 7: stage2.{field} is {told}; give one value: lists may stand in op, kernel, "
                "expand, se, skip, channels, layers of a search space",
            )
            for field, found, told in [
                ("se_kind", "[standard, mobilenet-v3]", "['standard', 'mobilenet-v3']"),
                ("activation", "[relu, swish]", "['relu', 'swish']"),
                ("always_expand", "[true, false]", "[True, False]"),
                ("separables", "[1, 2]", "[1, 2]"),
            ]
        ),
        (
            "activation: swish",
            "activation: [relu, swish]",
            "line 9: activation is ['relu', 'swish']; give one value, not a list",
        ),
        ("op: mbconv", "op: 3", "line 7: stage2.op is 3; give text, in quotes where YAML reads it as someth"),
        (
            "name: mine",
            "name: 3",
            "line 1: name is 3; give text, in quotes where YAML reads it as something else",
        ),
        (
            "name: mine",
            "name: a b",
            "line 1: name is 'a b'; give up to 128 letters, digits, '.', '_' and '-'",
        ),
        ("name: mine", "name: ../x", "line 1: name is '../x'; give up to 128 letters"),
        ("head: {", "head: 3 # {", "line 8: head is 3; give a mapping such as {key: value}"),
        ("head: {", "head: [3] # {", "line 8: head is [3]; give a mapping such as {key: value}"),
        (
            "stride: 2}",
            "stride: 2, always_expand: 3}",
            "line 7: stage2.always_expand is 3; give a valid boolean, unable to interpret input",
        ),
        # empty
        ("kernel: [3, 5]", "kernel: []", "line 6: stage1.kernel is empty; give at least one value"),
        ("op: [conv, mbconv]", "op: []", "line 6: stage1.op is empty; give at least one value"),
        # twice
        (
            "kernel: [3, 5]",
            "kernel: [3, 5, 3]",
            "line 6: stage1.kernel has a value twice in [3, 5, 3]; write",
        ),
        ("se: [0, 0.25]", "se: [0, 0.0]", "line 6: stage1.se has a value twice in [0, 0]; write each once"),
        ("activation:", "name:", "line 9: key 'name' is written twice"),
        ("layers: 2}", "op: conv}", "line 6: key 'op' is written twice"),
        # impossible values
        (
            "op: mbconv",
            "op: mbcnov",
            "line 7: stage2.op is 'mbcnov' (did you mean 'mbconv' or 'conv'?); allowed: ",
        ),
        (
            "[none, identity]",
            "[none, ident]",
            "line 7: stage2.skip is 'ident'; allowed: none, identity, pool",
        ),
        ("kernel: [3, 5]", "kernel: [3, 4]", "line 6: stage1.kernel is 4; give an odd number from 1 to 31"),
        ("se: [0, 0.25]", "se: [0, 25]", "line 6: stage1.se is 25; give 0 (none) or a ratio up to 1"),
        ("expand: [3, 6]", "expand: [3, 0]", "line 6: stage1.expand is 0; give a ratio over 0, up to 64"),
        ("expand: 6, ", "", "line 7: stage2.expand is missing; mbconv needs it, such as 3 or 6"),
        ("[16, 24]", "[16, 0]", "line 6: stage1.channels is 0; give a whole number from 1 to 65536"),
        ("layers: 2}", "layers: [0, 1]}", "line 6: stage1.layers is 0; give a whole number from 1 to 1000"),
        ("stride: 2}", "stride: 3}", "line 7: stage2.stride is 3; allowed: 1, 2"),
        (
            "stem: {channels: 16",
            "stem: {channels: 0",
            "line 4: stem.channels is 0; give a whole number from 1",
        ),
        ("stride: 1}", "stride: 4}", "line 4: stem.stride is 4; allowed: 1, 2"),
        ("swish", "silu", "line 9: activation is 'silu'; allowed: relu, relu6, swish"),
        ("classes: 10", "classes: 0", "line 8: head.classes is 0; give a whole number from 1 to 16777216"),
        (
            "resolution: 32",
            "resolution: 20000",
            "line 2: resolution is 20000; give a whole number from 1 to 16384",
        ),
        ("target: 10M", "target: 0", "line 3: target is 0; give multiply-adds over 0, such as 400M"),
        ("target: 10M", "target: -1", "line 3: target is -1; give multiply-adds over 0, such as 400M"),
        (
            "stride: 2}",
            "stride: 2, pointwise_activation: true}",
            "line 7: stage2.pointwise_activation belongs to dsconv, found with op mbconv; leave it out",
        ),
        (
            "resolution: 32",
            "resolution: 1",
            "line 7: stage2.stride is 2 on a map of 1 x 1 pixel; at resolution 1 fewer strides fit: lower it "
            "to 1 or raise the resolution",
        ),
        (
            "[24]}",
            "[25]}",
            "line 10: added.stage1.channels marks 25, which is not in that choice's list [16, 24]; ",
        ),
        (
            "stage1.channels: [24]",
            "stage1.chanels: [24]",
            "line 10: added.stage1.chanels marks no open choice (did you mean 'stage1.channels' or ",
        ),
        # YAML 1.1
        (
            "[none, identity]",
            "[none, no]",
            "line 7: stage2.skip[1] is False; give a name; YAML reads a bare yes, no",
        ),
        (
            "target: 10M",
            "target: 10 million",
            "line 3: target is '10 million'; give a whole number, such as 24 or ",
        ),
        ("activation:", "on:", "line 9: key 'on' is a number, yes, no or null to YAML; quote it"),
        ("target: 10M", "target: 0x_", "a number has no digits"),
    ],
)
def test_mistakes_in_a_space(before, after, expected):
    assert before in SPACE
    found = sentence(space, SPACE.replace(before, after, 1))
    assert found.startswith(f"mine.yml{', ' if expected.startswith('line') else ': '}{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "mine.yml: is empty; a document is a mapping of keys to values"),
        ("# nothing\n", "mine.yml: is empty; a document is a mapping of keys to values"),
        ("hello", "mine.yml: found 'hello'; a document is a mapping of keys to values"),
        ("- 1\n- 2", "mine.yml: found [1, 2]; a document is a mapping of keys to values"),
        ("a: [1", "mine.yml, line 1: not YAML (expected ',' or ']', but got '<stream end>')"),
        ("a: 1\n b: 2", "mine.yml, line 2: not YAML (mapping values are not allowed here)"),
        ("a: 1\n---\nb: 2", "mine.yml, line 2: not YAML (but found another document)"),
        ("a: \t- 1\n\tb", "mine.yml, line 1: not YAML ("),
        ("a: \0", "mine.yml: character 3 is #x0000, which is no text; take it out"),
        ("{[1]: 2}", "mine.yml, line 1: a key is a list or a mapping; write a word"),
        ("~: 1", "mine.yml, line 1: key '~' is a number, yes, no or null to YAML; quote it"),
    ],
)
def test_what_is_no_document(text, expected):
    assert sentence(space, text).startswith(expected)
    assert sentence(baseline, text).startswith(expected)


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LAUGHS, "line 1: anchors and aliases (& and *) are refused; write it out"),
        ("a: *b", "line 1: anchors and aliases (& and *) are refused; write it out"),
        ("a: 1\nb: &x\n  c: *x\n", "line 2: anchors and aliases"),
        ("x: {<<: {a: 1}}", "line 1: unknown key 'x'"),
        ("a: " + "[" * 100_000, "line 1: nested deeper than 12 levels, which no document is"),
        ("- " * 100_000, "line 1: nested deeper than 12 levels"),
        ("{a: " * 20 + "}" * 20, "line 1: nested deeper than 12 levels"),
        ("a: " + "9" * 60_000, "line 1: '99999999999999999999999999"),
        ("a: " + "1:" * 30_000 + "1", "line 1: '1:1:1:1:1:1:"),
        ("a: 0x" + "f" * 60_000, "line 1: '0xffffffffff"),
        ("a: " + "1:" * 30_000 + "1.5", "line 1: '1:1:1:1:1:1:"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "line 1: the tag 'tag:yaml.org,2002:python/object/apply:os.s",
        ),
        ("a: !!binary aGk=", "line 1: the tag 'tag:yaml.org,2002:binary' is refused; write the plain value"),
        ("a: 1\nb: !mine {c: 1}", "line 2: the tag '!mine' is refused; write the plain value"),
        ("!!set {a, b}", "line 1: the tag 'tag:yaml.org,2002:set' is refused"),
    ],
)
def test_bombs_and_tricks_are_refused(text, expected):
    assert sentence(space, text).startswith(f"mine.yml, {expected}")


def test_thousands_of_mistakes_are_one_sentence():
    text = "".join(f"key{number}: 1\n" for number in range(3000))
    assert sentence(space, text) == (
        "mine.yml, line 1: unknown key 'key0'; allowed: name, source, resolution, stem, stages, head, "
        "activation, target, added (and 3004 more mistakes)"  # 2999 more, and 5 that are missing
    )


def test_too_many_stages_and_combinations():
    line = SPACE.splitlines(keepends=True)[5]
    found = sentence(space, SPACE.replace(line, line * 64))
    assert found.startswith("mine.yml, line 5: stages has 65 entries; give at most 64")
    many = ", ".join(map(str, range(1, 121)))
    found = sentence(space, SPACE.replace("[16, 24], layers: 2", f"[{many}], layers: [{many}]"))
    assert found == (  # 2 x 2 x 2 x 2 x 120 x 120
        "mine.yml, line 6: stage1 has 230400 combinations; shorten its lists to 200000 or fewer"
    )


# What YAML 1.1 makes of things, and what is read nevertheless


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("400e6", 400_000_000), ("4.0e8", 400_000_000), ("400M", 400_000_000), ("0.4G", 400_000_000),
        ("400_000_000", 400_000_000), ("4e+8", 400_000_000), ("'400M'", 400_000_000), ("400 M", 400_000_000),
        ("1.5k", 1500), ("400000000.0", 400_000_000), (".5B", 500_000_000),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(written, expected):
    assert space(SPACE.replace("10M", written)).document.target == expected


def test_yaml_gives_some_of_them_as_strings():
    """The reason for `number`: PyYAML's floats need a point and a sign."""
    assert yaml.safe_load("[400e6, 4.0e8, no]") == ["400e6", "4.0e8", False]


@pytest.mark.parametrize("value", [True, None, "", "M", "1e", "0x10", "١", "4 00", [1], {}, "nan", "1,5"])
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match=r"^a number, such as 6 or 400M$"):
        number(value)
    with pytest.raises(ValueError, match=r"^a whole number, such as 24 or 400M$"):
        count(value)


@pytest.mark.parametrize("value", [0.5, "0.5", float("nan"), float("inf"), "1e999", "1e-3"])
def test_what_is_no_whole_number(value):
    assert isinstance(number(value), float)
    with pytest.raises(ValueError, match=r"^a whole number, such as 24 or 400M$"):
        count(value)


def test_whole_floats_become_ints_so_that_json_changes_nothing():
    assert [type(number(value)) for value in (6.0, "6.0", 6, 0.25)] == [int, int, int, float]
    assert space(SPACE.replace("[3, 6]", "[3.0, 6.0]")).sha256 == space(SPACE).sha256


def test_a_date_is_text():
    """PyYAML would make a date of it, which JSON does not know."""
    assert load_yaml("a: 2026-01-31\nb: 2026-99-99\nc: <<\nd: =", "x")[0] == {
        "a": "2026-01-31", "b": "2026-99-99", "c": "<<", "d": "=",
    }  # fmt: skip


def test_the_lines_of_places():
    _, lines = load_yaml("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n", "x")
    assert {path: line for path, line in lines.items() if path} == {
        ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4, ("b", 1, "d"): 5,
    }  # fmt: skip


# Files


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"name: \xff\xfe", r"x\.yml: not UTF-8 text \(byte 6\); save it as UTF-8"),
        (b"", r"x\.yml: is empty; a document is a mapping of keys to values"),
        (b"#" * (MAX_BYTES + 1), r"x\.yml: larger than 64 KiB, which no document is"),
        ("name: \u2028\n".encode(), r"x\.yml"),
    ],
)
def test_files_that_hold_no_document(tmp_path, content, expected):
    path = tmp_path / "x.yml"
    path.write_bytes(content)
    with pytest.raises(NasError, match=expected):
        SearchSpace.load(path)
    with pytest.raises(NasError, match=expected):
        load(path)


def test_a_document_of_the_largest_size_is_read(tmp_path):
    path = tmp_path / "x.yml"
    path.write_text(SPACE + "#" * (MAX_BYTES - len(SPACE)))
    assert SearchSpace.load(path).sha256 == space(SPACE).sha256


def test_paths_that_are_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.yml", tmp_path / ("x" * 300 + ".yml"), "a\0b.yml"):
        with pytest.raises(NasError, match="there is no such file; give the path of a search space's YAML"):
            SearchSpace.load(str(path))
    with pytest.raises(NasError, match=r"cannot be read \(Is a directory\); check the path"):
        read_text(tmp_path)


# Any text, and any change of a good document: a NasError or a document


def mistake(read, *arguments):
    """The sentence of the NasError that `read` raises, or None; any other error passes through."""
    try:
        read(*arguments)
    except NasError as error:
        return str(error)
    return None


def check_both(text):
    for found in (mistake(space, text), mistake(baseline, text)):
        if found is not None:
            assert found.startswith("mine.yml")
            assert "\n" not in found
            assert len(found) < 1000


GOOD = [
    SPACE,
    *(catalog.find("search_spaces", name).read_text() for name in ("digits", "efficientnet")),
    *(catalog.find("baselines", name).read_text() for name in ("efficientnet-b0", "mobilenet-v1")),
]
PIECES = [
    "\n", " ", "  ", "\t", "[", "]", "{", "}", ":", ": ", ",", "-", "- ", "?", "|", ">", "&a", "*a", "!!int ",
    "!x", "'", '"', "%", "@", "`", "#", "---\n", "...\n", "<<: ", "~", "null", "yes", "no", ".nan", ".inf", "-1",
    "0", "1e9", "1e400", "0x_", "1:30", "2026-01-31", "=", "\0", "\x85", "\u2028", "\ud7ff", "𝟛", "stages", "op",
    "name", "skip: ",
]  # fmt: skip


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
@example("a: 'x\ny'")
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_document_or_a_sentence(text):
    check_both(text)


@given(
    st.sampled_from(GOOD),
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 30), st.sampled_from(PIECES) | st.text(max_size=8)),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=300, deadline=None)
def test_a_changed_text_is_a_document_or_a_sentence(text, changes):
    for start, length, put in changes:
        start %= len(text) + 1
        text = text[:start] + put + text[start + length :]
    check_both(text)


words = st.sampled_from(["conv", "mbconv", "none", "pool", 0, 1, 3, 0.25, 6, "400M", "1e9", -1, 10**30])
keys = st.text(max_size=5) | st.sampled_from(["op", "kernel", "int"]) | st.integers()
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


def places(data, path=()):
    yield path
    for key, value in (
        data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    ):
        yield from places(value, (*path, key))


@given(st.sampled_from(GOOD), st.data())
@settings(max_examples=300, deadline=None)
def test_changed_data_is_a_document_or_a_sentence(text, data):
    """As NNI hands a document on: plain data, one place of it replaced by something else."""
    found = yaml.safe_load(text)
    *above, last = data.draw(st.sampled_from([path for path in places(found) if path]))
    parent = found
    for key in above:
        parent = parent[key]
    parent[last] = data.draw(plain)
    as_space = mistake(SearchSpace.from_data, found, "mine")
    as_baseline = mistake(lambda: from_document(BaselineDocument.check(found, "mine")))
    assert (as_space or "mine: ").startswith("mine: ")
    assert (as_baseline or "mine: ").startswith("mine: ")


@given(st.text(max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_name_is_found_or_a_sentence(name):
    for kind in ("search_spaces", "baselines"):
        found = mistake(catalog.find, kind, name)
        assert found is None or short(name) in found or str(NasError(name)) in found  # escaped


def test_plain_data_of_nni():
    data = json.loads(json.dumps(yaml.safe_load(SPACE)))
    assert SearchSpace.from_data(data).sha256 == space(SPACE).sha256
    data["stages"][0]["kernel"] = []
    assert mistake(SearchSpace.from_data, data) == (
        "search space: stage1.kernel is empty; give at least one value"
    )
    assert mistake(SearchSpace.from_data, "mnasnet", "config") == (
        "config: the document is 'mnasnet'; give a mapping such as {key: value}"
    )


# Words of the messages


def test_near_and_listed_and_short():
    assert near("kernl", ["kernel", "skip"]) == " (did you mean 'kernel'?)"
    assert near("stage1.sk", ["stage1.skip", "stage1.se"]) == " (did you mean 'stage1.skip' or 'stage1.se'?)"
    assert near("x", ["kernel", "skip"]) == near("k" * 10**6, ["kernel"]) == ""
    assert listed(["a", 1, 0.5]) == "a, 1, 0.5"
    assert short("x" * 100) == "'" + "x" * 56 + "..."
    assert short([1, 2]) == "[1, 2]"
