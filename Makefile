# Each target does its own set-up: .venv, from the two locks, and nothing else by hand.

PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
MARK := .venv/.installed

.PHONY: setup search test fuzz faults faults-quick remote audit check docs dist lock clean
.DELETE_ON_ERROR:

setup: $(MARK)

$(MARK): requirements.lock requirements-torch.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v in ((3, 11), (3, 12)) or sys.exit(f"$(PYTHON) is Python {v[0]}.{v[1]}; b0nas runs on 3.11 and 3.12: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	@echo "Setting up .venv (about 6 GB with torch's CUDA libraries; a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_ARGS) -r requirements-torch.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@touch $@

# The main job: search, freeze, train in full, scale; no download of data.
search: setup
	@$(BIN)/nas search search.yml --full-epochs 60

# Files in their order: by number of tests, as xdist has it, the few long ones of NNI would come last and alone.
test: setup check
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Every reader of users' data, on over 200,000 inputs; options in FUZZ, such as FUZZ="space --inputs 100000".
# atheris is in no lock: it is built for few platforms, and nothing but this target needs it.
fuzz: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0
	@$(BIN)/python tests/fuzz/run.py $(FUZZ)

# kill -9 of a search's processes and what else days bring, in real searches: about 40 s a kill on two idle cores.
faults-quick: setup
	@KILLS=20 $(BIN)/python -m pytest tests/faults -m faults -n 0 -v

faults: setup
	@KILLS=200 $(BIN)/python -m pytest tests/faults -m faults -n 0 -v

# Searches on two other machines, which are network namespaces with sshd; takes root, and some minutes.
remote: setup
	@$(BIN)/python -m pytest tests/remote -m remote -n 0 -v -rs

# Known vulnerabilities of what the locks name; asks a public database, and needs the network for it.
audit:
	@$(PYTHON) -m venv .venv-audit && .venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@.venv-audit/bin/pip-audit --disable-pip --no-deps -r requirements.lock -r requirements-torch.lock

# Style, types, and that imports point one way.
check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/python -m pytest tests/test_imports.py

# What is generated from the code (commands, Python, schemas), and of all pages a site, in build/site.
# Strict: a link or an anchor that leads nowhere, or a page that is in no menu, ends it.
docs: setup
	@mkdir -p docs/reference
	@$(BIN)/typer nas.cli utils docs --name nas --output docs/reference/cli.md
	@$(BIN)/python tools/api.py
	@$(BIN)/python tools/schemas.py
	@$(BIN)/python tools/site.py

# sdist and wheel, in dist/.
dist: setup
	@rm -rf dist && $(BIN)/hatchling build -d dist

# New locks from pyproject.toml; torch and what comes with its build stay out of the hashed one.
lock: setup
	@$(BIN)/uv pip compile pyproject.toml --extra dev --extra weights --extra docs --universal --generate-hashes --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet \
	  -c requirements-torch.lock -c constraints.txt \
	  $$(for p in $$(cat constraints.txt | sed -n 's/^# unlocked: //p'); do echo --no-emit-package $$p; done) \
	  -o requirements.lock

clean:
	rm -rf build dist .venv .venv-audit .pytest_cache .ruff_cache .hypothesis
