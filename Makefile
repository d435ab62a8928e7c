# Set-up included: both of these work in a fresh clone with Python 3.11 or newer, make and git.
#   make demo    the whole of openwmi in a few seconds
#   make test    everything that CI runs
#   make docs    the documentation, as HTML in build/docs
#   make fuzz SECONDS=60    all fuzz targets, for that long together

PYTHON ?= python3
VENV := .venv
SECONDS ?= 60
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint format bench docs fuzz conformance breaking coverage clean

demo: $(VENV)/.installed
	@$(BIN)/python examples/demo.py

test: lint
	$(BIN)/pytest -n auto

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.development
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/rpc.py
	$(BIN)/python -m bench.dcom --quick
	$(BIN)/python -m bench.client --quick

docs: $(VENV)/.documentation
	$(BIN)/sphinx-build -W --keep-going -q -j auto docs build/docs
	@echo "Open build/docs/index.html"

fuzz: $(VENV)/.development
	@$(PIP) install --group fuzz || echo "No atheris for this Python: the mutations are blind." >&2
	$(BIN)/python -m fuzz $(SECONDS)

# Which sentences of MS-WMI the tests show, and which not, section by section.
conformance: $(VENV)/.development
	$(BIN)/pytest -n auto -q --requirements build/requirements.json
	$(BIN)/python tools/conformance.py build/requirements.json

# Whether the tests that carry a requirement's id fail when its behaviour is broken.
breaking: $(VENV)/.development
	$(BIN)/python tools/breaking.py

# How many branches of the model, of what is below the object manager, and of itself the tests take.
COVERED := cim wql mof repository manager
coverage: $(VENV)/.development
	$(BIN)/coverage run -m pytest -q $(foreach room,$(COVERED) providers conformance,tests/$(room))
	@$(foreach room,$(COVERED),$(BIN)/coverage report --include='src/openwmi/$(room)/*' --fail-under=95 &&) true

clean:
	rm -rf $(VENV) .coverage build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "openwmi needs Python 3.11 or newer: run make PYTHON=/path/to/it" >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade "pip>=25.1"

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing openwmi into $(VENV) ..."
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.development: pyproject.toml | $(BIN)/python
	@echo "Installing openwmi and its development tools into $(VENV) ..."
	@$(PIP) install --group dev --editable .
	@touch $@ $(VENV)/.installed

$(VENV)/.documentation: pyproject.toml | $(VENV)/.installed
	@echo "Installing what builds the documentation into $(VENV) ..."
	@$(PIP) install --group docs
	@touch $@
