"""Ports and files for the user alone; a tuner that ends with its manager; a trial that is watched."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import nni_node
import psutil
import pytest

from nas.search.guard import at_home, undisturbed
from nas.search.watch import memory_in_use

NODE = str(Path(nni_node.__file__).parent / "node")
SERVER = """
const servers = [[0], [0, '0.0.0.0'], [{port: 0}], ['0'], [0, () => {}], [], [0, undefined, () => {}]]
  .map(words => require('http').createServer((_, answer) => answer.end('here')).listen(...words))
Promise.all(servers.map(server => server.listening || new Promise(done => server.on('listening', done))))
  .then(() => console.log(servers.map(server => server.address().port).join(' ')))
"""


def reached(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except OSError:
        return False


def other_addresses() -> list[str]:
    """This machine's, besides 127.0.0.1: on Linux 127.0.0.2 is one, and those of its network."""
    known = [
        one.address for ones in psutil.net_if_addrs().values() for one in ones if one.family == socket.AF_INET
    ]
    return ["127.0.0.2", *(address for address in known if address != "127.0.0.1")]


@pytest.mark.parametrize("guarded", [True, False])
def test_from_another_address_of_the_machine_nnis_servers_are_not_reached(guarded):
    """Each way in which a node program listens; without the guard it is reached, as NNI's is."""
    environment = at_home(os.environ) if guarded else dict(os.environ)
    with subprocess.Popen([NODE, "-e", SERVER], env=environment, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        try:
            ports = [int(port) for port in node.stdout.readline().split()]
            assert len(ports) == 7
            assert all(reached("127.0.0.1", port) for port in ports)
            for address in other_addresses():
                assert [reached(address, port) for port in ports] == [not guarded] * 7, address
        finally:
            node.kill()


def test_a_users_own_node_options_stay():
    once = at_home({"NODE_OPTIONS": "--no-warnings", "A": "b"})
    assert once["NODE_OPTIONS"].startswith("--no-warnings --require ")
    assert at_home(once) == once
    assert once["A"] == "b"


def test_a_signal_waits_for_what_must_not_be_disturbed():
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with undisturbed():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert len(heard) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


def wait_for_end(process: psutil.Process, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


SPAWN = """
const child = require('child_process').spawn(process.argv[1], process.argv.slice(2), {stdio: ['ignore', 'pipe', 2]})
child.stdout.on('data', data => process.stdout.write(data))
"""
TUNER = """
import os, time
from nas.search.guard import end_with_manager
end_with_manager()
print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_a_tuner_ends_with_its_manager():
    """NNI's manager is a node process, and leaves its tuner behind when it is killed."""
    command = [NODE, "-e", SPAWN, sys.executable, "-c", TUNER, "--experiment-id", "abc123"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        tuner = psutil.Process(int(node.stdout.readline()))
        node.kill()
        assert wait_for_end(tuner)


GUARDED = """
import os, sys, time
import nas.search.guard as guard
guard.PATIENCE = float(sys.argv[2])
try:
    guard.guard_tuner()
except ValueError as error:
    sys.exit(str(error))
open(os.environ["NNI_LOG_DIRECTORY"] + "/written", "w").close()
print("on", flush=True)
time.sleep(float(sys.argv[1]))
"""


MANAGER = """
import subprocess, sys
sys.exit(subprocess.call([sys.executable, "-c", *sys.argv[1:4]]))
"""


def test_a_run_has_one_tuner_whose_files_are_the_users_alone(tmp_path):
    logs = tmp_path / "exp1" / "log"
    logs.mkdir(parents=True)
    environment = os.environ | {"NNI_LOG_DIRECTORY": str(logs)}

    def command(seconds: str, patience: str) -> list[str]:
        """A tuner under a process that names its experiment."""
        return [sys.executable, "-c", MANAGER, GUARDED, seconds, patience, "--experiment-id", "exp1"]

    with subprocess.Popen(command("600", "0.2"), env=environment, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "on\n"
        assert stat.S_IMODE((logs / "written").stat().st_mode) == 0o600
        second = subprocess.run(command("0", "0.2"), env=environment, capture_output=True, text=True)
        assert second.returncode == 1
        assert second.stderr == "experiment exp1 has a tuner already; end that search before you resume it\n"
        first.kill()
    third = subprocess.run(command("0", "30"), env=environment, capture_output=True, text=True)
    assert third.returncode == 0


def test_a_tuner_whose_manager_has_ended_begins_nothing(tmp_path):
    """An orphan would write into the run of its successor."""
    logs = tmp_path / "exp1" / "log"
    logs.mkdir(parents=True)
    environment = os.environ | {"NNI_LOG_DIRECTORY": str(logs)}
    found = subprocess.run(
        [sys.executable, "-c", GUARDED, "0", "1"], env=environment, capture_output=True, text=True
    )
    assert found.returncode == 1
    assert found.stderr == "NNI's manager, which started this tuner, has ended; resume the search\n"
    assert not (logs / "written").exists()


FORKS = """
import os, sys, time
from nas.search.watch import memory_in_use
block = b"x" * 300_000_000
for _ in range(4):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
time.sleep(0.5)
print(memory_in_use(0) < 600_000_000, memory_in_use(10**12) > 1_200_000_000, flush=True)
os.killpg(0, 9)
"""


@pytest.mark.skipif(not psutil.LINUX, reason="other systems do not tell what processes share")
def test_what_data_loaders_share_is_counted_once():
    found = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, start_new_session=True
    )
    assert found.stdout.split() == ["True", "True"]


WATCHED = """
import hashlib, multiprocessing, sys, time
from pathlib import Path
from nas.search.watch import Watch

mark, kind = Path(sys.argv[1]), sys.argv[2]
Watch(mark, 400_000_000 if kind == "memory" else None, lambda used: print("over", used > 400_000_000, flush=True))
print("on", flush=True)
if kind == "python":
    time.sleep(600)
elif kind == "C":
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2_000_000_000)  # as a tensor operation, without Python's lock
elif kind == "child":  # of a data loader: its signal is not the trial's
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=[600])
    child.start()
    time.sleep(0.5)
    child.terminate()
    child.join()
    time.sleep(1)
    print("alive", child.exitcode, flush=True)
else:
    eaten = []
    while True:
        eaten.append(bytearray(20_000_000))
        time.sleep(0.02)
"""


def watched(mark: Path, kind: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(mark), kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    return process


@pytest.mark.parametrize("kind", ["python", "C"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_trial_that_is_told_to_end_does_at_once_and_leaves_a_mark(tmp_path, kind, number):
    with watched(tmp_path / "mark", kind) as process:
        process.send_signal(number)
        assert process.wait(15) < 0  # of a signal: NNI calls that cancelled, and an exit code FAILED
    assert (tmp_path / "mark").exists()


def test_a_trial_that_is_killed_leaves_none(tmp_path):
    with watched(tmp_path / "mark", "python") as process:
        process.kill()
    assert not (tmp_path / "mark").exists()


def test_a_signal_to_a_child_is_none_to_the_trial(tmp_path):
    with watched(tmp_path / "mark", "child") as process:
        assert process.communicate(timeout=30)[0] == f"alive {-signal.SIGTERM}\n"
    assert process.returncode == 0
    assert not (tmp_path / "mark").exists()


def test_a_trial_over_its_memory_ends(tmp_path):
    with watched(tmp_path / "mark", "memory") as process:
        assert process.communicate(timeout=60)[0] == "over True\n"
    assert process.returncode == 1


def test_memory_counts_children():
    before = memory_in_use()
    eating = "x = bytearray(200_000_000); print('on', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", eating], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert memory_in_use() - before > 190_000_000
        child.communicate("\n")
