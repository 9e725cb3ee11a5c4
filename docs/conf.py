"""How Sphinx builds this documentation (`make docs`)."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_VERSION = re.search(
    r'^__version__ = "([^"]+)"$', (_ROOT / "ollamamax" / "__init__.py").read_text("utf-8"), re.MULTILINE
)

project = "OllamaMax"
author = "the OllamaMax authors"
copyright = "the OllamaMax authors"
version = release = _VERSION[1] if _VERSION else "unknown"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

# Anchors for headings, as GitHub makes them, so that links within and between pages work in both places.
myst_heading_anchors = 3
# Blocks of a shell session are shown as such; nothing else is guessed.
highlight_language = "none"
# Pygments' PromQL stumbles over the colons in the names of recorded series, and shows such a query all the same.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "alabaster"
html_theme_options = {"description": "One measured HTTP endpoint in front of every Ollama that you run"}
html_show_sourcelink = False
