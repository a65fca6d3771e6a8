# Needs Python 3.11 or later with pip and venv, and this make (GNU 3.81 or later). Nothing else.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test lint format docs bench eval lock clean

VENV := .venv
BIN := $(VENV)/bin

# Where it is set, each of the suite's hundreds of processes compiles the whole product for itself.
unexport PYTHONDONTWRITEBYTECODE

PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --require-hashes

# Stamps: each is newer than what it was made from, so that a second run installs nothing.
PRODUCT := $(VENV)/.product
RUNTIME := $(VENV)/.runtime
TOOLS := $(VENV)/.tools
CLIENTS := $(patsubst requirements/clients/%.txt,.venvs/%/.installed,$(wildcard requirements/clients/*.txt))

# A virtual environment does not survive being moved, nor its Python being removed: then it is made anew.
ifneq ($(wildcard $(VENV)/.place),)
ifneq ($(shell test "$$(cat $(VENV)/.place)" = "$(CURDIR)" && $(BIN)/python -c "print('whole')" 2>/dev/null),whole)
$(shell rm -rf $(VENV) .venvs)
endif
endif

## help: show this list
help:
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^## \([a-z]*\): /  \1	/p' Makefile
	@echo "Variables: PYTHON=python3.12 chooses the Python, TESTS=tests/wire and JOBS=4 what is tested and how."

## setup: make .venv with the product, its embedded model's runtime and the tools
setup: $(PRODUCT) $(RUNTIME) $(TOOLS)

## run: set up what is missing, fetch the embedded model if it is needed, start the gateway
run: $(PRODUCT) $(RUNTIME)
	@exec $(BIN)/chatgpt-to-api serve

TESTS := tests
JOBS := 2

## test: run the whole test suite
test: setup $(CLIENTS)
	$(BIN)/python -m pytest -n $(JOBS) $(TESTS)
	@echo "make test: all tests passed."

## lint: check style, types, the rules between the rooms and the declared dependencies
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	@echo "make lint: nothing to mend."

## format: rewrite the code in the project's style
format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## docs: write the tables of settings and commands in docs/ anew
docs: setup
	$(BIN)/python docs/generate.py

## bench: measure starts, speed and memory beside nginx, and what each pair of dialects costs to translate
bench: setup
	$(BIN)/python bench/start.py
	$(BIN)/python bench/run.py
	$(BIN)/python bench/pairs.py --rounds 5

## eval: try tools and JSON with the embedded model, emulated beside native
eval: setup
	$(BIN)/python eval/run.py

# No index address and no host name goes into a lock, only names, versions and hashes.
COMPILE = $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url \
	--python-version 3.11 --custom-compile-command "make lock"

## lock: write requirements/*.txt anew (UPGRADE=-U takes the newest versions)
lock: setup
	$(COMPILE) $(UPGRADE) pyproject.toml -o requirements/run.txt
	$(COMPILE) $(UPGRADE) requirements/local.in -o requirements/local.txt
	$(COMPILE) $(UPGRADE) --group build -c requirements/run.txt -o requirements/build.txt
	$(COMPILE) $(UPGRADE) --group dev -c requirements/run.txt -c requirements/build.txt -o requirements/dev.txt
	@for list in $(wildcard requirements/clients/*.in); do \
		echo "$$list"; $(COMPILE) $(UPGRADE) "$$list" -o "$${list%.in}.txt" || exit 1; done

## clean: remove all that make made here, but not the fetched model or your data
clean:
	rm -rf $(VENV) .venvs build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.place:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv --clear $(VENV) && printf '%s\n' '$(CURDIR)' > $@; \
			exit; \
		fi; \
	done; \
	echo "No Python 3.11 or later with pip and venv was found. Install one (on Debian and Ubuntu also" >&2; \
	echo "the package python3-venv), or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	exit 1

$(PRODUCT): requirements/build.txt requirements/run.txt pyproject.toml | $(VENV)/.place
	$(INSTALL) -r requirements/build.txt -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	$(BIN)/python -m compileall -q src
	@touch $@

# A platform without a wheel of the runtime is no failure. Without a stamp the next run asks again.
$(RUNTIME): requirements/local.txt | $(PRODUCT)
	@if $(INSTALL) --only-binary :all: -r requirements/local.txt; then touch $@; else \
		echo "The embedded model's runtime could not be installed: either this platform has no" >&2; \
		echo "wheel of it, or the package index was out of reach. Going on without." >&2; fi

$(TOOLS): requirements/dev.txt | $(PRODUCT)
	$(INSTALL) -r requirements/dev.txt
	@touch $@

# Client packages whose pins exclude each other or the product live apart.
.venvs/%/.installed: requirements/clients/%.txt | $(VENV)/.place
	$(BIN)/python -m venv --clear .venvs/$*
	.venvs/$*/bin/python -m pip --disable-pip-version-check install --require-hashes -r $<
	@touch $@
