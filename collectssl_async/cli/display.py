"""How a wait is shown while it lasts: a live table on a terminal, a line for every poll elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .output import put, say, terminal
from .wording import moment, one_line, progress_of, status_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from rich.console import RenderableType

    from ..errors import CollectSSLError
    from ..models import CollectSSLResponse, OrderRef
    from ..polling import PollState, PollUpdate

_BAR = 20  # characters
_WIDTHS = {"status": len("0 processing"), "next poll": len("00:00:00")}
"""Columns whose texts change in length, so that nothing jumps."""


@dataclass(slots=True)
class WaitView:
    """What is known of a wait. The live table is drawn from it, by a thread of its own."""

    order: OrderRef
    began: datetime
    state: PollState | None = None
    response: CollectSSLResponse | None = None
    name: str = ""
    done: int = 0
    due: int = 0
    error: CollectSSLError | None = None
    answers: list[int] = field(default_factory=list)

    def take(self, update: PollUpdate) -> None:
        self.state, self.error = update.state, update.error
        if update.response is not None:
            self.response = update.response
            self.answers.append(update.response.status)
            # The reply with the certificate tells neither name nor steps: what was known stays.
            self.name = one_line(update.response.fqdn or "") or self.name
            if update.response.steps is not None:
                self.done, self.due = progress_of(update.response.steps)

    @property
    def status(self) -> str:
        return "asking" if self.response is None else status_text(self.response.status)

    @property
    def attached(self) -> bool:
        return self.response is not None and self.response.payload is not None

    def line(self) -> str:
        """Return one poll as one line."""
        if self.error is not None:
            parts = [one_line(str(self.error))]
        else:
            parts = [self.status, f"done {self.done}/{self.due}" if self.due else ""]
        if self.state is not None and not self.attached:
            parts.append(f"next {self.state.next_poll_at.astimezone():%H:%M:%S}")
        who = f"{self.order} {self.name}".strip()
        return f"{moment(datetime.now(UTC))} {who}: {', '.join(filter(None, parts))}"

    def __rich__(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("order", "name", "status", "polls", "next poll", "since"):
            table.add_column(column, overflow="fold", min_width=_WIDTHS.get(column), no_wrap=column == "status")
        table.add_row(
            Text(str(self.order)),
            Text(self.name),
            Text(self.status, style="green" if self.attached else "yellow"),
            str(self.state.polls) if self.state is not None else "0",
            self._next_poll(),
            f"{self.began.astimezone():%b %d %H:%M}",
        )
        return Group(table, *self._below())

    def _below(self) -> Iterator[RenderableType]:
        if self.due:
            bar = Table.grid(padding=(0, 2, 0, 0))
            progress = ProgressBar(total=self.due, completed=self.done, width=_BAR, complete_style="cyan")
            bar.add_row("steps  ", progress, f"{self.done} of {self.due} done")
            yield bar
        if self.answers:
            yield Text(f"answers  {_shortened(self.answers)}", style="dim")
        if self.error is not None:
            yield Text(one_line(str(self.error)), style="red")

    def _next_poll(self) -> str:
        if self.state is None or self.attached:
            return ""
        seconds = round((self.state.next_poll_at - datetime.now(UTC)).total_seconds())
        hours, minutes = seconds // 3600, seconds // 60 % 60
        return "now" if seconds <= 0 else f"{hours}:{minutes:02}:{seconds % 60:02}"


@contextmanager
def shown_wait(order: OrderRef, stream: TextIO) -> Iterator[Callable[[PollUpdate], None]]:
    """Show a wait on a stream until the block ends; what is yielded is given every poll's update."""
    wait = WaitView(order, datetime.now(UTC))
    console = terminal(stream)
    if console is not None:
        with Live(wait, console=console, refresh_per_second=4):
            yield wait.take
        return

    write = put if stream is sys.stdout else say

    def write_line(update: PollUpdate) -> None:
        wait.take(update)
        write(wait.line())

    yield write_line


def _shortened(answers: list[int]) -> str:
    runs = [(status, len(list(run))) for status, run in groupby(answers)]
    return " -> ".join(f"{status}" if times == 1 else f"{status} ({times} times)" for status, times in runs)
