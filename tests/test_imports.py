"""What importing loads, and which module may import which: weighty libraries wait, and imports point downward only."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import collectssl_async

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "collectssl_async"
ROOT = Path(collectssl_async.__file__).parent
WEIGHTY = ("cryptography", "typer", "rich", "starlette", "uvicorn", "filelock", "redis", "psycopg", "sqlite3")

# From the lowest up: a layer imports from lower ones alone. Modules of one line are strangers to each other; those of a
# package know each other.
LAYERS = (
    ("errors", "_later"),
    ("models", "credentials", "_callers"),
    ("_armour", "_ber", "_hints", "_hosts", "_keys", "_leftovers", "_locking", "_requests", "_secrets", "_zip"),
    ("parameters", "polling"),
    ("containers", "_facts", "_fields", "_notifications", "_pkcs12", "_writing"),
    ("_blocks", "_chain", "_faults", "_form", "_versions"),
    ("_layouts", "_newline", "_verify"),
    ("_decoding",),
    ("wire", "certificates"),
    ("guards",),
    ("_failures", "_reply", "_waiting"),
    ("client", "push"),
    ("_blame", "_endings", "_kept", "_named", "_schedule"),
    ("_ledger", "_sqlite", "_verdicts"),
    ("_rounds", "stores"),
    ("watch",),
    ("__init__",),
    ("sandbox",),
    ("cli",),
)
LAYER = {name: height for height, names in enumerate(LAYERS) for name in names}
MODULES = sorted(ROOT.rglob("*.py"))


def dotted(path: Path) -> str:
    """Return a module's name below the package; that of a package is its own, that of the whole `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


KNOWN = {dotted(path) for path in MODULES}


def at_module_level(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that run when the module is imported: those of functions and type checkers do not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from at_module_level(ast.Module(child.orelse, []))
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from at_module_level(child)


def imported_by(path: Path) -> set[str]:
    """Return the modules of the package that a module imports, by their names below the package."""
    found: set[str] = set()
    package = [PACKAGE, *path.relative_to(ROOT).parent.parts]
    for statement in at_module_level(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            base = package[: len(package) + 1 - statement.level] if statement.level else []
            module = ".".join([*base, *(statement.module or "").split(".")]).strip(".")
            names = [f"{module}.{alias.name}" for alias in statement.names]
        found.update(below for name in names if (below := within_package(name)) is not None)
    return found - {dotted(path)}


def within_package(name: str) -> str | None:
    """Return which module of the package a name is or stands in, None for other packages' names."""
    first, *parts = name.split(".")
    if first != PACKAGE:
        return None
    while parts and ".".join(parts) not in KNOWN:
        parts.pop()
    return ".".join(parts) or "__init__"


def loaded_by(program: str) -> set[str]:
    """Return the modules that a fresh interpreter has after a program."""
    listing = f"{program}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", listing], text=True, cwd=ROOT.parent).split())


@pytest.mark.parametrize("library", WEIGHTY)
def test_importing_the_package_loads_no_weighty_library(library: str) -> None:
    # httpx's own command line has it load rich where it is installed.
    added = loaded_by(f"import {PACKAGE}") - loaded_by("import httpx, anyio, pydantic")
    assert library not in added


def test_every_public_name_can_be_imported() -> None:
    names = ", ".join(collectssl_async.__all__)
    assert PACKAGE in loaded_by(f"from {PACKAGE} import {names}")


def test_public_names_are_listed_once_each() -> None:
    assert len(set(collectssl_async.__all__)) == len(collectssl_async.__all__)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_module_level_imports_point_downward(path: Path) -> None:
    unit = dotted(path).partition(".")[0]
    others = {name.partition(".")[0] for name in imported_by(path)} - {unit}
    upward = {other for other in others if LAYER[other] >= LAYER[unit]}
    assert not upward, f"{unit} imports what stands no lower: {', '.join(sorted(upward))}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({dotted(path): imported_by(path) for path in MODULES}).prepare()


def test_every_module_has_a_layer() -> None:
    assert {name.partition(".")[0] for name in KNOWN} <= set(LAYER)


def test_imports_of_every_form_are_seen() -> None:
    assert {"errors", "models", "wire", "_reply", "guards", "guards._runtime"} <= imported_by(ROOT / "client.py")
