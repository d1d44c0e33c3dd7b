# make run    the page, on http://127.0.0.1:7860
# make test   all tests
# make check  before a commit: style, types and the fast tests
# make lint   style and types only
# make demo-weights   the demo weights from nothing, VOICES=DIR with a folder of speech; goes on where it was stopped
# Each first makes .venv, once, and again when a requirements file changes. The checkout itself is installed there
# editable, so .venv/bin/perfrdiff and `import perfrdiff` work from any folder.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

# A worker for each of two cores, with one torch thread; the tests of a file share a worker, and what it prepares.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile

# What numba compiles: `warm-up` does so once, and again when one of these has changed.
COMPILED := $(wildcard renderer/*.py renderer/*/*.py renderer/*/*/*.py)

.PHONY: run test check lint fast-tests clean demo-weights

run: $(VENV)/.compiled node_modules/.package-lock.json
	$(VENV)/bin/python app.py

test: $(VENV)/.installed-dev $(VENV)/.compiled node_modules/.package-lock.json
	$(PYTEST)

check: lint fast-tests

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

fast-tests: $(VENV)/.installed-dev $(VENV)/.compiled
	$(PYTEST) -m "not slow and not browser"

demo-weights: $(VENV)/.installed-train
	OMP_WAIT_POLICY=passive $(VENV)/bin/python -m perfrdiff.training.demo $(if $(VOICES),--voices $(VOICES))

clean:
	rm -rf $(VENV) node_modules

# mediapipe comes alone: requirements.txt says why. For the same reason the checkout comes without its dependencies.
$(VENV)/.installed: requirements.txt requirements-gl.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with: make run PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (some minutes, once)"
	sed '/^mediapipe==/,$$d' requirements.txt > $(VENV)/requirements.txt
	$(PIP) -r $(VENV)/requirements.txt -r requirements-gl.txt
	$(PIP) --no-deps $$(grep '^mediapipe==' requirements.txt)
	$(PIP) --no-deps --editable .
	touch $@

$(VENV)/.compiled: $(VENV)/.installed $(COMPILED)
	@echo "Compiling what draws (half a minute, once)"
	$(VENV)/bin/perfrdiff warm-up
	touch $@

$(VENV)/.installed-train: $(VENV)/.installed requirements-train.txt
	$(PIP) -r requirements-train.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-train requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	touch $@

# What runs in the browser. Where it cannot be fetched the page shows videos alone, and the tests of it skip.
node_modules/.package-lock.json: package-lock.json requirements-web.txt | $(VENV)/.installed
	$(PIP) -r requirements-web.txt && $(VENV)/bin/perfrdiff web-libraries && touch $@ || true
