"""A clock that stands still until it is told to move."""

from datetime import UTC, datetime, timedelta


class SettableClock:
    """ports.Clock. sleep() moves it, so waiting costs no time."""

    def __init__(self, now: datetime = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)) -> None:
        self._now = now
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds=max(0.0, seconds))

    def advance(self, **kwargs: float) -> None:
        self._now += timedelta(**kwargs)

    def set(self, now: datetime) -> None:
        self._now = now
