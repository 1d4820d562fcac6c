"""docs/extend.md, followed to the letter: each part in its own copy of the repository, its commands run there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "nas",
    "tests",
    "tools",
    "search_spaces",
    "baselines",
    "schemas",
    "docs",
    "pyproject.toml",
    "README.md",
)
HELD = ("An op", "A strategy")
"""Parts after which schemas are written anew, as they say, and held to code and pages."""
FENCE = re.compile(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", flags=re.M)


class Block(NamedTuple):
    language: str
    mark: str
    text: str


def parts() -> dict[str, list[Block]]:
    """Heading -> blocks, in order."""
    return {title: [Block(*match) for match in FENCE.findall(text)] for title, text in sections().items()}


def sections() -> dict[str, str]:
    """Heading -> text."""
    _, *found = re.split(r"^## (.+)$", (ROOT / "docs" / "extend.md").read_text(), flags=re.M)
    return dict(zip(found[::2], found[1::2], strict=True))


def patch(path: Path, text: str) -> None:
    """Changes a file as a block with `+` and `-` says; what it begins from must stand there once."""
    lines = text.splitlines()
    assert {line[:1] for line in lines} <= {" ", "+", "-"}, text
    before = "\n".join(line[1:] for line in lines if line[0] != "+")
    after = "\n".join(line[1:] for line in lines if line[0] != "-")
    content = path.read_text()
    assert content.count(before + "\n") == 1, f"{path.name} has {content.count(before)} times:\n{before}"
    path.write_text(content.replace(before + "\n", after + "\n"))


def run(command: str, folder: Path) -> str:
    program, *words = shlex.split(command)
    start = {"nas": [sys.executable, "-m", "nas.cli"], "python": [sys.executable]}[program]
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*start, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def matches(expected: list[str], printed: str) -> bool:
    """`...` stands for any lines, and within a line for any text."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\s*\n"
        for line in expected
    )
    return re.fullmatch(pattern, printed) is not None


def test_the_page_has_its_four_parts():
    assert list(parts()) == ["A search space", "An op", "A strategy", "An evaluator"]
    assert all(any(block.language == "console" for block in blocks) for blocks in parts().values())


@pytest.mark.slow
@pytest.mark.parametrize("part", parts())
def test_following_the_page_works(part, tmp_path):
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / name)
    for block in parts()[part]:
        kind, _, name = block.mark.partition(" ")
        if kind == "new":
            assert not (tmp_path / name).exists(), name
            (tmp_path / name).write_text(block.text)
        elif block.language == "diff":
            patch(tmp_path / block.mark, block.text)
        else:
            assert block.language == "console", block
            for piece in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
                command, *expected = piece.splitlines()
                printed = run(command, tmp_path)
                assert matches(expected, printed), f"{command}\n{printed}"
                if "pytest" in command:
                    assert " passed" in printed
    if part in HELD:
        assert "`make docs`" in sections()[part]
        schemas = "python -m pytest tests/test_schemas.py -q -n 0 -p no:cacheprovider"
        with pytest.raises(AssertionError, match="run `make docs`"):
            run(schemas, tmp_path)
        run("python tools/schemas.py", tmp_path)
        run(schemas, tmp_path)
    style = ["ruff", "check", "nas", "tests", "--select", "E,F,W,I,B"]
    done = subprocess.run(
        [sys.executable, "-m", *style], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_patch_wants_what_it_begins_from(tmp_path):
    path = tmp_path / "x.py"
    path.write_text("a = 1\nb = 2\n")
    patch(path, " a = 1\n+c = 3\n-b = 2\n")
    assert path.read_text() == "a = 1\nc = 3\n"
    with pytest.raises(AssertionError, match="has 0 times"):
        patch(path, " b = 2\n+d = 4\n")
