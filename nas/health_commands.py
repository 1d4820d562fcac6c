"""`nas doctor`, a thin function as those of `nas.cli`."""

import typer

from nas.terminal import Json


def doctor(as_json: Json = False) -> None:
    """What of this environment works.

    Also how to mend what does not; exit code 1 where the main job cannot run.
    """
    from nas.doctor import as_json as document
    from nas.doctor import findings, healthy, lines

    found = findings()
    for line in [document(found)] if as_json else lines(found):
        print(line)
    if not healthy(found):
        raise typer.Exit(1)
