"""Redis (or Valkey): one client for bulk work, and one pipelined connection for the scorer's hot path."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import hiredis
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from errors import DeniedError, ServerError, UnreachableError
from settings import settings

TIMEOUT_S = 10.0
NEARLY_FULL = 0.8
GB = 2**30
Command = tuple[bytes | str | int, ...]
DENIED = (AuthenticationError, NoPermissionError)


def connect(url: str | None = None) -> "redis.Redis":
    """Return a client for bulk work (default: of REDIS_URL); nothing is opened yet, answers are bytes."""
    return redis.Redis.from_url(
        url or settings().redis_url.get_secret_value(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    )


class Memory(NamedTuple):
    """Bytes in use, the bound (0: none), and whether a full store forgets instead of refusing."""

    used: int
    limit: int
    evicts: bool

    @property
    def share(self) -> float:
        """Share of the bound that is in use; 0 without one."""
        return self.used / self.limit if self.limit else 0.0

    @property
    def trouble(self) -> str | None:
        """What to say when it is nearly full."""
        if self.evicts or self.share < NEARLY_FULL:
            return None
        return (
            f"memory is {self.share:.0%} full ({self.used / GB:.2f} of {self.limit / GB:.2f} GB): raise maxmemory; "
            "`python -m serving memory` says what fills it"
        )


def memory(client: "redis.Redis") -> Memory:
    """Return a store's use and bound; ServerError if it does not say."""
    try:
        found: Any = client.info("memory")
        return Memory(int(found["used_memory"]), int(found["maxmemory"]), found["maxmemory_policy"] != "noeviction")
    except (RedisError, OSError) as error:
        raise mapped(error, "asking for its memory") from error


def everything() -> Iterator[tuple[str, str]]:
    """Yield every key with its whole value as text (latin-1, so that no byte is lost), whatever its type."""
    client = connect()
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    try:
        for key in client.scan_iter(count=1_000):
            kind: Any = client.type(key)
            if kind == b"none":  # it expired while we looked
                continue
            if kind not in readers:
                raise ServerError(f"redis: key {key!r} is of type {kind!r}, which cannot be read here")
            value = readers[kind](key)
            if value is not None:
                yield key.decode("latin-1"), _text(value)
    except (RedisError, OSError) as error:
        raise mapped(error, "reading every key") from error


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return " ".join(f"{_text(name)} {_text(each)}" for name, each in value.items())
    if isinstance(value, list | tuple | set):
        return " ".join(_text(each) for each in value)
    return str(value)


def mapped(error: RedisError | OSError, doing: str) -> ServerError:
    """Return our error for one of the vendor's, saying what was being done."""
    address = settings().redis_url.get_secret_value().rpartition("@")[2]  # never the password
    if isinstance(error, DENIED):
        return DeniedError(f"redis {address}: {doing}: {error}; check REDIS_URL's password")
    if isinstance(error, OSError | redis.ConnectionError | redis.TimeoutError):
        return UnreachableError(f"redis {address} does not answer ({doing}): {error}; see `make status`")
    return ServerError(f"redis {address}: {doing}: {error}")


class Line:
    """One connection that sends many commands in one write and reads their answers in one go.

    The pool of redis-py costs more a request than the round trip itself; one connection, used by one batch at a time,
    needs none. It opens itself when needed; after any failure it is dropped, since answers may be left on it.
    """

    def __init__(self, url: str | None = None) -> None:
        """Keep the address (default: the settings' REDIS_URL); nothing is opened yet."""
        # A refused connection fails at once: whether to try again is the breaker's to say.
        once = Retry(NoBackoff(), 0)
        address = url or settings().redis_url.get_secret_value()
        self._pool = redis.asyncio.ConnectionPool.from_url(address, protocol=2, retry=once)
        self._connection: Any = None

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Return each command's answer, in order, after one round trip.

        A command that Redis itself refuses (out of memory, wrong type) has its ServerError as answer; the others
        stand. Raises UnreachableError or DeniedError if there are no answers. The caller bounds the time; a call that
        is cancelled drops the connection.
        """
        try:
            if self._connection is None:
                fresh = self._pool.make_connection()  # type: ignore[no-untyped-call]
                await fresh.connect()
                self._connection = fresh
            connection = self._connection
            packed = b"".join([hiredis.pack_command(c) for c in commands])  # type: ignore[arg-type]  # its stub says 1-tuple
            await connection.send_packed_command(packed, check_health=False)
            return [await _answer(connection) for _ in commands]
        except (RedisError, OSError) as error:
            await self.close()
            raise mapped(error, f"{len(commands)} commands in one round trip") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Drop the connection at once; the next run opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await cast("redis.asyncio.Connection", connection).disconnect(nowait=True)


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return mapped(error, "one command")
