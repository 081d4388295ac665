"""Which of a watcher's orders notifications have named, and how often each is asked for again because of that.

Where hints come from and how long they are kept is `_hints.py`; when an order may be asked for is the watcher's.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from ._waiting import REPEATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._hints import Hint, Hints
    from ._kept import Key
    from .polling import PollPolicy


class Named:
    """The orders looked out for, by the names that hints use, and those that were named.

    Where the API still says 0, an order that was named is asked for again after `failure_interval`, doubling, three
    times: the notification may be there before the certificate is.

    Held by its watcher alone, and holds none of it: one that is dropped unclosed lets go of its store.
    """

    def __init__(self, push: Hints | None, policy: PollPolicy, wake: Callable[[], object]) -> None:
        self._push = push
        self._policy = policy
        self._wake = weakref.WeakMethod(wake)
        self._stop: Callable[[], None] | None = None
        self._keys: dict[str | int, set[Key]] = {}
        self._heard: dict[Key, None] = {}
        self._repeats: dict[Key, int] = {}

    def look_out_for(self, keys: Iterable[Key]) -> None:
        """Listen for hints at these orders too. Those that came before are told at once."""
        if self._push is None:
            return
        for key in keys:
            for name in _names(key):
                self._keys.setdefault(name, set()).add(key)
        if self._stop is not None:
            self._stop()
        hear = weakref.WeakMethod(self._hear)

        def heard(hint: Hint, /) -> bool:
            method = hear()
            return method is not None and method(hint)

        self._stop = weakref.finalize(self, self._push.listen(heard))

    def forget(self, key: Key) -> None:
        """Look out for an order no longer."""
        self._heard.pop(key, None)
        self._repeats.pop(key, None)
        for name in _names(key):
            keys = self._keys.get(name, set())
            keys.discard(key)
            if not keys:
                self._keys.pop(name, None)

    def close(self) -> None:
        """Stop listening, and forget all orders."""
        if self._stop is not None:
            self._stop()
            self._stop = None
        for table in (self._keys, self._heard, self._repeats):
            table.clear()

    def take(self) -> tuple[Key, ...]:
        """Return the orders that were named since the last time."""
        if not self._heard:
            return ()
        keys = tuple(self._heard)
        self._heard.clear()
        self._repeats.update(dict.fromkeys(keys, REPEATS))
        return keys

    def again_in(self, key: Key, chance: float) -> float | None:
        """Return the seconds until an order whose status was 0 is asked for once more; None where it is not."""
        left = self._repeats.pop(key, 0)
        if left == 0:
            return None
        self._repeats[key] = left - 1
        return self._policy.delay_after_failure(REPEATS - left + 1, chance)

    def _hear(self, hint: Hint, /) -> bool:
        keys = [key for name in hint if name is not None for key in self._keys.get(name, ())]
        self._heard.update(dict.fromkeys(keys))
        wake = self._wake()
        if keys and wake is not None:
            wake()
        return bool(keys)


def _names(key: Key) -> tuple[str | int, ...]:
    """Return what hints may call the order."""
    return (key,) if isinstance(key, str) else tuple(name for name in key[:2] if name is not None)
