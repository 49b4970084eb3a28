"""The HTTP transport: the only package that uses aiohttp's client."""

from retab_async.transport.session import ConnectionPool
from retab_async.transport.transport import BulkTransport, SendSuppressedError, Transport

__all__ = ["BulkTransport", "ConnectionPool", "SendSuppressedError", "Transport"]
