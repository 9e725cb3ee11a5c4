# Everything runs in .venv, which is made here; a machine needs only Python 3.11 or newer, with venv, and make.
# `make help` lists what can be made. Another Python: make run PYTHON=/path/to/python3.12

PYTHON ?= python3
# Twice as many as two processors: a worker waits for servers that it started as long as it works. A file's tests stay
# with one of them, so that what they share is started once.
WORKERS ?= 4
ARGS ?=
TESTARGS ?=
STRICT ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# What setuptools calls "compat" puts this folder on the path, so that Twisted finds the plugin in it.
EDITABLE := --config-settings editable_mode=compat --editable

# Some machines want no bytecode on their disks; here every process of the tests would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test coverage lint types docs package matrix mutate bench-scrape bench-observability format \
	dashboards dashboard-pictures changelog clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1: \2/p' $(MAKEFILE_LIST)

run: $(VENV)/.run-installed ## install and start the server on localhost:8080 (ARGS="--node desk=http://192.168.1.7:11434")
	@exec $(BIN)/twistd --nodaemon --pidfile= ollamamax --simulate auto $(ARGS)

test: $(VENV)/.dev-installed ## install and run all tests, with the gate on coverage (STRICT=1: nothing may be skipped)
	@rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder \
		--max-worker-restart=0 $(if $(STRICT),--strict-services) $(TESTARGS)
	@$(MAKE) --no-print-directory coverage

coverage: $(VENV)/.dev-installed ## the report of the last run of the tests; fails below the floor in pyproject.toml
	@if ls .coverage.* >/dev/null 2>&1; then $(BIN)/python -m coverage combine --quiet; fi
	@$(BIN)/python -m coverage report

lint: $(VENV)/.dev-installed ## format, rules, the import contracts, the news fragments
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@$(BIN)/towncrier build --draft --version next >/dev/null

types: $(VENV)/.dev-installed ## mypy, strict
	$(BIN)/mypy

docs: $(VENV)/.dev-installed ## the documentation as HTML in docs/_build/html; a warning is an error
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html

package: $(VENV)/.dev-installed ## build the wheel, install it in a clean environment, start the server from it
	BUILD_PYTHON=$(BIN)/python PYTHON=$(PYTHON) bash .ci/try-wheel

matrix: $(VENV)/.dev-installed ## every environment of tox.ini, with a table of times (ARGS="--only 'py313-*'" for some)
	$(BIN)/python .ci/matrix.py $(ARGS)

mutate: $(VENV)/.dev-installed ## mutation testing of the pure modules (minutes; ARGS="ollamamax.names" for one)
	$(BIN)/python .ci/mutate.py $(ARGS)

bench-scrape: $(VENV)/.run-installed ## what a scrape costs, and how long streams wait for it (ARGS="--runs 5"; a quiet machine)
	$(BIN)/python benchmarks/scrape.py $(ARGS)

bench-observability: $(VENV)/.run-installed ## the requests per second that observing all of them costs (likewise)
	$(BIN)/python benchmarks/observability.py $(ARGS)

format: $(VENV)/.dev-installed ## bring the code into the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dashboards: $(VENV)/.dev-installed ## write Grafana's dashboards anew, from deploy/grafana/dashboards to deploy/grafana/json
	cd deploy/grafana && $(CURDIR)/$(BIN)/python -m dashboards

dashboard-pictures: $(VENV)/.dev-installed ## draw the dashboards for the documentation, from a run of three minutes
	cd tests && $(CURDIR)/$(BIN)/python -m real.dashboard_pictures $(CURDIR)/docs/dashboards

changelog: $(VENV)/.dev-installed ## move the news fragments into CHANGELOG.md
	$(BIN)/towncrier build --yes --version "$$($(BIN)/python -c 'import ollamamax; print(ollamamax.__version__)')"

clean: ## remove what was built; .venv stays
	rm -rf build dist mutants docs/_build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- the environment ------------------------------------------------------------------------------------------------

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "OllamaMax needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo 'not there')." >&2; \
		echo "Say which one to use, as in: make PYTHON=/usr/bin/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run-installed: $(VENV)/.made setup.py ollamamax/__init__.py
	@echo "installing OllamaMax into $(VENV) …"
	@$(PIP) $(EDITABLE) .
	@touch $@

$(VENV)/.dev-installed: $(VENV)/.made setup.py ollamamax/__init__.py
	@echo "installing OllamaMax and the tools of its tests into $(VENV) …"
	@$(PIP) $(EDITABLE) '.[dev]'
	@touch $@ $(VENV)/.run-installed
