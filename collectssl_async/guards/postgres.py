"""The guard of every host that shares a PostgreSQL database: an advisory lock, and a row that remembers a call.

How a turn begins and ends stands in `_postgres_turn.py`. Who of a process comes first is its own lane's to say
(`_layered.py`).
"""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ..errors import CollectSSLError, ConfigurationError, GuardError
from ._layered import LosableHold
from ._postgres_conninfo import read_conninfo
from ._postgres_session import Session
from ._postgres_statements import END, FORGET, HOLDING, STATUS, key_of
from ._postgres_turn import Entering, PostgresTurn, to_the_end
from ._protocol import GuardStatus, Holder, normalise_resource, seconds
from ._runtime import current_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_LOOKS, _PAUSE = 100, 0.02
"""How often, and after how many seconds each, `force_release` looks whether the lock is free."""

_Answer = TypeVar("_Answer")


class PostgresGuard:
    """Keeps apart the calls of every host whose guard has the same PostgreSQL database. Works on asyncio alone.

    `conninfo` is a URL (`postgresql://user@host/database`) or libpq's `name=value` pairs. It must lead to the primary
    itself, not to a standby or a pooler. `abandon_grace` and `acquire_timeout` are seconds, as with `ProcessGuard`,
    whose lane comes first in each process.

    A holder has a session's advisory lock, numbered by the first 8 bytes of the SHA-256 of "collectssl_async guard: "
    and the endpoint's URL; those who wait queue at the server, first come, first served, though whoever waits longer
    than ten seconds queues anew. A row of the table `collectssl_guard`, which is made where it is missing, says whose
    call is unfinished, so that nobody begins before its grace has passed, whoever was killed: process, host or server.
    All hosts need one search_path, to find one table.

    It costs a connection for each hold and for each process that waits, forty hosts with four workers up to 160 of
    them, and those who wait hold back vacuum by up to ten seconds. A connection that is lost stops the call inside
    (`GuardLostError`). When a host is gone without a word, the server frees its lock within 30 seconds; a host that is
    merely cut off gives up its call after 9.

    What the database can forget: a failover to a standby without the last commit, a restored backup, a crash where
    fsync is off, or `DELETE`, lets a call begin within the grace of another. So does a server's clock that is set
    forward during a grace, and a host that its hypervisor pauses for longer than those 30 seconds.

    Raises `ConfigurationError` for a conninfo that cannot be read, and where psycopg is not installed.
    """

    def __init__(self, conninfo: str, *, abandon_grace: float = 10.0, acquire_timeout: float | None = None) -> None:
        found = read_conninfo(conninfo)
        del conninfo  # what is raised below keeps this frame
        if isinstance(found, ConfigurationError):
            raise found
        self._conninfo = found
        self.abandon_grace = seconds("abandon_grace", abandon_grace)
        self.acquire_timeout = None if acquire_timeout is None else seconds("acquire_timeout", acquire_timeout)

    def __repr__(self) -> str:
        known = ", ".join(f"{name.lstrip('_')}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({known})"  # of one whose constructor refused, what it had by then

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("PostgresGuard cannot be pickled: its conninfo may hold a password")

    def hold(self, resource: str) -> LosableHold:
        """Return a context that is entered when nobody else who shares the database calls `resource`, a URL.

        Raises `GuardTimeoutError` after `acquire_timeout` seconds, `GuardError` when the database cannot be used now,
        and `ConfigurationError` when it never can: on trio, with the wrong password, through a pooler.
        """
        return LosableHold(self, resource)

    def prepare(self) -> None:
        """Raise `ConfigurationError` on trio."""
        if not isinstance(current_loop(), asyncio.AbstractEventLoop):
            raise ConfigurationError(
                "PostgresGuard works on asyncio only, since psycopg does: run on asyncio, or use a FileGuard"
            )

    async def take(self, resource: str) -> PostgresTurn:
        """Wait for the lock and for the grace of an unfinished call; write down that ours begins."""
        entering = Entering(self._conninfo, resource, self.abandon_grace)
        try:
            await asyncio.wait([entering.work])
        except asyncio.CancelledError:
            await to_the_end(entering.give_up())
            raise
        except BaseException:  # the coroutine is being closed, and must not await
            entering.give_up()
            raise
        outcome = entering.work.result()
        if isinstance(outcome, CollectSSLError):
            raise outcome
        return PostgresTurn(outcome)

    async def status(self, resource: str) -> GuardStatus:
        """Return how it stands for `resource`, a URL, as the server tells. Raises `GuardError`, `ConfigurationError`.

        The holder is known once its call is written down, not while it sits out another's grace.
        """
        return await self._asked(_look, resource)

    async def force_release(self, resource: str) -> bool:
        """Forget an unfinished call, and end the connection that has the lock; say whether there was either.

        A holder that lives is told, and its call stopped (`GuardLostError`). Raises `GuardError` where this role may
        not end the connection, with the statement for an administrator; and `ConfigurationError`.
        """
        return await self._asked(_free, resource)

    async def _asked(self, question: Callable[[Session], Coroutine[Any, Any, _Answer]], resource: str) -> _Answer:
        self.prepare()

        async def ask() -> _Answer | CollectSSLError:
            try:
                session = await Session.open(self._conninfo, normalise_resource(resource))
                try:
                    await session.prepare()
                    return await question(session)
                finally:
                    session.close()
            except Exception as error:  # noqa: BLE001 - psycopg's frames hold the conninfo, so that none goes further
                return self._conninfo.explain(error)

        work = asyncio.create_task(ask())
        try:
            await asyncio.wait([work])
        finally:
            work.cancel()
        answer = work.result()
        if isinstance(answer, CollectSSLError):
            raise answer
        return answer


async def _look(session: Session) -> GuardStatus:
    holding = await _holding(session)
    row = await _row(session, STATUS)
    if row is None:
        return GuardStatus(session.resource, held=holding is not None)
    host, process, since, until, over, backend = row
    if over:
        return GuardStatus(session.resource, held=holding is not None)
    caller = Holder(host, process, since.astimezone(UTC))  # it comes in the time zone of the role or the database
    if holding == backend and until is None:
        return GuardStatus(session.resource, held=True, holder=caller)
    # Abandoned; whoever has the lock sits out the grace. It is more use to know who left the call.
    return GuardStatus(
        session.resource,
        held=holding is not None,
        holder=caller,
        unfinished=True,
        unfinished_until=until and until.astimezone(UTC),
    )


async def _free(session: Session) -> bool:
    holding = await _holding(session)
    forgotten = await _row(session, FORGET)  # while the lock is taken: after that the mark may be the next one's
    if holding is None:
        return forgotten is not None
    if not await _end(session, holding):
        raise GuardError(
            "the lock is held by a connection that this role may not end: have an administrator run "
            f"select pg_terminate_backend({holding})"
        )
    for _ in range(_LOOKS):
        if await _holding(session) != holding:
            break
        await asyncio.sleep(_PAUSE)
    return True


async def _end(session: Session, holding: int) -> bool:
    """End a process of the server; return False where this role may not."""
    from psycopg.errors import InsufficientPrivilege

    try:
        await session.rows(END, {"backend": holding})
    except InsufficientPrivilege:
        return False
    return True


async def _holding(session: Session) -> int | None:
    """Return the number of the server's process that has the lock."""
    found = await session.rows(HOLDING, {"key": key_of(session.resource)})
    return found[0][0] if found else None


async def _row(session: Session, statement: str) -> tuple[Any, ...] | None:
    """Return a statement's row; None where there is none, or no table yet."""
    from psycopg.errors import UndefinedTable

    try:
        found = await session.rows(statement, {"resource": session.resource})
    except UndefinedTable:
        return None
    return found[0] if found else None
