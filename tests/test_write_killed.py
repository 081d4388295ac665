"""A writer that is killed at any call it makes: what readers see then, and what the next write makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from . import killing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers

AT_LEAST = {"flat-first": 50, "flat-renewed": 60, "versioned-first": 70, "versioned-renewed": 100}
"""How many calls a write makes, and so how many writers are killed."""


@pytest.mark.parametrize("scenario", killing.SCENARIOS)
def test_writer_killed_at_any_call_breaks_nothing_and_the_next_completes_its_work(
    tmp_path: Path, scenario: str
) -> None:
    report = killing.report("patched", scenario, tmp_path)
    assert report["broken"] == []
    assert report["killed"] >= AT_LEAST[scenario]
    # Whoever is killed while it gives the folder free has nothing left to say it with.
    assert report["untold"] == [1, 0]
