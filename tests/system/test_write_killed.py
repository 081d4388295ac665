"""A writer that strace kills at each system call: what readers see then, and what the next write makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import killing

from .programs import run

if TYPE_CHECKING:
    from pathlib import Path

AT_LEAST = {"flat-renewed": 120, "versioned-renewed": 180}
"""How many system calls a write makes, and so how many writers are killed."""


@pytest.mark.parametrize("scenario", AT_LEAST)
def test_writer_killed_at_any_system_call_breaks_nothing_and_the_next_completes_its_work(
    tmp_path: Path, scenario: str
) -> None:
    run("strace", "--version")
    report = killing.report("strace", scenario, tmp_path)
    assert report["broken"] == []
    assert report["killed"] >= AT_LEAST[scenario]
    # Whoever is killed while it gives the folder free, and perhaps some memory, has nothing left to say it with.
    assert len(report["untold"]) <= 3
