"""The concurrency guard: one protocol, several reaches."""

from ._choosing import guard_from_env, guard_from_url
from ._protocol import Guard, GuardStatus, Hold, Holder, Inspectable
from .file import FileGuard
from .postgres import PostgresGuard
from .process import ProcessGuard
from .redis import RedisGuard

__all__ = [
    "FileGuard",
    "Guard",
    "GuardStatus",
    "Hold",
    "Holder",
    "Inspectable",
    "PostgresGuard",
    "ProcessGuard",
    "RedisGuard",
    "guard_from_env",
    "guard_from_url",
]
