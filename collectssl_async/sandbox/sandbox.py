"""The sandbox's face: orders to place, faults to order, calls to look at, an app and a server to run.

For tests and demos, never for production. Everything behind it may be used from any thread.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING

from .account import Account
from .app import make_app
from .authority import Authority, pem
from .server import SandboxServer
from .service import Service
from .variations import STRICT, check_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from cryptography import x509
    from starlette.applications import Starlette

    from ..models import Credentials
    from .calls import SandboxCall
    from .faults import Fault
    from .orders import SandboxOrder


class Sandbox:
    """A CollectSSL service in memory, with a throwaway CA and one account.

    `seed` repeats every choice that `strict` makes: what a client must not rely on varies from reply to reply
    (`variations.SWITCHES`). `latency` is how many seconds a call takes, `linger` how many more an abandoned one stays
    in work; both may be set at any time. `clock` gives seconds, to orders that move by time and to the calls' times.
    """

    def __init__(
        self,
        *,
        seed: int | str | None = None,
        strict: bool = True,
        latency: float = 0.0,
        linger: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.RLock()
        self._clock = clock
        self._account = Account()
        self._initial = (strict, _seconds("latency", latency), _seconds("linger", linger))
        self.authority = Authority()
        self._seed: int | str = secrets.randbits(32)
        self.reset(seed)

    def __repr__(self) -> str:
        return f"Sandbox(seed={self.seed!r}, calls={len(self.calls)}, overlaps={self.overlaps})"

    def reset(self, seed: int | str | None = None) -> None:
        """Forget orders, calls and faults, unlock the account, undo every setting; None keeps the seed.

        Credentials and CA stay, so servers and clients go on. Orders placed before are no longer found.
        """
        with self._lock:
            strict, self.latency, self.linger = self._initial
            self._account.unlock()
            self._seed = self._seed if seed is None else seed
            self.service = Service(
                authority=self.authority,
                account=self._account,
                seed=self._seed,
                switches=STRICT if strict else frozenset(),
                clock=self._clock,
                lock=self._lock,
            )

    # --- what a client has to know ------------------------------------------------------------------------------------

    @property
    def credentials(self) -> Credentials:
        """The account's, made up for this sandbox."""
        return self._account.credentials

    @property
    def root(self) -> x509.Certificate:
        """The root that every certificate of this sandbox can be verified with, its server's too."""
        return self.authority.root

    @property
    def root_pem(self) -> str:
        """The root as PEM text."""
        return pem(self.root)

    # --- orders -------------------------------------------------------------------------------------------------------

    def place_order(
        self,
        fqdn: str,
        *,
        names: Iterable[str] = (),
        csr: x509.CertificateSigningRequest | bytes | str | None = None,
        product: str = "dv",
        issue_after: float | None = 0,
        issue_after_polls: int | None = None,
    ) -> SandboxOrder:
        """Place an order for `fqdn`; further `names`, or else the CSR's, make it multi-domain.

        `product` is "dv", "ov" or "ev". The order is issued `issue_after` seconds from now (0: at once) and after
        `issue_after_polls` calls were told that it is processed; None leaves that condition out, both None: by hand.
        Raises `ValueError` for what cannot be ordered.
        """
        return self.service.book.place(
            fqdn, names, csr, product=product, issue_after=issue_after, issue_after_polls=issue_after_polls
        )

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def fail_next(self, kind: Fault, times: int = 1) -> None:
        """Let the next calls fail: with an error code of the API, an HTTP status from 300 to 599, or "timeout"
        (no answer), "disconnect" (cut before the answer), "truncate" (cut within it), "html" (a maintenance page).

        Calls that are refused because another one is in work leave the fault to the next. `ValueError` for other kinds.
        """
        with self._lock:
            self.service.faults.add(kind, times)

    @property
    def locked(self) -> bool:
        """Whether ten wrong logins in a row have locked the account."""
        return self._account.locked

    def unlock(self) -> None:
        """Let a locked account be used again."""
        self._account.unlock()

    @property
    def seed(self) -> int | str:
        """What repeats this sandbox's choices."""
        return self._seed

    @property
    def switches(self) -> Collection[str]:
        """The names of the variations that are on; set it to try some of them alone, until the next reset."""
        return self.service.switches

    @switches.setter
    def switches(self, names: Collection[str]) -> None:
        self.service.switches = check_switches(names)

    # --- what was called ----------------------------------------------------------------------------------------------

    @property
    def calls(self) -> list[SandboxCall]:
        """Every call to the endpoint since the last reset, refused ones too, in the order in which they came."""
        return self.service.log.calls

    @property
    def overlaps(self) -> int:
        """How many calls came while another one was in work. A client that keeps the API's rule leaves it at 0."""
        return self.service.log.overlaps

    # --- how it is reached --------------------------------------------------------------------------------------------

    @cached_property
    def app(self) -> Starlette:
        """The ASGI app, to be called in process or mounted. Raises `ConfigurationError` without the extra `sandbox`."""
        return make_app(self)

    def serve(self, port: int = 0) -> SandboxServer:
        """Return a server for `with` or `async with`: HTTPS on 127.0.0.1; port 0 takes a free one.

        Raises `ConfigurationError` without the extra `sandbox`.
        """
        return SandboxServer(self, self.app, port=port)


def _seconds(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is in seconds, 0 or more, not {value!r}")
    return value
