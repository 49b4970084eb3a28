"""Budgets of the fuzz tests: seconds in the suite, minutes on request.

    HYPOTHESIS_PROFILE=long python -m pytest -m "" tests/test_fuzz.py tests/test_fuzz_parsers.py

multiplies the number of examples, and draws them at random instead of deterministically.
"""

import os

from hypothesis import settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "short")
_FACTOR = 50 if PROFILE == "long" else 1


def budget(examples: int) -> settings:
    """Return the settings of a fuzz test with this many examples in the suite."""
    return settings(max_examples=examples * _FACTOR, deadline=None, derandomize=_FACTOR == 1)
