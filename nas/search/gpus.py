"""GPUs of trials as NNI hands them out, and what `nas search` can say of that before NNI begins.

NNI counts a machine's GPUs with NVIDIA's NVML, whatever torch sees, and gives a trial trialGpuNumber divided by
maxTrialNumberPerGpu of them: under 1 it is a share of one, of which others may have the rest, from 1 on whole ones.

>>> service = {"platform": "local", "useActiveGpu": True}
>>> lacking({"trialGpuNumber": 3}, service, service, GPUs(2))
'has 2 GPUs, and trialGpuNumber asks for 3 a trial; give fewer'
>>> lacking({"trialGpuNumber": 2}, service, service, GPUs(2))
''
"""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nas.errors import NasError, plural, short
from nas.search.hosts import services

PROGRAM = "nni.tools.nni_manager_scripts.collect_gpu_info"
"""NNI's own, which says what NNI will find."""
SECONDS = 60
"""In which it must have."""
MUCH = 1.001
"""Of one GPU, what NNI gives to trials at the most."""
OFF = "for trials without GPUs of NNI's leave trialGpuNumber and maxTrialNumberPerGpu out"


@dataclass(frozen=True)
class GPUs:
    """What NNI finds on a machine.

    Attributes:
        number: how many.
        reason: why there is none, where NVML gives one.
    """

    number: int
    reason: str = ""

    @classmethod
    def told(cls, text: str) -> "GPUs":
        """From what NNI's program printed.

        >>> GPUs.told('{"success": false, "failures": ["init: Driver Not Loaded"]}')
        GPUs(number=0, reason='Driver Not Loaded')
        """
        try:
            found = json.loads(text)
            why = "; ".join(str(one).removeprefix("init: ") for one in found.get("failures", []))
            return cls(int(found.get("gpuNumber", 0)) if found["success"] else 0, why)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(0, "NNI's look at them fails")


def here() -> GPUs:
    """This machine's."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", PROGRAM], capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return GPUs(0, f"NNI's look at them fails: {type(error).__name__}")
    return GPUs.told(done.stdout)


def handed_out(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The service of a configuration whose trials get GPUs of NNI as is told here; None where there is none."""
    service = data["trainingService"]
    known = isinstance(service, dict) and service.get("platform") in ("local", "remote")
    if not known or service.get("reuseMode") or not asked(data, service):
        return None
    return service


def check_here(data: Mapping[str, Any], where: str, say: Callable[[str], None]) -> None:
    """Looks whether this machine has the GPUs that its trials ask for; says where some of them will wait.

    Raises:
        NasError: where it has not.
    """
    service = handed_out(data)
    if service is None or service["platform"] != "local":
        return
    found = here()
    if why := lacking(data, service, service, found):
        raise NasError(f"{where}: this machine {why}")
    room, trials = at_a_time(data, service, found), data.get("trialConcurrency", 1)
    if trials > room:
        say(
            f"note: trialConcurrency is {trials}, and this machine's GPUs have room for {plural(room, 'trial')} at a "
            "time; the others wait"
        )


def lacking(
    data: Mapping[str, Any], service: Mapping[str, Any], machine: Mapping[str, Any], found: GPUs
) -> str:
    """Why no trial can ever begin on a machine, `service` itself or one of its list; empty where one can."""
    number, whole = asked(data, service), _whole(data, service, machine)
    if not found.number:
        why = f" ({found.reason})" if found.reason else ""
        return f"has no GPU that NNI finds{why}, and trialGpuNumber is {number}; {OFF}"
    has, indices = f"has {plural(found.number, 'GPU')}", _indices(machine)
    if beyond := [one for one in indices or [] if one >= found.number]:
        return f"{has}, counted from 0, and gpuIndices names {beyond[0]}; take it out"
    room = found.number if indices is None else len(indices)
    if whole > room or _share(data, service, machine) > found.number:
        of = "" if indices is None else f", of which gpuIndices names {room}"
        return f"{has}{of}, and trialGpuNumber asks for {whole} a trial; give fewer"
    if service["platform"] == "remote" and whole == found.number > 1:
        return (
            f"{has}, and trialGpuNumber asks for all of them, which NNI 3.0 never hands out on a host; give fewer, or "
            f"{OFF}"
        )
    return ""


def at_a_time(data: Mapping[str, Any], machine: Mapping[str, Any], found: GPUs) -> int:
    """How many trials have room on this machine's GPUs."""
    indices = _indices(machine)
    room = found.number if indices is None else len(indices)
    share = _share(data, machine, machine)
    return room * int(MUCH / share) if share < 1 else room // _whole(data, machine, machine)


def for_hosts(data: dict[str, Any]) -> dict[str, Any]:
    """The configuration in which trials of one whole GPU get it on hosts that have one, too.

    NNI refuses that there, and the process that does is the host's own. It is given two thirds of a GPU to ask for: of
    the rest no other trial has room, so that each is alone as before.
    """
    service = handed_out(data)
    if service is None or service["platform"] != "remote" or asked(data, service) != 1:
        return data
    machines = []
    for machine in service["machineList"]:
        share = _most(machine)
        machines.append({**machine, "maxTrialNumberPerGpu": 3 if share == 1 else 2 * share})
    return {**data, "trainingService": {**service, "trialGpuNumber": 2, "machineList": machines}}


def asked(data: Mapping[str, Any], service: Mapping[str, Any]) -> int:
    """trialGpuNumber; 0 where there is none."""
    own = service.get("trialGpuNumber")
    return (data.get("trialGpuNumber") if own is None else own) or 0


def check_active(data: Mapping[str, Any], where: str) -> None:
    """Raises NasError where GPUs of this machine are asked for without what NNI wants to know beside that."""
    for service in services(data):
        if (
            service.get("platform") == "local"
            and asked(data, service)
            and service.get("useActiveGpu") is None
        ):
            raise NasError(
                f"{where}: trialGpuNumber is {short(asked(data, service))}, and useActiveGpu is not given; give "
                "useActiveGpu: false, or true where trials may have a GPU on which other processes are, as those of a "
                "display"
            )


def _most(machine: Mapping[str, Any]) -> int:
    return machine.get("maxTrialNumberPerGpu") or 1


def _share(data: Mapping[str, Any], service: Mapping[str, Any], machine: Mapping[str, Any]) -> float:
    return asked(data, service) / _most(machine)


def _whole(data: Mapping[str, Any], service: Mapping[str, Any], machine: Mapping[str, Any]) -> int:
    """GPUs that a trial has to itself, or a share of one, as NNI rounds them."""
    return max(1, math.floor(_share(data, service, machine) + 0.5))


def _indices(machine: Mapping[str, Any]) -> list[int] | None:
    found = machine.get("gpuIndices")
    if isinstance(found, str):
        return [int(one) for one in found.split(",")]
    return [found] if isinstance(found, int) else found
