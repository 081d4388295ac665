"""Which roots count as trusted, and what a message calls them. Nothing here verifies anything."""

from __future__ import annotations

from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import NamedTuple

import typer

from .. import containers
from ..errors import ConfigurationError, MalformedResponseError


class Store(NamedTuple):
    """Trusted roots in DER, under the name of where they are from."""

    name: str
    roots: frozenset[bytes]

    @property
    def pem(self) -> str:
        """The same in PEM."""
        return "".join(map(DER_cert_to_PEM_cert, sorted(self.roots)))


def trusted_roots(file: Path | None) -> Store:
    """Return the roots in a file, without one those of Mozilla as the package `certifi` has them.

    The system's own are not looked at, so that the answer is the same on every machine, and the one that httpx would
    give. Raises typer's error for a file that holds no certificates, `ConfigurationError` without `certifi`.
    """
    if file is not None:
        return _store(str(file), file)
    try:
        import certifi
    except ModuleNotFoundError:
        raise ConfigurationError(
            "there are no public roots to compare with: pip install certifi, or name a file with --roots"
        ) from None
    return _store(f"certifi {certifi.__version__}", Path(certifi.where()))


def _store(name: str, file: Path) -> Store:
    try:
        roots = containers.read(file.read_bytes(), max_certificates=None).certificates
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except MalformedResponseError as error:
        problem = str(error.args[0])
    else:
        return Store(name, frozenset(roots))
    raise typer.BadParameter(f"{str(file)!r} cannot be used: {problem}", param_hint="--roots")
