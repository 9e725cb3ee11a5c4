"""Writes every dashboard as a file of JSON: `python -m dashboards [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

from . import FOLDER, PAGES


def main() -> None:
    """Writes the files, and takes away those of dashboards that are no more."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(exist_ok=True)
    texts = {folder / f"{page.uid}.json": page.json() for page in PAGES}
    for path in set(folder.glob("*.json")) - texts.keys():
        path.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
