"""Real parts that tests need: what is missing skips a test, or fails it where REQUIRE_REAL=1 says all must be there."""

import os
import shutil

import pytest


def require(command: str) -> str:
    """The path of a program."""
    found = shutil.which(command)
    if found:
        return found
    reason = f"there is no {command} on the PATH"
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
