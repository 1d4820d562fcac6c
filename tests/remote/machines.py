"""Machines for tests: each a network, process and mount namespace of its own, with sshd in those that are hosts.

What a machine shares with this one is what is installed, read only as far as tests go: its /tmp and its home are its
own and empty, so that of a search nothing is there but what NNI brings. They are joined by a bridge in a network
namespace of its own, which reaches nobody else.

    with Lan(folder) as lan:
        manager, host = lan.machine("m"), lan.machine("a", sshd=True)
        manager.run(["ping", "-c1", host.address])
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HOME = Path.home()
KEPT = sorted({ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()})
"""What every machine has, wherever it is installed."""
PASSWORD = "Geheim-4711-only-in-this-test"
NET = "10.213.77"
NEEDED = ("ip", "setpriv", "unshare", "nsenter", "mount", "ssh-keygen", "openssl")

BEGIN = r"""
set -e
mount --make-rprivate /
hide() {   # DIR OWN: DIR becomes OWN, but for what is installed, where that lies inside
    new=$(mktemp -d "$OWN/new.XXXX")
    mount --bind "$2" "$new"
    while read -r kept; do
        case "$kept" in "$1"/*)
            mkdir -p "$new/${kept#"$1"/}"
            mount --bind "$kept" "$new/${kept#"$1"/}"
            mount -o remount,bind,ro "$new/${kept#"$1"/}" ;;
        esac
    done <<< "$KEPT"
    mount --move "$new" "$1"
}
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd /run/own
mount --bind "$OWN" /run/own
hide "$HOME" "$OWN/home"
hide /tmp "$OWN/tmp"
mount --bind /run/own/shadow /etc/shadow
if [ -n "$SSHD" ]; then /usr/sbin/sshd -f /run/own/sshd_config -E /run/own/sshd.log; fi
echo ready > /run/own/ready
while true; do sleep infinity & wait; done   # and so the first process, it waits for those that lost their parents
"""


def missing() -> str:
    """What of what such machines need is not here; empty where all is."""
    if os.geteuid() != 0:
        return "machines of network namespaces take root"
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if not Path("/usr/sbin/sshd").exists():
        lacking.append("/usr/sbin/sshd")
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    tried = subprocess.run(["unshare", "-n", "-m", "-p", "--fork", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "namespaces may not be made here"


def call(*words: object, must: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert not must or done.returncode == 0, f"{words}: {done.stderr}"
    return done


class Lan:
    """Some machines, and all that they left behind is gone in the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bridge = f"nas{os.getpid()}br"
        self.machines: list[Machine] = []

    def __enter__(self) -> "Lan":
        for name in re.findall(r"^nas\d+[a-z]+", call("ip", "netns", "list").stdout, re.MULTILINE):
            if not Path("/proc", re.sub(r"\D", "", name)).exists():  # of tests that were killed
                call("ip", "netns", "delete", name, must=False)
        call("ip", "netns", "add", self.bridge)
        self.inside("ip", "link", "add", "br0", "type", "bridge")
        self.inside("ip", "link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.machines:
            machine.end()
        call("ip", "netns", "delete", self.bridge, must=False)

    def inside(self, *words: object) -> None:
        call("ip", "netns", "exec", self.bridge, *words)

    def machine(self, name: str, sshd: bool = False) -> "Machine":
        machine = Machine(self, name, len(self.machines) + 1, sshd)
        self.machines.append(machine)
        machine.begin()
        return machine


class Machine:
    """One machine.

    Attributes:
        address: on the lan.
        own: the folder, here, of its files: home, tmp, sshd.log.
    """

    def __init__(self, lan: Lan, name: str, number: int, sshd: bool) -> None:
        self.lan, self.name, self.sshd = lan, name, sshd
        self.address = f"{NET}.{number}"
        self.netns = f"nas{os.getpid()}{name}"
        self.link = f"v{name}"
        self.own = lan.folder / name
        self.key = lan.folder / "key"
        self._begun: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Also of one that was killed: with the files that it had."""
        for folder in ("home", "tmp"):
            (self.own / folder).mkdir(parents=True, exist_ok=True)
        (self.own / "tmp").chmod(0o1777)
        (self.own / "ready").unlink(missing_ok=True)
        call("ip", "netns", "add", self.netns)
        call("ip", "link", "add", self.link, "netns", self.lan.bridge, "type", "veth",
             "peer", "name", "eth0", "netns", self.netns)  # fmt: skip
        self.lan.inside("ip", "link", "set", self.link, "master", "br0", "up")
        for words in (["addr", "add", f"{self.address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                      ["link", "set", "lo", "up"]):  # fmt: skip
            call("ip", "-n", self.netns, *words)
        self._configure()
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(HOME), "KEPT": "\n".join(map(str, KEPT)), "OWN": str(self.own),
            "SSHD": "yes" if self.sshd else "",
        }  # fmt: skip
        with (self.own / "begin.log").open("w") as log:
            self._begun = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.netns, "unshare", "--mount", "--pid",
                 "--fork", "--kill-child", "--mount-proc", "bash", "-c", BEGIN],
                env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
                stderr=log,
            )  # fmt: skip
        end = time.monotonic() + 20
        while not (self.own / "ready").exists():
            assert self._begun.poll() is None, (self.own / "begin.log").read_text()
            assert time.monotonic() < end, "the machine does not begin"
            time.sleep(0.05)

    def _configure(self) -> None:
        if not self.key.exists():
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        hashed = call("openssl", "passwd", "-6", PASSWORD).stdout.strip()
        lines = Path("/etc/shadow").read_text().splitlines()
        lines = [f"root:{hashed}:19000:0:99999:7:::" if line.startswith("root:") else line for line in lines]
        (self.own / "shadow").write_text("\n".join(lines) + "\n")
        (self.own / "shadow").chmod(0o600)
        if not (self.own / "host_key").exists():
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.own / "host_key")
        (self.own / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
        settings = {
            "HostKey": "/run/own/host_key", "AuthorizedKeysFile": "/run/own/authorized_keys", "StrictModes": "no",
            "PermitRootLogin": "yes", "PasswordAuthentication": "yes", "UsePAM": "no", "UseDNS": "no",
            "PidFile": "/run/sshd.pid", "Subsystem": "sftp internal-sftp", "LogLevel": "INFO",
            "SetEnv": f"PIP_NO_INDEX=1 PYTHONPATH={ROOT} OMP_NUM_THREADS=1",
        }  # fmt: skip
        (self.own / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))

    # What is done on it

    @property
    def init(self) -> int:
        """The process, as this machine numbers it, with which the other one ends."""
        assert self._begun is not None
        for pid in _descendants(self._begun.pid):
            with contextlib.suppress(OSError):
                if re.search(r"NSpid:.*\t1\n", Path(f"/proc/{pid}/status").read_text()):
                    return pid
        raise AssertionError(f"{self.name} does not run")

    def command(self, words: Sequence[object], folder: str = "/") -> list[str]:
        inside = ["nsenter", "-t", str(self.init), "-n", "-m", "-p", f"--wdns={folder}"]
        return [*inside, *(str(word) for word in words)]

    def run(
        self, words: Sequence[object], timeout: float = 120, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(words), capture_output=True, text=True, timeout=timeout, check=False, **options
        )

    def processes(self) -> list[str]:
        """Command lines of all that runs there, but for the machine itself and its sshd."""
        return list(self._users().values())

    def _users(self) -> dict[int, str]:
        found = {}
        for pid in set(_in_namespace(self.init)) - {self.init}:
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found[pid] = b" ".join(words).decode(errors="replace").strip()
        own = ("sleep infinity", "sshd:", "/usr/sbin/sshd")
        return {pid: words for pid, words in found.items() if words and not words.startswith(own)}

    def kill_all(self) -> None:
        """kill -9 of all that runs there; the machine stays."""
        for pid in self._users():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # What is done to it

    def cut_off(self) -> None:
        """Its cable is pulled: nothing comes or goes, and nobody is told."""
        self.lan.inside("ip", "link", "set", self.link, "down")

    def mend(self) -> None:
        self.lan.inside("ip", "link", "set", self.link, "up")

    def kill(self) -> None:
        """All of its processes end at once, and its network with them."""
        if self._begun is None:
            return
        with contextlib.suppress(AssertionError, ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)
        self._begun.kill()
        self._begun.wait()
        self._begun = None
        call("ip", "-n", self.lan.bridge, "link", "delete", self.link, must=False)
        call("ip", "netns", "delete", self.netns, must=False)

    def end(self) -> None:
        self.kill()


def _in_namespace(pid: int) -> list[int]:
    wanted = os.readlink(f"/proc/{pid}/ns/pid")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if os.readlink(entry / "ns" / "pid") == wanted:
                    found.append(int(entry.name))
    return found


def _descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


PYTHON = str(Path(sys.executable).parent)
"""The folder of the interpreter, which every machine has."""
