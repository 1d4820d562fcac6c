"""Claim: none. What `nas init`, `calibrate`, `search --known-answers` and `certify` say of scikit-learn's digits, once.

    nas init --data digits --epochs 8 --concurrency 2
    nas calibrate digits/space.yml --data split:digits/split.json --pilot 24 --epochs 8 --fidelity epochs=2 \\
        --fidelity epochs=4 --fidelity fraction=0.5 --jobs 2
    nas search digits/search.yml --trials 40 --known-answers
    nas certify RUN --top 3 --seeds 5 --epochs 30 --jobs 2 --family
    .venv/bin/python benchmarks/digits_run.py collect digits          copies what they wrote
    .venv/bin/python benchmarks/digits_run.py report                  the tables of docs/results.md

Cost, estimated before: 192 trainings of a pilot, 40 trials, 40 random ones, 60 of finalists, 30 to judge: 40 minutes
on two idle cores. Nothing was chosen after it was looked at; it was done once.
"""

import json
import sys
from pathlib import Path

from nas.search.calibration_file import read_calibration
from nas.search.calibration_words import exponent_markdown, proxies_markdown
from nas.search.certificate_file import Certificate
from nas.search.known import read
from nas.search.lines import dump
from nas.search.lines import read as lines_of
from nas.search.verdict_words import certificate_markdown, known_markdown

OUT = Path(__file__).parent / "results" / "digits"
FROM = {
    "calibration.json": "pilots/*/calibration.json", "pilot.jsonl": "pilots/*/journal.jsonl",
    "search.jsonl": "*/runs/*/journal.jsonl", "known.json": "*/runs/*/known.json",
    "certificate.json": "*/runs/*/certificate/certificate.json",
    "certificate.jsonl": "*/runs/*/certificate/journal.jsonl",
}  # fmt: skip
"""What is kept, and where below the folder the commands leave it."""


def collect(folder: Path) -> None:
    """Copies what the commands wrote; `folder` is where they were run."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, pattern in FROM.items():
        found = sorted(folder.glob(pattern))
        if len(found) != 1:
            sys.exit(f"digits_run: {folder} has {len(found)} files {pattern}; give the folder of one run")
        content = found[0].read_bytes()
        (OUT / name).write_bytes(without_machine(content) if name.endswith(".jsonl") else content)


def without_machine(journal: bytes) -> bytes:
    """A journal whose run event says nothing of the machine: no folder of NNI's, and no path of Python's."""
    lines = []
    for line in lines_of(journal):
        event = line.event
        if event is not None and event["event"] == "run" and event.get("command"):
            python, rest = event["command"].split(" ", 1)
            event = {key: value for key, value in event.items() if key not in ("nni", "crc")}
            lines.append(dump(event | {"command": f"{Path(python).name} {rest}"}))
        else:
            lines.append(line.raw + b"\n")
    return b"".join(lines)


def report() -> str:
    """All tables, in Markdown, from the files that were kept."""
    calibration = read_calibration(OUT / "calibration.json")
    certificate = Certificate.model_validate(json.loads((OUT / "certificate.json").read_text()))
    lines = [
        *exponent_markdown(calibration),
        *proxies_markdown(calibration),
        *known_markdown(read(OUT / "known.json")),
    ]
    return "\n".join([*lines, *certificate_markdown(certificate)]).strip()


if __name__ == "__main__":
    if sys.argv[1:2] == ["collect"] and len(sys.argv) == 3:
        collect(Path(sys.argv[2]))
    elif sys.argv[1:] == ["report"]:
        print(report())
    else:
        sys.exit("digits_run: give collect FOLDER, or report")
