"""The warm process of a search's trials on one machine: loads what they need, and forks into each of them.

    python -m nas.search.warm_worker SOCKET PATH table|train|images

`nas.search.warm` starts it, and says what it is for. It evaluates nothing itself and has one thread, so that a fork is
as good as a new process. It ends when nothing has been asked of it for a minute, and with NNI's manager, on
another machine with what NNI keeps its trials by.
"""

import contextlib
import gc
import importlib
import os
import select
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.search import trial, warm
from nas.search.guard import is_there, managers_above
from nas.search.warm_asking import Asking

IDLE = 60.0
"""Seconds without a trial after which it ends."""
LOOK = 1.0
"""Seconds between two looks at the manager."""
OF_NNI = ("colorama", "cloudpickle", "filelock", "json_tricks", "numpy", "pandas", "psutil", "requests", "schema",
          "scipy.stats", "typeguard", "websockets", "yaml")  # fmt: skip
"""What `import nni` imports, which itself reads the environment of its trial as it is imported."""
OF_TRIALS = ("nas.search.evaluating", "nas.search.board", "nas.search.events", "nas.search.watch")
OF_TRAINING = ("torch", "torch._dynamo", "nas.search.fidelity", "nas.data", "nas.evaluators.proxy")
OF_IMAGES = ("torchvision.transforms", "PIL.Image", "nas.decoding")
LOADED = {
    "table": (*OF_NNI, *OF_TRIALS),
    "train": (*OF_NNI, *OF_TRIALS, *OF_TRAINING),
    "images": (*OF_NNI, *OF_TRIALS, *OF_TRAINING, *OF_IMAGES),
}
"""What is loaded for trials of a kind, of `nas.search.warm_key.kind_of`."""


class Forked(Exception):
    """This process is the fork: its request, and the files that it has from its trial."""

    def __init__(self, request: dict[str, Any], files: list[int], parent: int) -> None:
        self.request, self.files, self.parent = request, files, parent


class Worker:
    """Forks into the trials that ask for it.

    Args:
        listening: on which they do.
        path: of its socket.
        managers: NNI's processes above the trial that started this one.
    """

    def __init__(self, listening: socket.socket, path: Path, managers: list[Any]) -> None:
        self._listening, self._path, self._managers = listening, path, managers
        self._asking: set[Asking] = set()
        self._since = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._woken, self._waking = os.pipe()
        for end in (self._woken, self._waking):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        listening.setblocking(False)
        self._selector.register(listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until nobody needs it.

        Raises:
            Forked: in a fork.
        """
        while True:
            for key, _ in self._selector.select(LOOK):
                if key.fileobj is self._listening:
                    self._accept()
                elif key.fd == self._woken:
                    os.read(self._woken, 4096)
                else:
                    self._hear(key.data)
            self._reap()
            if self._is_over() and self._close():
                return

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        asking = Asking(connection)
        try:
            if (threads := len(os.listdir("/proc/self/task"))) != 1:
                raise ValueError(f"it has {threads} threads")
            request, files = asking.request()
        except (OSError, ValueError) as error:
            asking.say(refused=f"{type(error).__name__}: {error}")
            connection.close()
            return
        self._fork(asking, request, files)

    def _fork(self, asking: Asking, request: dict[str, Any], files: list[int]) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            asking.say(refused=f"no fork: {error.strerror}")
            asking.connection.close()
            pid = -1
        if pid == 0:
            self._forget()
            asking.connection.close()
            raise Forked(request, files, parent)
        for one in files:
            os.close(one)
        if pid < 0:
            return
        with contextlib.suppress(OSError):  # the fork does it, too: whichever comes first
            os.setpgid(pid, pid)
        asking.pid = pid
        asking.say(pid=pid)
        asking.connection.setblocking(False)
        self._asking.add(asking)
        self._selector.register(asking.connection, selectors.EVENT_READ, asking)

    def _forget(self) -> None:
        """In a fork: what is its parent's alone."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._listening.close()
        os.close(self._woken)
        os.close(self._waking)
        for other in self._asking:
            other.connection.close()

    def _hear(self, asking: Asking) -> None:
        """Signals of a trial to its fork; the end of a trial is the end of its fork."""
        try:
            numbers = asking.connection.recv(64)
        except BlockingIOError:
            return
        except OSError:
            numbers = b""
        for number in numbers:
            _kill(asking, number, os.kill)
        if not numbers:
            self._selector.unregister(asking.connection)
            _kill(asking, signal.SIGKILL, os.killpg)

    def _reap(self) -> None:
        """Tells trials how their forks ended."""
        for asking in list(self._asking):
            assert asking.pid is not None
            pid, status = os.waitpid(asking.pid, os.WNOHANG)
            if pid == 0:
                continue
            self._asking.remove(asking)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(asking.connection)
            asking.say(status=status)
            asking.connection.close()
            self._since = time.monotonic()

    def _is_over(self) -> bool:
        if self._asking:
            return False
        if time.monotonic() - self._since > IDLE:
            return True
        return bool(self._managers) and not any(map(is_there, self._managers))

    def _close(self) -> bool:
        """Ends unless a trial has come in the meantime; later ones find no socket."""
        with warm.locked(self._path.parent):
            if select.select([self._listening], [], [], 0)[0]:
                return False
            for path in (self._path, warm.log_of(self._path)):
                path.unlink(missing_ok=True)
            self._listening.close()
            return True


def _kill(asking: Asking, number: int, kill: Callable[[int, int], None]) -> None:
    if asking.pid is not None and number in {signal.SIGKILL, *warm.SIGNALS}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(asking.pid, number)


def load(kind: str) -> None:
    """Imports what trials of a kind import."""
    for name in LOADED[kind]:
        importlib.import_module(name)
    if kind == "images":
        sys.modules["PIL.Image"].init()  # its formats, of which the first image would import each
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all it looks at


def become(fork: Forked) -> int:
    """The trial, in its fork; its exit code."""
    trial.end_with_parent(fork.parent)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    for number, file in enumerate(fork.files):
        os.dup2(file, number)
        os.close(file)
    request = fork.request
    os.umask(int(request["umask"]))
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [str(trial.__file__), *request["words"]]
    warm.stands_for = int(request["pid"])
    import numpy as np

    np.random.seed()  # its state is the parent's, and so that of every fork
    return trial.main(request["words"])


def main(argv: list[str]) -> int:
    """Serves to the end; in a fork, the exit code of its trial."""
    listening = socket.socket(fileno=int(argv[0]))
    managers = managers_above()
    load(argv[2])
    try:
        Worker(listening, Path(argv[1]), managers).serve()
        return 0
    except Forked as forked:
        fork = forked
    return become(fork)  # out here, so that an error of the trial is not told as one that came of `Forked`


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
