"""Who may send a push notification: known addresses, and whoever knows the password."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from base64 import b64decode
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from .errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Address = IPv4Address | IPv6Address
    Network = IPv4Network | IPv6Network

SECTIGO_PUSH_HOST = "91.199.212.132"
"""The address that Sectigo notifies from."""


class Login:
    """A user name and a password that can be compared with, but not read again."""

    def __init__(self, username: str | None, password: str | None) -> None:
        self._key = secrets.token_bytes(32)
        self._digest = self._digest_of(f"{username}:{password}".encode())
        complete = bool(username and password)
        del password
        if username is None or not complete:
            raise ConfigurationError("username and password go together, and neither may be empty")
        if ":" in username:
            raise ConfigurationError("username may not hold a colon: basic authentication could not tell where it ends")

    def _digest_of(self, login: bytes) -> bytes:
        return hmac.digest(self._key, login, hashlib.sha256)

    def accepts(self, header: str | None) -> bool:
        """Compare an `Authorization` header, in a time that does not depend on how much of it is right."""
        scheme, _, token = (header or "").partition(" ")
        try:
            login = b64decode(token.strip(), validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            login = b""
        return hmac.compare_digest(self._digest_of(login), self._digest)


class Hosts:
    """Addresses and networks that may call."""

    def __init__(self, allowed: Iterable[str]) -> None:
        if isinstance(allowed, str):
            raise ConfigurationError(f"allowed_hosts must be several addresses, not one text: ({allowed!r},)")
        self._networks: list[Network] = []
        self._names: set[str] = set()
        for each in allowed:
            try:
                self._networks.append(ip_network(each))
            except ValueError:
                # Servers without addresses have a word instead; a host's name would never be compared with one.
                if "." in each or ":" in each or "/" in each or each == "localhost" or not each:
                    raise ConfigurationError(
                        f"allowed_hosts must be IP addresses or networks, such as {SECTIGO_PUSH_HOST}, not {each!r}"
                    ) from None
                self._names.add(each)
        if not self._networks and not self._names:
            raise ConfigurationError("allowed_hosts must not be empty: nobody could call")

    def allow(self, host: str | None) -> bool:
        """Say whether the caller may: an IPv4 address counts also in the clothes of an IPv6 one."""
        if host is None:
            return False
        try:
            address: Address = ip_address(host.partition("%")[0])
        except ValueError:
            return host in self._names
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
