"""`collectssl guard`: who keeps others from calling, and a way to free a guard that is wedged.

What a guard's store tells is the guard's business; here it is put into words. No call is made to the API.

No `from __future__ import annotations`: typer evaluates the annotations when a command is run.
"""

import sys
from typing import Annotated, Any

import typer

from ..client import ENDPOINT
from ..guards import GuardStatus, Inspectable, guard_from_url
from ..guards._choosing import VARIABLE
from . import options
from .exits import Exit
from .interrupts import run_async
from .output import put, put_json, put_rows, say
from .wording import moment, one_line

guard_app = typer.Typer(help="See who has the guard that keeps calls apart, and free one that is wedged.")

GuardURL = Annotated[
    str,
    typer.Option(
        "--guard",
        envvar=VARIABLE,
        metavar="GUARD",
        help="file, file:/path/prefix, redis://... or postgresql://..., by default file. A URL with a password "
        "belongs into COLLECTSSL_GUARD.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Free it, although a call may be in work.")]


@guard_app.command()
def status(*, guard: GuardURL = "file", endpoint: options.Endpoint = ENDPOINT, as_json: options.JSON = False) -> None:
    """Show who has the turn to call, and who left a call unfinished.

    With --json: resource, held, holder (host, process, since; or null), unfinished, unfinished_until (or null: nobody
    has found it yet).
    """
    chosen = _inspectable(guard)

    async def show() -> None:
        found = await chosen.status(endpoint)
        if as_json:
            put_json(status_document(found))
        else:
            put_rows(status_rows(found))

    run_async(show)


@guard_app.command()
def release(*, guard: GuardURL = "file", endpoint: options.Endpoint = ENDPOINT, force: Force = False) -> None:
    """Free a guard that is wedged: take the turn from whoever has it, and forget an unfinished call.

    A call in work is not stopped by this, so that two may overlap. It is for a process that hangs: one that was killed
    holds nothing, and a grace ends by itself. Needs --force, and asks before it acts if there is a terminal.
    """
    if not force:
        raise typer.BadParameter("two calls may overlap: give it if no call is in work", param_hint="--force")
    chosen, found = _inspectable(guard), list[GuardStatus]()

    async def look() -> None:
        found.append(await chosen.status(endpoint))

    async def free() -> None:
        freed = await chosen.force_release(endpoint)
        put(f"freed: {_described(found[0])}" if freed else "nothing to free any more")

    run_async(look)  # the question is asked between two loops: on one, Ctrl-C would not reach it
    if not found[0].held and not found[0].unfinished:
        put("nothing to free")
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        say(f"{one_line(found[0].resource)}: {_described(found[0])}")
        if not typer.confirm("Free it? Two calls may overlap if one is in work.", err=True):
            raise typer.Exit(Exit.FAILED)
    run_async(free)


def _inspectable(text: str) -> Inspectable:
    """Return the guard that a text names. Raises typer's error for one that cannot be looked at from outside."""
    chosen = guard_from_url(text)
    if not isinstance(chosen, Inspectable):
        raise typer.BadParameter(
            "a process's own guard can be seen from that process alone: there is nothing to show", param_hint="--guard"
        )
    return chosen


def status_rows(status: GuardStatus) -> list[tuple[str, str]]:
    """Return how a guard stands, as labels and texts; what its store does not say is left out."""
    holder = status.holder
    rows = [("endpoint", status.resource), ("turn", "held" if status.held else "free")]
    if holder is not None and (status.held or status.unfinished):
        rows += [("host", holder.host), ("process", str(holder.process)), ("since", moment(holder.since))]
    if status.unfinished:
        rows.append(("unfinished", _grace(status)))
    return [(label, one_line(text)) for label, text in rows]


def status_document(status: GuardStatus) -> dict[str, Any]:
    """Return how a guard stands as JSON has it."""
    holder, until = status.holder, status.unfinished_until
    return {
        "resource": status.resource,
        "held": status.held,
        "holder": holder
        and {"host": holder.host, "process": holder.process, "since": holder.since.isoformat(timespec="seconds")},
        "unfinished": status.unfinished,
        "unfinished_until": until and until.isoformat(timespec="seconds"),
    }


def _grace(status: GuardStatus) -> str:
    if status.unfinished_until is None:
        return "call not found yet: the next caller waits for its grace"
    return f"call, nobody may begin until {moment(status.unfinished_until)}"


def _described(status: GuardStatus) -> str:
    """Return in one line what is in the way."""
    rows = dict(status_rows(status))
    what = f"unfinished {rows['unfinished']}; its caller was" if status.unfinished else "held by"
    who = f"process {rows['process']} on {rows['host']} since {rows['since']}" if "process" in rows else "somebody"
    return f"{what} {who}"
