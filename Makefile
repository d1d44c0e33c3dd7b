# make run    the page, on http://127.0.0.1:7860
# make test   the tests
# make lint   the style checks
# make demo-weights   the demo weights from nothing, in under two hours on one core; goes on where it was stopped
# Both first make .venv, once, and again when a requirements file changes.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

.PHONY: run test lint clean demo-weights

run: $(VENV)/.installed
	$(VENV)/bin/python app.py

test: $(VENV)/.installed-dev
	$(VENV)/bin/python -m pytest

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .

demo-weights: $(VENV)/.installed
	$(VENV)/bin/python -m perfrdiff.training.demo

clean:
	rm -rf $(VENV)

# mediapipe comes alone: requirements.txt says why.
$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with: make run PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (some minutes, once)"
	sed '/^mediapipe==/,$$d' requirements.txt > $(VENV)/requirements.txt
	$(PIP) -r $(VENV)/requirements.txt
	$(PIP) --no-deps $$(grep '^mediapipe==' requirements.txt)
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	touch $@
