"""Merchants' client libraries: unmodified, from their registries, each with the dependencies that its author pinned.

Those pins do not get along with ours, so each library is installed once into a folder of its own under
`.local/clients/`, and works in a process of its own. A driver, a small program in tests/clients/drivers, makes it do
what it is told: one JSON line for a call, one for how it ended.

    ["cancel", ["changed my mind"], {"imp_uid": "..."}]      {"answer": {...}} or {"refusal": {...}}
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.local_service import ROOT, Service
from tests.support.real import missing, require

HOME = ROOT / ".local" / "clients"
DRIVERS = ROOT / "tests" / "clients" / "drivers"
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-conflicts"]
NPM = ["install", "--loglevel=error", "--no-audit", "--no-fund", "--ignore-scripts"]


class Client:
    """A library at work in its driver."""

    def __init__(self, driver: subprocess.Popen[str]) -> None:
        self._driver = driver

    def call(self, method: str, *arguments: object, **named: object) -> Any:
        """What the library returns; it must succeed."""
        ended = self._told(method, arguments, named)
        assert "answer" in ended, ended
        return ended["answer"]

    def refusal(self, method: str, *arguments: object, **named: object) -> Any:
        """The fields of what the library raises; it must not succeed."""
        ended = self._told(method, arguments, named)
        assert "refusal" in ended, ended
        return ended["refusal"]

    def _told(self, method: str, arguments: object, named: object) -> dict[str, Any]:
        assert self._driver.stdin
        assert self._driver.stdout
        print(json.dumps([method, arguments, named]), file=self._driver.stdin, flush=True)
        line = self._driver.stdout.readline()
        assert line, f"the driver has ended with {self._driver.wait()}"
        ended: dict[str, Any] = json.loads(line)
        return ended


@dataclass(frozen=True, slots=True)
class Library:
    """driver: its file name. A .py drives a package of PyPI, a .cjs one of npm."""

    name: str
    version: str
    driver: str

    @contextmanager
    def driven(self, service: Service, **environment: str) -> Iterator[Client]:
        """Start the driver, for the service's merchant. environment: what shall be otherwise."""
        variables = {"API": service["api"], "IMP_KEY": service["imp_key"], "IMP_SECRET": service["imp_secret"]}
        command, paths = self._program()
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | variables | paths | environment,
        ) as driver:
            yield Client(driver)

    def _program(self) -> tuple[list[str], dict[str, str]]:
        """The driver's command, and the variable that lets it find the library."""
        driver = str(DRIVERS / self.driver)
        if self.driver.endswith(".py"):
            home = self._installed([*PIP, "--target", ".", f"{self.name}=={self.version}"])
            return [sys.executable, driver], {"PYTHONPATH": str(home)}
        home = self._installed([require("npm"), *NPM, "--prefix", ".", f"{self.name}@{self.version}"])
        return [require("node"), driver], {"NODE_PATH": str(home / "node_modules")}

    def _installed(self, command: list[str]) -> Path:
        home = HOME / f"{self.name}-{self.version}{Path(self.driver).suffix}"
        if home.exists():
            return home
        HOME.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=HOME) as folder:
            fresh = Path(folder) / "fresh"
            fresh.mkdir()
            done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode != 0:
                missing(f"{self.name} could not be fetched (is there a network?): {done.stderr.strip()[-500:]}")
            try:
                fresh.rename(home)
            except OSError:
                # Another run has installed it at the same time.
                if not home.exists():
                    raise
        return home
