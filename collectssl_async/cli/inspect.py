"""`collectssl inspect`: what is in files and directories of certificates. No network, no credentials.

What a file holds is read by `reading.py`, what it means is found by `describing.py`, how it is shown is `showing.py`'s.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .._keys import load_private_key
from .._layouts import CERTIFICATE_FILE, CHAIN_FILE, COMBINED_FILE, FULLCHAIN_FILE, PRIVATE_KEY_FILE
from .._versions import CURRENT
from ..errors import CollectSSLError
from .describing import Together, Trust, key_text, put_in_order, trust_in
from .exits import InspectionError
from .hooks import is_pending
from .preparing import find_pkcs12_password
from .reading import Held, read_file
from .showing import show_document, show_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from pydantic import SecretStr

    from .trust import Store

_PEM_OR_DER = (".pem", ".crt", ".cer", ".der", ".ca-bundle", ".bundle")
_SUFFIXES = (*_PEM_OR_DER, ".p7b", ".p7c", ".p7s", ".nseq", ".p12", ".pfx", ".zip")
"""Names of files of certificates, in a directory that is of no layout."""

_LAYOUT = (FULLCHAIN_FILE, CERTIFICATE_FILE, CHAIN_FILE, PRIVATE_KEY_FILE, COMBINED_FILE)


@dataclass(frozen=True, slots=True)
class Key:
    """A private key: its kind, where it is from, and whether it is the leaf's; None where there is no leaf."""

    kind: str
    source: str
    matches: bool | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one file, or in a directory of a layout.

    `problems` says what cannot be read, `notes` what else there is to know. `kind` is empty where nothing can be read.
    """

    path: Path
    kind: str = ""
    together: Together | None = None
    trust: Trust | None = None
    key: Key | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def inspect_paths(
    paths: Sequence[Path], *, private_key: bytes | None, key_source: str, store: Store, as_json: bool
) -> None:
    """Show what is in files and directories. `private_key` is PEM, to be compared instead of those found there.

    Raises `InspectionError` when all that can be read has been shown, and not all can.
    """
    given = None if private_key is None else _Given(load_private_key(private_key), key_source)
    asked = _Asked()
    # Old CAs have serial numbers that are 0 or negative, or name their issuers by such: cryptography warns of each.
    with warnings.catch_warnings(action="ignore"):
        found = [_judged(each, store, given) for path in paths for each in _inspect(path, asked)]
    if as_json:
        show_document(found, store)
    else:
        show_texts(found, store)
    unread = [each for each in found if each.problems]
    if unread:
        first = (
            f"{str(unread[0].path)!r} cannot be read{' in whole' if unread[0].kind else ''}: {unread[0].problems[0]}"
        )
        raise InspectionError(first if len(unread) == 1 else f"{first}; and {len(unread) - 1} more")


@dataclass(frozen=True, slots=True, repr=False)
class _Given:
    key: PrivateKeyTypes
    source: str


class _Asked:
    """The password of PKCS#12 files, asked for once, when the first of them needs it."""

    def __init__(self) -> None:
        self._password: SecretStr | None = None

    def __call__(self) -> SecretStr:
        if self._password is None:
            self._password = find_pkcs12_password()
        return self._password


@dataclass(frozen=True, slots=True, repr=False)
class _Opened:
    """What was read, before it is judged."""

    path: Path
    held: Held
    key_source: str = ""
    notes: tuple[str, ...] = ()


def _inspect(path: Path, password: Callable[[], SecretStr]) -> Iterator[_Opened]:
    try:
        folder = _layout_in(path)
        is_folder, is_cut_off = path.is_dir(), (path / CURRENT).is_symlink()
        inside = sorted(path.iterdir()) if is_folder else []
    except OSError as error:
        yield _unread(path, error.strerror or type(error).__name__)
        return
    folders = [each for each in inside if os.path.isdir(each)]  # noqa: PTH112 - that of a Path raises where it may not look
    # Links that lead nowhere are among them: to be told of, not to be passed over.
    files = [each for each in inside if _is_called_so(each.name) and each not in folders]
    if folder is not None:
        yield _read_layout(path, folder, files, password)
    elif not is_folder:
        yield _read(path, password)
    elif is_cut_off:
        yield _unread(path, f"{CURRENT} leads nowhere")
    else:
        below = [each for each in folders if _layout_in(each) is not None]
        if not files and not below:
            yield _unread(path, "no file in it is called like one of certificates")
        for file in files:
            yield _read(file, password)
        for each in below:
            yield from _inspect(each, password)


def _layout_in(path: Path) -> Path | None:
    """Return the folder in which a directory has the files of a certificate, None where none can be seen."""
    with contextlib.suppress(OSError):
        folder = path / CURRENT if (path / CURRENT).is_dir() else path
        return folder if any((folder / name).exists() for name in (FULLCHAIN_FILE, CERTIFICATE_FILE)) else None
    return None


def _is_called_so(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(_SUFFIXES)


def _unread(path: Path, problem: str) -> _Opened:
    return _Opened(path, Held("", problems=(problem,)))


def _read(path: Path, password: Callable[[], SecretStr]) -> _Opened:
    try:
        return _Opened(path, read_file(path, password), "in it")
    except CollectSSLError as error:
        return _unread(path, str(error))


# --- a directory that `collect` wrote ---------------------------------------------------------------------------------


def _read_layout(path: Path, folder: Path, beside: Sequence[Path], password: Callable[[], SecretStr]) -> _Opened:
    """Read the files of a certificate as one thing, and look whether they agree."""
    files = {name: _read(folder / name, password).held for name in _LAYOUT if os.path.lexists(folder / name)}
    kind = "directory, flat" if folder == path else f"directory, versioned, {Path(os.path.realpath(folder)).name}"
    full = files.get(FULLCHAIN_FILE, Held("")).certificates
    parts = [files[name].certificates for name in (CERTIFICATE_FILE, CHAIN_FILE) if name in files]
    key_from = next(
        (name for name in (PRIVATE_KEY_FILE, COMBINED_FILE) if name in files and files[name].private_key), ""
    )
    held = Held(
        kind,
        full or tuple(der for part in parts for der in part),
        files[key_from].private_key if key_from else None,
        tuple(f"{name}: {problem}" for name, file in files.items() for problem in file.problems),
    )
    others = sorted(each.name for each in beside if folder != path or each.name not in _LAYOUT)
    notes = [*_disagreements(path, files, full), *([f"not looked at: {', '.join(others)}"] if others else [])]
    return _Opened(path, held, key_from, tuple(notes))


def _disagreements(path: Path, files: dict[str, Held], full: tuple[bytes, ...]) -> Iterator[str]:
    expected = {CERTIFICATE_FILE: full[:1], CHAIN_FILE: full[1:], COMBINED_FILE: full}
    for name, certificates in expected.items():
        if name in files and full and files[name].certificates != certificates:
            yield f"{name} does not hold the same as {FULLCHAIN_FILE}"
    for name in (FULLCHAIN_FILE, CERTIFICATE_FILE, *([CHAIN_FILE] if full[1:] else [])):
        if name not in files:
            yield f"{name} is missing"
    if is_pending(path):
        yield "the deploy hook has not succeeded for these files yet"


# --- judging ----------------------------------------------------------------------------------------------------------


def _judged(opened: _Opened, store: Store, given: _Given | None) -> Inspection:
    held = opened.held
    found = Inspection(opened.path, held.kind, notes=opened.notes, problems=held.problems)
    own = None if held.private_key is None else _Given(held.private_key, opened.key_source)
    key = given or own
    if not held.certificates:
        return replace(found, key=_key(own, None))
    together = put_in_order(held.certificates)
    return replace(
        found,
        together=together,
        trust=None if together.bundle is None else trust_in(together.bundle, store),
        key=_key(key, together),
    )


def _key(given: _Given | None, together: Together | None) -> Key | None:
    if given is None:
        return None
    bundle = together.bundle if together is not None else None
    return Key(key_text(given.key), given.source, None if bundle is None else bundle.matches(given.key))
