# Everything lands in .venv and, for the embedded model, in the user's cache folder. `make help` lists the targets.

PYTHON ?= python3
BIN := .venv/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

# what runs against PostgreSQL and NATS too: a representative part, and all that knows nothing of the set-up
SAME := tests/flows/test_fairness.py tests/flows/test_golden.py tests/flows/test_streaming.py tests/flows/test_follow.py tests/api/test_requests.py tests/engine/test_worker.py
ALL_SAME := tests/api tests/flows tests/engine tests/keys/test_projects.py
SEED ?= 4711
ROUNDS ?= 20

.DEFAULT_GOAL := help
.PHONY: help install demo bench bench-scaled chaos test test-all test-fast lint format docs pins vendored model openmp node browser sandbox clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

install: .venv/runtime.stamp  ## set up .venv, so that .venv/bin/understudy serve works

demo: install openmp  ## see an assistant work, in three languages, on the embedded model
	$(BIN)/understudy demo

test: .venv/dev.stamp model node browser sandbox lint  ## the suite, with the embedded model
	$(BIN)/pytest -q --setup=scaled -m "not slow" $(SAME)
	$(BIN)/pytest -q -m "model and not slow"
	$(BIN)/pytest -q -m "not slow" tests/playground
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow and not model" --ignore=tests/playground

test-all: .venv/dev.stamp model node browser sandbox lint  ## the suite and what takes long (an hour and a half)
	$(BIN)/pytest -n 2 --dist loadfile --setup=scaled -m "not model and not sdk" $(ALL_SAME)
	$(BIN)/pytest -q -m model
	$(BIN)/pytest -q tests/playground
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not model" --ignore=tests/playground

chaos: .venv/dev.stamp  ## many clients on a cluster whose processes die and hang (minutes; SEED and ROUNDS may be given)
	$(BIN)/python -m tests.chaos --seed $(SEED) --rounds $(ROUNDS)

test-fast: .venv/dev.stamp  ## the suite without the model and without other SDKs
	$(BIN)/pytest -m "not model and not slow and not sdk"

bench: .venv/dev.stamp  ## how quick it is, in a table (about two minutes)
	$(BIN)/python -m bench

bench-scaled: .venv/dev.stamp  ## the same for servers and workers on PostgreSQL and NATS (about two minutes)
	$(BIN)/python -m bench.scaled

lint: .venv/dev.stamp  ## ruff, mypy, and oxlint for the page's modules
	$(BIN)/ruff check
	$(BIN)/oxlint --deny-warnings
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/dev.stamp  ## put the code into ruff's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: install  ## write docs/configuration.md from the settings
	$(BIN)/python docs/configuration.py

pins: .venv/dev.stamp  ## write requirements/ from what .venv holds
	$(BIN)/python requirements/pin.py

vendored:  ## take the playground's libraries from npm again, as requirements/vendored.toml says
	$(PYTHON) requirements/vendored.py

model: install openmp
	$(BIN)/understudy models fetch

# $(call of_the_system,TEST,PACKAGES,LOSS): what no pip can bring; where it cannot be had, say what is lost
define of_the_system
@if $(1); then :; \
elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  (apt-get install -y --no-install-recommends $(2) || \
    (apt-get update && apt-get install -y --no-install-recommends $(2))) >/dev/null 2>&1 || \
    echo "$(2) could not be installed: $(3)"; \
else echo "$(2) must be installed as root: $(3)"; fi
endef

# slim systems do not have it
openmp: install
	$(call of_the_system,[ "$$(uname)" != Linux ] || $(BIN)/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null,libgomp1,the embedded model will not run)

node:
	$(call of_the_system,command -v node >/dev/null && command -v npm >/dev/null,nodejs npm,skipped: the tests of the Node SDKs)

# libatomic1 is for the program that drives it
browser: .venv/dev.stamp
	$(call of_the_system,(command -v chromium || command -v chromium-browser) >/dev/null && $(BIN)/playwright --version >/dev/null 2>&1,chromium libatomic1,skipped: the tests with a browser)

sandbox: install
	$(call of_the_system,command -v bwrap >/dev/null,bubblewrap,skipped: the tests that run code)
	@$(BIN)/understudy sandbox setup || echo "skipped: the tests that run code will not run"

.venv/runtime.stamp: requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements/runtime.txt
	$(BIN)/pip install --quiet --no-deps -e .
	@touch $@

.venv/dev.stamp: .venv/runtime.stamp requirements/dev.txt
	$(BIN)/pip install --quiet -r requirements/dev.txt
	@touch $@

clean:  ## remove .venv and all caches within the clone (the embedded model stays in the user's cache folder)
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
