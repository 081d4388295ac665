"""The deploy hook: a command of the user's that has a server load the files which were just put in place.

It runs once for each change at least: a file in the directory, made before anything else there changes and removed
when the hook has succeeded, remembers one that still has to run, whatever is killed in between. When it is to run, and
what its failure means for the command, is decided in `deploying.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio
import typer

from .._writing import write_files
from .wording import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anyio.abc import Process

    from ..certificates import CertificateBundle
    from ..models import OrderRef

PENDING_FILE = ".deploy-hook-pending"
"""It stands in the directory while a hook has to run for what is in it."""

_OURS = "COLLECTSSL_"
_SHELL = "/bin/sh"
_NEEDS_A_SHELL = frozenset("|&;<>()$`\\\"'*?[]#~=%!{}")
_PATIENCE = 5.0  # seconds that a hook has to end itself when the command is interrupted
_LONGEST_OUTPUT = 64 * 1024  # bytes of what a hook says that are shown
_LAST_LINES = 3  # of what a hook said before it failed: they go into the message


@dataclass(frozen=True, slots=True)
class HookOutcome:
    """How a hook ended, as a shell tells it (128 and the signal's number when killed), and what it said."""

    exit_status: int
    output: str

    @property
    def failed(self) -> bool:
        return self.exit_status != 0

    @property
    def ended(self) -> str:
        """How it ended, in words, with its last lines."""
        killed = self.exit_status - 128
        how = f"exit status {self.exit_status}"
        if killed in signal.valid_signals():
            how += f" ({signal.Signals(killed).name})" if killed in set(signal.Signals) else ""
        said = " / ".join(one_line(line) for line in self.output.splitlines()[-_LAST_LINES:])
        return f"{how}: {said}" if said else how


def check_hook(command: str) -> str:
    """Return the command. Raises typer's error for one that is empty or whose program is a file that cannot be run."""
    words = command.split()
    if not words or "\0" in command:
        raise typer.BadParameter("must be a command", param_hint="--deploy-hook")
    program = words[0]
    is_plain = not _NEEDS_A_SHELL & set(program)
    if is_plain and "/" in program and not (Path(program).is_file() and os.access(program, os.X_OK)):
        raise typer.BadParameter(f"{program!r} is no program that can be run", param_hint="--deploy-hook")
    return command


def about(
    order: OrderRef, bundle: CertificateBundle, directory: Path, files: Mapping[str, Path | None]
) -> dict[str, str]:
    """Return the variables that a hook gets: absolute paths, empty for a file that is not there."""
    paths = {name: "" if path is None else str(path.absolute()) for name, path in files.items()}
    told = {
        "order": str(order),
        "domains": " ".join(one_line(name) for name in bundle.dns_names),
        "serial_number": f"{bundle.serial_number:x}",
        "not_before": bundle.not_before.isoformat(),
        "not_after": bundle.not_after.isoformat(),
        "fingerprint_sha256": bundle.fingerprint_sha256,
        "directory": str(directory.absolute()),
        **paths,
    }
    return {f"{_OURS}{name.upper()}": text for name, text in told.items()}


async def run_hook(command: str, variables: Mapping[str, str]) -> HookOutcome:
    """Run the command with the shell, as it would be typed, and return how it ended.

    It has the caller's environment without what begins with COLLECTSSL_, passwords among it, and the variables; no
    input; and a session of its own, so that it can be stopped with all that it started. What it says is collected in a
    file, not through a pipe: a server that it leaves running keeps neither us waiting nor a pipe that nobody reads.
    Cancelled, it is asked to end and then made to. Raises `OSError` when there is no shell.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    with tempfile.TemporaryFile() as said:
        started: list[Process] = []
        # Cancelled in here, it would leave a process that runs, and that nobody knows of.
        with anyio.CancelScope(shield=True):
            started.append(
                await anyio.open_process(
                    [_SHELL, "-c", command],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    env={**environment, **variables},
                    start_new_session=True,
                )
            )
        (process,) = started
        try:
            status = await process.wait()
        finally:
            await _stop(process)
        return HookOutcome(status if status >= 0 else 128 - status, _end_of(said))


async def _stop(process: Process) -> None:
    """End a hook that is still running, and what it started."""
    for number, patience in ((signal.SIGTERM, _PATIENCE), (signal.SIGKILL, None)):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with anyio.move_on_after(patience, shield=True):
            await process.wait()


def _end_of(said: BinaryIO) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _LONGEST_OUTPUT))
    return said.read().decode(errors="replace")


# --- a hook that has to run -------------------------------------------------------------------------------------------


def is_pending(directory: Path) -> bool:
    """Say whether a hook has not succeeded for what is in the directory."""
    return os.path.lexists(directory / PENDING_FILE)


@contextmanager
def remembered(directory: Path, bundle: CertificateBundle) -> Iterator[None]:
    """Remember, before the body changes files, that a hook has to run for them. A body that fails leaves no trace.

    Raises `CertificateError` when the directory cannot be written to.
    """
    if is_pending(directory):
        yield
        return
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    write_files(directory, {PENDING_FILE: f"sha256 {bundle.fingerprint_sha256}\n".encode()}, secret=())
    try:
        yield
    except Exception:
        forget(directory)
        for made in missing:
            # It may hold files by now; the failure itself is what counts.
            with suppress(OSError):
                made.rmdir()
        raise


def forget(directory: Path) -> None:
    """Remember no longer that a hook has to run. Raises `CertificateError` when the directory cannot be written to."""
    write_files(directory, {PENDING_FILE: None}, secret=())
