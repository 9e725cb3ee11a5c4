"""Mutation testing of the pure modules: changes them one place at a time, and counts which changes the tests notice.

    python .ci/mutate.py [--floor 85] [MODULE …]

The modules are those of the import contract `pure` in pyproject.toml, or the ones named (`ollamamax.names`); their
tests are those that mirror them (`tests/test_names.py`). Works on a copy in `mutants/`, which it makes anew. Prints a
line per module and the changes that survived (`cd mutants && python -m mutmut show NAME` shows one); the exit status is
1 when fewer than the floor's percentage were noticed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "mutants"
# Their tests need no reactor, and a copy of a process must not share one.
PYTEST = ["-p", "no:twisted", "-p", "no:xdist", "-p", "no:cacheprovider", "-W", "ignore", "--import-mode=importlib"]
NOTICED = {"killed", "timeout", "segfault", "caught by type check"}
SURVIVED = {"survived", "no tests", "suspicious"}


def pure_modules() -> list[str]:
    """The modules of the contract `pure`; a package stands for itself and everything in it."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configuration["tool"]["importlinter"]["contracts"]
    return list(next(contract for contract in contracts if contract["id"] == "pure")["source_modules"])


def files_of(module: str) -> list[Path]:
    """The source files of a module or of a package, relative to the repository."""
    path = ROOT.joinpath(*module.split("."))
    found = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [file.relative_to(ROOT) for file in found]


def tests_of(source: Path) -> list[Path]:
    """The tests that mirror a source file: `ollamamax/relay/framing.py` → `tests/relay/test_framing*.py`.

    Where several rooms have a module of that name, the test may be called `test_relay_framing.py`; a module without a
    test of its own is tested with its room (`test_settings.py`).
    """
    inside = source.relative_to("ollamamax")
    room = inside.parent.name
    stems = [room] if inside.name == "__init__.py" else [inside.stem, f"{room}_{inside.stem}"]
    folder = ROOT / "tests" / inside.parent
    found = {path.relative_to(ROOT) for stem in stems for path in folder.glob(f"test_{stem}*.py")}
    whole_room = folder / f"test_{room}.py"
    if not found and whole_room.is_file():
        found = {whole_room.relative_to(ROOT)}
    return sorted(found)


def prepare(sources: list[Path], tests: list[Path]) -> None:
    """Lays the copy: the package, the tests, and the tool's settings."""
    shutil.rmtree(WORK, ignore_errors=True)
    for name in ("docs", "ollamamax", "tests"):
        shutil.copytree(ROOT / name, WORK / name, ignore=shutil.ignore_patterns("__pycache__"))
    settings = {
        "source_paths": ["ollamamax"],
        "also_copy": ["docs"],
        "only_mutate": [str(source) for source in sources],
        "pytest_add_cli_args": PYTEST,
        "pytest_add_cli_args_test_selection": [str(test) for test in tests],
        "track_dependencies": False,
        "use_git_change_detection": False,
        "timeout_multiplier": 10.0,
    }
    lines = ["[tool.mutmut]", *(f"{name} = {json.dumps(value)}" for name, value in settings.items())]
    lines += ["[tool.pytest.ini_options]", 'pythonpath = ["tests"]']
    (WORK / "pyproject.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def check_names(tests: list[Path]) -> None:
    """Sees to it that pytest finds each test by its name, as it is asked to for every change.

    Where it does not (a name made by a function, with a backslash in it), it ends with an error, which would count as
    if the change had been noticed.

    Raises:
        SystemExit: a name is not found.
    """
    pytest = [sys.executable, "-m", "pytest", *PYTEST, "--collect-only", "--quiet"]
    listed = subprocess.run([*pytest, *map(str, tests)], cwd=WORK, capture_output=True, text=True, check=True)
    names = WORK / "names.txt"
    names.write_text("".join(f"{line}\n" for line in listed.stdout.splitlines() if "::" in line), encoding="utf-8")
    found = subprocess.run([*pytest, f"@{names}"], cwd=WORK, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"tests that cannot be asked for by their names:\n{found.stderr}")


def run() -> dict[str, str]:
    """Runs the tool in the copy.

    Returns:
        The fate of every change, by its name.

    Raises:
        SystemExit: when the tests do not pass before anything was changed, or the tool fails.
    """
    tool = [sys.executable, "-m", "mutmut"]
    log = WORK / "mutmut.log"
    with log.open("w", encoding="utf-8") as stream:
        ran = subprocess.run([*tool, "run"], cwd=WORK, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if ran.returncode:
        text = log.read_text(encoding="utf-8").replace("\r", "\n").splitlines()
        raise SystemExit("\n".join(text[-40:]) + f"\nmutmut ended with status {ran.returncode}")
    listed = subprocess.run([*tool, "results", "--all", "true"], cwd=WORK, capture_output=True, text=True, check=True)
    pairs = (line.strip().rpartition(": ") for line in listed.stdout.splitlines() if ": " in line)
    return {name: fate for name, _, fate in pairs}


def report(fates: dict[str, str], sources: list[Path], floor: float) -> int:
    """Prints what came of it.

    Returns:
        The exit status.
    """
    modules = [".".join(source.with_suffix("").parts).removesuffix(".__init__") for source in sources]
    totals: Counter[str] = Counter()
    noticed: Counter[str] = Counter()
    for name, fate in fates.items():
        module = max((m for m in modules if name.startswith(f"{m}.")), key=len, default=name)
        if fate in NOTICED | SURVIVED:
            totals[module] += 1
            noticed[module] += fate in NOTICED
        if fate in SURVIVED:
            print(f"survived: {name} ({fate})")
    for module in sorted(totals):
        print(f"{module}: {noticed[module]} of {totals[module]} ({100 * noticed[module] / totals[module]:.1f} %)")
    if not totals:
        print("no change could be made: nothing was tested")
        return 1
    share = 100 * noticed.total() / totals.total()
    print(f"mutation: {noticed.total()} of {totals.total()} changes noticed, {share:.1f} % (floor {floor:g} %)")
    return 0 if share >= floor else 1


def main() -> int:
    """Does it all; see the module's text."""
    parser = argparse.ArgumentParser(description="Mutation testing of the pure modules.")
    parser.add_argument("--floor", type=float, default=85.0, help="the percentage below which this fails")
    parser.add_argument("modules", nargs="*", help="dotted names; the contract's pure modules when none is given")
    asked = parser.parse_args()
    sources = [file for module in asked.modules or pure_modules() for file in files_of(module)]
    bare = [str(source) for source in sources if not tests_of(source) and source.name != "__init__.py"]
    tested = [source for source in sources if tests_of(source)]
    tests = sorted({test for source in tested for test in tests_of(source)})
    prepare(tested, tests)
    check_names(tests)
    status = report(run(), tested, asked.floor)
    if bare:
        print(f"no test mirrors {', '.join(bare)}")
    return 1 if bare else status


if __name__ == "__main__":
    sys.exit(main())
