"""The headers of a folder's images, read before a training begins: hours later would be late for a file that is none.

>>> from nas.data import load_data
>>> check_headers(load_data("digits"))      # images in memory have no files
"""

from nas.data import Data
from nas.decoding import FolderSplit, UnreadableImage, unreadable
from nas.images import check_header
from nas.shares import share

SPLITS = ("train", "val", "test")


def check_headers(data: Data, part: tuple[int, int] = (0, 1)) -> None:
    """Opens every image, of the test split too, and reads its format and size: a few kB, and no pixel.

    Args:
        part: (rank, processes): of every split the part of one process of several.

    Raises:
        UnreadableImage: for a file that is no image, naming it; what is cut short further on shows when decoded.
    """
    for name in SPLITS if isinstance(data.split("train"), FolderSplit) else ():
        split = data.split(name)
        assert isinstance(split, FolderSplit)
        for path in split.paths[share(len(split), part)]:
            try:
                check_header(path)
            except Exception as error:  # PIL raises a dozen kinds
                raise UnreadableImage(unreadable(path, error)) from None
