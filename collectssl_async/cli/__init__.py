"""`collectssl`: a face over the package. Nothing is decided here that a program could not ask for itself.

This module only starts: what the extra `cli` brings loads inside `main`, so that its absence can be told in one line.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from .exits import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXTRA = ("typer", "rich")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, by default the process's, and exit with the code that `collectssl --help` lists."""
    try:
        from .app import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.stderr.write(
            f"collectssl: the command line needs {missing}, which is not installed: "
            "pip install 'collectssl-async[cli]'\n"
        )
        sys.exit(Exit.USAGE)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
