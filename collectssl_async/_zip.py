"""A ZIP archive's members, read in memory: how many there are and how large is checked before anything is unpacked.

What the members hold is left to others, and so are their names: they never become paths. Everything raises
`ValueError` on an archive that is broken, too large, encrypted or compressed in a way that no CA uses.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zipfile

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")

MAX_MEMBERS = 32
MAX_UNPACKED = 1024 * 1024
"""Bytes that all members may have together."""

_MAX_DIRECTORY = 64 * 1024
_END = struct.Struct("<4s4H2IH")
_END_SIGNATURE = b"PK\x05\x06"
_ZIP64_SIGNATURE = b"PK\x06\x07"
_ZIP64_SIZE = 20
_LONGEST_COMMENT = 0xFFFF
_COMPRESSIONS = (0, 8)  # stored and deflated; others take memory as their headers please


def _end_record(data: bytes) -> tuple[int, int, int, int]:
    """Return where the end record begins and ends, how many members it counts and how long it says the directory is."""
    at = data.rfind(_END_SIGNATURE, max(0, len(data) - _END.size - _LONGEST_COMMENT))
    if at < 0 or at + _END.size > len(data):
        raise ValueError("no end record")
    *_, members, size, _, comment = _END.unpack_from(data, at)
    return at, at + _END.size + comment, members, size


def end_of(data: bytes) -> int | None:
    """Return where the archive ends by its own end record, None if there is no such record."""
    try:
        return _end_record(data)[1]
    except ValueError:
        return None


def unpack(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the archive without line breaks that follow it, and what its members hold, in the archive's order."""
    import zipfile
    import zlib

    start, end, members, size = _end_record(data)
    if end > len(data) or data[end:].strip(b"\r\n\t \0"):
        raise ValueError("its end record does not fit its size")
    if data.startswith(_ZIP64_SIGNATURE, start - _ZIP64_SIZE) or members > MAX_MEMBERS or size > _MAX_DIRECTORY:
        raise ValueError(f"more than {MAX_MEMBERS} members")
    data = data[:end]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return data, _contents(archive)
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        LookupError,
        struct.error,
    ) as error:
        raise ValueError(type(error).__name__) from error  # its text quotes names


def _contents(archive: zipfile.ZipFile) -> list[bytes]:
    """Unpack up to the limits. What the headers say of sizes is not trusted; checksums are looked at by zipfile."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(archive.infolist()) > MAX_MEMBERS:
        raise ValueError(f"more than {MAX_MEMBERS} members")
    contents = []
    left = MAX_UNPACKED
    for member in members:
        if member.compress_type not in _COMPRESSIONS:
            raise ValueError(f"compression {member.compress_type}")
        with archive.open(member) as file:
            content = file.read(left + 1)
        left -= len(content)
        if left < 0:
            raise ValueError(f"more than {MAX_UNPACKED} bytes in all")
        contents.append(content)
    return contents
