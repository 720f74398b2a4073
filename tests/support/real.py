"""Real parts that tests need: what is missing skips a test, or fails it where REQUIRE_REAL=1 says all must be there."""

import os
import shutil

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


def missing(reason: str) -> None:
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
