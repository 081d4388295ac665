"""The files of each test's own guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path, url: str) -> Iterator[Files]:
    made = Files(str(tmp_path / "guard"), url)
    yield made
    made.close()
