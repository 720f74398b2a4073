"""One JSON line per log record, with the request it belongs to; the levels and names are `logging`'s own.

Inner layers use `logging.getLogger(__name__)` and know nothing of this. What must never be logged (card data, keys,
bodies) is never handed to a logger: see tests/unit/gateways/test_scrub.py.
"""

import json
import logging
import sys
from typing import Any

_FIELDS = ("needs_a_person", "channel_down", "channel_key", "imp_uid", "handed_over")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def install(level: str) -> None:
    """Send everything under `chalicelib` to standard output as JSON lines; Lambda ships them to CloudWatch."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    for name in ("chalicelib", "smart-routing"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
