"""How far ahead the timer has already handed work over."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Watermark:
    """Everything due up to `swept_until` was handed to a queue by some sweep, or by whoever stored it."""

    swept_until: datetime | None
    version: int = 0
