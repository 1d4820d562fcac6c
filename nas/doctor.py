"""`nas doctor`: every check of `nas.health`, those that take seconds side by side, and what comes of them.

>>> from nas.health.finding import broken, note
>>> healthy([note("gpu", "none")]), healthy([broken("port", "none is free", "stop something")])
(True, False)
"""

import json
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import nas
from nas.health.finding import BROKEN, Finding, broken, checked

if TYPE_CHECKING:
    from nas.health.running import Ended, Probe

Check = Callable[[], Finding]


def checks(pool: ThreadPoolExecutor) -> list[tuple[str, Check]]:
    """Names and checks in the order in which they are told; what waits for a process waits when it is called."""
    from nas.health import belongings, engine, machine, network, packages
    from nas.health.running import probe

    torch: Future[Probe] = pool.submit(probe, "torch")
    nnictl: Future[Ended] = pool.submit(_nnictl)
    tools: Future[Probe] = pool.submit(probe, "setuptools")
    return [
        ("python", packages.python),
        ("packages", packages.packages),
        ("torch", lambda: engine.torch(torch.result())),
        ("gpu", lambda: engine.gpu(torch.result())),
        ("nni", lambda: engine.nni(torch.result())),
        ("pins", packages.pins),
        ("setuptools", lambda: packages.pkg_resources(tools.result())),
        ("nnictl", lambda: engine.nnictl(nnictl.result())),
        ("node", engine.node),
        ("loopback", engine.loopback),
        ("port", network.port),
        ("localhost", network.localhost),
        ("proxy", network.proxy),
        ("experiments", belongings.experiments),
        ("folders", machine.folders),
        ("disk", machine.disk),
        ("cores", machine.cores),
        ("memory", machine.memory),
        ("clock", machine.clock),
        ("documents", belongings.documents),
        ("data", belongings.data),
    ]


def _nnictl() -> "Ended":
    from nas.health.running import run
    from nas.search.nnictl import program

    return run([*program(), "--version"])


def findings() -> list[Finding]:
    """What every check finds; none raises, and none needs another.

    Where the current folder was deleted, programs that are started end at once, and that is all that is told.
    """
    try:
        os.getcwd()
    except OSError as error:
        lost = broken("folders", f"the current folder is gone ({error.strerror})", "cd to one that there is")
        return [lost]
    with ThreadPoolExecutor(max_workers=8) as pool:
        named = checks(pool)
        waiting = [pool.submit(checked, name, check) for name, check in named]
        return [future.result() for future in waiting]


def healthy(found: Sequence[Finding]) -> bool:
    """Whether all that the main job needs works."""
    return all(finding.state != BROKEN for finding in found)


def as_json(found: Sequence[Finding]) -> str:
    """One JSON document: `ok`, versions, and the checks."""
    rows = [{"name": f.name, "state": f.state, "found": f.found, "mend": f.mend} for f in found]
    return json.dumps({
        "ok": healthy(found), "b0nas": nas.__version__, "python": platform.python_version(), "checks": rows,
    })  # fmt: skip


def lines(found: Sequence[Finding]) -> list[str]:
    """What is printed: a line a check, and below it how to mend what does not work."""
    told = []
    for finding in found:
        told.append(f"{finding.state:<6}  {finding.name:<11}  {finding.found}")
        told += [f"{'':21}{finding.mend}"] if finding.mend else []
    wrong = [finding.name for finding in found if finding.state == BROKEN]
    told.append(f"broken: {', '.join(wrong)}" if wrong else "all that the main job needs works")
    return told
