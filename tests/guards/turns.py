"""What tests of guards do with turns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from .kinds import PATIENCE

if TYPE_CHECKING:
    from .kinds import GuardSpec


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def take(spec: GuardSpec, url: str, patience: float = PATIENCE) -> float:
    """Take a turn that comes within `patience` seconds; return how many it took to come."""
    began = time.monotonic()
    async with spec.make(acquire_timeout=patience).hold(url) as hold:
        took = time.monotonic() - began
        hold.finished()
    return took


async def abandon(spec: GuardSpec, url: str, grace: float) -> float:
    """Take a turn and leave it unfinished; return when."""
    async with spec.make(abandon_grace=grace, acquire_timeout=PATIENCE).hold(url):
        return time.monotonic()


async def hold_for_ever(spec: GuardSpec, url: str, grace: float, inside: anyio.Event) -> None:
    """Take a turn and never leave it."""
    async with spec.make(abandon_grace=grace, acquire_timeout=PATIENCE).hold(url):
        inside.set()
        await anyio.sleep_forever()
