"""Processes that end with their parent, however it ends.

    python -m infra.local_processes MODULE [ARGUMENT ...]

runs a module as `python -m MODULE` would, and ends it when standard input closes. Its parent holds the other end of
that pipe and never writes, so the pipe closes when the parent stops, crashes, or is killed in a way that nobody can
catch.
"""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Self

PATIENCE = 5.0
"""Seconds a process has to end before it is killed."""


class Died(Exception):
    """A process that should go on has ended. The text says which one, and how."""


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    process: subprocess.Popen[str]


class Children:
    """The processes of one run, as a context: none is left when the block ends."""

    def __init__(self) -> None:
        self._running: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self, name: str, module: str, *arguments: str, announces: bool = False, socket_fd: int | None = None
    ) -> Child:
        """announces: its first line says that it is ready, see `first_line`; otherwise it prints where we print.
        socket_fd: a listening socket to hand over; the module learns of it by `--fd`.
        """
        handed_over = () if socket_fd is None else ("--fd", str(socket_fd))
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local_processes", module, *arguments, *handed_over],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if announces else None,
            text=True,
            pass_fds=() if socket_fd is None else (socket_fd,),
            # A group of its own: Ctrl-C in the terminal is the parent's to handle, once and in order.
            start_new_session=True,
        )
        child = Child(name, process)
        self._running.append(child)
        return child

    def first_line(self, child: Child) -> str:
        """What a child that announces prints when it is ready; what it prints later goes on to us. Raises Died."""
        assert child.process.stdout is not None
        line = child.process.stdout.readline()
        if not line:
            child.process.wait()
            self.check()
        threading.Thread(target=shutil.copyfileobj, args=(child.process.stdout, sys.stderr), daemon=True).start()
        return line

    def check(self) -> None:
        """Raises Died if one has ended."""
        for child in self._running:
            code = child.process.poll()
            if code is not None:
                how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
                raise Died(f"{child.name} has ended ({how}); what it said is above")

    def watch(self) -> None:
        """Wait for one to end, which none should. Raises Died."""
        while True:
            self.check()
            time.sleep(0.2)

    def stop(self) -> None:
        """End them, last started first, so that nobody loses what it depends on before it has ended itself."""
        while self._running:
            _end(self._running.pop().process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()


# --- in the child --------------------------------------------------------------------------------------------------


def _end_with_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(1)


def main() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
