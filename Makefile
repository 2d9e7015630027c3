# Everything that a fresh clone needs; `make help` lists it.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
DEMO ?= demo

.PHONY: help demo test test-all check format wheel clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: .venv/.run ## install what is needed, then train, map, run on Lava and verify (a few minutes)
	$(BIN)/snn-deploy demo --out $(DEMO)

test: .venv/.dev ## the tests, without the slow laws
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: .venv/.dev ## all tests, the slow laws among them, and every law in full
	$(BIN)/python -m pytest -n auto --dist worksteal --hypothesis-profile thorough

check: .venv/.dev ## format, lint, types and tests: what a change must pass
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy toolchain
	$(MAKE) test

format: .venv/.dev ## format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: .venv/.dev ## build the wheel into dist/
	$(PIP) wheel --no-deps --wheel-dir dist .

clean: ## remove everything that the other targets made
	rm -rf .venv build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or 3.12; none was found: make PYTHON=/path/to/python3.11 ..."; exit 2; }
	$(PYTHON) -m venv .venv

# lava-nc declares Python < 3.11 and numpy < 2; docs/decisions/0004-lava-in-a-worker.md says why
# that does not hold us.
.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv: about a minute and a half, torch among it"
	$(PIP) install --no-compile --constraint constraints.txt --editable '.[train,lava,interchange]'
	$(PIP) install --no-compile --no-deps --ignore-requires-python lava-nc==0.10.0
	@touch $@

.venv/.dev: .venv/.run
	$(PIP) install --no-compile --constraint constraints.txt --editable '.[train,lava,interchange,dev]'
	@touch $@
