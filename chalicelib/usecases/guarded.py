"""A gateway's answer, also if its adapter breaks: what may have been sent must never look as if it had not been."""

import logging
import traceback
from collections.abc import Callable
from typing import TypeVar

from chalicelib.domain.charging import Unknown

log = logging.getLogger(__name__)

R = TypeVar("R")


def guarded(call: Callable[[], R], what: str) -> R | Unknown:
    """The adapter's result, or Unknown if it raised. what: for the log, e.g. `charge imp123a1`."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - a bug in an adapter must not turn what was sent into "failed"
        # Where it broke, and not what it says: that could be card data, or somebody's number.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("adapter raised %s on %s\n%s", type(error).__name__, what, where)  # noqa: TRY400
        return Unknown(f"adapter raised {type(error).__name__}")
