"""The concurrency guard: one protocol, several reaches."""

from ._protocol import Guard, Hold
from .process import ProcessGuard

__all__ = ["Guard", "Hold", "ProcessGuard"]
