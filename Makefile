# make check PYTHON=.venv/bin/python
PYTHON ?= python

.PHONY: check format lint types layers test

check: lint types layers test

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

# import-linter has no `python -m`; the current folder goes on the path so that both packages are found.
layers:
	$(PYTHON) -c "import sys; sys.path.insert(0, ''); from importlinter.cli import lint_imports_command; lint_imports_command()"

test:
	$(PYTHON) -m pytest
