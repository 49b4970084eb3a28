"""What a client may spend on trying again, so that an outage is not answered with a storm."""

import logging

_TOKENS = 500
_RESERVE = 100
_TRANSIENT = 14
_THROTTLED = 5

_logger = logging.getLogger("retab_async")


class Budget:
    """Tokens: each retry costs some, each success gives one back; the last hundred are kept for cancels."""

    def __init__(self) -> None:
        self.tokens = _TOKENS
        self._is_known_to_be_used_up = False

    def spend(self, *, is_throttled: bool, is_cancel: bool) -> bool:
        """Pay for a retry; False means that there is to be none."""
        cost = _THROTTLED if is_throttled else _TRANSIENT
        if self.tokens - cost >= (0 if is_cancel else _RESERVE):
            self.tokens -= cost
            return True
        if not self._is_known_to_be_used_up:
            self._is_known_to_be_used_up = True
            _logger.warning("the retry budget is used up: failures are not tried again until calls succeed")
        return False

    def refund(self) -> None:
        """Take note of a success."""
        if self.tokens < _TOKENS:
            self.tokens += 1
            if self.tokens == _TOKENS:
                self._is_known_to_be_used_up = False
