"""The pages describe what the software does: their links, commands, documents and examples are run.

Blocks are marked by the words after their language:

    console                  commands after `$ `, and what they print (`...`: anything); see RUN
    sh                       commands, parsed by the program they name
    yaml search.yml          a whole search.yml
    yaml part of search.yml  keys that replace those of the repository's search.yml
    yaml classArgs           the tuner's settings
    yaml space NAME.yml      a search space, which the page's search.yml may name
    yaml stage of a space    one stage (or: of a baseline)
    json table NAME.json     a table of recorded results, which the page's search.yml may name (or: csv)
    python                   run where it has `>>>`, else compiled
    python new PATH, diff PATH (docs/extend.md alone)  see tests/test_extend.py
"""

import argparse
import ast
import doctest
import logging
import re
import runpy
import shlex
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from typer.cli import app as typer_app
from typer.testing import CliRunner

import nas
from nas import catalog
from nas.baseline import from_document
from nas.cli import app
from nas.documents import BaselineDocument, Facts, Provenance, SpaceDocument, StageLine
from nas.evaluators.table import Table
from nas.export import MODELS, export_text
from nas.ops import OPS
from nas.search.config import ASSESSORS, BUILTIN_TUNERS, SearchConfig
from nas.search.journal import STATES
from nas.search.options import parser as trial_parser
from nas.search.settings import BY_NAME, Limits, RewardSettings, TunerSettings
from nas.space import SearchSpace

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
HAND_WRITTEN = [page for page in PAGES if page.name not in ("cli.md", "api.md")]
FOLLOWED = ROOT / "docs" / "extend.md"
"""What it shows is done step by step in a copy of the repository: tests/test_extend.py."""
RUN = {"space", "show", "scale", "export"}
"""Commands that are quick and need nothing: what the pages say they print is compared."""
PLACEHOLDERS = {"BASELINE", "SPACE", "NAME", "RUN", "ID"}
OTHER_PROGRAMS = {"source", "ssh", "tensorboard"}

COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]


class Block(NamedTuple):
    """A fenced block: what stands after its language, where it is, and its lines."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def split(page: Path) -> tuple[str, list[Block]]:
    """A page's prose, blocks blanked out, and its blocks."""
    prose: list[str] = []
    blocks: list[Block] = []
    opened: tuple[int, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if opened is None:
                opened, inside = (number, line[3:].strip()), []
            else:
                language, _, mark = opened[1].partition(" ")
                blocks.append(Block(page, opened[0], language, mark, "\n".join(inside) + "\n"))
                opened = None
            prose.append("")
        else:
            prose.append(line if opened is None else "")
            inside.append(line)
    assert opened is None, f"{page}: a block that line {opened} opens is not closed"
    return "\n".join(prose), blocks


PROSE = {page: split(page)[0] for page in PAGES}
BLOCKS = [block for page in HAND_WRITTEN if page != FOLLOWED for block in split(page)[1]]


def blocks(*languages: str) -> list[Any]:
    return [pytest.param(b, id=b.where) for b in BLOCKS if b.language in languages]


def by_page(pages: list[Path]) -> list[Any]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


def code_words(page: Path) -> list[str]:
    """What stands in backticks outside of blocks; a line may break in it."""
    text = re.sub(r"(?<!\n)\n *(?!\n)", " ", PROSE[page])
    return re.findall(r"`([^`\n]+)`", text)


def test_every_block_is_of_a_known_kind():
    known = {"console", "sh", "yaml", "json", "csv", "python", "text", "diff"}
    assert {block.language for block in BLOCKS} <= known
    assert len(BLOCKS) > 30


# Links


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", split(page)[0], flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", by_page(HAND_WRITTEN))
def test_links_and_images_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", PROSE[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.name} links to {target}: {sorted(anchors(found))}"


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", split(page)[0])
        waiting += [(page.parent / t).resolve() for t in targets if "://" not in t]
    assert set(PAGES) <= reached


# Commands


@cache
def nnictl_parser() -> argparse.ArgumentParser:
    level = logging.getLogger().level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # nnictl imports pkg_resources
        from nni.tools.nnictl.nnictl import get_parser
    try:
        return get_parser()
    finally:
        logging.getLogger().setLevel(level)  # which NNI sets


def parse_nas(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command and its parameters; raises where the command line would not take them."""
    name, *arguments = words
    assert name in COMMANDS, f"nas has no command {name}: {sorted(COMMANDS)}"
    return name, COMMANDS[name].make_context(name, arguments).params


def check_names(name: str, params: dict[str, Any], made: set[str]) -> None:
    """The documents that a command names exist, or were made by a command before it."""
    kinds = {"space": "search_spaces", "show": "baselines", "scale": "baselines", "export": None}
    if name not in kinds:
        return
    given = str(params[{"space": "space", "export": "document"}.get(name, "baseline")])
    kind = kinds[name] or ("search_spaces" if params["to"] == "nni" else "baselines")
    if given not in PLACEHOLDERS | made:
        catalog.find(kind, given)


def check_command(line: str, made: set[str]) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "export":  # of what a command prints
        words = shlex.split(words[1].partition("=")[2].removeprefix("$(").removesuffix(")"))
    program = words[0]
    if program in ("nas", ".venv/bin/nas"):
        name, params = parse_nas(words[1:])
        check_names(name, params, made)
        if name in ("search", "freeze") and params["name"]:
            made.add(params["name"])
        if name == "scale" and params["save"]:
            tails = [f"phi{phi}" for phi in (params["phi"] or "").split(",")]
            made |= {f"{params['baseline']}-{tail}" for tail in [*tails, *(params["macs"] or "").split(",")]}
    elif program == "make":
        rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
        assert [w for w in words[1:] if "=" not in w], f"{line} names no target"
        assert {w for w in words[1:] if "=" not in w} <= set(rules), line
    elif program in ("nnictl", ".venv/bin/nnictl"):
        nnictl_parser().parse_args(words[1:])
    elif program.endswith("python"):
        assert words[1] == "-m", line
        if words[2] == "nas.search.trial":
            trial_parser().parse_args(words[3:])
        else:
            assert words[2] == "pytest", line
    else:
        assert program in OTHER_PROGRAMS, f"what is {program}? {line}"


@pytest.mark.parametrize("page", by_page(HAND_WRITTEN))
def test_commands_are_what_the_programs_take(page):
    made: set[str] = {b.mark.removeprefix("space ") for b in BLOCKS if b.mark.startswith("space ")}
    for block in [b for b in BLOCKS if b.page == page]:
        lines = block.text.splitlines() if block.language == "sh" else []
        if block.language == "console":
            lines = [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]
            assert lines, f"{block.where} has no command"
        for line in filter(None, lines):
            try:
                check_command(line, made)
            except (Exception, SystemExit) as error:
                pytest.fail(f"{block.where}: {line}: {error}")


@pytest.mark.parametrize("page", by_page([page for page in HAND_WRITTEN if page != FOLLOWED]))
def test_commands_and_options_in_the_prose_exist(page):
    for code in code_words(page):
        words = code.split()
        if words[0] == "nas" and len(words) > 1 and words[1].islower():
            assert words[1] in COMMANDS, f"`{code}`"
            known = {option for p in COMMANDS[words[1]].params for option in p.opts} | {"--help"}
            assert {w for w in words if w.startswith("--")} <= known, f"`{code}`"
        elif words[0] == "make" and len(words) > 1:
            check_command(code, set())
        elif words[0] == "nnictl" and len(words) > 1:
            (verbs,) = [a.choices for a in nnictl_parser()._actions if a.choices]
            assert words[1] in verbs, f"`{code}`"
        elif words[0].startswith("--"):
            known = {o for c in COMMANDS.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
            known |= set(trial_parser()._option_string_actions)
            known |= {"--bind_all", "--require-hashes"}  # TensorBoard's, pip's
            assert words[0] in known, f"`{code}`"


def test_the_readme_shows_every_command():
    shown = re.findall(r"^\$ nas (\w+)", (ROOT / "README.md").read_text(), flags=re.M)
    assert set(shown) == set(COMMANDS)


@pytest.mark.parametrize("block", [p for p in blocks("console") if "$ nas " in p.values[0].text])
def test_commands_print_what_the_pages_say(block, monkeypatch):
    monkeypatch.chdir(ROOT)
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, *expected = part.splitlines()
        _, name, *arguments = shlex.split(command)
        if name not in RUN or set(arguments) & set(MODELS):  # networks with their weights take a while
            continue
        result = CliRunner().invoke(app, [name, *arguments])
        assert result.exception is None, f"{block.where}: {command}: {result.exception!r}"
        printed = [line.rstrip() for line in result.stdout.splitlines() if set(line) - set(" ─")]
        assert expected, f"{block.where}: {command} shows nothing"
        compare(expected, printed, f"{block.where}: {command}")


def compare(expected: list[str], printed: list[str], where: str) -> None:
    """Every expected line is the next one printed; after `...` it may come later."""
    position, skipping = 0, False
    for line in expected:
        if line == "...":
            skipping = True
            continue
        found = next((i for i in range(position, len(printed)) if printed[i] == line.rstrip()), None)
        assert found is not None, f"{where} prints no further line {line!r}:\n" + "\n".join(printed)
        assert skipping or found == position, f"{where} prints {printed[position]!r} before {line!r}"
        position, skipping = found + 1, False
    assert skipping or position == len(printed), f"{where} prints more: {printed[position:]}"


# Documents


def as_stages(mark: str, stage: dict[str, Any]) -> dict[str, Any]:
    return {"name": mark.rsplit(" ", 1)[1], "resolution": 32, "stem": {"channels": 16}, "head": {"channels": 64},
            "stages": [stage]}  # fmt: skip


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with what a search.yml may name: the shipped spaces, and those of the pages."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").symlink_to(ROOT / "search_spaces")
    (tmp_path / "digits.nni.json").write_text(export_text("digits", "nni"))
    for block in BLOCKS:
        kind, _, name = block.mark.partition(" ")
        if kind in ("space", "table"):
            (tmp_path / name).write_text(block.text)
    return tmp_path


@pytest.mark.parametrize("block", blocks("yaml"))
def test_documents_are_read_by_their_readers(block, workplace):
    data = yaml.safe_load(block.text)
    path = workplace / "search.yml"
    if block.mark == "search.yml":
        path.write_text(block.text)
        config = SearchConfig.read(path, data=False)
        assert config.trial is not None, "the trial's command was not read"
    elif block.mark == "part of search.yml":
        whole = yaml.safe_load((ROOT / "search.yml").read_text())
        path.write_text(yaml.safe_dump(whole | data))
        SearchConfig.read(path, data=False)
    elif block.mark == "classArgs":
        TunerSettings.read(data, block.where)
    elif block.mark.startswith("space "):
        assert SearchSpace.load(workplace / block.mark.removeprefix("space ")).size > 1
    elif block.mark == "stage of a space":
        assert SearchSpace.from_data(as_stages(block.mark, data)).size > 1
    elif block.mark == "stage of a baseline":
        from_document(BaselineDocument.check(as_stages(block.mark, data), block.where))
    else:
        pytest.fail(f"{block.where}: what is a yaml block marked {block.mark!r}? See this test's docstring")


@pytest.mark.parametrize("block", blocks("json", "csv"))
def test_tables_are_read(block, workplace):
    kind, _, name = block.mark.partition(" ")
    assert kind == "table", f"{block.where}: what is a block marked {block.mark!r}? See this test's docstring"
    assert len(Table.read(workplace / name).records) > 1


@pytest.mark.parametrize("path", sorted(ROOT.glob("search*.yml")), ids=lambda path: path.name)
def test_the_shipped_configurations_are_read(path, tmp_path, monkeypatch):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa").touch(0o600)  # of those for other machines
    monkeypatch.setenv("HOME", str(tmp_path))
    searched = "scale:mobilenet-v2"  # where the file leaves it to `nas scale BASELINE`
    assert SearchConfig.read(path, data=False, searched=searched).trial is not None


# Python


@pytest.mark.parametrize("page", by_page([p for p in HAND_WRITTEN if any(b.page == p for b in BLOCKS)]))
def test_python_runs(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    scope: dict[str, Any] = {}
    for block in [b for b in BLOCKS if b.page == page and b.language == "python"]:
        if ">>>" not in block.text:
            compile(block.text, block.where, "exec")
            continue
        test = doctest.DocTestParser().get_doctest(block.text, scope, block.where, str(page), block.line)
        report: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append, clear_globs=False)
        scope = test.globs
        assert not report, "".join(report)


# Names, and completeness


@pytest.mark.parametrize("page", by_page(HAND_WRITTEN))
def test_names_of_the_catalogue_exist(page):
    known = set(catalog.names("search_spaces")) | set(catalog.names("baselines"))
    for code in code_words(page):
        if re.fullmatch(r"(efficientnet|mnasnet|mobilenet)(-[\w.]+)*", code):
            assert re.sub(r"-phi\d+$", "", code) in known, f"`{code}`"


def test_the_readme_and_the_package_have_one_vocabulary():
    def table(text: str) -> list[str]:
        return re.findall(
            r"^\| .+ \|$", text[text.index("| word | meaning |") :].split("\n\n")[0], flags=re.M
        )

    assert nas.__doc__ is not None
    assert len(table(nas.__doc__)) > 10
    assert table((ROOT / "README.md").read_text()) == table(nas.__doc__)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("docs/search.md", [*TunerSettings.model_fields, *RewardSettings.model_fields, *Limits.model_fields]),
        ("docs/search.md", [name for model in BY_NAME.values() for name in model.model_fields]),
        ("docs/search.md", [*BUILTIN_TUNERS, *ASSESSORS]),
        ("docs/search.md", [o for o in trial_parser()._option_string_actions if o not in ("-h", "--help")]),
        ("baselines/README.md", [*Facts.model_fields, *Provenance.model_fields]),
    ],
    ids=["classArgs", "hyper-parameters", "NNI's own", "trial options", "facts"],
)
def test_nothing_is_left_out(page, words):
    told = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`\n]+)`", (ROOT / page).read_text()))))
    assert {word for word in words if word not in told} == set()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("docs/concepts.md", [*SpaceDocument.model_fields, *BaselineDocument.model_fields, *StageLine.model_fields]),
        ("docs/concepts.md", list(OPS)),
        ("docs/search.md", [*BY_NAME, *STATES]),
        ("docs/search.md", [o for p in COMMANDS["search"].params for o in p.opts if o.startswith("--")]),
    ],
    ids=["document fields", "ops", "strategies and states", "search options"],
)  # fmt: skip
def test_each_has_a_row_of_its_own(page, words):
    rows = set(re.findall(r"^\| `([^`]+)` \|", (ROOT / page).read_text(), flags=re.M))
    assert {word for word in words if word not in rows} == set()


def test_default_options_of_a_trial_are_those_of_the_code():
    """docs/search.md: | `--lr` | 0.1 | ..."""
    from nas.recipe import TrainingConfig
    from nas.search.options import TRAINING

    rows = dict(
        re.findall(r"^\| `(--[\w-]+)` \| `?([\w.-]+)`? \|", (ROOT / "docs/search.md").read_text(), flags=re.M)
    )
    for option in TRAINING:
        default = TrainingConfig.model_fields[option.removeprefix("--").replace("-", "_")].default
        assert rows[option] == str(default) or float(rows[option]) == default, option


def test_what_is_said_of_timm_is_so():
    """docs/comparison.md, of the version that it names."""
    timm = pytest.importorskip("timm")
    said = re.search(
        r"(\d,\d+) sets of pretrained\s+weights for (\d,\d+) architectures \(timm ([\d.]+),",
        (ROOT / "docs" / "comparison.md").read_text(),
    )
    assert said is not None
    if timm.__version__ != said[3]:
        pytest.skip(f"the page is of timm {said[3]}")
    names = timm.list_pretrained()
    assert (said[1], said[2]) == (f"{len(names):,}", f"{len({name.partition('.')[0] for name in names}):,}")


@cache
def sentences() -> list[str]:
    """Every string in the code, with `\0` for what is put into it."""
    found = []
    for path in sorted((ROOT / "nas").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "\0" for p in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_the_errors_of_the_troubleshooting_table_are_said_by_the_code():
    text = (ROOT / "docs/search.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| .+ \|$", text[text.index("## Troubleshooting") :], flags=re.M)
    assert len(rows) > 20
    for row in rows:
        pattern = re.compile(".*".join(map(re.escape, row.split("..."))), flags=re.S)
        assert any(pattern.search(sentence) for sentence in sentences()), row


def test_the_reference_is_what_make_docs_writes():
    result = CliRunner().invoke(typer_app, ["nas.cli", "utils", "docs", "--name", "nas"])
    written = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert result.output.strip() == written.strip(), "the command line has changed: run `make docs`"


def test_the_list_of_commands_is_not_cut_off():
    written = (ROOT / "docs" / "reference" / "cli.md").read_text()
    rows = re.findall(r"^\* `(\w+)`: (.+)$", written, flags=re.M)
    assert {name for name, _ in rows} == set(COMMANDS)
    assert not [row for row in rows if not row[1].endswith(".") or row[1].endswith("...")]


def test_the_table_of_a_stem_names_the_networks_that_its_docstring_does():
    page = (ROOT / "search_spaces" / "README.md").read_text()
    for field in ("first", "pool", "valid", "bias"):
        told = re.search(rf"^ +{field}: (?:.|\n)*?\(([A-Z][\w, ]+)\)\.", nas.Stem.__doc__ or "", flags=re.M)
        row = re.search(rf"^\| `stem\.{field}` \| .*\(([A-Z][\w, ]+)\) \|", page, flags=re.M)
        assert told is not None, field
        assert row is not None, field
        assert row[1] == told[1], field


def test_the_python_reference_is_what_make_docs_writes():
    found = runpy.run_path(str(ROOT / "tools" / "api.py"))
    written = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    assert found["text"]() == written, "a docstring or a signature has changed: run `make docs`"
    assert set(re.findall(r"^## nas\.(\w+)$", written, flags=re.M)) == set(nas.__all__)
