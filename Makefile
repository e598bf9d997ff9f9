# make check PYTHON=.venv/bin/python
PYTHON ?= python

.PHONY: check format lint types api layers test

check: lint types api layers test

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

# The benchmarks, too: nothing else runs them.
types:
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy tests/benchmarks

# TensorRT, pycuda and cuda-python: every name and argument that we use, against every version that we claim.
api:
	$(PYTHON) tests/api/api_check.py

# import-linter has no `python -m`; the current folder goes on the path so that both packages are found.
layers:
	$(PYTHON) -c "import sys; sys.path.insert(0, ''); from importlinter.cli import lint_imports_command; lint_imports_command()"

test:
	$(PYTHON) -m pytest
