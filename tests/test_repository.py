"""The rules of the house that no tool checks: lengths, names, docstrings, who imports the reactor, floors, make."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ollamamax"
TESTS = ROOT / "tests"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)

LONG, TOO_LONG = 400, 600
LONG_FOR_TESTS = 700  # a file of tests mirrors one module, whose cases may be many
VAGUE = {"util", "utils", "helper", "helpers", "manager", "engine", "handler", "processor", "base", "common", "misc"}


def named(path: Path) -> str:
    """A file as it is called in messages and in the documentation."""
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    """A file's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=named(path))


def lines(path: Path) -> int:
    """How long a file is."""
    return len(path.read_text(encoding="utf-8").splitlines())


def argued_for() -> set[str]:
    """The modules for whose length docs/architecture.md argues: `- `ollamamax/x.py`: why`, under "Long modules"."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = re.search(r"^##+ Long modules$(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^[-*] `([^`]+)`: \S", section[1], re.MULTILINE)) if section else set()


# --- modules ---------------------------------------------------------------------------------------------------------


def test_modules_are_short() -> None:
    """No module has more than 400 lines unless the architecture page says why, and none more than 600."""
    long = {named(path): lines(path) for path in SOURCES if lines(path) > LONG}
    assert {name: count for name, count in long.items() if count > TOO_LONG or name not in argued_for()} == {}


def test_files_of_tests_are_short_enough() -> None:
    """No file of tests has more than 700 lines."""
    assert {named(path): lines(path) for path in TESTS.rglob("*.py") if lines(path) > LONG_FOR_TESTS} == {}


def test_only_long_modules_are_argued_for() -> None:
    """What the architecture page argues for is there and is long: an argument no longer needed is taken out."""
    assert {name for name in argued_for() if not (ROOT / name).is_file() or lines(ROOT / name) <= LONG} == set()


def test_names_say_what_is_inside() -> None:
    """No module's name is one of those under which everything fits."""
    assert [named(path) for path in SOURCES if set(path.stem.split("_")) & VAGUE] == []


def test_every_module_says_what_it_is_for() -> None:
    """Every module with anything in it begins with a docstring."""
    bare = [named(path) for path in SOURCES if tree(path).body and not ast.get_docstring(tree(path))]
    assert bare == []


# --- the reactor -----------------------------------------------------------------------------------------------------


def reactor_imports(node: ast.AST, inside: str = "") -> Iterator[str]:
    """Where a syntax tree imports the global reactor: the enclosing function's name, or nothing at the top."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ImportFrom(module="twisted.internet", names=names) if any(n.name == "reactor" for n in names):
                yield inside
            case ast.ImportFrom(module="twisted.internet.reactor"):
                yield inside
            case ast.Import(names=names) if any(n.name == "twisted.internet.reactor" for n in names):
                yield inside
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield from reactor_imports(child, name)
            case _:
                yield from reactor_imports(child, inside)


def test_only_a_tap_takes_the_reactor_and_only_in_functions() -> None:
    """The global reactor is imported by the modules named `tap` alone, in functions; all else is handed one."""
    found = {named(path): list(reactor_imports(tree(path))) for path in SOURCES}
    assert [name for name, places in found.items() if places and not name.endswith("/tap.py")] == []
    assert [name for name, places in found.items() if "" in places] == []
    assert found["ollamamax/tap.py"]


@pytest.mark.parametrize(
    "source",
    [
        "from twisted.internet import reactor",
        "from twisted.internet import defer, reactor as r",
        "import twisted.internet.reactor",
        "from twisted.internet.reactor import callLater",
        "def f():\n    if x:\n        from twisted.internet import reactor",
    ],
)
def test_every_way_of_importing_the_reactor_is_seen(source: str) -> None:
    """The check above sees each spelling of the import."""
    assert len(list(reactor_imports(ast.parse(source)))) == 1


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_plugin_chooses_no_reactor() -> None:
    """Importing the tap, as `twistd --help` does, installs no reactor, so that `--reactor` still can."""
    code = "import sys, ollamamax.tap; print('twisted.internet.reactor' in sys.modules)"
    assert run_python(code) == "False"


def test_pure_modules_run_without_twisted() -> None:
    """The pure modules are imported by a fresh interpreter without a module of Twisted, Klein or the database."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in configuration["tool"]["importlinter"]["contracts"] if c["id"] == "pure")
    imports = "; ".join(f"import {module}" for module in contract["source_modules"])
    heavy = "{name.partition('.')[0] for name in sys.modules} & " + repr(set(contract["forbidden_modules"]))
    assert run_python(f"import sys; {imports}; print(sorted({heavy}))") == "[]"


# --- tests -----------------------------------------------------------------------------------------------------------


def functions_under_test(node: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The test functions of a module, those in classes too."""
    for child in ast.walk(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name.startswith("test_"):
            yield child


def test_every_test_says_what_it_holds() -> None:
    """Each test function has a docstring: the sentence that is true while it passes."""
    bare = [
        f"{named(path)}::{function.name}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for function in functions_under_test(tree(path))
        if not ast.get_docstring(function)
    ]
    assert bare == []


def test_no_folder_of_tests_is_a_package() -> None:
    """Test files are imported by themselves; a package named like what it tests would hide that."""
    assert [named(path) for path in TESTS.rglob("__init__.py")] == []


# --- the distribution ------------------------------------------------------------------------------------------------


def setup_list(name: str) -> list[str]:
    """A list of requirements that setup.py states."""
    for node in tree(ROOT / "setup.py").body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            assert isinstance(node.value, ast.List)
            return [str(item.value) for item in node.value.elts if isinstance(item, ast.Constant)]
    raise LookupError(name)


def floor(requirement: Requirement, operator: str) -> tuple[str, Version, str]:
    """A requirement's name, the release that it gives with the operator, and the marker that limits it.

    Extras are left out: they are part of no release.
    """
    (version,) = (one.version for one in requirement.specifier if one.operator == operator)
    return canonicalize_name(requirement.name), Version(version), str(requirement.marker or "")


def test_the_oldest_releases_tried_are_the_floors() -> None:
    """.ci/oldest.txt names exactly the floors of what is installed and of the tests: a floor is one that was tried."""
    required = [Requirement(text) for name in ("REQUIREMENTS", "TEST") for text in setup_list(name)]
    texts = [line.partition("#")[0].strip() for line in (ROOT / ".ci" / "oldest.txt").read_text("utf-8").splitlines()]
    tried = [Requirement(line) for line in texts if line]
    assert sorted(floor(one, "==") for one in tried) == sorted(floor(one, ">=") for one in required)


def test_the_plugin_shares_its_folder_with_twisted() -> None:
    """`twisted/plugins` holds only the plugins, no __init__.py: as a package it would hide Twisted itself."""
    files = {path.relative_to(ROOT / "twisted").as_posix() for path in (ROOT / "twisted").rglob("*.py")}
    assert "plugins/ollamamax_plugin.py" in files
    assert all(re.fullmatch(r"plugins/ollamamax\w*_plugin\.py", name) for name in files)


def test_every_page_is_listed() -> None:
    """docs/index.md leads to every page beside it."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    toctree = re.search(r"```\{toctree\}(.*?)```", text, re.DOTALL)
    assert toctree is not None
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages == {line for line in toctree[1].split() if not line.startswith(":") and not line.isdigit()}


# --- tox and continuous integration -----------------------------------------------------------------------------------


def supported() -> list[str]:
    """The Pythons that setup.py says are supported, as tox names them."""
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    return [
        f"py{version.replace('.', '')}" for version in re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    ]


def test_the_matrix_is_whole() -> None:
    """Every supported Python is there on both reactors with the oldest and the latest releases, and the other gates."""
    configuration = ConfigParser()
    configuration.read(ROOT / "tox.ini", encoding="utf-8")
    listed = configuration["tox"]["env_list"]
    suites = f"py{{{','.join(name.removeprefix('py') for name in supported())}}}-{{default,asyncio}}-{{oldest,latest}}"
    assert listed == f"lint, types, docs, package, {suites}"


def test_a_newer_python_may_be_missing_and_the_oldest_may_not() -> None:
    """Of the matrix, only what needs a newer Python is left out where that is not installed."""
    may_be_missing = runpy.run_path(str(ROOT / ".ci" / "matrix.py"))["may_be_missing"]
    oldest, *newer = supported()
    assert [may_be_missing(f"{name}-default-oldest") for name in newer] == [True] * len(newer)
    assert [name for name in ("lint", "package", f"{oldest}-asyncio-latest") if may_be_missing(name)] == []


def test_opposite_corners_of_the_matrix_are_run_each_time() -> None:
    """.ci/run has the suite with the oldest releases on the reactor that `make test` does not use."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test STRICT=1" in text
    assert f"tox run -e {supported()[0]}-asyncio-oldest" in text


# --- make ------------------------------------------------------------------------------------------------------------


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs make in a folder that holds the Makefile alone."""
    program = shutil.which("make")
    if program is None:
        pytest.skip("make is not installed (Debian's package make)")
    shutil.copy(ROOT / "Makefile", folder)
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def fake_python(folder: Path, script: str) -> str:
    """A program that stands for a Python with something missing."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_make_says_that_python_is_not_there(tmp_path: Path) -> None:
    """Without Python `make run` ends with a line that says what is needed and how to name another one."""
    ran = make(tmp_path, "run", f"PYTHON={tmp_path}/absent")
    assert ran.returncode != 0
    assert "OllamaMax needs Python 3.11 or newer" in ran.stderr
    assert "make PYTHON=/usr/bin/python3.12 run" in ran.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_says_that_python_is_too_old(tmp_path: Path) -> None:
    """An older Python is named with its version."""
    ran = make(
        tmp_path, "run", fake_python(tmp_path, 'if [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi')
    )
    assert ran.returncode != 0
    assert "is Python 3.9.2" in ran.stderr


def test_make_says_that_venv_is_missing(tmp_path: Path) -> None:
    """A Python without venv, as Debian's is at first, brings the name of the package to install."""
    ran = make(tmp_path, "run", fake_python(tmp_path, 'case "$2" in *ensurepip*) exit 1;; esac; exit 0'))
    assert ran.returncode != 0
    assert "apt install python3-venv" in ran.stderr


def test_make_without_a_goal_lists_the_goals(tmp_path: Path) -> None:
    """`make` alone does nothing but say what can be made."""
    ran = make(tmp_path)
    assert ran.returncode == 0
    assert all(
        f"make {goal}" in ran.stdout for goal in ("run", "test", "lint", "types", "docs", "package", "matrix", "mutate")
    )
    assert not (tmp_path / ".venv").exists()
