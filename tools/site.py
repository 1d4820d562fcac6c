"""Builds the documentation as a site, in build/site; strictly: what leads nowhere ends it.

    python tools/site.py

The pages are those that the forge shows, with the same relative links: README is the home page, and everything that a
page links to (documents, benchmarks, pictures) lies where it lies in the repository. They are copied to build/pages, as
mkdocs takes one folder, with two changes: the words after a block's language, which tests read, are left out, and a
list that follows a paragraph gets the empty line that mkdocs' Markdown wants.

>>> print(page("Two:\\n- a\\n\\n```yaml search.yml\\n- b: 1\\n```"))
Two:
<BLANKLINE>
- a
<BLANKLINE>
```yaml
- b: 1
```
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "search_spaces/README.md", "baselines/README.md", "benchmarks/README.md")
BESIDE = (
    "search*.yml", "Makefile", "CITATION.cff", "docs/images/*", "docs/notebooks/*", "search_spaces/*.yml",
    "baselines/*.yml", "benchmarks/*.py", "benchmarks/results/**/*", "schemas/*.json",
)  # fmt: skip
ITEM = re.compile(r"(\s*)([-*]|\d+\.) ")


def page(text: str) -> str:
    """A page of the repository as mkdocs reads it."""
    lines: list[str] = []
    inside, before = False, ""
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
            line = re.sub(r"^```(\w+) .*", r"```\1", line)
        elif (
            not inside
            and ITEM.match(line)
            and before.strip()
            and not before[0].isspace()
            and not ITEM.match(before)
        ):
            lines.append("")
        lines.append(line)
        before = line
    return "\n".join(lines)


def copy(folder: Path) -> None:
    """Pages, and what they link to, into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for pattern in (*PAGES, *BESIDE):
        for source in sorted(ROOT.glob(pattern)):
            if source.is_file():
                target = folder / source.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.suffix == ".md":
                    target.write_text(page(source.read_text(encoding="utf-8")) + "\n", encoding="utf-8")
                else:
                    shutil.copyfile(source, target)


def main() -> int:
    copy(ROOT / "build" / "pages")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(ROOT / "mkdocs.yml")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # an advertisement of the theme's
    code = subprocess.run(words, check=False, env=environment).returncode
    if code == 0:
        print("build/site/index.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
