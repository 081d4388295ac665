"""From a collected certificate to files in a directory, and to a server that has loaded them.

What is written, and in which format, is the command line's choice; how, is the package's business. The deploy hook
itself is `hooks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from .._keys import load_private_key, private_key_pem
from .._layouts import CERTIFICATE_FILE, CHAIN_FILE, COMBINED_FILE, FULLCHAIN_FILE, PRIVATE_KEY_FILE
from .._versions import CURRENT
from ..certificates import CertificateBundle
from ..errors import KeyMismatchError
from . import hooks
from .exits import HookError
from .formats import KINDS, Format, LayoutName, container_of, has_container, has_pkcs12, write_container, write_pkcs12
from .output import say
from .wording import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic import SecretStr

    from ..models import CertificatePayload, OrderRef
    from .hooks import HookOutcome

KEEP = 3
"""Folders that stay in the versioned layout, where nothing else is said."""


@dataclass(frozen=True, slots=True, repr=False)
class Deployment:
    """What is to be made of a certificate: where, in which format, with which key (PEM), and what runs afterwards.

    `key_source` is what messages call the place that the key is from.
    """

    directory: Path
    format: Format = Format.PEM
    private_key: bytes | None = None
    layout: LayoutName = LayoutName.FLAT
    keep: int = KEEP
    combined: bool = False
    password: SecretStr | None = None
    hook: str | None = None
    key_source: str = "--private-key"


def check_choices(wanted: Deployment, *, keeps: bool) -> None:
    """Raise typer's error for options that contradict each other; `keeps` says whether --keep was given."""
    is_pem, is_flat = wanted.format is Format.PEM, wanted.layout is LayoutName.FLAT
    contradictions = (
        (wanted.format is Format.PKCS12 and wanted.private_key is None, "--format pkcs12 needs --private-key"),
        (not is_pem and not is_flat, "--layout versioned is for PEM files: leave out --format"),
        (not is_pem and wanted.combined, "--combined is a PEM file: leave out --format"),
        (keeps and is_flat, "--keep is for --layout versioned"),
    )
    for is_there, problem in contradictions:
        if is_there:
            raise typer.BadParameter(problem)


@dataclass(frozen=True, slots=True)
class Deployed:
    """The files by the names that JSON has for them, None where there is none; and how the hook ended, if it ran."""

    files: Mapping[str, Path | None]
    changed: bool
    hook: HookOutcome | None = None


async def deploy(
    order: OrderRef, payload: CertificatePayload, wanted: Deployment
) -> tuple[CertificateBundle, Deployed]:
    """Do what `deploy_bundle` does with the certificate that was collected; return it, too."""
    bundle = CertificateBundle.from_payload(payload)
    return bundle, await deploy_bundle(order, bundle, wanted, payload=payload)


async def deploy_bundle(
    order: OrderRef, bundle: CertificateBundle, wanted: Deployment, *, payload: CertificatePayload | None = None
) -> Deployed:
    """Write the files and, when any of them changed or an earlier hook did not succeed, run the hook.

    The service's containers are in the `payload`. Raises `KeyMismatchError` before anything is written,
    `CertificateError` and `MalformedResponseError`. A hook that fails raises nothing here: `check` does, once what was
    written has been told.
    """
    if wanted.private_key is not None and not bundle.matches(wanted.private_key):
        name = one_line(bundle.dns_names[0]) if bundle.dns_names else f"serial number {bundle.serial_number:x}"
        raise KeyMismatchError(
            f"the key in {wanted.key_source} does not belong to the certificate for {name}: "
            "name the key that its request (CSR) was made with"
        )
    write = _Writing(bundle, payload, wanted)
    if wanted.hook is None or not (write.would_change() or hooks.is_pending(wanted.directory)):
        done = write()
        if wanted.hook is None or not done.changed:
            return done
    else:
        with hooks.remembered(wanted.directory, bundle):
            done = write()
    outcome = await hooks.run_hook(wanted.hook, hooks.about(order, bundle, wanted.directory, done.files))
    if not outcome.failed:
        hooks.forget(wanted.directory)
    return Deployed(done.files, done.changed, outcome)


def check(deployed: Deployed, directory: Path) -> None:
    """Raise `HookError` when the hook failed."""
    if deployed.hook is not None and deployed.hook.failed:
        raise HookError(
            f"the deploy hook failed with {deployed.hook.ended}: the files are in {str(directory)!r}, "
            "and the hook runs again the next time"
        )


def say_hook(outcome: HookOutcome, tell: Callable[[str], None] = say) -> None:
    """Show what a hook said, and that it ran."""
    if outcome.output:
        tell(outcome.output.rstrip("\n"))
    if not outcome.failed:
        tell("the deploy hook ran")


class _Writing:
    """One write, in the format that is wanted."""

    def __init__(self, bundle: CertificateBundle, payload: CertificatePayload | None, wanted: Deployment) -> None:
        self._bundle = bundle
        self._payload = payload
        self._wanted = wanted
        self._file = KINDS[wanted.format].file

    def would_change(self) -> bool:
        """Say whether the files differ from what is to be written. It may say so in vain."""
        wanted = self._wanted
        if self._file is None:
            return self._pem_would_change()
        if wanted.format is Format.PKCS12 and wanted.password is not None:
            return not has_pkcs12(wanted.directory, self._file, self._bundle, wanted.password)
        return not has_container(wanted.directory, self._file, container_of(self._payload))

    def __call__(self) -> Deployed:
        wanted, file = self._wanted, self._file
        if file is None:
            return self._write_pem()
        if wanted.private_key is not None and wanted.password is not None:
            changed = write_pkcs12(wanted.directory, file, self._bundle, wanted.private_key, wanted.password)
        else:
            changed = write_container(wanted.directory, file, container_of(self._payload))
        return Deployed({"container": wanted.directory / file}, changed)

    def _write_pem(self) -> Deployed:
        wanted = self._wanted
        written = self._bundle.write(
            wanted.directory,
            private_key=wanted.private_key,
            layout="versioned" if wanted.layout is LayoutName.VERSIONED else "flat",
            keep=wanted.keep,
            combined=wanted.combined,
        )
        files = {
            "certificate": written.certificate,
            "chain": written.chain,
            "fullchain": written.fullchain,
            "private_key": written.private_key,
            "combined": written.combined,
        }
        return Deployed(files, written.changed)

    def _pem_would_change(self) -> bool:
        wanted, bundle = self._wanted, self._bundle
        folder = wanted.directory / CURRENT if wanted.layout is LayoutName.VERSIONED else wanted.directory
        contents: dict[str, bytes | None] = {
            CERTIFICATE_FILE: bundle.certificate_pem.encode(),
            CHAIN_FILE: bundle.chain_pem.encode() or None,
            FULLCHAIN_FILE: bundle.fullchain_pem.encode(),
        }
        if wanted.private_key is not None:
            contents[PRIVATE_KEY_FILE] = private_key_pem(load_private_key(wanted.private_key))
        if (wanted.combined or (folder / COMBINED_FILE).exists()) and wanted.private_key is not None:
            contents[COMBINED_FILE] = (
                private_key_pem(load_private_key(wanted.private_key)) + bundle.fullchain_pem.encode()
            )
        return any(_content(folder / name) != content for name, content in contents.items())


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # what cannot be read is for the write to tell
        return None
