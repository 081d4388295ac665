"""What is checked, and how: `nox` runs the tests on every Python there is, the linter and the type checkers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")

nox.options.sessions = ["tests", "lint", "types"]
nox.options.error_on_missing_interpreters = False


def _pythons() -> list[str]:
    """Return the versions of the classifiers that start on this machine, and the one that runs nox."""
    declared = nox.project.python_versions(PROJECT)
    if pyenv := shutil.which("pyenv"):  # pyenv's shims start only what PYENV_VERSION lists
        bare = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=False).stdout.split()
        kept = [version for version in bare if version.rpartition(".")[0] in declared]
        os.environ.setdefault("PYENV_VERSION", ":".join(kept) or "system")
    there = [version for version in declared if _starts(f"python{version}")]
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return there if running in there else [*there, running]


def _starts(python: str) -> bool:
    found = shutil.which(python)
    return bool(found) and subprocess.run([str(found), "-c", ""], capture_output=True, check=False).returncode == 0


PYTHONS = _pythons()

ON_ALL_CORES = ("-n", "auto", "--dist", "worksteal")
TWO_A_CORE = ("-n", str(2 * (os.cpu_count() or 1)), "--dist", "worksteal")
"""For tests that wait for servers, graces and other processes most of the time."""


def _install(session: nox.Session, *groups: str) -> None:
    session.install("-e", ".[all]", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests, one process a core.

    On the first Python also those that run servers and many processes, and the branches that all cover are measured.
    """
    _install(session, "test")
    if session.posargs:
        session.run("python", "-m", "pytest", *session.posargs)
        return
    if session.python != PYTHONS[0]:
        session.run("python", "-m", "pytest", *ON_ALL_CORES, "-m", "not servers")
        return
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()) / "coverage")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *TWO_A_CORE)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--fail-under=95")


@nox.session(python=PYTHONS[:1])
def httpx2(session: nox.Session) -> None:
    """Run the tests that make HTTP calls with httpx2 instead of httpx."""
    _install(session, "test")
    session.run("python", "-m", "pytest", *ON_ALL_CORES, "--http-library=httpx2", "-m", "http", *session.posargs)


PROGRAMS = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "curl": "curl",
    "keytool": "openjdk-17-jre-headless",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "php": "php-cli php-curl php-guzzlehttp-guzzle",
    "strace": "strace",
    "unzip": "unzip",
}
"""What the session `system` needs, and Debian's packages that have it."""


@nox.session(python=PYTHONS[:1])
def system(session: nox.Session) -> None:
    """Run the tests that need programs of the system: a browser, a web server, clients in other languages."""
    if missing := [packages for program, packages in PROGRAMS.items() if shutil.which(program) is None]:
        session.error(f"install Debian's packages {' '.join(missing)}")
    _install(session, "test", "system")
    session.run("python", "-m", "pytest", *TWO_A_CORE, "tests/system", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, the tests and the examples."""
    _install(session, "types")
    session.run("mypy")
    session.run("pyright")
    session.run("python", "-m", "pytest", "tests/test_readme.py", "-k", "type_checkers")


@nox.session
def demo(session: nox.Session) -> None:
    """Watch an order being issued, collected and written to disk."""
    session.install(".[cli,sandbox]")
    output = Path(session.create_tmp()) / "demo"
    session.run("collectssl", "demo", "--output", str(output), *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Print what the package costs beside what one would write instead."""
    _install(session, "test")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)
