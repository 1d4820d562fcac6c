"""GPUs without any: NNI's own scheduler with those that it is told of, and a search with an NVML that tells of some."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nni_node
import pytest
import yaml

from nas import NasError
from nas.search import gpus, knocking
from nas.search.config import SearchConfig
from nas.search.door import Door
from nas.search.gpus import GPUs, at_a_time, check_here, for_hosts, lacking
from nas.search.guard import at_door, at_home
from nas.search.nni_schema import check_nni

FOLDER = Path(nni_node.__path__[0])
WAYS = {"home": at_home(os.environ), "hosts": at_door(os.environ, None, [])}
PLAIN = dict(os.environ)

BEGIN = """
require('app-module-path').addPath(process.cwd())
const globals = require('common/globals').default
const [setting] = process.argv.slice(1).map(JSON.parse)
const info = n => ({
  gpuNumber: n,
  gpus: [...Array(n).keys()].map(index => ({ index })),
  processes: (setting.active || []).map(gpuIndex => ({ gpuIndex, type: 'graphics' }))
})
Object.assign(globals, {
  args: { logLevel: 'critical', experimentId: 'e' },
  paths: { experimentRoot: setting.folder },
  rest: { urlJoin: (...words) => words.join('/'), registerSyncHandler () {}, getFullUrl: () => '' }
})
const { TaskScheduler, UnitTestHelpers } = require('common/trial_keeper/task_scheduler/scheduler')
UnitTestHelpers.mockGpuInfo(info(setting.gpus))
"""
ASKED = """
const scheduler = new TaskScheduler()
const told = []
const step = async ([trial, number, restrictions]) => {
  if (number === 'release') {
    await scheduler.release('e', trial)
    return UnitTestHelpers.getGpuUtils(scheduler).reduce((sum, one) => sum + one)
  }
  const found = await scheduler.schedule('e', trial, number, restrictions).catch(error => error.constructor.name)
  return found && typeof found === 'object' ? found.CUDA_VISIBLE_DEVICES : found
}
scheduler.init().then(async () => {
  for (const one of setting.steps) told.push(await step(one))
  console.log(JSON.stringify(told))
})
"""
SEARCH = """
const { V3asV1 } = require('training_service/v3/compat')
const { TrialKeeper } = require('common/trial_keeper/keeper')
TrialKeeper.prototype.start = function () { // without what a trial reports through
  this.envInfo = {}
  return this.scheduler.start()
}
TrialKeeper.prototype.registerDirectory = function (name) { this.dirs.set(name, setting.folder) }
const service = new V3asV1({
  platform: 'local', trialCodeDirectory: '.', useActiveGpu: true, maxTrialNumberPerGpu: 1,
  trialGpuNumber: setting.number,
  trialCommand: 'echo begins $CUDA_VISIBLE_DEVICES >> log; sleep 1.5; echo ends $CUDA_VISIBLE_DEVICES >> log'
})
let tries = 0
const create = service.v3.createTrial
service.v3.createTrial = function (...words) {
  tries += 1
  if (tries > 5000) { console.log(JSON.stringify('starved')); process.exit(0) }
  return create.apply(service.v3, words)
}
const ended = []
service.start().then(async () => {
  service.v3.onTrialEnd(id => ended.push(id))
  for (let i = 0; i < setting.trials; i++) {
    await service.submitTrialJob({ sequenceId: i, hyperParameters: { value: '{}', index: 0 } })
  }
  while (ended.length < setting.trials) await new Promise(resolve => setTimeout(resolve, 100))
  console.log(JSON.stringify(tries))
  process.exit(0)
})
"""


def told(code: str, environment: dict[str, str], **setting: Any) -> Any:
    done = subprocess.run(
        [str(FOLDER / "node"), "-e", BEGIN + code, json.dumps(setting)], cwd=FOLDER, env=environment,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


def asked(environment: dict[str, str], number: int, *steps: list, **setting: Any) -> Any:
    """CUDA_VISIBLE_DEVICES that each trial would have, None where it is to wait; of a release all that is given out."""
    return told(ASKED, environment, gpus=number, steps=steps, folder="/nowhere", **setting)


# NNI's own scheduler


@pytest.mark.parametrize("way", WAYS)
def test_the_only_gpu_is_given_to_one_trial_at_a_time(way):
    steps = [["a", 1], ["b", 1], ["a", "release"], ["b", 1], ["c", 1], ["b", "release"], ["c", 1]]
    assert asked(WAYS[way], 1, *steps) == ["0", None, 0, "0", None, 0, "0"]


@pytest.mark.parametrize("number", [2, 3, 8])
def test_all_gpus_are_given_to_one_trial_at_a_time(number):
    every = ",".join(map(str, range(number)))
    steps = [["a", number], ["b", number], ["c", 1], ["d", 0.5], ["a", "release"], ["b", number]]
    # a share of a GPU that is taken whole is none to be had
    assert asked(WAYS["home"], number, *steps) == [every, None, None, None, 0, every]
    assert asked(WAYS["home"], number, ["a", 1], ["b", number], ["c", 0.5], ["a", "release"]) == [
        "0",
        None,
        "1",
        0.5,
    ]


def test_without_ours_nni_refuses_them():
    for number in (1, 2, 3):
        assert asked(PLAIN, number, ["a", number]) == [None]


CASES = {
    "more than there are": (2, [["a", 3], ["b", 4]], [None, None]),
    "two of one": (1, [["a", 2], ["b", 1.5]], [None, None]),
    "halves": (1, [["a", 0.5], ["b", 0.5], ["c", 0.5], ["a", "release"], ["c", 0.5]], ["0", "0", None, 0.5, "0"]),
    "thirds": (1, [*([name, 1 / 3] for name in "abcd")], ["0", "0", "0", None]),
    "halves of two": (2, [*([name, 0.5] for name in "abcde")], ["0", "1", "0", "1", None]),
    "one of two": (2, [["a", 1], ["b", 1], ["c", 1]], ["0", "1", None]),
    "one and a half are two": (3, [["a", 1.5], ["b", 1]], ["0,1", "2"]),
    "two thirds": (1, [["a", 2 / 3], ["b", 2 / 3], ["a", "release"], ["b", 2 / 3]], ["0", None, 0, "0"]),
    "two thirds of two": (2, [["a", 2 / 3], ["b", 2 / 3], ["c", 2 / 3]], ["0", "1", None]),
    "none": (1, [["a", 0]], [""]),
    "of the second": (2, [["a", 1, {"onlyUseIndices": [1]}], ["b", 1, {"onlyUseIndices": [1]}]], ["1", None]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_nni_gives_out_already_stays_as_it_is(case):
    number, steps, expected = CASES[case]
    found = [asked(environment, number, *steps) for environment in (*WAYS.values(), PLAIN)]
    assert found == [expected] * 3


def test_a_gpu_that_others_use_is_waited_for():
    """By itself NNI fails where it looks for a share of a GPU and finds none."""
    steps = [["a", 1, {"rejectActive": True}], ["b", 0.5, {"rejectActive": True}]]
    assert asked(WAYS["home"], 1, *steps, active=[0]) == [None, None]
    assert asked(PLAIN, 1, *steps, active=[0]) == [None, "TypeError"]
    assert asked(WAYS["home"], 2, *steps, active=[0]) == ["1", None]


# NNI's local service, whose trials run


@pytest.mark.parametrize(("number", "each", "devices"), [(1, 1, {"0"}), (2, 1, {"0", "1"}), (2, 2, {"0,1"})])
def test_more_trials_than_gpus_take_turns(tmp_path, number, each, devices):
    """No GPU is two trials' at a time, and those that wait are tried again a second later."""
    found = told(SEARCH, WAYS["home"], gpus=number, number=each, trials=4, folder=str(tmp_path))
    assert 4 < found < 20
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert len(lines) == 8
    assert {device for _, device in lines} == devices
    taken: set[str] = set()
    for word, device in lines:
        assert (device in taken) == (word == "ends")
        taken ^= {device}


def test_without_ours_trials_that_wait_starve_the_others(tmp_path):
    assert told(SEARCH, PLAIN, gpus=2, number=1, trials=3, folder=str(tmp_path)) == "starved"


# What is said beforehand

LOCAL = {"platform": "local", "useActiveGpu": True}


def local(number: int | None, **service: Any) -> dict[str, Any]:
    return {"trialGpuNumber": number, "trainingService": {**LOCAL, **service}}


def remote(number: int, *machines: dict, **service: Any) -> dict[str, Any]:
    listed = [{"host": "a", "user": "me", **machine} for machine in machines]
    return {
        "trialGpuNumber": number,
        "trainingService": {"platform": "remote", "machineList": listed, **service},
    }


MISTAKES = {
    "none": (local(1), GPUs(0, "Driver Not Loaded"), "has no GPU that NNI finds (Driver Not Loaded), and trial"),
    "too many": (local(3), GPUs(2), "has 2 GPUs, and trialGpuNumber asks for 3 a trial; give fewer"),
    "of the service": (local(1, trialGpuNumber=2), GPUs(1), "has 1 GPU, and trialGpuNumber asks for 2 a trial"),
    "rounded": (local(3, maxTrialNumberPerGpu=2), GPUs(1), "has 1 GPU, and trialGpuNumber asks for 2 a trial"),
    "indices": (local(2, gpuIndices=[1]), GPUs(2), "of which gpuIndices names 1, and trialGpuNumber asks for 2"),
    "beyond": (local(1, gpuIndices="0,2"), GPUs(2), "has 2 GPUs, counted from 0, and gpuIndices names 2; take it out"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_what_this_machine_lacks_is_one_sentence(monkeypatch, case):
    data, found, sentence = MISTAKES[case]
    monkeypatch.setattr(gpus, "here", lambda: found)
    with pytest.raises(NasError) as error:
        check_here(data, "search.yml", print)
    assert str(error.value).startswith("search.yml: this machine has ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (local(1), 1), (local(2), 2), (local(1, maxTrialNumberPerGpu=2), 1), (local(2, gpuIndices=[0, 2]), 3),
        (local(1, gpuIndices=1), 2),
    ],
)  # fmt: skip
def test_what_there_is_can_be_asked_for(data, number):
    assert lacking(data, data["trainingService"], data["trainingService"], GPUs(number)) == ""


def test_who_asks_for_no_gpu_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(gpus, "here", lambda: pytest.fail("looked at"))
    for data in (
        local(None),
        local(0),
        local(1, reuseMode=True),
        {"trialGpuNumber": 1, "trainingService": [LOCAL]},
    ):
        check_here(data, "search.yml", print)


@pytest.mark.parametrize(
    ("data", "number", "room"),
    [
        (local(1), 2, 2), (local(2), 5, 2), (local(1, gpuIndices="1"), 2, 1), (local(1, maxTrialNumberPerGpu=3), 2, 6),
        (local(2, maxTrialNumberPerGpu=3), 2, 2),
    ],
)  # fmt: skip
def test_trials_that_will_wait_are_told(monkeypatch, data, number, room):
    assert at_a_time(data, data["trainingService"], GPUs(number)) == room
    monkeypatch.setattr(gpus, "here", lambda: GPUs(number))
    said: list[str] = []
    check_here(data | {"trialConcurrency": room}, "search.yml", said.append)
    assert said == []
    check_here(data | {"trialConcurrency": room + 1}, "search.yml", said.append)
    assert f"have room for {room} trial" in said[0]


# Hosts


NEEDED = {"trialCommand": "true", "trialConcurrency": 1, "searchSpace": {}, "tuner": {"name": "Random"},
          "nniManagerIp": "127.0.0.1", "trialCodeDirectory": "."}  # fmt: skip


def test_on_hosts_a_whole_gpu_is_asked_for_as_two_thirds(tmp_path):
    """Which their own NNI gives out where there is but one."""
    mixed = remote(1, {}, {"maxTrialNumberPerGpu": 2}, {"maxTrialNumberPerGpu": 1})
    service = for_hosts(mixed)["trainingService"]
    shares = [
        service["trialGpuNumber"] / machine["maxTrialNumberPerGpu"] for machine in service["machineList"]
    ]
    assert shares == [2 / 3, 1 / 2, 2 / 3]
    key = tmp_path / "key"
    key.touch()
    machine = {"sshKeyFile": str(key)}
    check_nni(for_hosts(remote(1, machine, trial_gpu_number=1)) | NEEDED, tmp_path)
    for data in (remote(2, {}), remote(0, {}), local(1), remote(1, {}, reuseMode=True)):
        assert for_hosts(data) == data


def test_what_hosts_lack_is_told(monkeypatch, tmp_path):
    upload = {"files": 1, "bytes": 1, "most": "", "names": [], "unreadable": "", "message": ""}
    found = {"python": "/p", "source": "1.2.3.4", "nas": True}

    def refused(data: dict[str, Any], number: int | None) -> str:
        counted = {} if number is None else {"gpus": json.dumps({"success": number > 0, "gpuNumber": number})}
        hosts = [{"answer": json.dumps(found | counted)}]
        monkeypatch.setattr(knocking, "_asked", lambda *_: {"hosts": hosts, "upload": upload})
        return "".join(knocking.knock(data, "127.0.0.1", Path("search.yml"), tmp_path, print).refused)

    machine = {"host": "127.0.0.1", "sshKeyFile": "k"}
    assert refused(remote(1, machine), 0).startswith(
        "search.yml: host 127.0.0.1 has no GPU that NNI finds, and trialGpuNumber is 1; for trials without"
    )
    assert "has 2 GPUs, and trialGpuNumber asks for all of them, which NNI 3.0 never" in refused(
        remote(2, machine), 2
    )
    assert (
        refused(remote(1, machine), 1)
        == refused(remote(2, machine), 3)
        == refused(remote(1, machine), None)
        == ""
    )


# NVML, as it is, and as it would be

NVML = """
import os
class NVMLError(Exception): pass
class Rates: gpu = memory = 0
def nvmlInit(): pass
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return int(os.environ["FAKE_GPUS"])
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetUtilizationRates(_): return Rates
def nvmlDeviceGetComputeRunningProcesses_v3(_): return []
def nvmlDeviceGetGraphicsRunningProcesses_v3(_): return []
"""


@pytest.fixture
def nvml(tmp_path, monkeypatch):
    """A machine with so many GPUs, as NNI sees it."""
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "pynvml.py").write_text(NVML)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [before])]))
    return lambda number: monkeypatch.setenv("FAKE_GPUS", str(number))


def test_gpus_are_counted_by_nni_here_and_on_hosts(nvml):
    nvml(3)
    assert gpus.here() == GPUs(3)
    code = knocking.code_for("127.0.0.1", True)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert GPUs.told(json.loads(done.stdout)["gpus"]) == GPUs(3)


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"success": true, "gpuNumber": null}'])
def test_a_count_that_fails_is_none(text):
    assert GPUs.told(text) == GPUs(0, "NNI's look at them fails")


def search_yml(folder: Path, trials: int, **changes: Any) -> SearchConfig:
    """A search of recorded results, whose trials say which GPUs they have."""
    records = [{"sample": {"a": a}, "accuracy": a / 10, "macs": 1000} for a in range(6)]
    (folder / "results.json").write_text(
        json.dumps({"name": "t", "choices": {"a": [*range(6)]}, "records": records})
    )
    (folder / "search.yml").write_text(yaml.safe_dump({
        "searchSpace": "table:results.json", "maxTrialNumber": trials, "trialConcurrency": 2, "trialGpuNumber": 1,
        "trialCommand":
            f"echo ${{CUDA_VISIBLE_DEVICES-all}} >> seen; {sys.executable} -m nas.search.trial --table results.json",
        "tuner": {"codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner",
                  "classArgs": {"strategy": {"name": "random"}, "seed": 0}},
        "trainingService": {"platform": "local", "useActiveGpu": True},
    } | changes))  # fmt: skip
    return SearchConfig.read(folder / "search.yml")


def test_a_search_here_looks_and_has_nni_load_ours(monkeypatch, tmp_path, nvml):
    nvml(1)
    said: list[str] = []
    door = Door(search_yml(tmp_path, 1), said.append)
    assert door.knock() == []
    assert "have room for 1 trial at a time" in said[0]
    assert "gpus.cjs" in door.environment["NODE_OPTIONS"]
    nvml(0)
    with pytest.raises(
        NasError, match=r"search\.yml: this machine has no GPU that NNI finds, and trialGpuNumber is 1"
    ):
        door.knock()


def test_whether_gpus_of_others_may_be_taken_is_asked_in_our_words(tmp_path):
    with pytest.raises(
        NasError,
        match=r"search\.yml, line \d+: trialGpuNumber is 1, and useActiveGpu is not given; give useActiveGpu: f",
    ):
        search_yml(tmp_path, 1, trainingService={"platform": "local"})


@pytest.mark.nni
def test_a_search_with_one_gpu_goes_through_nni(tmp_path, nvml, monkeypatch):
    """All of NNI, but for NVML: the only GPU is each trial's, one after the other, though two are to run at a time."""
    nvml(1)
    project = tmp_path / "project"
    project.mkdir()
    search_yml(project, 3)
    (tmp_path / "home").mkdir()
    environment = {name: word for name, word in os.environ.items() if not name.startswith("NNI_")}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("nas")), "search", "search.yml"], cwd=project, timeout=300, check=False,
        env=environment | {"HOME": str(tmp_path / "home")}, capture_output=True, text=True,
    )  # fmt: skip
    assert (project / "seen").exists(), done.stdout + done.stderr
    assert (project / "seen").read_text().split() == ["0", "0", "0"], done.stdout + done.stderr
