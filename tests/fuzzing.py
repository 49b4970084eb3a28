"""Budgets of the fuzz tests: seconds in the suite, minutes on request.

    FUZZ_FACTOR=200 python -m pytest --timeout 0 tests/test_fuzz.py tests/test_fuzz_parsers.py

multiplies the number of examples, and draws them at random instead of deterministically.
"""

import os

from hypothesis import settings

FACTOR = int(os.environ.get("FUZZ_FACTOR", "1"))


def budget(examples: int) -> settings:
    """Return the settings of a fuzz test with this many examples in the suite."""
    return settings(max_examples=examples * FACTOR, deadline=None, derandomize=FACTOR == 1)
