"""The journal of a search: one JSON line an event, appended and flushed; the truth of a run.

    {"event": "run", ...}                       what is searched: space, strategy, reward, seed
    {"event": "asked", "number": 0, "sample": {...}, "key": "...", "seen": 0, ...}
    {"event": "began", "number": 0, "job": "Xy1z0", ...}
    {"event": "told", "number": 0, "nth": 0, "state": "complete", "accuracy": 0.97, "reward": 0.96, ...}
    {"event": "again", "number": 1, "job": "aB2c3", "reason": "its process was killed", ...}
    {"event": "answered", "number": 0, "job": "cD3e4", ...}  a process was given what had ended
    {"event": "trials", "trials": 200, ...}     how many there are to be, once that was changed
    {"event": "exhausted", ...}                 every network (within limits) was proposed

`seen` is how many told lines (`nth` counts them) the strategy had learnt from when it proposed: replaying
the events in that order gives the strategy its state back. Many processes append; a lock keeps lines whole,
and each ends with a checksum (`nas.search.lines`): what a crash cut short or a disk changed is moved
to journal.damaged.jsonl, and happens again. A result whose proposal was lost waits for it to be written again.

>>> import tempfile
>>> journal = Journal(Path(tempfile.mkdtemp()) / "journal.jsonl")
>>> journal.asked({"stage1.kernel": 3}, key="k3", macs=10, params=5)
0
>>> journal.told(0, "complete", accuracy=0.5, reward=0.5)
True
>>> journal.told(0, "failed", reason="a second result changes nothing")
False
>>> journal.best().accuracy
0.5
"""

import math
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from nas.errors import NasError
from nas.files import check_file
from nas.search.lines import FILLER, Line, dump, filler, read
from nas.search.record import Record
from nas.search.trials import STATES, Trial

__all__ = ["DAMAGED", "FILE", "STATES", "Journal", "Trial"]

FILE = "journal.jsonl"
DAMAGED = "journal.damaged.jsonl"
BLOCK = 1 << 22
"""Bytes that are read at a time."""


class Journal(Record):
    """The events of one run, read incrementally and appended atomically.

    Raises:
        NasError: where the file cannot be read or written, with what to do.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.unreadable = 0
        self._damaged: list[Line] = []
        self._checked = False
        self._offset = 0
        self._lock = FileLock(str(path.with_name(f".{path.name}.lock")), mode=0o600)

    @property
    def exists(self) -> bool:
        return self.path.exists()

    # Reading

    def refresh(self) -> list[dict[str, Any]]:
        """Reads what was appended since the last call and returns the new events."""
        fresh = []
        try:
            if self.path.stat().st_size < self._offset:  # somebody cut it: what is known is no longer there
                self.clear()
                self._damaged, self._offset = [], 0
            check_file(self.path)
            with self.path.open("rb") as file:
                file.seek(self._offset)
                rest = b""
                while block := file.read(BLOCK):
                    raw = rest + block
                    end = raw.rfind(b"\n") + 1
                    fresh += self._take(raw[:end])
                    rest = raw[end:]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise NasError(f"{self.path}: cannot be read ({error.strerror})") from None
        return fresh

    def _take(self, raw: bytes) -> Iterator[dict[str, Any]]:
        """Takes note of whole lines, which follow on what was read."""
        for line in read(raw, self._offset):
            self._checked |= line.checked
            if line.event == FILLER:
                continue
            try:
                if line.event is None or (self._checked and not line.checked):
                    raise ValueError
                self.apply(line.event)
            except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
                self.unreadable += 1
                self._damaged.append(line)
                continue
            yield line.event
        self._offset += len(raw)

    # Writing

    def start(self, **run: Any) -> bool:
        """Writes what is searched, once; False where the journal already has it."""
        with self._locked():
            if self.run:
                return False
            self._append({"event": "run", **run})
            return True

    def asked(self, sample: dict[str, Any], key: str, number: int | None = None, **facts: Any) -> int:
        """Records a proposal and returns its number: the next one, or that of a line that was lost."""
        with self._locked():
            number = self.next_number if number is None else number
            if number not in self.trials:
                self._append({"event": "asked", "number": number, "sample": sample, "key": key, **facts})
            return number

    def change(self, event: str, **facts: Any) -> None:
        """Records that the number of trials was changed ('trials'), or that no network is left ('exhausted')."""
        with self._locked():
            self._append({"event": event, **facts})

    def began(self, number: int, job: str, pid: int, since: float | None = None) -> None:
        """Records whose process evaluates a proposal: NNI may give two trials each other's samples.

        Args:
            since: when that process was started, in seconds since 1970; on a busy machine long before it says so.
        """
        started = {} if since is None else {"since": datetime.fromtimestamp(since, UTC).isoformat()}
        with self._locked():
            if self.jobs.get(number) != job:
                self._append({"event": "began", "number": number, "job": job, "pid": pid, **started})

    def answered(self, number: int, job: str) -> None:
        """Records that a process was given a proposal that had ended: NNI hands parameters on in a queue, and one that
        a killed trial did not fetch is the next one's."""
        with self._locked():
            if self.answers.get(job) != number:
                self._append({"event": "answered", "number": number, "job": job})

    def again(self, number: int, job: str, reason: str, killed: bool = True) -> bool:
        """Records that a trial ended without a result, whose NNI trial job is `job`, and is repeated; False where
        that was known."""
        with self._locked():
            if job in self.repeats.get(number, []) or self.trials[number].state != "running":
                return False
            self._append({"event": "again", "number": number, "job": job, "reason": reason, "killed": killed})
            return True

    def told(self, number: int, state: str, **facts: Any) -> bool:
        """Records a result; False where the trial has one (a complete one replaces a stopped one)."""
        with self._locked():
            trial = self.trials.get(number)
            if trial is None:
                raise NasError(f"{self.path}: no proposal has number {number}")
            if trial.state != "running" and not (trial.state == "stopped" and state == "complete"):
                return False
            clean = {k: _plain(v) for k, v in facts.items() if v is not None}
            self._append({"event": "told", "number": number, "nth": self.next_nth, "state": state, **clean})
            return True

    def _locked(self) -> "_Locked":
        return _Locked(self)

    def _append(self, event: dict[str, Any]) -> None:
        event = {**event, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        self._write(dump(event))

    def _write(self, text: bytes) -> None:
        try:
            with self.path.open("ab") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NasError(
                f"{self.path}: cannot be written ({error.strerror}); nothing recorded so far is lost: "
                "mend it and resume the search"
            ) from None
        self.refresh()

    def _mend(self) -> None:
        """Ends a line that a crash cut short (where only its end is missing, it counts), and moves what
        is damaged out of the way, over as many bytes, so that nobody's offset changes."""
        if self.path.exists() and self.path.stat().st_size > self._offset:
            self._write(b"\n")
        if not self._damaged:
            return
        try:
            with self.path.open("r+b") as file, self.path.with_name(DAMAGED).open("ab") as kept:
                for line in self._damaged:
                    file.seek(line.offset)
                    if file.read(len(line.raw)) != line.raw:  # another process has mended it
                        continue
                    kept.write(line.raw + b"\n")
                    kept.flush()
                    file.seek(line.offset)
                    file.write(filler(len(line.raw)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NasError(f"{self.path}: cannot be mended ({error.strerror})") from None
        self._damaged.clear()


class _Locked:
    """The journal's lock, with everything that others appended read."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def __enter__(self) -> None:
        try:
            self.journal.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.journal._lock.acquire()
        except OSError as error:
            raise NasError(f"{self.journal.path}: cannot be written ({error.strerror})") from None
        try:
            self.journal.refresh()
            self.journal._mend()
        except BaseException:
            self.journal._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self.journal._lock.release()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
