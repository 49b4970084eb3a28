"""The way of bulk work: in turn, so many in flight as the server bears, within a rate limit that is known."""

from math import inf

from retab_async.pacing.limits import Quota, RateLimit
from retab_async.pacing.lines import Line
from retab_async.pacing.pace import Pace


class Lane:
    """Lets the sends of one job through, at most `most` in flight, in the pace that they share with all others.

    One at a time stands at the gate of the pace, so that a job of thousands does not keep single calls waiting.
    """

    def __init__(self, pace: Pace, most: int, rate_limit: RateLimit | None) -> None:
        self.pace = pace
        self.window = pace.window
        self.most = most
        self.quota = Quota(rate_limit) if rate_limit else None
        self._is_gate_taken = False
        # One for all that go freely between two cuts: every id comes this way, and making one for each would be felt.
        self._free = Passage(self, self.window.cuts)
        self._line = Line(pace.clock, self._wait, self._go)

    def pass_freely(self) -> "Passage | None":
        """Go at once where nothing is to be kept to; None means to `enter`. Also this passage has to be ended.

        Whoever comes back goes again before those who wait: to wake one would cost a turn of the loop for each.
        """
        window = self.window
        is_full = window.in_flight >= window.limit or window.in_flight >= self.most
        if is_full or self.quota is not None or not self.pace.is_free:
            return None
        window.in_flight += 1
        if self._free.cuts != window.cuts:
            self._free = Passage(self, window.cuts)
        return self._free

    async def enter(self) -> "Passage":
        """Wait until the next send may go to the gate; its passage has to be ended, whatever becomes of it."""
        if not self._line.passes():
            lanes = self.window.lanes
            lanes.add(self)
            try:
                await self._line.stand()
            finally:
                if not len(self._line):
                    lanes.discard(self)
        return Passage(self, self.window.cuts, is_at_gate=True)

    def nudge(self, room: int) -> None:
        """Have those who wait look again, as many as there is room for; only the first where they go one at a time."""
        self._line.nudge(room if self.quota is None and self.pace.is_free else min(room, 1))

    def leave_gate(self) -> None:
        """Let the next one come to the gate."""
        self._is_gate_taken = False
        self._line.nudge()

    def _wait(self) -> float:
        window = self.window
        if self._is_gate_taken or window.in_flight >= window.limit or window.in_flight >= self.most:
            return inf
        return self.quota.wait(self.pace.clock()) if self.quota is not None else 0.0

    def _go(self) -> None:
        self._is_gate_taken = True
        self.window.in_flight += 1
        if self.quota is not None:
            self.quota.go()


class Passage:
    """One send on a lane, or each of those that go freely; `cuts` are those of the window when it set out.

    `is_at_gate`: it stands there, and sets out when its turn in the pace has come.
    """

    __slots__ = ("_lane", "cuts", "is_at_gate")

    def __init__(self, lane: Lane, cuts: int, *, is_at_gate: bool = False) -> None:
        self._lane = lane
        self.cuts = cuts
        self.is_at_gate = is_at_gate

    def set_out(self) -> None:
        """Leave the gate, at which it is: its turn has come, it is sent."""
        self.cuts = self._lane.window.cuts
        self._leave_gate()

    def was_turned_away(self) -> None:
        """Take note of a refusal for pace, or of a connection that was lost."""
        self._lane.window.cut(self.cuts)

    def end(self, *, is_success: bool) -> None:
        """Take note of its end, set out or not, and give back what it took."""
        lane, window = self._lane, self._lane.window
        if is_success and window.limit < lane.most:
            window.grow(lane.most)
        if self.is_at_gate:
            self._leave_gate()
        if lane.quota is not None:
            lane.quota.come_back(lane.pace.clock())
        window.in_flight -= 1
        if window.lanes:
            window.nudge()

    def _leave_gate(self) -> None:
        self.is_at_gate = False
        self._lane.leave_gate()
