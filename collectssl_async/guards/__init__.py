"""The concurrency guard: one protocol, several reaches. Those beyond the process load when they are asked for."""

from typing import TYPE_CHECKING

from .._later import loaded_later
from ._protocol import Guard, GuardStatus, Hold, Holder, Inspectable
from .process import ProcessGuard

if TYPE_CHECKING:
    from ._choosing import guard_from_env, guard_from_url
    from .file import FileGuard
    from .postgres import PostgresGuard
    from .redis import RedisGuard

__getattr__ = loaded_later(
    __name__,
    {
        "._choosing": ("guard_from_env", "guard_from_url"),
        ".file": ("FileGuard",),
        ".postgres": ("PostgresGuard",),
        ".redis": ("RedisGuard",),
    },
)

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
