"""What a guard says to PostgreSQL: its table, the session's settings, and a statement for each step of a turn.

They are said in `postgres.py`, on a connection of `_postgres_session.py`.
"""

from __future__ import annotations

import hashlib

CREATE_TABLE = """create table if not exists collectssl_guard (
    resource text primary key,
    host text not null,
    process integer not null,
    since timestamptz not null,
    grace double precision not null,
    unfinished boolean not null,
    unfinished_until timestamptz,
    backend integer not null,
    caller text not null
) with (fillfactor = 50)"""
"""One row a resource: who called last, and whether that call is unfinished.

The row stays and is updated in place, no index with it: an update finds room in the half of the page that is left free,
and clears away what the ones before it left, so that vacuum has nothing to do.
"""

PREPARE = """
select pg_backend_pid(), pg_is_in_recovery(), count(set_config(name, value, false))
from (values
    ('statement_timeout', '0'),
    ('transaction_timeout', '0'),
    ('idle_session_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'),
    ('lock_timeout', %(longest_wait)s::text),
    ('default_transaction_read_only', 'off'),
    ('default_transaction_isolation', 'read committed'),
    ('synchronous_commit', case current_setting('synchronous_commit')
        when 'off' then 'on' else current_setting('synchronous_commit') end),
    ('tcp_keepalives_idle', '5'),
    ('tcp_keepalives_interval', '5'),
    ('tcp_keepalives_count', '4'),
    ('tcp_user_timeout', '25000'),
    ('client_connection_check_interval', case when version() ~* 'windows|mingw|visual' then '0' else '1000' end)
) as wanted (name, value)
where pg_backend_pid() = %(backend)s and current_setting(name, true) is not null"""
"""Settings of the role or the database that would end a hold, wait or forget a call are put right for the session.

Nothing is set through a pooler, whose next client would inherit it, nor what an older server does not know. A waiter
whose client is gone leaves within a second; Windows cannot tell. A holder whose host is gone, or cut off, is dropped
20 to 30 s later, when the holder's own end (`_postgres_conninfo.py`) has long told it.
"""

LOCK = "select pg_advisory_lock(%(key)s)"
"""Wait in the server's own queue: first come, first served, and woken at once by a lock that is free.

A statement that waits holds a snapshot, and no row that has died since then is vacuumed, in all of the database. Hence
`lock_timeout` ends it after ten seconds (a line in the server's log each time), and it is sent anew, at the end of
the queue. Polling `pg_try_advisory_lock` has no queue: whoever holds would be back before the others look. `NOTIFY` has
none either, and a holder that was killed sends nothing.
"""

MARK = """
insert into collectssl_guard as known
    (resource, host, process, since, grace, unfinished, unfinished_until, backend, caller)
values
    (%(resource)s, %(host)s, %(process)s, clock_timestamp(), %(grace)s, true, null, pg_backend_pid(), %(caller)s)
on conflict (resource) do update set
    (host, process, since, grace, unfinished, unfinished_until, backend, caller) =
    (excluded.host, excluded.process, excluded.since, excluded.grace, true, null, excluded.backend, excluded.caller)
where not known.unfinished or known.caller = excluded.caller or known.unfinished_until <= clock_timestamp()
returning true"""
"""Write down that our call is unfinished, unless another's is. No row comes back then.

A mark of this very process is no obstacle: its own lane came first, and has sat out that grace already.
"""

FIND = """
update collectssl_guard
set unfinished_until = least(unfinished_until, clock_timestamp() + make_interval(secs => grace))
where resource = %(resource)s and unfinished
returning extract(epoch from unfinished_until - clock_timestamp())::double precision"""
"""Write down when another's unfinished call ends, if nobody has; return the seconds until then.

The later of two finders keeps the first one's time, and a clock that was set back makes nobody wait longer than the
grace: `least` passes over what is null.
"""

LEAVE = """
with known as (
    update collectssl_guard
    set unfinished = not %(finished)s,
        unfinished_until = case when not %(finished)s then clock_timestamp() + make_interval(secs => grace) end
    where resource = %(resource)s and caller = %(caller)s and unfinished
    returning true
)
select pg_advisory_unlock(%(key)s), set_config('synchronous_commit', 'off', true)
where (select count(*) from known) >= 0"""
"""Clear the mark, or write down when its grace ends, and then unlock: all in one.

The condition says no more than "then": a query that nothing looks at runs last, and whoever had the lock before the row
was changed would sit out a grace. Whoever has it before the change is committed waits for that. The change need not
survive a crash of the server: the mark does, and costs the next one a grace.
"""

HOLDING = """
select pid from pg_locks
where locktype = 'advisory' and granted and objsubid = 1
    and database = (select oid from pg_database where datname = current_database())
    and (classid::bigint << 32) | objid::bigint = %(key)s"""

END = "select pg_terminate_backend(%(backend)s)"

STATUS = """
select host, process, since, unfinished_until, coalesce(unfinished_until <= clock_timestamp(), false), backend
from collectssl_guard where resource = %(resource)s and unfinished"""

FORGET = """
update collectssl_guard set unfinished = false, unfinished_until = null
where resource = %(resource)s and unfinished returning true"""


def key_of(resource: str) -> int:
    """Return the number of a resource's advisory lock: the first 8 bytes of a hash, as PostgreSQL's bigint."""
    digest = hashlib.sha256(b"collectssl_async guard: " + resource.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
