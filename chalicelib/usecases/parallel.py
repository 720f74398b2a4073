"""The same work on several things at the same time."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 16


def at_once(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Run `work` on all items in threads; results in the items' order. The first exception is raised when all ended."""
    if len(items) <= 1:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - a charge needs no threads

    with ThreadPoolExecutor(max_workers=min(len(items), MAX_THREADS)) as pool:
        return list(pool.map(work, items))
