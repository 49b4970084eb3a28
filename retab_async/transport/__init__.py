"""The only room that knows aiohttp's client: the connections, and the sending of requests over them."""

from retab_async.transport.pool import Pool
from retab_async.transport.sending import HeldBackError, PatientTransport, Transport

__all__ = ["HeldBackError", "PatientTransport", "Pool", "Transport"]
