"""Run the benchmarks named as arguments, or all of them, and print one table.

A ratio above 1 means that we cost more. Seconds differ from machine to machine; ratios should not, much.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import call, decoding, guard, guards, importing, sandbox, watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from .measuring import Row

BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "call": call.run,
    "guard": guard.run,
    "guards": guards.run,
    "decoding": decoding.run,
    "import": importing.run,
    "sandbox": sandbox.run,
    "watching": watching.run,
}
HEADINGS = ("what", "ours", "beside", "", "ratio", "target")
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


def duration(seconds: float) -> str:
    """Return a duration in the unit that leaves few digits."""
    size, unit = next((known for known in UNITS if seconds >= known[0]), UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def cells(row: Row) -> tuple[str, ...]:
    beside = "" if row.beside is None else duration(row.beside)
    return row.what, duration(row.ours), row.other, beside, "" if row.ratio is None else f"{row.ratio:.2f}", row.target


def table(rows: list[tuple[str, ...]]) -> str:
    """Align the columns: texts to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = "<><>>>"
    return "\n".join(
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(cells, aligned, widths, strict=True)).rstrip()
        for cells in rows
    )


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in BENCHMARKS]:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    rows = [row for name in names or BENCHMARKS for row in BENCHMARKS[name]()]
    print(table([HEADINGS, *map(cells, rows)]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
