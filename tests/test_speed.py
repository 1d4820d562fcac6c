"""The page on speed tells what the rows of its benchmarks say."""

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if str(ROOT / "benchmarks") not in sys.path:
    sys.path.append(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("name", ["trial_start", "trials_an_hour", "train_step", "data_path"])
def test_the_page_has_what_the_rows_say(name):
    module = importlib.import_module(name)
    rows = [json.loads(line) for line in module.ROWS.read_text().splitlines()]
    assert module.report(rows) in (ROOT / "docs" / "speed.md").read_text()
