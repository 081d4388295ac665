"""Plain output: results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .exits import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

_STYLES = {
    "completed": "green",
    "in progress": "yellow",
    "not completed": "yellow",
    "rejected": "red",
    "not required": "dim",
    "validated": "green",
    "notvalidated": "yellow",
    "trusted": "green",
    "not trusted": "red",
    "matches": "green",
    "does not match": "red",
    "ended": "red",
}
"""Colours of the words that texts are or begin with; other texts have none."""

_FIRST_WORDS = re.compile(r"(?:not trusted|does not match|[a-z]+)(?=:| by | \d| less )|.*", re.DOTALL)


def put(text: str) -> None:
    """Write a result. Raises `OutputError` when it cannot be written, `BrokenPipeError` when nobody reads it."""
    # A path or a name may have characters that the locale has not.
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(f"{text}\n".encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"the result cannot be written to stdout: {error.strerror}") from error


def put_json(document: dict[str, Any]) -> None:
    """Write a result as one JSON document."""
    put(json.dumps(document, indent=2))


def put_json_line(document: dict[str, Any]) -> None:
    """Write a result, of which there may be more, as a line of JSON."""
    put(json.dumps(document))


def put_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Write labels and texts in two columns, in colour on a terminal."""
    console = terminal(sys.stdout)
    if console is None:
        rows = list(rows)
        width = max(len(label) for label, _ in rows)
        for label, text in rows:
            put(f"{label:{width}}  {text}")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, text in rows:
        words = _FIRST_WORDS.match(text.lower())
        table.add_row(Text(label), Text(text, style=_STYLES.get(words[0] if words else "", "")))
    console.print(table)


def put_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table, elsewhere than on a terminal a line for each row. All texts but the first column's are short."""
    console = terminal(sys.stdout)
    if console is None:
        widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
        for row in (headings, *rows):
            put("  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip())
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=number > 0)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def say(text: str) -> None:
    """Write what is no result. When nobody can be told, that is no reason to fail."""
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def terminal(stream: TextIO) -> Console | None:
    """Return a console where colours and a moving cursor are welcome: no pipe, no dumb terminal, no NO_COLOR."""
    console = Console(file=stream)
    return console if stream.isatty() and not console.is_dumb_terminal and not console.no_color else None


def drop_unwritten() -> None:
    """Send what could not be written nowhere: flushed on leaving it would fail again, with an exit code of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
