"""The machine: folders and disk space, cores and memory, and the clock.

>>> cores(cores=2, load=0.5, environment={}).found
'2; load 0.5'
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from nas.files import unwritable
from nas.health.finding import Finding, broken, note, works

LEAST, ENOUGH = 100 << 20, 1 << 30
"""Bytes of a disk: a run of 40 trials on digits takes 5 MB, NNI's own folder of it as much; a full training's
checkpoints, a downloaded data set or a report some hundred."""
TRIAL = 1 << 30
"""Bytes of memory that a trial may need: one on digits took 0.85 GB (torch 2.14, CPU), most of it torch itself."""
SKEW = 5.0
"""Seconds that the clock of a file system may differ."""


def folders(here: Path | None = None, home: Path | None = None) -> Finding:
    """Whether what a search writes can be written: `runs/` here, NNI's folder at home, temporary files."""
    from nas.search.runs import nni_home

    try:
        wanted = [Path("runs") if here is None else here, nni_home() if home is None else home]
        wanted.append(Path(tempfile.gettempdir()))
    except (OSError, RuntimeError) as error:
        return broken(
            "folders", f"there is no place for files ({error})", "set HOME, and TMPDIR, to folders of yours"
        )
    wrong = [why for why in (unwritable(folder) for folder in wanted) if why]
    if wrong:
        return broken(
            "folders", f"cannot be written: {'; '.join(wrong)}",
            "search in a folder of yours (this one was looked at); HOME and TMPDIR must be such, too",
        )  # fmt: skip
    return works("folders", f"can be written: {', '.join(str(folder) for folder in wanted)}")


def disk(free: Mapping[str, int] | None = None) -> Finding:
    """Whether there is room for a search, here, at home and among temporary files."""
    free = _free() if free is None else free
    path = min(free, key=lambda name: free[name])
    text = f"{free[path] / 2**30:.1f} GiB free at {path}"
    if free[path] < LEAST:
        return broken("disk", text, "make room: a search that finds the disk full ends, and can be resumed")
    if free[path] < ENOUGH:
        return note("disk", text, "enough for digits; make room for data sets, checkpoints and reports")
    return works("disk", text)


def _free() -> dict[str, int]:
    found = {}
    for folder in (Path.cwd(), Path.home(), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            found[str(folder)] = shutil.disk_usage(folder).free
            if hasattr(os, "statvfs") and (there := os.statvfs(folder)).f_files and there.f_favail < 1000:
                found[str(folder)] = 0  # no file can be made where its inodes are used up
    return found


def cores(
    cores: float | None = None, load: float | None = None, environment: Mapping[str, str] = os.environ
) -> Finding:
    """How many cores this process may use, and whether others use them; a trial has one thread."""
    cores = _cores() if cores is None else cores
    if load is None:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    threads = environment.get("OMP_NUM_THREADS", "")
    text = f"{cores:g}; load {load:.1f}" + (f"; OMP_NUM_THREADS={threads}" if threads else "")
    if threads and not threads.replace(",", "").isdecimal():
        return note("cores", text, "OMP_NUM_THREADS is no number: unset it, or set it to 1")
    if cores < 2:
        return note("cores", text, "search.yml has two trials at a time: set its trialConcurrency to 1")
    if load > 1.5 * cores:
        return note(
            "cores", f"{text}: the machine is busy",
            "trials take longer, and NNI may miss its own ten seconds; wait, or set trialConcurrency lower",
        )  # fmt: skip
    return works("cores", text)


def _cores() -> float:
    """Of this process, by affinity and by the container's quota."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            return min(there, round(int(quota) / int(period), 1))
    return there


def memory(free: int | None = None) -> Finding:
    """Whether the two trials of search.yml fit into the memory that is free, the container's bound included."""
    free = _memory() if free is None else free
    text = f"{free / 2**30:.1f} GiB free"
    if free < TRIAL:
        return broken(
            "memory", f"{text}; a trial takes up to 1", "end other programs; trials that find none are killed"
        )
    if free < 2 * TRIAL:
        return note("memory", f"{text}; a trial takes up to 1", "set trialConcurrency to 1")
    return works("memory", text)


def _memory() -> int:
    import psutil

    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):
        bound = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if bound != "max":
            used = int(Path("/sys/fs/cgroup/memory.current").read_text())
            free = min(free, int(bound) - used + _cached(Path("/sys/fs/cgroup/memory.stat").read_text()))
    return max(0, free)


def _cached(stat: str) -> int:
    """Of memory.stat: bytes of files that were read, which count as used and make way for whoever needs memory.

    >>> _cached("anon 70\\ninactive_file 30\\nactive_file 5")
    30
    """
    rows = dict(line.split() for line in stat.splitlines())
    return int(rows.get("inactive_file", 0))


def clock(now: float | None = None, written: float | None = None) -> Finding:
    """Whether the clock is sane: not before this package was written, nor apart from the file system's own.

    Args:
        now: seconds since 1970, by the machine.
        written: when a file that is written now is said to have been written.
    """
    given = now is not None
    made = Path(__file__).stat().st_mtime
    if written is None:
        with tempfile.NamedTemporaryFile(dir=None if unwritable(Path.cwd()) else Path.cwd()) as file:
            written = os.stat(file.name).st_mtime
            now = now if given else time.time()
    now = time.time() if now is None else now
    text = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))
    if now < made - 86400:
        return note(
            "clock", f"{text}, before b0nas was installed here", "set the clock: downloads need it, and make"
        )
    if abs(now - written) > SKEW:
        return note(
            "clock", f"{text}; the file system's is {written - now:+.0f} s apart",
            "set both clocks by one server (NTP): make compares them",
        )  # fmt: skip
    return works("clock", text)
