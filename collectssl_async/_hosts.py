"""Which hosts a certificate names, and which of them to verify it for when nobody says."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509

Host = str | IPv4Address | IPv6Address
"""A DNS name in ASCII, without a dot at its end, or an address."""

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_LONGEST_NAME = 253

_ANY_LABEL = "www"
"""What stands for the asterisk of a wildcard; any label would do."""


def parse_host(text: str) -> Host | None:
    """Return what a host is called; None for what none can be called: a URL, a port beside it, an underscore."""
    try:
        return ip_address(text)
    except ValueError:
        name = text.removesuffix(".")
        return name if _DNS_NAME.fullmatch(name) and len(name) <= _LONGEST_NAME else None


def hosts_of(certificate: x509.Certificate) -> Iterator[Host]:
    """Yield the subject alternative name's DNS names as they stand there, wildcards among them, then its addresses.

    Nothing comes of a certificate without that extension: clients have not looked at the common name for years.
    """
    from cryptography import x509

    try:
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    yield from named.get_values_for_type(x509.DNSName)
    addresses = named.get_values_for_type(x509.IPAddress)
    yield from (each for each in addresses if isinstance(each, IPv4Address | IPv6Address))


def first_host(certificate: x509.Certificate) -> Host | None:
    """Return the first of a certificate's names that a host can have; a host below the wildcard where that is first."""
    for host in hosts_of(certificate):
        # A number under the wrong kind of name is no name: it would be taken for an address.
        concrete = parse_host(host.replace("*", _ANY_LABEL, 1)) if isinstance(host, str) else host
        if concrete is not None and isinstance(concrete, str) == isinstance(host, str):
            return concrete
    return None


def is_for(certificate: x509.Certificate, host: Host) -> bool:
    """Say whether one of a certificate's names is the host's: alike in any case, or a wildcard for its first label."""
    if not isinstance(host, str):
        return host in hosts_of(certificate)
    _, dot, parent = host.lower().partition(".")
    names = {each.lower() for each in hosts_of(certificate) if isinstance(each, str)}
    return host.lower() in names or (bool(dot) and f"*.{parent}" in names)
