"""Pictures as numbers for SVG, drawn by chart.html: no script, no library. What they show is also there as a table.

Pictures are stretched to the width there is, so there is no text in them. x and y are in a viewBox of WIDTH x HEIGHT,
y downwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 100


@dataclass(frozen=True, slots=True)
class Line:
    """A fraction over time. pieces: points of polylines, each without a gap. low: the fraction at the bottom; 1 is at
    the top.
    """

    pieces: tuple[str, ...]
    low: float
    least: float
    last: float


def line(fractions: Sequence[float | None]) -> Line | None:
    """None where there was nothing to measure: the line has a gap there. None for nothing at all."""
    known = [value for value in fractions if value is not None]
    if not known:
        return None
    low = min(math.floor(min(known) * 4) / 4, 0.75)
    step = WIDTH / len(fractions)
    pieces: list[list[str]] = [[]]
    for n, value in enumerate(fractions):
        if value is None:
            pieces.append([])
            continue
        y = HEIGHT * (1 - value) / (1 - low)
        alone = not pieces[-1] and (n + 1 == len(fractions) or fractions[n + 1] is None)
        # A point between two gaps would have no length, and not be seen.
        across = (0.2, 0.8) if alone else (0.5,)
        pieces[-1] += [f"{(n + part) * step:.1f},{y:.1f}" for part in across]
    return Line(tuple(" ".join(piece) for piece in pieces if piece), low, min(known), known[-1])


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a column: a rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Columns:
    """Stacked columns. layers: one per kind of part, the lowest first. most: what the highest column stands for."""

    layers: tuple[tuple[Part, ...], ...]
    most: int


def columns(layers: Sequence[Sequence[int]]) -> Columns | None:
    """layers: per kind of part, its number in each column, the lowest part first. None for nothing at all."""
    sums = [sum(numbers) for numbers in zip(*layers, strict=True)]
    most = max(sums, default=0)
    if not most:
        return None
    step = WIDTH / len(sums)
    tops = [0] * len(sums)
    drawn = []
    for numbers in layers:
        parts = []
        for n, number in enumerate(numbers):
            tops[n] += number
            if number:
                y, height = HEIGHT * (1 - tops[n] / most), HEIGHT * number / most
                parts.append(Part((n + 0.12) * step, y, 0.76 * step, height))
        drawn.append(tuple(parts))
    return Columns(tuple(drawn), most)
