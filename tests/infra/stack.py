"""A stage as it stands before `chalice deploy`: moto's server with the stack in it, and a copy of the project that knows."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra import dynamodb_local, provision
from tests.infra.project import REGION, copy_project
from tests.support.real import missing

STAGE = "dev"
CHALICE = Path(sys.executable).with_name("chalice")


@dataclass(frozen=True)
class Stack:
    """url: where AWS answers; project: the copy; environment: for a process that is to reach this AWS and no other."""

    url: str
    project: Path
    environment: dict[str, str]

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def json(self, name: str) -> Any:
        return json.loads((self.project / ".chalice" / name).read_text())

    @contextmanager
    def in_reach(self) -> Iterator[None]:
        """For code of this process that finds its AWS in the environment."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in _environment(self.url).items():
                patch.setenv(name, value)
            yield

    def provision(self, *arguments: str) -> None:
        with self.in_reach():
            assert provision.main(["--stage", STAGE, *arguments], project=self.project) == 0

    def chalice(self, *arguments: str, cli: tuple[str | Path, ...] = (CHALICE,)) -> None:
        done = subprocess.run(
            [*cli, *arguments],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if "NoSuchPackageError" in done.stderr:
            missing("pip could not fetch what requirements.txt pins (is there a package index?)")
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def provisioned(folder: Path) -> Iterator[Stack]:
    """Stage dev, provisioned by infra.provision itself."""
    copy_project(folder)
    with _moto() as url:
        others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        stack = Stack(url, folder, others | _environment(url))
        stack.provision()
        _mend_key(stack)
        yield stack


def _environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def _moto() -> Iterator[str]:
    # A process of its own: its warnings are not this project's to fail on.
    port = dynamodb_local.free_port()
    command = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=10)


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)


def _mend_key(stack: Stack) -> None:
    """moto keeps the policy of a key made by CloudFormation as an object and then fails to parse it at every use."""
    key = stack.json("config.json")["stages"][STAGE]["environment_variables"]["KMS_KEY_ID"]
    stack.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy='{"Statement": []}')
