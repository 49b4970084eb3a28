"""Rate limit shared by all machines: slots in Redis or Valkey, exchanged by one Lua script."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from retab_async.errors import ConfigurationError
from retab_async.throttle import SETTLE_SECONDS, SharedRateLimit, SlotReply, SlotRequest, SlotStore, reserve_of

# Seconds in which the server has to answer a check.
_CHECK_TIMEOUT = 5.0

# `SlotTable.exchange` in Lua. KEYS: the slots, a sorted set by when they become free; the rest of the state, a hash.
_SCRIPT = """
local slots, state = KEYS[1], KEYS[2]
local limit, reserve, per = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local lease, settle = tonumber(ARGV[4]), tonumber(ARGV[5])
local name, first_id, known_epoch = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local urgent, others, has_calls = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11] == '1'
local closed_seconds, finished, held = tonumber(ARGV[12]), ARGV[13], ARGV[14]

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local function text(seconds) return string.format('%.6f', seconds) end

local stored = redis.call('HMGET', state, 'epoch', 'closed_until', 'calls_until')
local epoch, closed_until, calls_until = stored[1] or '', tonumber(stored[2] or 0), tonumber(stored[3] or 0)
local is_lost = known_epoch ~= '' and known_epoch ~= epoch
if epoch == '' then
  epoch = name .. ':' .. ARGV[7]
  if is_lost then closed_until = now + settle end
end
if closed_seconds > 0 then closed_until = math.max(closed_until, now + closed_seconds) end

local function add(entries)
  -- Lua's stack is limited.
  for i = 1, #entries, 1000 do redis.call('ZADD', slots, unpack(entries, i, math.min(i + 999, #entries))) end
end
local reported = {}
local function report(slot, till)
  reported[#reported + 1], reported[#reported + 2] = text(till), slot
end
for slot in string.gmatch(held, '%S+') do report(slot, now + lease) end
for slot, age in string.gmatch(finished, '(%S+) (%S+)') do report(slot, now + per - tonumber(age)) end
add(reported)
redis.call('ZREMRANGEBYSCORE', slots, '-inf', text(now))
if has_calls then calls_until = now + per end

local granted, wait = 0, 0
if closed_until > now then
  if urgent + others > 0 and not is_lost then wait = closed_until - now end
elseif not is_lost then
  local regular = limit
  if calls_until > now then regular = limit - reserve end
  local used = redis.call('ZCARD', slots)
  granted = math.min(urgent, math.max(0, limit - used))
  if granted == urgent then granted = granted + math.min(others, math.max(0, regular - used - granted)) end
  local new = {}
  for i = 1, granted do
    new[2 * i - 1], new[2 * i] = text(now + lease), name .. ':' .. string.format('%d', first_id + i - 1)
  end
  add(new)
  if granted < urgent + others then
    local allowed = regular
    if granted < urgent then allowed = limit end
    local rank = used + granted - allowed
    local blocking = redis.call('ZRANGE', slots, rank, rank, 'WITHSCORES')
    wait = math.min(math.max(tonumber(blocking[2]) - now, 0.001), per)
  end
end

redis.call('HSET', state, 'epoch', epoch, 'closed_until', text(closed_until), 'calls_until', text(calls_until))
local kept = math.ceil(math.max(lease + 1, closed_until - now) * 1000)
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < kept then redis.call('PEXPIRE', key, kept) end
end
return {granted, text(wait), epoch, is_lost and 1 or 0}
"""


class RedisClient(Protocol):
    """Client of Redis or Valkey: `redis.asyncio.Redis`, `RedisCluster`, `valkey.asyncio.Valkey`, or one like them."""

    def eval(self, script: str, numkeys: int, /, *keys_and_args: str) -> Any:
        """Return an awaitable of the reply to `EVAL`."""


class RedisRateLimit(SharedRateLimit):
    """Rate limit shared through Redis or Valkey by all processes with one credential, on any number of machines.

    The time is that of the server. The names of the keys contain a hash of the credential, and a hash tag for a
    cluster. Each exchange takes at most 0.5 seconds; after a failure the process keeps to its own limit, and tries
    again every two seconds.

    Args:
        redis: A client, which is used in its own event loop and never closed; or the URL of a server, such as
            `redis://localhost:6379/0`, to which a connection is opened on first use and closed with the client.
        requests: Number of requests, at least 1.
        per: Seconds, above 0.
        lease: Seconds for which a request counts whose process was killed, or that is still in flight then; by default
            `per` and 30.
        prefix: First part of the names of the keys.

    Raises:
        ConfigurationError: One of the values is invalid, or a URL is given without the extra `redis`.
    """

    def __init__(
        self,
        redis: RedisClient | str,
        requests: int,
        *,
        per: float,
        lease: float | None = None,
        prefix: str = "retab",
    ) -> None:
        super().__init__(requests, per=per, lease=lease)
        if not isinstance(redis, str) and not callable(getattr(redis, "eval", None)):
            msg = f"redis must be a client, such as redis.asyncio.Redis(), or a URL, not a {type(redis).__name__}"
            raise ConfigurationError(msg)
        self._redis = redis
        self._prefix = prefix
        if isinstance(redis, str):
            # A URL that cannot work is reported at once; nothing is opened.
            _connect(redis)

    def open_store(self, fingerprint: str) -> SlotStore:
        """Return the store for the credential with that hash."""
        keys = [f"{self._prefix}:{{{fingerprint}}}:{name}" for name in ("slots", "state")]
        if isinstance(self._redis, str):
            client = _connect(self._redis)
            return _RedisStore(self, client, keys, close=client.aclose)
        return _RedisStore(self, self._redis, keys)

    async def check(self) -> None:
        """Reach the server once, within five seconds, to report a wrong address before anything depends on it.

        Raises:
            ConfigurationError: The server cannot be reached, or refuses.
        """
        client: Any = _connect(self._redis) if isinstance(self._redis, str) else self._redis
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT):
                await client.eval("return 1", 0)
        except Exception as error:  # noqa: BLE001 - of whatever library the client is
            # Its text may contain an address with a password.
            msg = (
                f"the server of the shared rate limit is unavailable ({type(error).__name__}): check that it runs, and "
                "the address and password in its URL"
            )
            raise ConfigurationError(msg) from None
        finally:
            if client is not self._redis:
                await client.aclose()

    def __repr__(self) -> str:
        # Without the address, which may contain a password.
        return f"RedisRateLimit({self.requests}, per={self.per:g})"


class _RedisStore:
    """Slots of one credential in Redis."""

    def __init__(
        self,
        limit: RedisRateLimit,
        redis: RedisClient,
        keys: list[str],
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._limit = limit
        self._redis = redis
        self._keys = keys
        self._close = close

    async def exchange(self, request: SlotRequest) -> SlotReply:
        limit = self._limit
        urgent, others, has_calls = request.demand
        arguments: list[Any] = [
            limit.requests,
            reserve_of(limit.requests),
            limit.per,
            limit.lease,
            min(SETTLE_SECONDS, limit.per),
            request.name,
            request.first_id,
            request.epoch,
            urgent,
            others,
            int(has_calls),
            f"{request.closed_seconds:.6f}",
            " ".join(f"{slot} {min(age, limit.per):.6f}" for slot, age in request.finished),
            " ".join(request.held),
        ]
        # EVAL rather than EVALSHA: a restarted server needs no script again.
        reply = await self._redis.eval(_SCRIPT, len(self._keys), *self._keys, *map(str, arguments))
        granted, wait, epoch, is_lost = reply
        return SlotReply(int(granted), float(wait), epoch if isinstance(epoch, str) else epoch.decode(), bool(is_lost))

    async def aclose(self) -> None:
        if self._close is not None:
            await self._close()


def _connect(url: str) -> Any:
    try:
        from redis.asyncio import Redis  # noqa: PLC0415 - the extra's library, which a client of the caller's replaces
    except ImportError:
        msg = "a Redis URL needs the extra redis: pip install 'retab_async[redis]'"
        raise ConfigurationError(msg) from None
    try:
        client: Any = Redis.from_url(url)
        # Without it an unknown option of the URL would be an error of each exchange.
        client.connection_pool.make_connection()
    except (TypeError, ValueError):
        # Its text may contain a part of the password, where that has characters of a URL.
        msg = (
            "invalid Redis URL: write redis://:PASSWORD@HOST:PORT/DB, rediss:// for TLS, or unix://PATH, and encode "
            "special characters of the password, such as %2F for a slash"
        )
        raise ConfigurationError(msg) from None
    return client
