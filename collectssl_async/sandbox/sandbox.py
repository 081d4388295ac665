"""The sandbox's face: orders to place, faults to order, calls to look at, an app and a server to run.

For tests and demos, never for production. Everything behind it may be used from any thread.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
import weakref
from functools import cached_property
from typing import TYPE_CHECKING

from .account import Account
from .app import make_app
from .authority import Authority, pem
from .push import Outbox, Receiver
from .server import HOST, SandboxServer
from .service import Service
from .variations import STRICT, check_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from cryptography import x509
    from starlette.applications import Starlette

    from ..credentials import Credentials
    from .calls import SandboxCall
    from .faults import Fault
    from .orders import SandboxOrder
    from .push import SandboxNotification


class Sandbox:
    """A CollectSSL service in memory, with a throwaway CA and one account.

    `seed` repeats every choice that `strict` makes: what a client must not rely on varies from reply to reply
    (`variations.SWITCHES`). `latency` is how many seconds a call takes, `jitter` how many more at most, `linger` how
    many more an abandoned one stays in work; all may be set at any time. `clock` gives seconds, to orders that move by
    time and to the calls' times.

    `push_url` is called for everything that happens to an order, with the login of `push_username` and
    `push_password` if they are given; with `push_certificates` an issued certificate comes along. Orders that move by
    time are announced when their time has come; by any clock but the default one, when they are polled next.
    Raises `ValueError` for values that cannot be.
    """

    def __init__(
        self,
        *,
        seed: int | str | None = None,
        strict: bool = True,
        latency: float = 0.0,
        linger: float = 0.0,
        jitter: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        push_url: str | None = None,
        push_username: str | None = None,
        push_password: str | None = None,
        push_certificates: bool = False,
    ) -> None:
        self._lock = threading.RLock()
        self._clock = clock
        self._account = Account()
        self._initial = (
            strict,
            _seconds("latency", latency),
            _seconds("linger", linger),
            _seconds("jitter", jitter),
        )
        self.authority = Authority()
        self._receiver: Receiver | None = None
        if push_url is not None:
            self._receiver = Receiver(push_url, push_username, push_password, root_pem=self.root_pem)
        self._push_certificates = push_certificates
        self._outbox: Outbox | None = None
        self._seed: int | str = secrets.randbits(32)
        self.reset(seed)

    def __repr__(self) -> str:
        return f"Sandbox(seed={self.seed!r}, calls={len(self.calls)}, overlaps={self.overlaps})"

    def reset(self, seed: int | str | None = None) -> None:
        """Forget orders, calls and faults, unlock the account, undo every setting; None keeps the seed.

        Credentials and CA stay, so servers and clients go on. Orders placed before are no longer found, and nothing is
        sent about them any more.
        """
        with self._lock:
            strict, self.latency, self.linger, self.jitter = self._initial
            self._outbox = self._new_outbox()
            self._account.unlock()
            self._seed = self._seed if seed is None else seed
            self.service = Service(
                authority=self.authority,
                account=self._account,
                seed=self._seed,
                switches=STRICT if strict else frozenset(),
                clock=self._clock,
                lock=self._lock,
                outbox=self._outbox,
            )
            if self._outbox is not None:
                weakref.finalize(self.service, self._outbox.close)

    def _new_outbox(self) -> Outbox | None:
        if self._outbox is not None:
            self._outbox.close()
        if self._receiver is None:
            return None
        timed = self._clock is time.monotonic
        return Outbox(self._receiver, self._lock, certificates=self._push_certificates, timed=timed)

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
        (no answer), "disconnect" (cut before the answer), "truncate" (cut within it), "hangup" (cut after it), "slow"
        (byte by byte), "html" (a maintenance page).

        Calls that are refused because another one is in work leave the fault to the next. `ValueError` for other kinds.
        """
        with self._lock:
            self.service.faults.add(kind, times)

    @property
    def retry_after(self) -> float | None:
        """The seconds that a 429 or 503 names in its `Retry-After`, None for none; undone by the next reset."""
        return self.service.retry_after

    @retry_after.setter
    def retry_after(self, seconds: float | None) -> None:
        self.service.retry_after = None if seconds is None else _seconds("retry_after", seconds)

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

    @property
    def notifications(self) -> list[SandboxNotification]:
        """Every notification since the last reset, in the order of what happened; empty without a `push_url`."""
        return [] if self._outbox is None else self._outbox.notifications

    def pause(self, call: SandboxCall) -> float:
        """Return the seconds that a call takes."""
        return self.service.pause(call, self.latency, self.jitter)

    # --- how it is reached --------------------------------------------------------------------------------------------

    @cached_property
    def app(self) -> Starlette:
        """The ASGI app, to be called in process or mounted. Raises `ConfigurationError` without the extra `sandbox`."""
        return make_app(self)

    def serve(
        self, port: int = 0, *, management_port: int = 0, host: str = HOST, expose_to_network: bool = False
    ) -> SandboxServer:
        """Return a server for `with` or `async with`: HTTPS on loopback, management and page beside it.

        Port 0 takes a free one. Raises `ConfigurationError` without the extra `sandbox`, and for any `host` that is not
        loopback unless `expose_to_network` says that it is meant.
        """
        return SandboxServer(
            self, self.app, port=port, management_port=management_port, host=host, expose_to_network=expose_to_network
        )


def _seconds(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is in seconds, 0 or more, not {value!r}")
    return value
