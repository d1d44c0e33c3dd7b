# make run    the page, on http://127.0.0.1:7860
# make test   all tests
# make check  before a commit: style, types and the fast tests
# make lint   style and types only
# make demo-weights   the demo weights from nothing, VOICES=DIR with a folder of speech; goes on where it was stopped
# make lock   after a change of requirements*.txt: the lock files with hashes, and THIRD_PARTY.md (needs the network)
# make audit  known weaknesses of the locked packages (needs the network)
# make soak   the page under load for hours: 2,000 runs of a second, a kill in each stage, live sessions beside
# make fuzz   10,000 spoilt files for every reader, some ten minutes
# Each first makes .venv, once, and again when a requirements file changes. The checkout itself is installed there
# editable, so .venv/bin/perfrdiff and `import perfrdiff` work from any folder.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

# A worker for each of two cores, with one torch thread; the tests of a file share a worker, and what it prepares.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile

# What numba compiles: `warm-up` does so once, and again when one of these has changed.
COMPILED := $(wildcard renderer/*.py renderer/*/*.py renderer/*/*/*.py)

.PHONY: run test check lint fast-tests clean demo-weights lock audit fuzz soak

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

# The lock files name every package with its hashes and are complete, so nothing else is taken: tools/lock.py. They hold
# for Linux on x86-64 and Python 3.11; elsewhere the pinned requirements are installed. There mediapipe comes alone, for
# the reason in requirements.txt, and the checkout without its dependencies.
IS_LOCKED = $(VENV)/bin/python -c 'import platform, sys; sys.exit((sys.version_info[:2], platform.machine()) != ((3, 11), "x86_64"))'
NEEDS_CUDA = $(VENV)/bin/python -c 'import importlib.metadata as m, sys; sys.exit(not any(r.startswith("nvidia") for r in m.requires("torch")))'
LOCKED := --require-hashes --no-deps

# Without an NVIDIA card torch's CPU build comes first, from PyTorch's own index or this machine's disk: 0.2 GB instead
# of 3. pip alone would take the CUDA build, which is what PyPI has.
HAS_NVIDIA = [ -e /dev/nvidiactl ] || command -v nvidia-smi > /dev/null
CPU_BUILD := --retries 0 --index-url https://download.pytorch.org/whl/cpu -r requirements-cpu.lock

$(VENV)/.installed: requirements.txt requirements-gl.txt requirements.lock requirements-cpu.lock requirements-cuda.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with: make run PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (some minutes, once)"
	if $(IS_LOCKED); then \
	  $(HAS_NVIDIA) || $(PIP) $(LOCKED) $(CPU_BUILD) 2> $(VENV)/cpu-build.log || \
	    echo "torch's CPU build could not be had ($(VENV)/cpu-build.log): its CUDA build is taken, 3 GB"; \
	  $(PIP) $(LOCKED) -r requirements.lock && \
	  if $(NEEDS_CUDA); then $(PIP) $(LOCKED) -r requirements-cuda.lock; fi && \
	  $(PIP) --no-deps --no-build-isolation --editable .; \
	else \
	  echo "requirements.lock is for Python 3.11 on x86-64: versions are pinned here, but hashes are not checked"; \
	  sed '/^mediapipe==/,$$d' requirements.txt > $(VENV)/requirements.txt && \
	  $(PIP) -r $(VENV)/requirements.txt -r requirements-gl.txt && \
	  $(PIP) --no-deps $$(grep '^mediapipe==' requirements.txt) && \
	  $(PIP) --no-deps --editable .; \
	fi
	touch $@

$(VENV)/.compiled: $(VENV)/.installed $(COMPILED)
	@echo "Compiling what draws (half a minute, once)"
	$(VENV)/bin/perfrdiff warm-up
	touch $@

lock: $(VENV)/.installed-audit
	PATH="$(CURDIR)/$(VENV)/audit/bin:$$PATH" $(VENV)/bin/python -m tools.lock
	$(VENV)/bin/python -m tools.third_party

audit: $(VENV)/.installed-audit
	for lock in requirements.lock requirements-cuda.lock requirements-web.lock requirements-train.lock requirements-dev.lock; do \
	  $(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement $$lock || exit 1; done

fuzz: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(VENV)/bin/python -m tools.fuzz --cases 10000

soak: $(VENV)/.installed-dev $(VENV)/.compiled
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(VENV)/bin/python -m tools.load_trial --clients 12 --jobs 200 --seconds 2 --live 2
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(VENV)/bin/python -m tools.kill_trial
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(VENV)/bin/python -m tools.load_trial --clients 4 --jobs 2000 --seconds 1

# Apart from what runs: these two bring packages of their own.
$(VENV)/.installed-audit: $(VENV)/.installed requirements-audit.txt
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip --disable-pip-version-check install --quiet -r requirements-audit.txt
	touch $@

$(VENV)/.installed-train: $(VENV)/.installed requirements-train.txt requirements-train.lock
	if $(IS_LOCKED); then $(PIP) $(LOCKED) -r requirements-train.lock; else $(PIP) -r requirements-train.txt; fi
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-train requirements-dev.txt requirements-dev.lock
	if $(IS_LOCKED); then $(PIP) $(LOCKED) -r requirements-dev.lock; else $(PIP) -r requirements-dev.txt; fi
	touch $@

# What runs in the browser. Where it cannot be fetched the page shows videos alone, and the tests of it skip.
node_modules/.package-lock.json: package-lock.json requirements-web.txt requirements-web.lock | $(VENV)/.installed
	if $(IS_LOCKED); then $(PIP) $(LOCKED) -r requirements-web.lock; else $(PIP) -r requirements-web.txt; fi && $(VENV)/bin/perfrdiff web-libraries && touch $@ || true
