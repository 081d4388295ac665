"""Kills a writer at each call that it makes, and looks each time at what readers see and what the next write does.

Run as `python -m tests.killing KILLER SCENARIO DIRECTORY`, a process without threads, which may fork. Prints JSON: how
many writers were killed, after which kills the next write said that nothing changed, and what was not as it should be.
"""

from __future__ import annotations

import fcntl
import gc
import io
import json
import os
import re
import signal
import ssl
import stat
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from collectssl_async.certificates import CertificateBundle

from . import pki

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from collectssl_async.certificates import WrittenFiles

Files = dict[str, bytes]

SCENARIOS: dict[str, tuple[dict[str, Any], bool]] = {
    "flat-first": ({"layout": "flat"}, False),
    "flat-renewed": ({"layout": "flat", "combined": True}, True),
    "versioned-first": ({"layout": "versioned", "keep": 1}, False),
    "versioned-renewed": ({"layout": "versioned", "keep": 1, "combined": True}, True),
}
"""How the new certificate is written, and whether an old one is there already."""

FSYNC = os.fsync

SECRET = ("privkey.pem", "combined.pem")

SECONDS = 120
"""Until a scenario counts as hung; the longest takes seven."""


class Certificate(NamedTuple):
    """A bundle and its key."""

    bundle: CertificateBundle
    key: pki.PrivateKey

    def write(self, directory: Path, arguments: dict[str, Any]) -> WrittenFiles:
        return self.bundle.write(directory, private_key=self.key, **arguments)


def certificates() -> tuple[Certificate, Certificate]:
    """Return an old certificate and a new one, which has another key and no intermediates."""
    made = pki.hierarchy()
    direct = made.new_root.leaf("shop.example.com")
    old, new = pki.payload(*made), pki.payload(direct, made.new_root)
    return (
        Certificate(CertificateBundle.from_payload(old), made.leaf.key),
        Certificate(CertificateBundle.from_payload(new), direct.key),
    )


def kill_everywhere(scenario: str, killer: Killer, directory: Path) -> dict[str, Any]:
    """Kill a writer at its first call, another at its second, and so on."""
    arguments, renewed = SCENARIOS[scenario]
    old, new = certificates()
    old_files = files(old.write(directory / "old", arguments).certificate.parent)
    new_files = files(new.write(directory / "new", arguments).certificate.parent)

    def prepared(name: str) -> Path:
        if renewed:
            old.write(directory / name, arguments)
        return directory / name

    def write() -> None:
        new.write(place, arguments)

    place = prepared("counted")
    points = killer.points(write)
    killed, untold, broken = 0, [], []
    for nth, point in enumerate(points, 1):
        place = prepared(str(nth))
        if not killer.kill(point, write):
            continue
        killed += 1
        shown = place / "current" if arguments["layout"] == "versioned" else place
        problems = [*whole(shown, old_files if renewed else {}, new_files), *closed(place)]
        if not new.write(place, arguments).changed:
            untold.append(len(points) - nth)
        if files(shown) != new_files:
            problems.append("the next write does not complete the set")
        if tidy := sorted({each.name for each in place.iterdir()} - {*new_files, "current"}):
            problems += [f"the next write leaves {tidy}"] if shown == place or len(tidy) > arguments["keep"] else []
        broken += [f"killed at call {nth}, {point}: {problem}" for problem in problems]
    return {"killed": killed, "untold": untold, "broken": broken}


def files(folder: Path) -> Files:
    """Return what a reader finds in the folder, which knows the files' names."""
    return {each.name: each.read_bytes() for each in folder.glob("[!.]*.pem")}


def whole(shown: Path, old: Files, new: Files) -> Iterator[str]:
    """Tell of anything but whole files; of anything but a whole set of fitting files where `current` shows it."""
    seen = files(shown)
    yield from (f"{name} is partial" for name, held in seen.items() if held not in (old.get(name), new.get(name)))
    if shown.name != "current":
        return
    if seen not in (old, new):
        yield f"current shows parts of two sets: {sorted(seen)}"
    for certificate, key in (("fullchain.pem", shown / "privkey.pem"), ("combined.pem", None)):
        if certificate in seen:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(shown / certificate, key)
            except OSError as error:
                yield f"no server can load {certificate} and its key: {error}"


def closed(place: Path) -> Iterator[str]:
    """Tell of keys that others than their owner may read, under whatever name."""
    for each in place.rglob("*"):
        if any(name in each.name for name in SECRET) and stat.S_IMODE(each.lstat().st_mode) & 0o077:
            yield f"{each.name} is open to others"


# --- killers ----------------------------------------------------------------------------------------------------------


class Killer(Protocol):
    """Runs writes in children, and kills them."""

    def points(self, write: Callable[[], object]) -> Sequence[Any]:
        """Return where a write can be killed, in order."""

    def kill(self, point: Any, write: Callable[[], object]) -> bool:
        """Say whether the writer was killed there: it may have ended without coming by."""


CALLS = (
    (os, "chmod chown close fchmod fchown fstat fsync listdir lstat mkdir open readlink rename replace rmdir scandir"),
    (os, "stat symlink unlink"),
    (fcntl, "flock"),
)


class Patched:
    """Counts what the writer calls of `os`, and half a file's text and the other half."""

    def points(self, write: Callable[[], object]) -> Sequence[int]:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            calls = count(1)
            self._count(lambda: next(calls))
            write()
            os.write(writer, b"%d" % (next(calls) - 1))
            os._exit(0)
        _ended(child)
        os.close(writer)
        with open(reader) as told:  # noqa: PTH123  # a descriptor is no path
            return range(1, int(told.read()) + 1)

    def kill(self, point: int, write: Callable[[], object]) -> bool:
        child = os.fork()
        if not child:
            calls = count(1)
            self._count(lambda: os.kill(os.getpid(), signal.SIGKILL) if next(calls) == point else None)
            write()
            os._exit(0)
        return _ended(child)

    @staticmethod
    def _count(tick: Callable[[], object]) -> None:
        class Halves(io.FileIO):
            def write(self, data: Any) -> int:
                middle = len(data) // 2
                tick()
                written = super().write(data[:middle])
                tick()
                return written + super().write(data[middle:])

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                tick()
                return real(*arguments, **named)

            return call

        for module, names in CALLS:
            for name in names.split():
                setattr(module, name, counted(getattr(module, name)))
        os.fdopen = Halves  # type: ignore[assignment]  # it is called with a descriptor and a mode alone


class Strace:
    """Counts the system calls, each kind for itself, as strace does."""

    def points(self, write: Callable[[], object]) -> Sequence[tuple[str, int]]:
        with tempfile.NamedTemporaryFile("r") as trace:
            self._run(write, "-o", trace.name)
            names = re.findall(r"^(\w+)\(", trace.read(), re.MULTILINE)
        return [(name, names[: at + 1].count(name)) for at, name in enumerate(names) if name != "exit_group"]

    def kill(self, point: tuple[str, int], write: Callable[[], object]) -> bool:
        name, when = point
        return self._run(write, "-o", os.devnull, "-e", f"inject={name}:signal=SIGKILL:when={when}")

    @staticmethod
    def _run(write: Callable[[], object], *options: str) -> bool:
        """Run the write in a child that waits for strace to be there. The read that it waits in counts, too."""
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(writer)
            os.fsync = FSYNC
            gc.disable()  # it would close what the parent left open, at a moment of its own
            os.read(reader, 1)
            write()
            os._exit(0)
        os.close(reader)
        with subprocess.Popen(["strace", "-p", str(child), *options], stderr=subprocess.PIPE, text=True) as tracing:
            assert tracing.stderr is not None
            said = tracing.stderr.readline()
            os.close(writer)
            assert "attached" in said, said
            return _ended(child)


def _ended(child: int) -> bool:
    """Wait for a child; say whether it was killed."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), f"the writer failed: {code}"
    return code != 0


def report(killer: str, scenario: str, directory: Path) -> dict[str, Any]:
    """Return what this module, run as a process of its own, has to say."""
    command = [sys.executable, "-m", "tests.killing", killer, scenario, str(directory)]
    root = Path(__file__).parent.parent
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


KILLERS: dict[str, Killer] = {"patched": Patched(), "strace": Strace()}

if __name__ == "__main__":
    # A kill is no power cut: only writers under strace sync, for the call itself.
    vars(os)["fsync"] = lambda _: None
    killer_name, scenario_name, scratch = sys.argv[1:]
    print(json.dumps(kill_everywhere(scenario_name, KILLERS[killer_name], Path(scratch))))
