"""Which files a certificate has on the disk, in either layout, and what stands there already that must not be harmed.

How files and folders are put in place is `_writing.py` and `_versions.py`. The bundle they are made of stays outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ._keys import load_private_key, private_key_pem
from ._leftovers import told_late
from ._versions import CURRENT, Issue, check_current, current_of, place_version
from ._writing import look_at, opened, place_files
from .errors import CertificateError, ConfigurationError, KeyMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from ._writing import Existing

Layout = Literal["flat", "versioned"]

CERTIFICATE_FILE = "cert.pem"
CHAIN_FILE = "chain.pem"
FULLCHAIN_FILE = "fullchain.pem"
PRIVATE_KEY_FILE = "privkey.pem"
COMBINED_FILE = "combined.pem"

_SECRET = (PRIVATE_KEY_FILE, COMBINED_FILE)
_FILES = (*_SECRET, CERTIFICATE_FILE, CHAIN_FILE, FULLCHAIN_FILE)
"""In the order in which they are put in place: the certificate that servers load comes when its key is there."""

_WAY_OUT = "hand in the certificate's private_key, or move the file away"


@dataclass(frozen=True, slots=True, repr=False)
class Wanted:
    """What is to be on the disk: PEM, the chain None where there are no intermediates, the key None if not handed in.

    `fits` says whether a key is the certificate's, `name` is what messages call it, `mark` 16 hex digits of its own.
    """

    certificate: bytes
    chain: bytes | None
    fullchain: bytes
    private_key: PrivateKeyTypes | None
    combined: bool
    fits: Callable[[PrivateKeyTypes], bool]
    name: str
    mark: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The folder in which the files stand, their names, and whether any of them holds something else now."""

    folder: Path
    names: Collection[str]
    changed: bool


def check_choices(layout: str, keep: int) -> None:
    """Raise `ConfigurationError` for a layout that there is not and for a number of folders that is none."""
    if layout not in get_args(Layout):
        raise ConfigurationError(f"layout must be one of {', '.join(map(repr, get_args(Layout)))}, not {layout!r}")
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
        raise ConfigurationError(f"keep must be a number of folders, 1 or more, not {keep!r}")


def write_flat(directory: Path, wanted: Wanted) -> Outcome:
    """Write the files into the directory itself.

    Raises `KeyMismatchError` and `CertificateError`; see `CertificateBundle.write`.
    """
    with opened(directory) as place:
        if current_of(place.path) is not None:
            raise _other_layout(directory / CURRENT, "versioned", "flat")
        existing = look_at(place.path, _FILES, called=directory)
        contents = _contents(wanted, existing, directory)
        with told_late(place.path) as is_late:
            changed = place_files(place, existing, contents, secret=_SECRET) or is_late
    return Outcome(directory, _names_after(existing, contents), changed)


def write_versioned(directory: Path, wanted: Wanted, *, keep: int) -> Outcome:
    """Write the files into a folder of their own, and have `current` lead there.

    Raises `KeyMismatchError` and `CertificateError`; see `CertificateBundle.write`.
    """
    shown = directory / CURRENT
    with opened(directory) as place:
        if flat := look_at(place.path, (CERTIFICATE_FILE, FULLCHAIN_FILE), called=directory):
            raise _other_layout(directory / min(flat), "flat", "versioned")
        check_current(place.path, called=directory)
        current = current_of(place.path)
        existing = {} if current is None else look_at(current, _FILES, called=shown)
        carried = {name: existing[name].content if name in existing else None for name in _FILES}
        contents = carried | _contents(wanted, existing, shown)
        issue = Issue(contents, _SECRET, wanted.mark)
        with told_late(place.path) as is_late:
            changed = place_version(place, current, existing, issue, keep=keep) or is_late
    return Outcome(shown, _names_after(existing, contents), changed)


def _names_after(existing: Mapping[str, Existing], contents: Mapping[str, bytes | None]) -> Collection[str]:
    return {*existing, *contents} - {name for name, content in contents.items() if content is None}


def _other_layout(path: Path, there: Layout, asked: Layout) -> CertificateError:
    # Two layouts in one directory: servers would go on with the one that nobody writes any more, until it ends.
    return CertificateError(
        f"{str(path)!r} is of the {there} layout, and servers that name it would not see what the {asked} one writes: "
        f"choose another directory or layout={there!r}, or move it away"
    )


# --- what the files hold ----------------------------------------------------------------------------------------------


def _contents(wanted: Wanted, existing: Mapping[str, Existing], folder: Path) -> dict[str, bytes | None]:
    """Return what files are to hold, in the order of `_FILES`; those that stay as they are are not among them."""
    contents: dict[str, bytes | None] = {}
    key = wanted.private_key
    if key is not None:
        contents[PRIVATE_KEY_FILE] = private_key_pem(key)
    elif PRIVATE_KEY_FILE in existing:
        key = _key_already_there(wanted, existing[PRIVATE_KEY_FILE].content, folder / PRIVATE_KEY_FILE)
    if wanted.combined or (COMBINED_FILE in existing and not _is_current(wanted, existing[COMBINED_FILE].content)):
        if key is None and wanted.combined:
            raise CertificateError("combined=True needs the key: hand in the certificate's private_key")
        if key is None:
            path = str(folder / COMBINED_FILE)
            raise KeyMismatchError(f"{path!r} does not hold the key and chain of {wanted.name}: {_WAY_OUT}")
        contents[COMBINED_FILE] = private_key_pem(key) + wanted.fullchain
    contents[CERTIFICATE_FILE] = wanted.certificate
    contents[CHAIN_FILE] = wanted.chain
    contents[FULLCHAIN_FILE] = wanted.fullchain
    return contents


def _key_already_there(wanted: Wanted, pem: bytes, path: Path) -> PrivateKeyTypes:
    """Return the key in the file; one that is not the certificate's, or that nobody can tell of, is refused."""
    try:
        key = load_private_key(pem, what=repr(str(path)))
    except CertificateError as error:
        raise CertificateError(f"{error}; or {_WAY_OUT}") from None
    if not wanted.fits(key):
        raise KeyMismatchError(f"{str(path)!r} does not belong to the certificate for {wanted.name}: {_WAY_OUT}")
    return key


def _is_current(wanted: Wanted, pem: bytes) -> bool:
    """Say whether a file holds the certificate, its intermediates and its key, in whatever order somebody put them."""
    try:
        return wanted.fullchain in pem and wanted.fits(load_private_key(pem))
    except CertificateError:  # no key in it, or none that can be read: a server could not use it either
        return False
