"""Answers kept under an Idempotency-Key, or the id of a command, to be given again."""

import hashlib
import json
from collections.abc import Hashable
from typing import Any

import attrs

from retab_async.emulator.answers import Answer, RefusedError

LIFETIME = 24 * 3600.0


@attrs.frozen
class _Kept:
    print: bytes
    answer: Answer
    until: float


class Replays:
    """The answers of the last 24 hours by what their requests came with."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}

    def recall(self, key: Hashable, asked: Any, now: float) -> Answer | None:
        """Give the answer that `key` got before; 409 when it was for something else."""
        kept = self._kept.get(key)
        if kept is None or now >= kept.until:
            return None
        if kept.print != _print(asked):
            raise RefusedError(409, "This Idempotency-Key was used for a different request.")
        return kept.answer

    def keep(self, key: Hashable, asked: Any, answer: Answer, now: float) -> None:
        """Keep the answer to `asked` under `key`."""
        self._kept[key] = _Kept(_print(asked), answer, now + LIFETIME)


def _print(asked: Any) -> bytes:
    # A digest, because a request may carry a whole document.
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()
