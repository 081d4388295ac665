"""ZIP, PKCS#7, Netscape sequence, PEM and base64 become DER certificates, as received.

Formats are told apart by their structure, never by the name or the label that they come under. Each certificate is
looked at once, so that broken ones are found here. Which of them is the leaf and whether they form a chain is left to
others. Everything raises `MalformedResponseError`, in time linear in the size of the input, and writes no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import _armour, _ber, _zip
from .errors import MalformedResponseError
from .models import CertificatePayload, ResponseType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._armour import PEMBlock

MAX_CERTIFICATES = 32
"""More certificates than this in one reply are refused."""

EXCERPT_LENGTH = 200
"""Characters of a reply that an error quotes at most."""

_LONG_LENGTH = 0x80  # a text reply can begin with "0", the tag of a SEQUENCE, but not with "0" and such a byte
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64_AS_X = bytes(ord("x") if each in _BASE64 else ord(" ") for each in range(256))
_BASE64_RUN = b"x" * 32  # a run of base64 that no readme has, once every character of base64 is an x


class Container(NamedTuple):
    """What was read: the kind, the container's bytes (None for certificates one by one), its certificates in order."""

    response_type: ResponseType
    data: bytes | None
    certificates: tuple[bytes, ...]

    def payload(self, *, leaf: bytes | None = None) -> CertificatePayload:
        """Return it as part of a response; `leaf` is the end-entity certificate where the reply said which it is."""
        return CertificatePayload(
            response_type=self.response_type, data=self.data, certificates=self.certificates, leaf=leaf
        )


def unreadable(what: str, source: bytes | str) -> MalformedResponseError:
    """Return the error that says `what` is wrong, with the beginning of `source` made safe to print."""
    text = source[:EXCERPT_LENGTH]
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return MalformedResponseError(what, excerpt="".join(c if c.isprintable() else " " for c in shown).strip())


def is_binary(data: bytes) -> bool:
    """Tell a binary container from text: a ZIP's signature, or a SEQUENCE with a length that no text has."""
    return data.startswith(_zip.SIGNATURES) or (len(data) > 1 and data[0] == _ber.SEQUENCE and data[1] >= _LONG_LENGTH)


def read(source: bytes | str, *, max_certificates: int | None = MAX_CERTIFICATES) -> Container:
    """Return the certificates of a file or of a parameter's value, whatever its format.

    `max_certificates` None lifts the limit. Raises `MalformedResponseError` for what holds no certificate, for one that
    cannot be decoded, and for more than the limit.
    """
    found = _read_bytes(source) if isinstance(source, bytes) else _read_text(source.encode("utf-8", "replace"))
    if found is None:
        raise unreadable("neither PEM nor base64 of certificates", source)
    return checked(combine([found], max_certificates=max_certificates))


def combine(containers: Iterable[Container], *, max_certificates: int | None = MAX_CERTIFICATES) -> Container:
    """Return the certificates of all, in order, under the first real container's kind and bytes.

    Raises `MalformedResponseError` for none at all and for more than the limit.
    """
    parts = list(containers)
    first = next((part for part in parts if part.data is not None), None)
    certificates = tuple(certificate for part in parts for certificate in part.certificates)
    if not certificates:
        raise unreadable("a container without certificates", first.data or b"" if first else b"")
    if max_certificates is not None and len(certificates) > max_certificates:
        raise unreadable(f"more than {max_certificates} certificates", b"")
    return Container(
        first.response_type if first else ResponseType.INDIVIDUAL, first.data if first else None, certificates
    )


def checked(container: Container) -> Container:
    """Return the container if all of its certificates can be decoded."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        for certificate in container.certificates:
            x509.load_der_x509_certificate(_ber.with_positive_serial(certificate))
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise unreadable(f"a certificate that cannot be decoded ({error})"[:EXCERPT_LENGTH], b"") from error
    return container


def begins_container(data: bytes) -> bool:
    """Tell whether a container or a certificate begins here, whole or cut short."""
    return data.startswith((*_zip.SIGNATURES, b"-----B")) or _ber.recognise(data) is not None


def base64_length(data: bytes) -> int | None:
    """Return how many characters the DER element that begins here takes in base64, without padding.

    None where it does not say how long it is, or is none.
    """
    if _ber.recognise(data) is None:
        return None
    _, inside, length = _ber.Elements(data).header(0)
    return None if length is None else (4 * (inside + length) + 2) // 3


# --- text -------------------------------------------------------------------------------------------------------------


def pem_blocks(text: bytes) -> Iterator[PEMBlock]:
    """Yield the PEM blocks of a text with plain dashes, as `_armour` has them, but raise `MalformedResponseError`."""
    try:
        yield from _armour.pem_blocks(text)
    except ValueError as error:
        raise unreadable(str(error), text) from error


def read_pem(text: bytes, block: PEMBlock) -> Container:
    """Return what a block with a body holds, whatever its label said. The certificates are not checked yet."""
    where = block.body or slice(0)
    for whole in (True, False) if block.trusted else (True,):
        for data in _armour.decodings(text[where]):
            found = _read_der(data, whole=whole)
            if found:
                return found
    raise unreadable("a PEM block that holds no certificate", text[where][:EXCERPT_LENGTH])


def _read_text(text: bytes) -> Container | None:
    found = _read_armoured(text)
    if found:
        return found
    for data in _armour.decodings(text.removeprefix(_armour.BYTE_ORDER_MARK)):
        if data.startswith(_zip.SIGNATURES) and _zip.end_of(data) == len(data):
            return _from_zip(data)
        found = _read_der(data) or _read_encoded_pem(data)
        if found:
            return found
    return None


def _read_armoured(text: bytes) -> Container | None:
    if b"BEGIN" not in text:
        return None
    text = _armour.plain_dashes(text)
    found = [read_pem(text, block) for block in pem_blocks(text) if block.body]
    return combine(found, max_certificates=None) if found else None


def _read_encoded_pem(data: bytes) -> Container | None:
    """Read PEM that was base64-encoded as a whole. A wrong decoding of it begins well and goes on as rubbish."""
    try:
        return _read_armoured(data)
    except MalformedResponseError:
        return None


# --- bytes ------------------------------------------------------------------------------------------------------------


def _read_bytes(data: bytes) -> Container | None:
    """Read a file or a binary reply: None if nothing in it looks like a certificate."""
    if data.startswith(_zip.SIGNATURES):
        return _from_zip(data)
    return _read_member(data)


def _read_member(data: bytes) -> Container | None:
    kind = _ber.recognise(data)
    if kind is None:
        return _read_text(data)
    try:
        end = _ber.end_of(data)
        if data[end:].strip(b"\r\n\t \0"):
            raise ValueError("something follows it")
        return _from_der(data[:end], kind)
    except ValueError as error:
        name = "DER" if kind is ResponseType.INDIVIDUAL else kind.name
        raise unreadable(f"{name} data that cannot be read ({error})", data) from error


def _read_der(data: bytes, *, whole: bool = True) -> Container | None:
    """Read DER that fills `data`, or with `whole` False only begins there; None for anything else."""
    kind = _ber.recognise(data)
    if kind is None:
        return None
    try:
        end = _ber.end_of(data)
        return _from_der(data[:end], kind) if end == len(data) or not whole else None
    except ValueError:
        return None


def _from_der(data: bytes, kind: ResponseType) -> Container:
    if kind is ResponseType.INDIVIDUAL:
        return Container(kind, None, (data,))
    return Container(kind, data, tuple(_ber.members(data, kind)))


def _from_zip(data: bytes) -> Container:
    try:
        data, contents = _zip.unpack(data)
    except ValueError as error:
        raise unreadable(f"a ZIP archive that cannot be read ({error})", data) from error
    found = [part for part in map(_read_packed, contents) if part]
    return Container(ResponseType.ZIP, data, tuple(found_one for part in found for found_one in part.certificates))


def _read_packed(content: bytes) -> Container | None:
    """Read a file of an archive: None for a readme, which may well quote PEM boundaries."""
    try:
        return _read_member(content)
    except MalformedResponseError:
        if is_binary(content) or _BASE64_RUN in content.translate(_BASE64_AS_X):
            raise
        return None
