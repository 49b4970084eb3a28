"""The only room that knows aiohttp's client: the connections, and the sending of requests over them."""

from retab_async.transport.session import ConnectionPool
from retab_async.transport.transport import BulkTransport, SendSuppressedError, Transport

__all__ = ["BulkTransport", "ConnectionPool", "SendSuppressedError", "Transport"]
