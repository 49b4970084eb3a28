"""How fast a client may go: what the server bears, learned from its answers, and what is known beforehand."""

from retab_async.pacing.lane import Lane, Passage
from retab_async.pacing.limits import RateLimit
from retab_async.pacing.lines import TooLateError
from retab_async.pacing.pace import Pace, Stats
from retab_async.pacing.places import Places

__all__ = ["Lane", "Pace", "Passage", "Places", "RateLimit", "Stats", "TooLateError"]
