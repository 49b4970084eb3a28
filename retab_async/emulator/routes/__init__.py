"""All routes of the emulator, one module for each group."""

from retab_async.emulator.kinds import KINDS
from retab_async.emulator.routes import files, runs, uploads
from retab_async.emulator.routing import Router

_ALL = (*(route for kind in KINDS.values() for route in runs.routes(kind)), *files.ROUTES, *uploads.ROUTES)
# Names for `Emulator.fail`.
ROUTES = tuple(route.name for route in _ALL)
ROUTER = Router(_ALL)

__all__ = ["ROUTER", "ROUTES"]
