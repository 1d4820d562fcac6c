"""The site of `make docs`: it builds strictly, fetches nothing, and a link or an anchor that leads nowhere ends it."""

import html.parser
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TOOL = runpy.run_path(str(ROOT / "tools" / "site.py"))


def build(config: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


def configured(folder: Path, nav: str) -> Path:
    """The repository's own configuration, for pages in `folder`, with another menu."""
    text = (ROOT / "mkdocs.yml").read_text()
    text = text.replace("build/pages", str(folder / "pages")).replace("build/site", str(folder / "site"))
    path = folder / "mkdocs.yml"
    path.write_text(text[: text.index("\nnav:")] + f"\nnav: {nav}\n")
    return path


class References(html.parser.HTMLParser):
    """What a page has the browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"script": "src", "img": "src", "iframe": "src", "link": "href"}.get(tag)
        self.found += [value for name, value in attrs if name == wanted and value]


@pytest.mark.slow
def test_the_site_is_built_strictly_and_fetches_nothing(tmp_path):
    TOOL["copy"](tmp_path / "pages")
    text = (ROOT / "mkdocs.yml").read_text()
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        text.replace("build/pages", str(tmp_path / "pages")).replace("build/site", str(tmp_path / "site"))
    )
    done = build(config)
    assert done.returncode == 0, done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        references = References()
        references.feed(page.read_text(encoding="utf-8"))
        assert [r for r in references.found if re.match(r"(https?:)?//", r)] == [], page.name
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Two commands" in home
    guide = (tmp_path / "site" / "docs" / "own-images.html").read_text(encoding="utf-8")
    assert "<li>copies: of images" in re.sub(r"\s+", " ", guide).replace("<li> ", "<li>").replace("<p>", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "nav", "said"),
    [
        ("# A\n\n[b](b.md#two)\n", "[a.md, b.md]", None),
        ("# A\n\n[b](c.md)\n", "[a.md, b.md]", "c.md"),
        ("# A\n\n[b](b.md#three)\n", "[a.md, b.md]", "three"),
        ("# A\n\n[b](#nowhere)\n", "[a.md, b.md]", "nowhere"),
        ("# A\n\n![picture](x.png)\n", "[a.md, b.md]", "x.png"),
        ("# A\n", "[a.md]", "b.md"),
    ],
    ids=["good", "page", "anchor", "own anchor", "picture", "in no menu"],
)
def test_what_leads_nowhere_ends_it(page, nav, said, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.md").write_text(page)
    (tmp_path / "pages" / "b.md").write_text("# B\n\n## Two\n")
    done = build(configured(tmp_path, nav))
    assert (done.returncode == 0) is (said is None), done.stderr
    assert said is None or said in done.stderr


def test_every_page_is_in_the_menu_once():
    text = (ROOT / "mkdocs.yml").read_text()
    nav = yaml.safe_load(text[text.index("\nnav:") :])["nav"]  # above it stands a tag of mkdocs' own

    def pages(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [
            page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages(part)
        ]

    found = pages(nav)
    assert len(found) == len(set(found))
    existing = {str(path.relative_to(ROOT)) for pattern in TOOL["PAGES"] for path in ROOT.glob(pattern)}
    assert set(found) == existing


def test_pages_are_changed_as_little_as_mkdocs_wants():
    text = "Para\n- a\n- b\n  more\n\n```yaml search.yml\n- x: 1\n```\n1. one\nlast"
    assert TOOL["page"](text) == "Para\n\n- a\n- b\n  more\n\n```yaml\n- x: 1\n```\n\n1. one\nlast"
