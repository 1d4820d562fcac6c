"""A table's file, JSON or CSV.

>>> read_sheet(Path("results.xls"), None)
Traceback (most recent call last):
...
nas.errors.NasError: results.xls: a table is a file that ends in .json or .csv
"""

from pathlib import Path

from nas.errors import NasError
from nas.evaluators.table_csv import read_csv
from nas.evaluators.table_entries import Sheet
from nas.evaluators.table_json import read_json
from nas.files import text_of
from nas.space import SearchSpace

MAX_BYTES = 256 * 1024 * 1024
"""Some millions of records."""


def read_sheet(path: Path, space: SearchSpace | None) -> Sheet:
    """What a file holds, by its ending; a CSV's choices are those of `space`, where it is given.

    Raises:
        NasError: for the first mistake, with the number of its record or line.
    """
    kind = path.suffix.lower()
    if kind not in (".json", ".csv"):
        raise NasError(f"{path}: a table is a file that ends in .json or .csv")
    try:
        text = text_of(path, MAX_BYTES, "which is too much; keep fewer records", "utf-8-sig")
        sheet = read_json(text, path) if kind == ".json" else read_csv(text, path, space)
    except RecursionError:
        raise NasError(f"{path}: nested deeper than any table") from None
    if not sheet.entries:
        raise NasError(f"{path}: the table is empty; give at least one record")
    return sheet
