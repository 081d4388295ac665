"""What Pebble is to ACME: a CollectSSL service in memory, for tests and demos, never for production."""

from .calls import SandboxCall
from .orders import SandboxOrder
from .push import SandboxNotification
from .sandbox import Sandbox
from .server import SandboxServer

__all__ = ["Sandbox", "SandboxCall", "SandboxNotification", "SandboxOrder", "SandboxServer"]
