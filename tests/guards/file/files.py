"""The files of a `FileGuard`, seen from another process.

Other processes are played by lock files opened a second time: the system keeps two descriptors of one file apart as it
does two processes.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectssl_async.guards import FileGuard, Holder
from collectssl_async.guards._lock_file import LockFile
from collectssl_async.guards._mark import Mark

SOMEBODY = Holder("elsewhere", 4242, datetime(2026, 7, 4, 10, 11, 12, tzinfo=UTC))


class Files:
    """The files of one resource, seen from another process."""

    def __init__(self, prefix: str, url: str) -> None:
        self.prefix = prefix
        self.url = url
        self._opened: list[LockFile] = []
        name = FileGuard(prefix)._place.name_of(url)
        self.lock, self.next = Path(f"{name}.lock"), Path(f"{name}.next")

    def guard(self, **settings: Any) -> FileGuard:
        return FileGuard(self.prefix, **{"acquire_timeout": 5, **settings})

    def held(self, path: Path) -> LockFile:
        """Lock a file as another process would."""
        file = LockFile(str(path))
        self._opened.append(file)
        assert file.try_lock()
        return file

    def killed(self, *, grace: float, ends: float | None = None, start: str = "") -> None:
        """Leave what a process leaves that is killed in a call, and what was written down of it since."""
        file = self.held(self.lock)
        file.write(replace(Mark(SOMEBODY, self.url, grace), ends=ends, start=start).record())
        file.close()

    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lock.read_text().partition("\n")[0])
        return found

    def close(self) -> None:
        for each in self._opened:
            each.close()


def opened() -> set[str]:
    """Return the paths of all that this process has open."""
    return {str(each.resolve()) for each in Path("/proc/self/fd").iterdir()}


async def turn(guard: FileGuard, url: str) -> float:
    """Take a turn; return in how many seconds it came."""
    began = time.monotonic()
    async with guard.hold(url) as hold:
        took = time.monotonic() - began
        hold.finished()
    return took
