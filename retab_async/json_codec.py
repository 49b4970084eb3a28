"""JSON codec: orjson for speed, the standard library for the values that orjson cannot hold."""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

# Integers with fewer digits fit into 64 bits, signed or not; orjson reads larger ones as floats.
_MIN_DIGITS = 19
# At the start of a number, so that digits inside words and fractions do not count.
_BIG_INTEGER = rb'(?<![\w".])[0-9]{%d}' % _MIN_DIGITS
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_STRIDE = 4
_RUN = b"0" * _MIN_DIGITS
_SAMPLED_RUN = b"0" * (_MIN_DIGITS // _STRIDE)


def loads(data: bytes) -> Any:
    """Parse all JSON that `json.loads` parses, and integers exactly.

    Raises:
        ValueError: `data` is not JSON, or is nested too deeply.
    """
    try:
        # Inline, because all but a few documents end here: a run of digits has a digit at every fourth byte. `find`,
        # because `in` raises and drops an exception before it searches bytes.
        if data[::_STRIDE].translate(_DIGITS_TO_ZERO).find(_SAMPLED_RUN) >= 0 and _has_digit_run(data):
            return json.loads(data)
        return orjson.loads(data)
    except (ValueError, RecursionError):
        pass
    try:
        # Lone surrogates, NaN, infinities and a byte order mark.
        return json.loads(data)
    except RecursionError:
        msg = "nested too deeply"
    raise ValueError(msg)


def dumps(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Serialise the JSON of a request as `orjson.dumps` does, and integers of any size.

    Args:
        value: A JSON value.
        default: Called for objects of other types; for an integer beyond 64 bits, once more for each of them.

    Raises:
        TypeError: `value` cannot be sent as JSON.
    """
    try:
        return orjson.dumps(value, default=default)
    except TypeError as error:
        if "64-bit" not in str(error):
            raise
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=default, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise TypeError(str(error)) from None


def dumps_any(value: Any) -> bytes:
    """Serialise a JSON value that `loads` may return, at any depth; NaN and infinities become null.

    Raises:
        TypeError: `value` is not JSON.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return "".join(_encode(value)).encode()


class _Literal(str):
    __slots__ = ()


def _encode(value: Any) -> Iterator[str]:
    # Without recursion, and with escapes for lone surrogates.
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, _Literal):
            yield item
        elif isinstance(item, dict):
            pending.append(_Literal("}"))
            for number, (key, each) in enumerate(reversed(item.items()), 1):
                pending += (each, _Literal(f"{json.dumps(key)}:"), _Literal("," if number < len(item) else ""))
            yield "{"
        elif isinstance(item, list | tuple):
            pending.append(_Literal("]"))
            for number, each in enumerate(reversed(item), 1):
                pending += (each, _Literal("," if number < len(item) else ""))
            yield "["
        else:
            yield "null" if isinstance(item, float) and not math.isfinite(item) else json.dumps(item)


def _has_digit_run(data: bytes) -> bool:
    # The first filter is cheaper, the second exact.
    return _RUN in data.translate(_DIGITS_TO_ZERO) and re.search(_BIG_INTEGER, data) is not None
