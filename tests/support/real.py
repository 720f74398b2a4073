"""Real parts that tests need: what is missing skips a test, or fails it where REQUIRE_REAL=1 says all must be there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from infra import dynamodb_local


def require(command: str) -> str:
    """The path of a program."""
    found = shutil.which(command)
    if found is None:
        missing(f"there is no {command} on the PATH")
    return str(found)


def need_dynamodb_local() -> None:
    try:
        dynamodb_local.java()
        dynamodb_local.install()
    except dynamodb_local.Missing as reason:
        missing(str(reason))


CHROMIUM_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.test 127.0.0.1",
)  # fmt: skip
"""It runs as root in a container, and asks nobody but the pages under test."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's own, without a head. Playwright's would have to be downloaded."""
    path = require("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def missing(reason: str) -> None:
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
