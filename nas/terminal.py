"""What the modules of the command line share.

>>> console().width >= 120
True
"""

from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def console() -> Any:
    """rich's, at least 120 columns wide."""
    from rich.console import Console

    found = Console(highlight=False, soft_wrap=True)
    found.width = max(found.width, 120)  # tables are cut for nobody; a narrow terminal wraps them
    return found
