"""nas doctor: each part of the environment is broken in turn, and the doctor says which, and how to mend it."""

import gzip
import importlib.metadata
import itertools
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from nas import catalog, cli, sources
from nas.health import belongings, engine, machine, network, packages, running
from nas.health.finding import BROKEN, NOTE, WORKS, Finding, broken, checked, works
from nas.health.running import Ended, Probe, Step, probe, run
from nas.search import nnictl, ports, runs
from nas.search.gpus import GPUs

NAMES = [
    "python", "packages", "torch", "gpu", "nni", "pins", "setuptools", "nnictl", "node", "loopback", "port",
    "localhost", "proxy", "experiments", "folders", "disk", "cores", "memory", "clock", "documents", "data",
]  # fmt: skip


def is_(finding: Finding, state: str, *words: str) -> bool:
    """The state, the words in what was found, and something to do where it is broken."""
    assert finding.state == state, finding
    for word in words:
        assert word in finding.found + "\n" + finding.mend, finding
    assert "\n" not in finding.found + finding.mend
    assert "Traceback" not in finding.found
    assert finding.mend or state != BROKEN
    return True


def without(*names: str, **versions: str):
    """importlib.metadata's version, with packages missing, or of other versions."""

    def version(name: str) -> str:
        if name in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name.replace("-", "_")) or importlib.metadata.version(name)

    return version


# Programs


def test_programs_that_end_badly_are_told_in_a_line():
    python = sys.executable
    assert run([python, "-c", "print(7)"]).out == "7\n"
    assert run([python, "-c", "import sys; sys.exit(3)"]).error == "ended with exit code 3"
    assert run([python, "-c", "raise OSError('libx.so: missing')"]).error == "OSError: libx.so: missing"
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    assert run([python, "-c", crash]).error == "ended by SIGSEGV"
    assert (
        run([python, "-c", "import time; time.sleep(60)"], bound=0.5).error == "did nothing for 0.5 seconds"
    )
    assert run(["/no/such/program"]).error == "there is no program /no/such/program"
    assert "cannot be run (PermissionError" in run([str(Path(__file__))]).error


def test_a_program_that_is_slow_is_no_hung_one(monkeypatch):
    """As on a busy machine: it takes many times the bound, and works all the while."""
    used = itertools.count(1.0)
    monkeypatch.setattr(running, "_processor_seconds", lambda pid: next(used))
    ended = run([sys.executable, "-c", "import time; time.sleep(2); print('done')"], bound=0.2)
    assert (ended.out, ended.error) == ("done\n", "")
    assert next(used) > 3


def test_what_a_program_has_used_is_read():
    import psutil

    assert 0 < running._processor_seconds(os.getpid()) <= sum(psutil.Process().cpu_times()[:2])
    assert running._processor_seconds(2**31 - 2) == 0.0


# Python and packages


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 10, 14), BROKEN), ((3, 11, 0), WORKS), ((3, 12, 9), WORKS), ((3, 13, 1), BROKEN)],
)
def test_python(version, state):
    assert is_(packages.python(version), state, ".".join(map(str, version)))


def test_a_python_of_32_bits():
    assert is_(packages.python((3, 11, 7), bits=32), BROKEN, "32 bits")


def test_packages_that_are_missing_or_too_old():
    assert is_(packages.packages(), WORKS, "all ")
    found = packages.packages(without("psutil", pydantic="1.10.2"))
    assert is_(
        found,
        BROKEN,
        "psutil is missing",
        "pydantic is 1.10.2, and b0nas wants >=2.12",
        "'pydantic>=2.12'",
    )


def test_what_nni_pins():
    """NNI 3.0's metadata: filelock <3.12, typeguard <4.1.3,>=3.0.0."""
    assert is_(packages.pins(), WORKS, "nni 3.0")
    found = packages.pins(without(filelock="3.20.0", typeguard="4.4.0"))
    assert is_(
        found, BROKEN, "filelock is 3.20.0, and nni wants <3.12", "typeguard is 4.4.0", "'filelock<3.12'"
    )


def test_packages_of_an_environment_without_nni(monkeypatch):
    def requires(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert is_(packages.pins(), BROKEN, "nni is not installed")


def fake(folder: Path, package: str, code: str) -> dict[str, str]:
    """An environment in which a package is this code."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text(code)
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.mark.parametrize(("version", "state"), [("69.5.1", WORKS), ("80.8.0", WORKS), ("81.0.0", BROKEN)])
def test_setuptools_by_version(version, state):
    found = packages.pkg_resources(Probe({"pkg_resources": Step()}, Ended()), without(setuptools=version))
    assert is_(found, state, version)


def test_setuptools_without_pkg_resources(tmp_path):
    environment = fake(
        tmp_path, "pkg_resources", "raise ModuleNotFoundError('No module named pkg_resources')"
    )
    found = packages.pkg_resources(probe("setuptools", environment), without(setuptools="84.2.0"))
    assert is_(found, BROKEN, "84.2.0, without the pkg_resources", "'setuptools>=69,<81'")
    assert is_(packages.pkg_resources(Probe({}, Ended()), without("setuptools")), BROKEN, "missing")


# torch and NNI


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "raise ImportError('libcudart.so.13: cannot open shared object file')",
            "ImportError: libcudart.so.13",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "ended by SIGILL"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("print('a banner')", "AttributeError"),
        ("print('[1, 2]'); import os; os._exit(9)", "exit code 9"),
    ],
)
def test_a_torch_that_cannot_be_imported(tmp_path, code, words):
    found = probe("torch", fake(tmp_path, "torch", code))
    assert is_(engine.torch(found), BROKEN, "cannot be used", words)
    assert is_(engine.nni(found), BROKEN, "strategies cannot be imported", "the line torch says why")
    assert is_(engine.gpu(found), NOTE, "not looked at")


@pytest.mark.parametrize("name", ["torch.py", "json.py"])
def test_a_file_here_that_is_imported_instead(tmp_path, monkeypatch, name):
    """The current folder comes first for a trial: nothing has to be installed anew."""
    monkeypatch.chdir(tmp_path)
    for one in (name, "birds.py"):
        Path(one).write_text("x = 1\n")
    found = probe("torch")
    told = f"{name} in the current folder is imported instead of what is installed by that name: rename, or"
    assert is_(engine.torch(found), BROKEN, "cannot be used", told)
    assert is_(engine.nni(found), BROKEN, "the line torch says why")
    tools = Probe(
        {"pkg_resources": Step(error="AttributeError: module 'json' has no attribute 'dumps'")}, Ended()
    )
    assert is_(packages.pkg_resources(tools), BROKEN, told)
    Path(name).unlink()
    assert is_(packages.pkg_resources(tools), BROKEN, "'setuptools>=69,<81'")


def test_a_current_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, out = command(monkeypatch, capsys)
    assert code == 1
    assert out.splitlines() == [
        "broken  folders      the current folder is gone (No such file or directory)",
        "                     cd to one that there is",
        "broken: folders",
    ]


def test_a_torch_that_hangs(tmp_path):
    found = probe("torch", fake(tmp_path, "torch", "import time; time.sleep(60)"), bound=5)
    assert is_(engine.torch(found), BROKEN, "did nothing for 5 seconds")


def a_probe(devices=(), cuda: str | None = "13.0", **errors: str) -> Probe:
    steps = {
        "torch": Step({"version": "2.14.1", "cuda": cuda}, errors.get("torch", "")),
        "torchvision": Step({"version": "0.29.1"}, errors.get("torchvision", "")),
        "gpu": Step({"devices": list(devices)}, errors.get("gpu", "")),
        "strategies": Step({"names": ["random"]}, errors.get("strategies", "")),
    }
    return Probe(steps, Ended())


def test_torchvision_of_another_torch():
    found = engine.torch(a_probe(torchvision="RuntimeError: operator torchvision::nms does not exist"))
    assert is_(found, BROKEN, "torchvision cannot be used", "nms does not exist", "from one index")
    assert is_(engine.torch(a_probe()), WORKS, "2.14.1, torchvision 0.29.1")


def test_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    a100 = {"name": "A100", "memory": 40 << 30, "error": ""}
    k40 = {"name": "K40", "memory": 12 << 30, "error": "RuntimeError: no kernel image is available"}
    assert is_(engine.gpu(a_probe([a100]), handed=GPUs(1)), WORKS, "CUDA 13.0, float16: A100 (40 GiB)")
    unseen = engine.gpu(a_probe([a100]), handed=GPUs(0, "Driver Not Loaded"))
    assert is_(
        unseen, NOTE, "A100 (40 GiB); NNI, for trialGpuNumber, finds 0 (Driver Not Loaded)", "leave trialGpu"
    )
    assert is_(
        engine.gpu(a_probe([a100]), handed=GPUs(2)), NOTE, "NNI, for trialGpuNumber, finds 2", "gpuIndices"
    )
    assert is_(engine.gpu(a_probe([a100, k40])), BROKEN, "K40: RuntimeError: no kernel image", "--device cpu")
    assert is_(engine.gpu(a_probe(gpu="RuntimeError: driver too old")), BROKEN, "driver too old")
    assert is_(engine.gpu(a_probe(), driver=False), NOTE, "none: trainings run on the CPU")
    assert is_(engine.gpu(a_probe(), driver=True), NOTE, "built for CUDA 13.0, sees no device", "nvidia-smi")
    assert is_(engine.gpu(a_probe(cuda=None), driver=True), NOTE, "a build for the CPU")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert is_(engine.gpu(a_probe(), driver=True), NOTE, "hidden by CUDA_VISIBLE_DEVICES")


def test_nni_of_another_version(monkeypatch):
    assert is_(engine.nni(a_probe()), WORKS, "3.0; strategies random")
    found = engine.nni(a_probe(strategies="ModuleNotFoundError: No module named 'schema'"))
    assert is_(found, BROKEN, "No module named 'schema'", "make clean setup")
    monkeypatch.setattr(importlib.metadata, "version", without(nni="2.10.1"))
    assert is_(engine.nni(a_probe()), BROKEN, "2.10.1; b0nas is written for 3", "'nni>=3.0,<4'")
    monkeypatch.setattr(importlib.metadata, "version", without("nni"))
    assert is_(engine.nni(a_probe()), BROKEN, "not installed")


def test_nnictl_that_does_not_start():
    ended = run([sys.executable, "-c", "import pkg_resources_that_is_not_there"])
    assert is_(engine.nnictl(ended), BROKEN, "does not start: ModuleNotFoundError", "setuptools")
    assert is_(engine.nnictl(Ended("3.0", "", 2.0)), WORKS, "2.0 s")
    assert is_(engine.nnictl(Ended("3.0", "", 14.0)), NOTE, "14.0 s; NNI gives its tuner ten seconds")


def test_nnictl_is_found_beside_python_or_as_a_module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert nnictl.program() == [str(tmp_path / "python"), "-m", "nni.tools.nnictl.nnictl"]
    (tmp_path / "nnictl").write_text("")
    assert nnictl.program() == [str(tmp_path / "nnictl")]


# node


def a_node(folder: Path, script: str | None, monkeypatch: pytest.MonkeyPatch, manager: bool = True) -> None:
    """In place of NNI's package of node."""
    package = folder / "nni_node"
    package.mkdir()
    (package / "__init__.py").write_text("")
    if manager:
        (package / "main.js").write_text("")
    if script is not None:
        (package / "node").write_text(f"#!/bin/sh\n{script}\n")
        (package / "node").chmod(0o755)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "nni_node", raising=False)


def test_nnis_own_node_runs_and_stays_at_home():
    assert is_(engine.node(), WORKS, "v", "NNI's own")
    assert is_(engine.loopback(), WORKS, "this machine alone")


def test_a_node_that_is_not_there(tmp_path, monkeypatch):
    a_node(tmp_path, None, monkeypatch)
    assert is_(engine.node(), BROKEN, "there is no program", "nni>=3.0")
    assert is_(engine.loopback(), BROKEN, "there is no program")


def test_a_node_without_its_manager(tmp_path, monkeypatch):
    a_node(tmp_path, "exit 0", monkeypatch, manager=False)
    assert is_(engine.node(), BROKEN, "main.js is missing")
    assert is_(checked("loopback", engine.loopback), BROKEN, "main.js is missing")


def test_a_node_for_another_machine(tmp_path, monkeypatch):
    a_node(tmp_path, "echo 'node: version `GLIBC_2.28 not found' >&2; exit 1", monkeypatch)
    assert is_(engine.node(), BROKEN, "does not run", "GLIBC_2.28")


def test_a_node_that_listens_everywhere(tmp_path, monkeypatch):
    a_node(tmp_path, """echo '["v18.15.0", "::"]'""", monkeypatch)
    assert is_(engine.node(), WORKS, "v18.15.0")
    assert is_(engine.loopback(), BROKEN, "would listen on ::, without a password")


def test_node_options_that_node_does_not_know(monkeypatch):
    monkeypatch.setenv("NODE_OPTIONS", "--no-such-option-of-node")
    assert is_(engine.node(), WORKS)
    assert is_(engine.loopback(), BROKEN, "NODE_OPTIONS", "unset NODE_OPTIONS")


def test_a_guard_that_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.search.guard.LOOPBACK", tmp_path / "loopback.cjs")
    assert is_(engine.loopback(), BROKEN, "loopback.cjs is missing")


# Network


def test_ports(monkeypatch):
    monkeypatch.setattr(ports, "_idle", lambda port: True)
    assert is_(network.port(), WORKS, "8080 and 8081 are free")
    monkeypatch.setattr(ports, "_idle", lambda port: port > 8081)
    assert is_(network.port(), NOTE, "8080 is in use; a search would take 8082 and 8083")
    monkeypatch.setattr(ports, "_idle", lambda port: False)
    assert is_(network.port(), BROKEN, "no port from 8080", "nnictl stop --all")


def test_a_localhost_that_is_elsewhere(monkeypatch):
    assert is_(network.localhost(), WORKS, "127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("::1", 80))])
    assert is_(network.localhost(), BROKEN, "is ::1, not 127.0.0.1", "/etc/hosts")

    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert is_(network.localhost(), BROKEN, "Name or service not known")


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ({}, WORKS),
        ({"http_proxy": "http://p:3128"}, BROKEN),
        ({"HTTP_PROXY": "http://p:3128"}, BROKEN),
        ({"all_proxy": "socks5://p:1080", "no_proxy": "example.org"}, BROKEN),
        ({"http_proxy": "http://p:3128", "no_proxy": "example.org,localhost"}, WORKS),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "*"}, WORKS),
        ({"ftp_proxy": "http://p:3128"}, WORKS),
    ],
)
def test_proxies(environment, state):
    assert is_(network.proxy(environment), state, *(["no_proxy"] * (state == BROKEN)))


# The machine


def test_folders(tmp_path, monkeypatch):
    assert is_(
        machine.folders(tmp_path / "runs", tmp_path / "home" / "nni-experiments"), WORKS, str(tmp_path)
    )
    file = tmp_path / "file"
    file.write_text("")
    assert is_(machine.folders(file / "runs", tmp_path), BROKEN, f"{file} is no folder")
    assert is_(machine.folders(tmp_path, file), BROKEN, f"{file} is no folder", "HOME")
    if Path("/proc/self").exists():
        assert is_(machine.folders(Path("/proc/runs"), tmp_path), BROKEN, "/proc: ")

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(runs, "nni_home", no_home)
    assert is_(machine.folders(tmp_path), BROKEN, "Could not determine home directory", "HOME")


def test_disks_and_memory():
    assert is_(machine.disk({"/": 50 << 20, "/home": 9 << 30}), BROKEN, "free at /", "make room")
    assert is_(machine.disk({"/": 500 << 20}), NOTE, "0.5 GiB")
    assert is_(machine.disk({"/": 5 << 30}), WORKS, "5.0 GiB free at /")
    assert is_(machine.memory(512 << 20), BROKEN, "0.5 GiB free; a trial takes up to 1")
    assert is_(machine.memory(3 << 29), NOTE, "trialConcurrency to 1")
    assert is_(machine.memory(8 << 30), WORKS, "8.0 GiB")


def test_disks_and_memory_of_this_machine():
    assert machine.disk().found.endswith(
        tuple(map(str, (Path.cwd(), Path.home(), machine.tempfile.gettempdir())))
    )
    assert "GiB free" in machine.memory().found


def test_cores():
    assert is_(machine.cores(8, 0.3, {"OMP_NUM_THREADS": "1"}), WORKS, "8; load 0.3; OMP_NUM_THREADS=1")
    assert is_(machine.cores(1, 0.3, {}), NOTE, "trialConcurrency to 1")
    assert is_(machine.cores(2, 9.0, {}), NOTE, "busy", "ten seconds")
    assert is_(machine.cores(2, 0.0, {"OMP_NUM_THREADS": "two"}), NOTE, "is no number")
    assert float(machine.cores().found.partition(";")[0]) > 0


def test_clocks():
    now = 2_000_000_000.0
    assert is_(machine.clock(now, now + 1), WORKS, "2033-05-1")
    assert is_(machine.clock(now, now - 60), NOTE, "-60 s apart", "NTP")
    assert is_(machine.clock(0.0, 0.0), NOTE, "before b0nas was installed")
    assert is_(machine.clock(), WORKS)


# Belongings


def test_documents_that_are_lost(tmp_path, monkeypatch):
    assert is_(belongings.documents(), WORKS, "search spaces")
    monkeypatch.setattr(catalog, "shipped", lambda kind: tmp_path / kind)
    assert is_(belongings.documents(), BROKEN, "search spaces and baselines that ship with b0nas are missing")
    for kind in catalog.KINDS:
        (tmp_path / kind).mkdir()
    (tmp_path / "search_spaces" / "digits.yml").write_text("name: digits\nresolution: many\n")
    (tmp_path / "baselines" / "efficientnet-b0.yml").write_text("name: x\n")
    assert is_(belongings.documents(), BROKEN, "digits.yml, line 2: resolution")


@pytest.mark.parametrize(("kind", "other"), [("baselines", "search_spaces"), ("search_spaces", "baselines")])
def test_a_broken_document_of_the_working_folder_is_noted(tmp_path, monkeypatch, kind, other):
    monkeypatch.chdir(tmp_path)
    (tmp_path / kind).mkdir()
    good = catalog.shipped(kind) / {"baselines": "mobilenet-v1.yml", "search_spaces": "digits.yml"}[kind]
    (tmp_path / kind / "a.yml").write_text(good.read_text())
    assert is_(belongings.documents(), WORKS, "33 baselines")
    (tmp_path / kind / "b.yml").write_text("name: b\nresolution: many\n")
    (tmp_path / kind / "c.yml").write_text("worse: c\n")
    wanted = f"5 search spaces, 33 baselines; of yours {kind}/b.yml, line 2: resolution is 'many'"
    assert is_(belongings.documents(), NOTE, wanted, f"mend {kind}/b.yml, or move it away")
    assert other not in belongings.documents().mend


def test_digits_that_are_lost(tmp_path, monkeypatch):
    folder = tmp_path / "sklearn" / "datasets" / "data"
    folder.mkdir(parents=True)

    class Spec:
        submodule_search_locations = (str(tmp_path / "sklearn"),)

    monkeypatch.setattr(sources, "find_spec", lambda name: Spec)
    assert is_(belongings.data([]), BROKEN, "digits", "No such file")
    (folder / "digits.csv.gz").write_bytes(b"no gzip")
    assert is_(belongings.data([]), BROKEN, "digits")
    with gzip.open(folder / "digits.csv.gz", "wt") as file:
        file.write("\n".join(",".join(["3"] * 64 + [str(n % 10)]) for n in range(100)))
    assert is_(belongings.data([]), BROKEN, "80 training images, not 1,438")
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    assert is_(belongings.data([]), BROKEN, "scikit-learn, which holds the images, is missing")


def test_other_data_sets_are_told(tmp_path):
    assert is_(
        belongings.data([tmp_path]), WORKS, "digits", "cifar10, cifar100, fashion-mnist: downloaded when"
    )
    (tmp_path / "cifar10.npz").write_bytes(b"")
    (tmp_path / "imagenet" / "train").mkdir(parents=True)
    assert is_(
        belongings.data([tmp_path]), WORKS, f"cifar10 ({tmp_path})", "imagenet", "cifar100, fashion-mnist"
    )


def test_experiments_of_nni(tmp_path, monkeypatch):
    registry = tmp_path / ".experiment"
    assert is_(belongings.experiments(tmp_path), WORKS, "none is open")
    entry = {"port": 8084, "status": "RUNNING"}
    registry.write_text(json.dumps({"abcd1234": entry, "old": {"port": 8080, "status": "STOPPED"}}))
    monkeypatch.setattr(runs, "processes_of", lambda name: {})
    assert is_(
        belongings.experiments(tmp_path), NOTE, "abcd1234 (RUNNING) was interrupted", "--resume abcd1234"
    )
    monkeypatch.setattr(runs, "processes_of", lambda name: {7: "manager", 8: "tuner"})
    assert is_(
        belongings.experiments(tmp_path), NOTE, "abcd1234 is open on port 8084", "nnictl stop abcd1234"
    )
    monkeypatch.setattr(runs, "processes_of", lambda name: {8: "tuner"})
    assert is_(belongings.experiments(tmp_path), NOTE, "a tuner without a manager", "kill 8")
    registry.write_text(json.dumps({"old": {"status": "STOPPED"}}))
    assert is_(belongings.experiments(tmp_path), WORKS)
    registry.write_text("{")
    assert is_(belongings.experiments(tmp_path), NOTE, "cannot be read")
    registry.write_text("[1]")
    assert is_(belongings.experiments(tmp_path), BROKEN, "is no list of NNI's", "mv ")


# The command


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["nas", "doctor", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    assert captured.err == ""
    return ended.value.code or 0, captured.out  # type: ignore[return-value]


def test_exit_codes_and_what_is_printed(monkeypatch, capsys):
    found = [works("python", "3.11.7"), Finding("gpu", NOTE, "none")]
    monkeypatch.setattr("nas.doctor.findings", lambda: found)
    code, out = command(monkeypatch, capsys)
    assert (code, out.splitlines()[-1]) == (0, "all that the main job needs works")
    found.append(broken("port", "none is free", "nnictl stop --all"))
    code, out = command(monkeypatch, capsys)
    assert (code, out.splitlines()[-1]) == (1, "broken: port")
    assert "broken  port         none is free\n                     nnictl stop --all\n" in out
    code, out = command(monkeypatch, capsys, "--json")
    assert code == 1
    assert json.loads(out)["ok"] is False
    assert json.loads(out)["checks"][2] == {
        "name": "port", "state": "broken", "found": "none is free", "mend": "nnictl stop --all",
    }  # fmt: skip


def test_checks_that_break_down_are_told_and_hinder_no_other(monkeypatch, capsys):
    """Every module that the checks use is taken away: the doctor still has a line for each."""

    def gone(*_, **__):
        raise MemoryError

    for module in (packages, engine, network, machine, belongings):
        for name, value in vars(module).copy().items():
            if callable(value) and getattr(value, "__module__", "") == module.__name__:
                monkeypatch.setattr(module, name, gone)
    monkeypatch.setattr("nas.health.running.probe", gone)
    monkeypatch.setattr("nas.health.running.run", gone)
    code, out = command(monkeypatch, capsys, "--json")
    rows = json.loads(out)["checks"]
    assert code == 1
    assert [row["name"] for row in rows] == NAMES
    assert {row["state"] for row in rows} == {BROKEN}
    assert {row["found"] for row in rows} == {"could not be looked at (MemoryError)"}


@pytest.mark.slow
def test_the_environment_that_runs_these_tests_is_told_to_work(monkeypatch, capsys):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    code, out = command(monkeypatch, capsys, "--json")
    rows = {row["name"]: row for row in json.loads(out)["checks"]}
    assert list(rows) == NAMES
    assert [row for row in rows.values() if row["state"] == BROKEN] == []
    assert code == 0
    assert rows["torch"]["found"].startswith(importlib.metadata.version("torch").partition("+")[0])
    assert "evolution" in rows["nni"]["found"]
