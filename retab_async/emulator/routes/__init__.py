"""Every route of the emulator, one module for each thing the API has."""

from retab_async.emulator.kinds import KINDS
from retab_async.emulator.routes import files, runs, uploads
from retab_async.emulator.routing import Router

_ALL = (*(route for kind in KINDS.values() for route in runs.routes(kind)), *files.ROUTES, *uploads.ROUTES)
# As `Emulator.fail` names them.
ROUTES = tuple(route.name for route in _ALL)
TABLE = Router(_ALL)

__all__ = ["ROUTES", "TABLE"]
