"""The jobs of a virtual manager, as NNI's REST interface tells of them; those that ended are in a file."""

import json
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
    """Jobs that ended.

    Args:
        file: where they are, one a line.
        places: job -> offset and length in the file.
    """

    def __init__(self, file: Path, places: dict[int, tuple[int, int]] | None = None) -> None:
        self.file, self.places = file, {} if places is None else places

    def add(self, job: Flying) -> None:
        text = told(job, job.fate).encode()
        with self.file.open("ab") as file:
            self.places[job.id] = (file.tell(), len(text))
            file.write(text + b"\n")

    def text(self, job: int) -> str:
        offset, length = self.places[job]
        with self.file.open("rb") as file:
            file.seek(offset)
            return file.read(length).decode()

    def lines(self) -> list[str]:
        """All, in the order in which they ended."""
        return self.file.read_text().splitlines() if self.file.exists() else []

    def results(self) -> list[dict[str, Any]]:
        """What NNI has of those that succeeded, for a tuner that is resumed."""
        jobs = [json.loads(line) for line in self.lines()]
        return [
            {
                "parameter": json.loads(job["hyperParameters"][0])["parameters"], "trialJobId": job["trialJobId"],
                "value": json.loads(job["finalMetricData"][0]["data"]),
            }
            for job in jobs if "finalMetricData" in job
        ]  # fmt: skip
