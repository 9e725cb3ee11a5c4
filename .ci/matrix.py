"""Runs every environment of tox.ini, one after the other, and prints what came of each and how long it took.

    python .ci/matrix.py [--only PATTERN] … [ARGUMENTS OF PYTEST …]

A pattern is as of a shell: `--only 'py313-*'`. A Python newer than the oldest supported may be missing: its
environments are skipped, and the table says so. The exit status is 1 when an environment failed or none was run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOX = [sys.executable, "-m", "tox"]
FLOOR = "py311"
OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"


def environments() -> list[str]:
    """The environments that tox.ini lists, in its order."""
    listed = subprocess.run([*TOX, "list", "--no-desc", "-q"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def may_be_missing(environment: str) -> bool:
    """Whether an environment is skipped where its Python is not installed."""
    return environment.startswith("py3") and not environment.startswith(FLOOR)


def interpreters() -> list[str]:
    """Where Pythons are looked for before PATH: what pyenv has, for which it need not be switched to them."""
    return sorted(str(path) for path in Path.home().glob(".pyenv/versions/3.1[1-9]*/bin/python"))


def run(environment: str, arguments: list[str]) -> tuple[str, float]:
    """Runs one environment; what tox says goes to the terminal.

    Returns:
        What came of it, and the seconds that it took, its installation among them.
    """
    skip = "true" if may_be_missing(environment) else "false"
    discover = ["--discover", *found] if (found := interpreters()) else []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        options = ["-e", environment, f"--skip-missing-interpreters={skip}", f"--result-json={report}", *discover]
        # A run in which all is skipped counts for tox as failed, so that the status alone does not tell.
        status = subprocess.run([*TOX, "run", *options, "--", *arguments], cwd=ROOT, check=False).returncode
        told = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    of_it = told.get("testenvs", {}).get(environment, {})
    result = of_it.get("result", {})
    seconds = float(result.get("duration", 0.0))
    if not result.get("success"):
        return FAILED, seconds
    if "test" not in of_it:  # no command was run
        return SKIPPED, seconds
    return OK if status == 0 else FAILED, seconds


def main() -> int:
    """Does it all; see the module's text."""
    parser = argparse.ArgumentParser(description="Every environment of tox.ini, with a table of their times.")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="the environments to run; may be repeated")
    asked, arguments = parser.parse_known_args()
    chosen = [name for name in environments() if any(fnmatchcase(name, pattern) for pattern in asked.only or ["*"])]
    rows = []
    for environment in chosen:
        print(f"\n=== {environment}", flush=True)
        rows.append((environment, *run(environment, arguments)))
    width = max(map(len, chosen), default=0)
    print(f"\n{'environment':{width}}  result   seconds")
    for environment, outcome, seconds in rows:
        print(f"{environment:{width}}  {outcome:7}  {seconds:7.1f}")
    outcomes = [outcome for _, outcome, _ in rows]
    print(f"{outcomes.count(OK)} ok, {outcomes.count(FAILED)} failed, {outcomes.count(SKIPPED)} skipped")
    return 0 if OK in outcomes and FAILED not in outcomes else 1


if __name__ == "__main__":
    sys.exit(main())
