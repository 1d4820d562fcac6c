"""The jobs of a virtual manager, as NNI's REST interface tells of them; those that ended are in a file."""

import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Flying:
    """A job whose end the manager has not seen.

    Attributes:
        packed: its proposal, as NNI's dispatcher sent it.
        begins, ends: virtual seconds.
        fate: NNI's status at the end.
        final: its result, packed as trials pack it.
    """

    id: int
    packed: str
    begins: float
    ends: float
    fate: str
    final: str | None = None


def name(job: int) -> str:
    """NNI's id of a job."""
    return f"j{job:06d}"


def told(job: Flying, status: str = "RUNNING") -> str:
    """A job in JSON; times in milliseconds since 1970."""
    found: dict[str, Any] = {
        "trialJobId": name(job.id), "status": status, "hyperParameters": [job.packed],
        "startTime": int(1000 * job.begins),
    }  # fmt: skip
    if status != "RUNNING":
        found["endTime"] = int(1000 * job.ends)
    if status == "SUCCEEDED":
        parameter_id = json.loads(job.packed)["parameter_id"]
        found["finalMetricData"] = [{"parameterId": str(parameter_id), "data": job.final}]
    return json.dumps(found)


class Ended:
    """Jobs that ended: of each the place in a file alone is in memory.

    Args:
        file: where they are, one a line, each after a comma but the first.
        places: offset and length of each job in the file, in order of their ids; 0 and 0 of one that has not ended.
    """

    def __init__(self, file: Path, places: Iterable[int] = ()) -> None:
        self.file, self.places = file, array("Q", places)
        self._size = file.stat().st_size if file.exists() else 0

    def add(self, job: Flying) -> None:
        text = told(job, job.fate).encode()
        before = b",\n" if self._size else b""
        with self.file.open("ab") as file:
            file.write(before + text)
        self.places.extend([0] * (2 * job.id + 2 - len(self.places)))
        self.places[2 * job.id : 2 * job.id + 2] = array("Q", (self._size + len(before), len(text)))
        self._size += len(before) + len(text)

    def text(self, job: int) -> str:
        offset, length = self.places[2 * job : 2 * job + 2]
        with self.file.open("rb") as file:
            file.seek(offset)
            return file.read(length).decode()

    def listed(self, live: Iterable[Flying]) -> str:
        """NNI's list of these, in the order in which they ended, and those that fly; in memory, as for a client of
        NNI's, once as bytes and once as text."""
        tail = ",".join(map(told, live)).encode()
        comma = b"," if self._size and tail else b""
        answer = bytearray(b"[" + bytes(self._size) + comma + tail + b"]")
        if self._size:
            with self.file.open("rb") as file:
                file.readinto(memoryview(answer)[1 : 1 + self._size])
        return answer.decode()

    def results(self) -> list[dict[str, Any]]:
        """What NNI has of those that succeeded, for a tuner that is resumed."""
        return [
            {
                "parameter": json.loads(job["hyperParameters"][0])["parameters"], "trialJobId": job["trialJobId"],
                "value": json.loads(job["finalMetricData"][0]["data"]),
            }
            for job in json.loads(self.listed(())) if "finalMetricData" in job
        ]  # fmt: skip
