"""Who asks for searches on other machines where they cannot run does not take that for a success."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("marks", "code", "said"), [("remote", 4, "cannot be tried here: "), ("not remote", 0, "")]
)
def test_what_cannot_run_fails_where_it_is_asked_for(marks, code, said):
    """There is nothing on PATH, and so no ip, no unshare."""
    words = [
        "-m",
        "pytest",
        "tests/remote",
        "-m",
        marks,
        "-n",
        "0",
        "--collect-only",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={"PATH": "/nowhere", "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
