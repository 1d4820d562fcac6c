"""The notebooks: what they show was made by their own cells, in order, and the cells run as they stand."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict]:
    return [
        cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_there_and_say_nothing_of_the_machine(path):
    code = cells(path)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["outputs"] for cell in code)
    assert {o["output_type"] for cell in code for o in cell["outputs"]} <= {
        "stream",
        "execute_result",
        "display_data",
    }
    pictures = [o for cell in code for o in cell["outputs"] if "image/png" in o.get("data", {})]
    assert len(pictures) >= 4
    text = path.read_text(encoding="utf-8")
    assert "Traceback" not in text
    assert '"/' not in text
    for place in ("/home/", "/root/", "/tmp/", "/Users/", "site-packages"):
        assert place not in text


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_run(path, tmp_path, monkeypatch, capsys):
    """In this process, one after the other; numbers may differ in the last digits from machine to machine."""
    import matplotlib

    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    scope: dict = {"__name__": "__main__"}
    for number, cell in enumerate(cells(path), 1):
        exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), scope)
        printed = capsys.readouterr().out
        shown = "".join("".join(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream")
        assert len(printed.splitlines()) == len(shown.splitlines()), f"cell {number}"
    assert scope["search"].best.accuracy > 0.7  # ten classes: 0.1 is chance
    assert all(accuracy > 0.9 for accuracy in scope["tested"].values())
    assert (scope["folder"] / "digits-notebook.yml").is_file()
    assert scope["family"]["phi 2"].macs > scope["family"]["phi 1"].macs > scope["base"].architecture.macs
