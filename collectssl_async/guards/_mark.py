"""What a lock file says of the last call: one line of JSON, which people can read too.

The end of a grace is kept on the clock that counts from the machine's start, suspend included, with that start's id: no
step of the wall clock makes a grace shorter or longer. Times of day are written for people, and read by nobody else.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from ._protocol import Holder

_UNFINISHED = b'{"call": "unfinished", '
_SIZE = 512
"""Bytes of a record: all of it is written at once, over the last one."""

FORGOTTEN = b'{"call": "finished"}\n'
"""A whole record of no call."""

_LONGEST_NAME = 160
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

LONGEST = 4096
"""Bytes of a file that are looked at."""

FINISHED = b'{"call": "finished",   '
"""What makes an unfinished record a finished one, written over its beginning."""


def since_start() -> float:
    """Return seconds since the machine was started."""
    return time.clock_gettime(_CLOCK)


@lru_cache(maxsize=1)
def this_start() -> str:
    """Return what tells this start of the machine from others; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Mark:
    """An unfinished call: whose it is, and when its grace ends, once somebody knew that it was left.

    `grace` is in seconds. `ends` is on the clock of `since_start`, and means something in the start of the machine that
    `start` names.
    """

    holder: Holder | None
    resource: str
    grace: float
    start: str = ""
    ends: float | None = None

    @classmethod
    def of_this_process(cls, resource: str, grace: float) -> Self:
        """Return the mark of a call that this process begins now."""
        return cls(Holder(socket.gethostname(), os.getpid(), datetime.now(UTC)), resource, grace)

    def left(self) -> Mark:
        """Return the mark of the same call, left now."""
        return replace(self, start=this_start(), ends=since_start() + self.grace)

    def rest(self) -> float | None:
        """Return how many seconds of the grace are left, 0 when it is over; None when nobody knows when it began."""
        if self.ends is None or self.start != this_start():
            return None
        rest = self.ends - since_start()
        # More than the whole is another clock's: that of an earlier start of a machine that does not tell them apart.
        return None if rest > self.grace else max(rest, 0.0)

    def record(self) -> bytes:
        """Return the line that says all this."""
        rest = self.rest()
        until = None if rest is None else (datetime.now(UTC) + timedelta(seconds=rest)).isoformat()
        holder = self.holder
        fields = {
            "host": holder and holder.host[:_LONGEST_NAME],
            "process": holder and holder.process,
            "since": holder and holder.since.isoformat(),
            "resource": self.resource[:_LONGEST_NAME],
            "grace": self.grace,
            "until": until,
            "start": self.start,
            "ends": self.ends,
        }
        text = _UNFINISHED + json.dumps(fields).encode()[1:]
        return text.ljust(_SIZE - 1) + b"\n"


def read_mark(data: bytes, *, resource: str, grace: float) -> Mark | None:
    """Return the unfinished call that a file tells of, None where it tells of none.

    What cannot be read counts as somebody's unfinished call, with the reader's own grace.
    """
    if not data:
        return None
    try:
        fields: dict[str, Any] = json.loads(data.partition(b"\n")[0])
        if fields["call"] == "finished":
            return None
        ends = fields["ends"]
        told = float(fields["grace"])
        mark = Mark(_holder(fields), resource, told, str(fields["start"]), None if ends is None else float(ends))
        if math.isfinite(told) and told >= 0 and (mark.ends is None or math.isfinite(mark.ends)):
            return mark
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        pass
    return Mark(None, resource, grace)


def _holder(fields: dict[str, Any]) -> Holder | None:
    if fields["host"] is None:
        return None
    since = datetime.fromisoformat(fields["since"])
    return Holder(str(fields["host"]), int(fields["process"]), since.astimezone(UTC))
