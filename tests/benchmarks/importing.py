"""Importing the package in a fresh interpreter, beside httpx, anyio and one Pydantic model.

The interpreter's own start is not counted.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import anyio

from .measuring import Cost, Row, row, take_turns

OURS = "import collectssl_async"
THEIRS = """
import httpx, anyio
from pydantic import BaseModel
class Order(BaseModel):
    number: str
    names: tuple[str, ...] = ()
"""
TIMED = """
import sys, time
wall, cpu = time.perf_counter(), time.process_time()
{}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""
WEIGHTY = ("cryptography", "typer", "rich", "starlette", "uvicorn")
ROUNDS = 21


async def cost_of_import(program: str) -> Cost:
    wall, cpu = (await anyio.run_process([sys.executable, "-c", TIMED.format(program)])).stdout.split()
    return Cost(float(wall), float(cpu))


def weighty_modules(program: str) -> set[str]:
    """Return which of the weighty packages a program loads."""
    listing = f"{program}\nimport sys\nprint(*sys.modules)"
    return {*WEIGHTY} & {*subprocess.check_output([sys.executable, "-c", listing], text=True).split()}


def run() -> list[Row]:
    async def compare() -> list[Row]:
        ours, theirs = await take_turns(ROUNDS, partial(cost_of_import, OURS), partial(cost_of_import, THEIRS))
        other = "httpx, anyio, model"
        return [
            row("import", other, ours, theirs, at_most=1.20),
            row("import, CPU", other, ours, theirs, at_most=1.20, cpu=True),
        ]

    added = weighty_modules(OURS) - weighty_modules(THEIRS)
    print("importing adds", ", ".join(sorted(added)) if added else f"none of {', '.join(WEIGHTY)}")
    return anyio.run(compare)
