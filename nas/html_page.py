"""A report's Markdown as one HTML page that needs nothing else: pictures inside, no script, light and dark, printable.

>>> page = html_page("# Of <b> and ![x](http://elsewhere/x.png)", {}).decode()
>>> "<h1>Of &lt;b&gt; and x</h1>" in page, "http://" in page
(True, False)
"""

import base64
import html
import struct
from collections.abc import Mapping

from markdown_it import MarkdownIt
from markdown_it.token import Token

from nas.search.drawing import FINE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load for the page: nothing from elsewhere, and no script."""
STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --soft: #5b6167; --line: #d9dcdf; --wash: #f4f6f7;
  --accent: #0b6e99; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e5e7; --paper: #15171a; --soft: #a3a9af; --line: #363b41;
  --wash: #1f2327; --accent: #6cc0e5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 58rem; padding: 1.5rem 1.25rem 4rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0.5rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 0.8rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 0.5rem; }
p, li { max-width: 46rem; overflow-wrap: anywhere; }
p:has(> img) { max-width: none; }
nav { margin: 1rem 0 1.5rem; padding: 0.6rem 0.9rem; background: var(--wash); border-radius: 6px; font-size: 0.9rem; }
nav a { color: var(--accent); margin-right: 1.1rem; text-decoration: none; white-space: nowrap; }
nav a:hover { text-decoration: underline; }
code { font: 0.88em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--wash);
  padding: 0.1em 0.3em; border-radius: 3px; overflow-wrap: anywhere; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.28rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
img { display: block; max-width: 100%; height: auto; margin: 1rem 0; background: #fff; border-radius: 6px; }
@media (prefers-color-scheme: dark) { img { padding: 6px; } }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #444; --line: #bbb; --wash: #f4f4f4;
    --accent: #000; }
  html { font-size: 10pt; }
  body { max-width: none; padding: 0; }
  nav { display: none; }
  h1, h2, h3, p:has(+ p > img) { break-after: avoid; }
  h2 { margin-top: 1.6rem; }
  img { break-inside: avoid; max-height: 22cm; padding: 0; }
  tr { break-inside: avoid; }
  thead { display: table-header-group; }
  .table { overflow: visible; }
  table { font-size: 8pt; }
  th, td { padding: 0.15rem 0.4rem; }
}
"""


def html_page(markdown: str, pictures: Mapping[str, bytes]) -> bytes:
    """The page.

    Args:
        markdown: CommonMark with tables; HTML in it is text, and so are links, for both may come from the name of a
            document.
        pictures: file name -> PNG; an image that is none of them, or of one that the page has already, is its
            description alone.
    """
    reader = (
        MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])
    )
    tokens = reader.parse(markdown)
    headings = [
        ("".join(child.content for child in tokens[n + 1].children or ()), token)
        for n, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag in ("h1", "h2")
    ]
    parts = []
    for name, token in headings:
        if token.tag == "h2":
            token.attrSet("id", f"part{len(parts) + 1}")
            parts.append(f'<a href="#part{len(parts) + 1}">{html.escape(name)}</a>')
    left = dict(pictures)
    for token in tokens:
        _inside(token, left)
    body = reader.renderer.render(tokens, reader.options, {})
    body = body.replace("<table>", '<div class="table">\n<table>').replace("</table>", "</table>\n</div>")
    if len(parts) > 1:
        body = body.replace("</h1>\n", f"</h1>\n<nav>{' '.join(parts)}</nav>\n", 1)
    title = next((name for name, token in headings if token.tag == "h1"), "Report")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    ).encode()


def _inside(token: Token, pictures: dict[str, bytes]) -> None:
    """Moves pictures into the images of a token, each once, and makes text of other images."""
    for child in token.children or ():
        if child.type != "image":
            continue
        name = str(child.attrGet("src"))
        if name not in pictures:
            child.type, child.tag, child.children = "text", "", None
            continue
        picture = pictures.pop(name)
        width, height = struct.unpack(">II", picture[16:24])  # of PNG's header
        child.attrs = {
            "src": f"data:image/png;base64,{base64.b64encode(picture).decode()}", "alt": "",
            "width": round(width / FINE), "height": round(height / FINE),
        }  # fmt: skip
