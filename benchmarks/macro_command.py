"""`run PATH` and `report`: the command line of a benchmark on NAS-Bench-Macro whose rows are one file."""

import argparse
from collections.abc import Callable


def main(about: str | None, run: Callable[[str], None], report: Callable[[], str]) -> None:
    """Measures, or prints the tables of the rows that are there."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("path", nargs="?", help="nas-bench-macro_cifar10.json, for run")
    options = parser.parse_args()
    if options.what == "report":
        print(report())
    elif options.path is None:
        parser.error("run needs the path of nas-bench-macro_cifar10.json")
    else:
        run(options.path)
