"""Packaging: what is installed, what it needs at least, and why.

Tools are configured in `pyproject.toml`; everything about the distribution itself is here.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

# The floors are tested: .ci/oldest.txt names exactly these releases, and tox runs the suite with them.
REQUIREMENTS = [
    "twisted[tls]>=26.10",  # the first release with the request-smuggling fixes that the door relies on
    "klein>=24.8",  # routes; web/routes.py reads its map and rules as this release has them
    "treq>=24.9.1",  # `ollamamax verify` and the tests; the first release with type hints throughout
    "prometheus-client>=0.22",  # content negotiation by the scraper's Accept header as documented here
    "httptools>=0.6.4",  # llhttp 9, strict: it refuses the malformed framing that the tests of the door list
    "multipart>=1.3.1",  # forms read as they arrive; older releases can be kept busy by a header of a part
    'backports.zstd>=1.0; python_version < "3.14"',  # the standard library's from 3.14 on; sees a body that is cut
    "msgspec>=0.21",  # strict structs; 0.20 refuses answers of nodes that leave fields out
    "attrs>=24.2",  # frozen values with the converters that the type checker understands
    "SQLAlchemy>=2.0.40",  # Core, typed; the 2.0 series is the oldest that is maintained
    "alembic>=1.15.1",  # migrations applied at start, configured without a file
    "psycopg[binary]>=3.2.2",  # PostgreSQL, loaded for its URLs alone; the first whose wheels (libpq in them) know 3.13
    "click>=8.2",  # the `ollamamax` command
]

TEST = [
    "anthropic>=2",  # the official client, run unmodified against the server; as openai, on httpx2 since this release
    "coverage>=7.10",  # follows subprocesses by itself (patch = subprocess)
    "grafana-foundation-sdk>=0.0.21,<0.0.22",  # a release may write dashboards differently; those by date come after it
    "hypothesis>=6.130",
    "jsonschema>=4.23",  # what /metrics.json answers against its schema, of draft 2020-12
    "ollama>=0.6.2",  # the official client, run unmodified against the server; the first that can be closed
    "openai>=3",  # the official client, run unmodified against the server
    "promql-parser>=0.12,<0.13",  # takes queries of rules and dashboards apart; a minor release may do it differently
    "PyYAML>=6.0.2",  # rules and examples of configuration, read as Prometheus and Grafana read them
    "pytest>=9",  # faulthandler_exit_on_timeout
    "pytest-twisted>=1.14.3",
    "pytest-xdist>=3.8",  # --no-loadscope-reorder
]

DOCS = [
    "myst-parser>=5",
    "sphinx>=9",
]

DEV = [
    *TEST,
    *DOCS,
    "build>=1.2",
    "import-linter>=2.5",
    "matplotlib>=3.10",  # draws the pictures of the dashboards for the documentation
    "mutmut>=3.8,<3.9",  # its configuration changes with minor releases
    "mypy>=2.4,<2.5",  # a minor release may find more: raised on purpose, not by the day
    "mypy-zope>=1.0.17",
    "ruff>=0.17,<0.18",  # a minor release may format differently
    "towncrier>=25",
    "tox>=4.30",
    "types-PyYAML>=6.0.12",
]


def version() -> str:
    """The version that the package states, read without importing it (its requirements may not be there yet)."""
    text = (HERE / "ollamamax" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('ollamamax/__init__.py has no line like: __version__ = "1.2.3"')
    return found[1]


setup(
    name="ollamamax",
    version=version(),
    description="One measured HTTP endpoint in front of every Ollama that you run, with Prometheus metrics",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    keywords="ollama prometheus metrics gateway twisted klein llm",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: HTTP Servers",
        "Topic :: System :: Monitoring",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # twisted/plugins has no __init__.py, on purpose: the wheel then carries only the plugin's own file.
    packages=[*find_packages(include=["ollamamax", "ollamamax.*"]), "twisted.plugins"],
    package_data={"ollamamax": ["py.typed"], "ollamamax.store": ["migrations/*", "migrations/versions/*"]},
    install_requires=REQUIREMENTS,
    extras_require={"test": TEST, "docs": DOCS, "dev": DEV},
    entry_points={"console_scripts": ["ollamamax = ollamamax.cli:main"]},
    zip_safe=False,
)
