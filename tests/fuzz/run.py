"""Feeds the targets with atheris: `make fuzz`, or one of them with

    python tests/fuzz/run.py space --inputs 100000

Each runs in a process of its own, on inputs that atheris and `mutations.py` make of good ones, towards code of ours
that no input reached before. What is found is kept in OUT/NAME/ and ends that target's run.
"""

import argparse
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

SECONDS = 10
"""Of one input, above which it counts as a hang."""
MEGABYTES = 3072
"""Of a process, of which torch and NNI take some 700."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("targets", nargs="*", help="by default all")
    options.add_argument("--inputs", type=int, help="of each target, instead of its own number")
    options.add_argument("--scale", type=float, default=1.0, help="times each target's own number")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    options.add_argument("--one", help=argparse.SUPPRESS)
    given, rest = options.parse_known_args()
    if given.one:
        return _one(given.one, [*rest, *given.targets])  # libFuzzer's options, and folders of inputs
    from targets import TARGETS

    print(f"{'target':14} {'inputs':>8} {'seconds':>8} {'features':>9}  findings", flush=True)
    total, failed = 0, False
    for name in given.targets or TARGETS:
        target = TARGETS[name]
        wanted = given.inputs or round(target.inputs * given.scale)
        began = time.monotonic()
        done, features, found = _fed(name, wanted, given.seed, given.out)
        total += done
        failed = failed or bool(found)
        seconds = time.monotonic() - began
        print(f"{name:14} {done:8,} {seconds:8.1f} {features:9,}  {found or '-'}", flush=True)
    print(f"{'total':14} {total:8,}")
    return int(failed)


def _fed(name: str, inputs: int, seed: int, out: Path) -> tuple[int, int, str]:
    """(inputs, features of coverage, where what was found is) of a target."""
    from targets import TARGETS

    folder = out / name
    seeds = folder / "seeds"
    seeds.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(TARGETS[name].seeds()):
        (seeds / f"seed-{number}").write_bytes(content)
    command = [
        sys.executable, __file__, "--one", name, f"-runs={inputs}", f"-seed={seed}", f"-timeout={SECONDS}",
        f"-rss_limit_mb={MEGABYTES}", "-max_len=20000", "-mutate_depth=2",
        f"-artifact_prefix={folder}/", "-print_final_stats=1",
        str(seeds), *[str(path.parent) for path in TARGETS[name].corpus()[:1]],
    ]  # fmt: skip
    log = folder / "log.txt"
    with log.open("wb") as file:
        ended = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    text = log.read_text(errors="replace")
    done = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text) or re.findall(r"^#(\d+)", text, re.M)
    features = re.findall(r"ft: (\d+)", text)
    kept = re.findall(r"Test unit written to (\S+)", text)[:1]
    found = (
        ", ".join(kept) if kept else f"exit code {ended.returncode}, see {log}" if ended.returncode else ""
    )
    return int(done[-1]) if done else 0, int(features[-1]) if features else 0, found


def _one(name: str, rest: list[str]) -> int:
    """The process of one target."""
    import logging

    import atheris

    os.environ["OMP_NUM_THREADS"] = "1"
    with atheris.instrument_imports(include=["nas"]):
        from targets import TARGETS, prepare
    from mutations import mutated

    target = TARGETS[name]
    target.seeds()
    logging.disable()
    prepare()

    def mutator(data: bytes, longest: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.25:
            return atheris.Mutate(data, longest)
        return mutated(target.kind, data, rng)[:longest]

    prefix = next(word.partition("=")[2] for word in rest if word.startswith("-artifact_prefix="))

    def check(data: bytes) -> None:
        try:
            target.check(data)
        except BaseException:  # kept here: libFuzzer's alarm may end the process before it writes
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            path = Path(f"{prefix}found-{hashlib.sha256(data).hexdigest()[:12]}")
            path.write_bytes(data)
            print(f"Test unit written to {path}", flush=True)
            raise

    atheris.Setup([sys.argv[0], *rest], check, custom_mutator=mutator)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
