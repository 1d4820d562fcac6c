"""One image file, decoded with care: known formats alone, of bounded size and shape.

>>> import io, tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "a.png")
...     Image.new("L", (3, 200)).save(path)
...     decoded(path).size, decoded(path).mode
((3, 200), 'RGB')
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from nas.files import check_file

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""What a file is, whatever it is called. Of Pillow's others, EPS would start Ghostscript."""
MAX_PIXELS = 89_478_485
"""Pillow's own limit, at which it only warns: 256 MiB in RGB."""
MAX_RATIO = 128
"""Of the longer side to the shorter: images are resized by the shorter one, and a strip would fill the memory."""


def decoded(path: str | Path) -> Image.Image:
    """An image file in RGB, of 16 bits the upper eight.

    Raises:
        Exception: whatever Pillow raises for a file that it cannot read, and
        ValueError: for another format, too many pixels or too long a strip.
        NasError: for what is missing or no regular file.
    """
    with _opened(path) as file:
        if file.mode.startswith("I;16"):  # which convert would cut off at 255
            return Image.fromarray((np.asarray(file) >> 8).astype(np.uint8)).convert("RGB")
        return file.convert("RGB")


def check_header(path: str | Path) -> None:
    """Raises as `decoded` does, of what a file's header says alone: no pixel is read."""
    with _opened(path):
        pass


def check_whole(path: str | Path) -> None:
    """Raises as `decoded` does for a file that ends too early, as far as Pillow can tell (PNG's checksums)."""
    with _opened(path) as file:
        file.verify()


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    check_file(Path(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata and palettes
        with Image.open(path, formats=FORMATS) as file:
            width, height = file.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"{width} x {height} are over {MAX_PIXELS:,} pixels")
            if max(width, height) > MAX_RATIO * min(width, height):
                raise ValueError(
                    f"{width} x {height} pixels, and a side is at most {MAX_RATIO} times the other"
                )
            yield file
