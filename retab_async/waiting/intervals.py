"""How long to wait from one look to the next."""

import random
from collections.abc import Callable, Iterator
from itertools import repeat

FIRST = 0.5
GROWTH = 1.5
SPREAD = 0.2
LONGEST = 10.0


def intervals(fixed: float | None, draw: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """Give the seconds from each look to the next, without an end: always the same where they are `fixed`."""
    return _growing(draw) if fixed is None else repeat(fixed)


def _growing(draw: Callable[[float, float], float]) -> Iterator[float]:
    middle = FIRST
    while True:
        yield middle * draw(1 - SPREAD, 1 + SPREAD)
        # The spread is taken off the end, so that the longest waits are spread too and none is over the limit.
        middle = min(middle * GROWTH, LONGEST / (1 + SPREAD))
