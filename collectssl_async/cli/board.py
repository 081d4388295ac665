"""How many waits are shown while they last: a table on a terminal that holds as many rows as fit, else plain lines."""

from __future__ import annotations

import heapq
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..errors import APIError, GuardError, MalformedResponseError, ServerUnavailableError, TransportError
from .output import put, say, terminal
from .wording import moment, one_line, progress_of, status_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from rich.console import Console, ConsoleOptions, RenderResult

    from ..errors import CollectSSLError
    from ..polling import PollState, PollUpdate

_WIDTHS = {"status": 13, "steps": 5, "polls": 5, "next poll": 9, "since": 12}
"""The columns whose texts are of one kind, and their widths in characters; those of order and name differ."""

_BETWEEN = 2  # characters
_ORDERS = (8, 20)  # characters of the column of orders, at least and at most
_NAMES = (8, 60)
_AROUND = 3  # lines of the terminal that are not rows: the headings, the summary, and the cursor's own
_FEWEST = 3  # rows that are shown however low the terminal is
_SHOWN_LONG = 0.5  # seconds between two drawings: hundreds of orders do not move faster than people read

_TROUBLES: dict[type[BaseException], str] = {
    APIError: "refused",
    GuardError: "guard",
    MalformedResponseError: "unreadable",
    ServerUnavailableError: "unavailable",
    TransportError: "no answer",
}
"""What a failure that is waited out is called where there is little room. The closest class counts."""


@dataclass(slots=True)
class Row:
    """What is known of one order's wait."""

    order: str
    name: str
    state: PollState
    status: str
    done: int = 0
    due: int = 0
    error: CollectSSLError | None = None

    def take(self, update: PollUpdate) -> None:
        self.state, self.error = update.state, update.error
        if update.response is not None:
            self.status = status_text(update.response.status)
            self.name = self.name or one_line(update.response.fqdn or "")
            if update.response.steps is not None:
                self.done, self.due = progress_of(update.response.steps)

    @property
    def steps(self) -> str:
        return f"{self.done}/{self.due}" if self.due else ""

    @property
    def trouble(self) -> str:
        """What its last poll failed of, in one word or two; empty when it was answered."""
        return next((_TROUBLES[kind] for kind in type(self.error).__mro__ if kind in _TROUBLES), "")

    def line(self) -> str:
        """Return the last poll as one line."""
        told = one_line(str(self.error)) if self.error is not None else self.status
        steps = f"done {self.steps}" if self.due and self.error is None else ""
        return _line(self.order, self.name, told, steps, f"next {moment(self.state.next_poll_at)}")


class Board:
    """The waits, and what came of those that have ended. The live table is drawn from it, by a thread of its own."""

    def __init__(self, names: dict[str, str], stream: TextIO) -> None:
        self._names = names
        self._stream = stream
        self._live: Live | None = None
        self._rows: dict[str, Row] = {}
        self.collected = self.failed = 0

    def wait_for(self, states: Iterable[PollState]) -> None:
        """Show these waits."""
        for state in states:
            order = str(state.order)
            told = "not asked yet" if state.last_status is None else status_text(state.last_status)
            self._rows[order] = Row(one_line(order), self._name_of(order), state, told)

    def take(self, update: PollUpdate) -> None:
        """Show what a poll brought."""
        row = self._rows.get(str(update.state.order))
        if row is None:
            return
        row.take(update)
        collected = update.response is not None and update.response.payload is not None
        if self._live is None and not collected:  # that is an outcome, and has a line of its own
            say(row.line())

    def ended(self, order: str, line: str, *, well: bool) -> str:
        """Show that an order has ended, and return the line that says so, with the time and the names."""
        row = self._rows.pop(order, None)
        self.collected += well
        self.failed += not well
        return _line(one_line(order), row.name if row is not None else self._name_of(order), one_line(line))

    def result(self, line: str) -> None:
        """Write a result to stdout: above the table, where both are on one terminal."""
        if self._live is not None and sys.stdout.isatty():
            self._live.console.print(Text(line, overflow="fold"))
        else:
            put(line)

    def said(self, text: str) -> None:
        """Write to stderr what is no result."""
        if self._live is None:
            say(text)
            return
        for line in text.splitlines():
            self._live.console.print(Text(one_line(line), overflow="fold"))

    @property
    def summary(self) -> str:
        """How many wait and how many have ended, in one line."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{len(self._rows)} waiting, {self.collected} collected{failed}"

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it until the block ends, live where the stream is a terminal."""
        console = terminal(self._stream)
        if console is None:
            yield
            return
        # Its redirection would send what goes into a pipe to the terminal.
        with Live(
            self,
            console=console,
            refresh_per_second=1 / _SHOWN_LONG,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = list(self._rows.values())
        room = max(console.height - _AROUND, _FEWEST)
        shown = heapq.nsmallest(room, rows, key=lambda row: row.state.next_poll_at)
        yield self._table(rows, shown, options.max_width)
        hidden = f"{len(rows) - len(shown)} more not shown; " if len(rows) > len(shown) else ""
        yield Text(f"{hidden}{self.summary}", style="dim", no_wrap=True, overflow="ellipsis")

    def _table(self, rows: list[Row], shown: list[Row], width: int) -> Table:
        # As wide as all rows need: columns must not move with every row that comes into sight.
        order = _within(_ORDERS, max((len(row.order) for row in rows), default=0))
        left = width - sum(_WIDTHS.values()) - order - _BETWEEN * (len(_WIDTHS) + 1)
        name = _within((_NAMES[0], max(left, _NAMES[0])), max((len(row.name) for row in rows), default=0))
        widths = {"order": order, "name": min(name, _NAMES[1]), **_WIDTHS}
        table = Table.grid(padding=(0, _BETWEEN, 0, 0))
        for each in widths.values():
            table.add_column(width=each, no_wrap=True, overflow="ellipsis")
        table.add_row(*(Text(heading, style="bold") for heading in widths))
        now = datetime.now(UTC)
        for row in shown:
            table.add_row(
                Text(row.order),
                Text(row.name),
                Text(row.trouble or row.status, style="red" if row.trouble else "yellow"),
                Text(row.steps),
                Text(str(row.state.polls)),
                Text(_until(row.state.next_poll_at, now)),
                Text(f"{row.state.started_at.astimezone():%b %d %H:%M}"),
            )
        return table

    def _name_of(self, order: str) -> str:
        return one_line(self._names.get(order, ""))


def _line(order: str, name: str, *told: str) -> str:
    return f"{moment(datetime.now(UTC))} {f'{order} {name}'.strip()}: {', '.join(filter(None, told))}"


def _within(bounds: tuple[int, int], number: int) -> int:
    least, most = bounds
    return max(least, min(number, most))


def _until(time: datetime, now: datetime) -> str:
    seconds = round((time - now).total_seconds())
    return "now" if seconds <= 0 else f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
