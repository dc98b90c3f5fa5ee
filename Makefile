# `make` lists the targets. Needs Python 3.11 or newer and make; all else goes into .venv.

PYTHON ?= python3
# The oldest set has wheels for Python 3.11 alone: $(PYTHON) where it is one, else python3.11.
PYTHON_OLDEST ?= $(shell "$(PYTHON)" -c 'import sys; print("$(PYTHON)" if sys.version_info[:2] == (3, 11) else "python3.11")' 2>/dev/null || echo python3.11)

# Added to the command of the same name, e.g. `make test PYTEST_ARGS="-k camera -x"`.
BENCH_ARGS ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
LOCK_ARGS ?=
PIP_ARGS ?= $(if $(CI),--quiet)

# Tests run in several processes of one thread each (WORKERS= for one process).
WORKERS ?= --numprocesses logical --maxprocesses 8 --dist loadfile
SIDE_BY_SIDE := OMP_NUM_THREADS=1

BIN := .venv/bin
BIN_OLDEST := .venv-oldest/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-oldest bench lint format lock clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## Create .venv: the pinned requirements and this package, editable

demo: install ## Make data, train, and compare views, into runs/demo (DEMO_ARGS=...)
	$(BIN)/raw2logit demo --root data -o runs/demo $(DEMO_ARGS)

test: install ## Run the tests (PYTEST_ARGS=...)
	$(SIDE_BY_SIDE) $(BIN)/python -m pytest $(WORKERS) $(PYTEST_ARGS)

test-slow: install ## Run the tests marked slow
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

test-oldest: .venv-oldest/.installed ## Run the tests with the oldest supported dependencies
	$(SIDE_BY_SIDE) $(BIN_OLDEST)/python -m pytest $(WORKERS) $(PYTEST_ARGS)

bench: .venv/.bench ## Time the ISP against classical recipes, into benchmarks/RESULTS.md (BENCH_ARGS=...)
	$(BIN)/python benchmarks/isp.py $(BENCH_ARGS)

lint: install ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## Mend format and what ruff can mend by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove caches and build output; data/, runs/ and the environments stay
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## Remove the environments as well
	rm -rf .venv .venv-oldest .venv-lock

# --- Environments ---------------------------------------------------------------------------

# $(call check-python,INTERPRETER,CONDITION,WHAT IS NEEDED): one clear line instead of a traceback.
define check-python
@"$(1)" -c 'import sys; sys.exit(not ($(2)))' 2>/dev/null || \
  { echo >&2 "raw2logit: $(3), but '$(1)' says: $$("$(1)" --version 2>&1 | head -n 1)"; exit 1; }
@"$(1)" -c 'import ensurepip, venv' 2>/dev/null || \
  { echo >&2 "raw2logit: '$(1)' cannot create virtual environments; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
endef

# $(call fill-venv,INTERPRETER,FOLDER,REQUIREMENTS). An environment that was left half made, or
# whose Python has gone, is made anew. `pip check` tells when the requirements miss a dependency.
define fill-venv
@"$(2)/bin/python" -m pip --version >/dev/null 2>&1 || "$(1)" -m venv --clear "$(2)"
@echo "Installing $(3) into $(2): the first time this downloads PyTorch, which can be gigabytes."
"$(2)/bin/python" -m pip install $(PIP_ARGS) -r "$(3)"
"$(2)/bin/python" -m pip install $(PIP_ARGS) --no-deps --editable .
@"$(2)/bin/python" -m pip check
@touch "$(2)/.installed"
endef

.venv/.installed: pyproject.toml requirements/pinned.txt
	$(call check-python,$(PYTHON),sys.version_info >= (3$(comma) 11),Python 3.11 or newer is needed (name another with PYTHON=...))
	$(call fill-venv,$(PYTHON),.venv,requirements/pinned.txt)

.venv/.bench: .venv/.installed
	"$(BIN)/python" -m pip install $(PIP_ARGS) --constraint requirements/pinned.txt --editable '.[bench]'
	@touch $@

.venv-oldest/.installed: pyproject.toml requirements/oldest.txt
	$(call check-python,$(PYTHON_OLDEST),sys.version_info[:2] == (3$(comma) 11),the oldest set needs Python 3.11 (name one with PYTHON_OLDEST=...))
	$(call fill-venv,$(PYTHON_OLDEST),.venv-oldest,requirements/oldest.txt)

comma := ,

# --- Requirements ---------------------------------------------------------------------------

# torch pins its own CUDA parts, which exist on Linux alone; nothing here runs in a browser.
LEFT_OUT := ^(nvidia-|cuda-|triton)|== 'emscripten'$$
COMPILE = .venv-lock/bin/uv pip compile pyproject.toml --quiet --extra dev --python-version 3.11 \
  --no-header --no-annotate --no-emit-index-url

lock: ## Resolve requirements/*.txt anew from pyproject.toml (LOCK_ARGS=--upgrade for the newest)
	$(call check-python,$(PYTHON),sys.version_info >= (3$(comma) 11),Python 3.11 or newer is needed (name another with PYTHON=...))
	@.venv-lock/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	cp requirements/pinned.txt .venv-lock/pinned.txt
	$(COMPILE) --universal --fork-strategy fewest $(LOCK_ARGS) -o .venv-lock/pinned.txt >/dev/null
	$(COMPILE) --resolution lowest-direct -o .venv-lock/oldest.txt >/dev/null
	@for name in pinned oldest; do \
	  { grep '^#' requirements/$$name.txt; grep -vE "$(LEFT_OUT)" .venv-lock/$$name.txt; } \
	    > .venv-lock/$$name.new && mv .venv-lock/$$name.new requirements/$$name.txt || exit 1; \
	done
