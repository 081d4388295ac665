"""The orders that `watch` is given: order numbers, and files that list them with names and keys.

A file is CSV or plain lines, `ORDER[,NAME[,KEY]]`; `;` and tabs separate as well. A first line that names the columns
puts them in any order, beside others that are not read. Empty lines and those that begin with `#` do not count. Keys
are paths, from the file's folder.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import ValidationError

from ..models import OrderRef
from .preparing import read_private_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_ARGUMENT = "FILE|ORDER"
_COLUMNS = {
    "order": "order",
    "order_number": "order",
    "ordernumber": "order",
    "name": "name",
    "common_name": "name",
    "domain": "name",
    "key": "key",
    "private_key": "key",
}
"""What a first line may call the columns that are read, in lower case."""

_IN_PLACE: tuple[str | None, ...] = ("order", "name", "key")
_SEPARATORS = ",;\t"
_LONGEST_NAME = 200  # bytes of a folder's name: file systems take 255, and temporary names are longer


@dataclass(frozen=True, slots=True, repr=False)
class WatchedOrder:
    """An order, the name that it is shown and kept under, and its private key (PEM, and where it was read)."""

    order: OrderRef
    name: str | None = None
    private_key: bytes | None = None
    key_source: str | None = None

    @property
    def folder(self) -> str:
        """The name of the folder that its files go to."""
        return self.name or str(self.order)


def read_orders(arguments: Sequence[str]) -> list[WatchedOrder]:
    """Return the orders that the arguments name, each once. Raises typer's error for wrong usage, by file and line."""
    found: dict[str, WatchedOrder] = {}
    folders: dict[str, str] = {}
    for where, order in _all(arguments):
        number = str(order.order)
        known = found.setdefault(number, order)
        if (known.name, known.private_key) != (order.name, order.private_key):
            raise _wrong(where, f"order {number} is named twice, and not in the same way")
        # Domain names that differ in case are one, and so are folders on some file systems.
        other = folders.setdefault(order.folder.casefold(), number)
        if other != number:
            raise _wrong(
                where, f"orders {other} and {number} would share the folder {order.folder!r}: name one of them"
            )
    return list(found.values())


def is_folder_name(name: str) -> bool:
    """Say whether a name can be that of a folder, which stands where it should and commands no terminal."""
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:
        return False
    return 0 < length <= _LONGEST_NAME and name.isprintable() and "/" not in name and not name.startswith(".")


def _all(arguments: Iterable[str]) -> Iterator[tuple[str, WatchedOrder]]:
    for argument in arguments:
        # A number is an order, although an earlier run may have made a folder of that name here.
        if not argument.isdigit() and ("/" in argument or "." in argument or Path(argument).is_file()):
            yield from _in_file(Path(argument))
        else:
            yield repr(argument), _order(repr(argument), {"order": argument}, Path())


def _in_file(path: Path) -> Iterator[tuple[str, WatchedOrder]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise _wrong(repr(str(path)), f"it cannot be read: {error.strerror}") from None
    except ValueError:
        raise _wrong(repr(str(path)), "it is not text in UTF-8") from None
    columns: tuple[str | None, ...] | None = None
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = _cells(where, line)
        if columns is None:
            columns = _headings(where, cells)
            if columns is not None:
                continue
            columns = _IN_PLACE
        if len(cells) > len(columns):
            raise _wrong(where, f"there are {len(cells)} columns, and {len(columns)} at most are known")
        row = {name: cell for name, cell in zip(columns, cells, strict=False) if name is not None}
        yield where, _order(where, row, path.parent)


def _cells(where: str, line: str) -> list[str]:
    """Return what stands between separators: the first one in the line is the one that separates."""
    separator = next((each for each in line if each in _SEPARATORS), ",")
    try:
        return [cell.strip() for cell in next(csv.reader([line.strip()], delimiter=separator, strict=True))]
    except csv.Error as error:
        raise _wrong(where, f"it is no CSV: {error}") from None


def _headings(where: str, cells: Sequence[str]) -> tuple[str | None, ...] | None:
    """Return which columns are read, None for a line that names none."""
    named = tuple(_COLUMNS.get(cell.lower().replace(" ", "_")) for cell in cells)
    if "order" not in named:
        if all(named):
            raise _wrong(where, "no column is called order")
        return None
    known = [name for name in named if name is not None]
    if twice := next((name for name in known if known.count(name) > 1), None):
        raise _wrong(where, f"there are two columns for the {twice}")
    return named


def _order(where: str, row: dict[str, str], folder: Path) -> WatchedOrder:
    try:
        order = OrderRef(order_number=row.get("order", ""))
    except ValidationError as error:
        raise _wrong(where, f"order number: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    if any(each.isspace() for each in str(order)):
        raise _wrong(where, f"order number: {str(order)!r} holds a space: a comma stands before the name")
    name, key = row.get("name") or None, row.get("key")
    watched = WatchedOrder(order, name)
    if not is_folder_name(watched.folder):
        raise _wrong(where, f"{watched.folder!r} cannot be the name of a folder: give the order a name that can")
    if not key:
        return watched
    try:
        return WatchedOrder(order, name, read_private_key(folder / key), str(folder / key))
    except typer.BadParameter as error:
        problem = error.message
    raise _wrong(where, problem)


def _wrong(where: str, problem: str) -> typer.BadParameter:
    return typer.BadParameter(f"{where}: {problem}", param_hint=_ARGUMENT)
