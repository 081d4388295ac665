"""Chains as they come, and worse: one table for all who judge them, the package, its verifier and OpenSSL.

Three parts by what the package makes of them; each module of cases enters its own.
"""

from __future__ import annotations

from . import dates, hosts, keys, limits, ways
from .case import ACCEPTED, REFUSED, UNORDERED, Case

__all__ = ["ACCEPTED", "REFUSED", "UNORDERED", "Case", "dates", "hosts", "keys", "limits", "ways"]
