# Each target sets itself up: a bare Debian machine with Python 3.11 or newer is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-fast faults check format train-env test-env browser clean

demo: $(VENV)/.serving ## the main job from end to end, on real pictures
	@$(BIN)/tagger demo $(ARGS)

test: $(VENV)/.test browser ## unit and integration tests; real broker, databases and workers
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

test-fast: $(VENV)/.test ## the inner loop: what starts no system, no browser and no training
	$(BIN)/python -m pytest -n 2 -m "not integration and not training and not browser" $(ARGS)

faults: $(VENV)/.test ## break everything that can break; fails if anything is lost or doubled
	@$(BIN)/tagger bench faults $(ARGS)

check: $(VENV)/.test ## formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

train-env: $(VENV)/.train ## adds the training extra to the environment
test-env: $(VENV)/.test

browser: # the review desk's tests look at its pages in a real browser
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	  || command -v google-chrome >/dev/null \
	  || { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Chromium …"; apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	  else echo "Install Chromium first: apt-get install chromium"; exit 1; fi; }

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); \
	  else echo "Install Python's venv module first: apt-get install python3-venv"; exit 1; fi; }

$(VENV)/.serving: pyproject.toml | $(BIN)/python
	@echo "Installing what serving needs into $(VENV) …"
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.train: pyproject.toml | $(BIN)/python
	@echo "Installing the training extra into $(VENV) …"
	@$(PIP) install --quiet --editable '.[train]'
	@touch $(VENV)/.serving $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "Installing the training and test extras into $(VENV) …"
	@$(PIP) install --quiet --editable '.[train,test]'
	@touch $(VENV)/.serving $(VENV)/.train $@

clean:
	rm -rf $(VENV) .tagger build dist *.egg-info
