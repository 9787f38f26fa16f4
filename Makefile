# Two commands for a newcomer:   make demo   make test      (and `make bench` for the timings)
# Needs a Python >= 3.11; another interpreter: make demo PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2

.PHONY: demo test lint types docs tests bench quality clean
.DEFAULT_GOAL := demo

demo: .venv/ready
	$(BIN)/mvg demo --output runs/demo
	@echo "to label, correct and export in the browser: $(BIN)/mvg serve --demo"

test: lint types docs tests

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check src tests profiling
	$(BIN)/pylint --score=n src/mvg # finds copies

types: .venv/ready
	$(BIN)/mypy

docs: .venv/ready # the site -> site/index.html; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean

tests: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

bench: .venv/ready
	$(BIN)/python -m profiling.speed

quality: .venv/ready # make quality DATA=FOLDER, a folder of sets in the nnU-Net raw layout
	$(BIN)/mvg benchmark suites/weights.toml --data $(DATA)

# Made again only when a pin or a range changed.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mvg needs Python >= 3.11, this is " + sys.version.split()[0] + "; name another one: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,docs,dev]'
	# its client class tests the server; its own dependencies are not needed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps monailabel
	@touch $@

clean:
	rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
