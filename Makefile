# The two commands of the README, and what they are made of. Needs make and Python 3.11 or newer.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test check docs wheel clean help

help:
	@echo "make demo   calibrate a small network on this machine and recommend for a 1 Gbit/s network"
	@echo "make test   run every check: style, types, contracts, tests, notebooks"
	@echo "make check  style, types and contracts alone"
	@echo "make docs   build the pages in docs/_build/html"
	@echo "make wheel  build the wheel and try it in an environment of its own, in dist"
	@echo "make clean  remove the environment and what the demo wrote"

# Measuring ends with 5 when the machine was too busy for a stable number: the demo goes on and says so.
demo: $(VENV)/.calibrate
	@mkdir -p demo
	$(BIN)/speedup calibrate squeezenet --batch 8 -o demo/squeezenet.json || [ $$? -eq 5 ]
	$(BIN)/speedup recommend demo/squeezenet.json --network 1gbit --max-workers 16
	$(BIN)/speedup report demo/squeezenet.json --network 1gbit --max-workers 16 -o demo/report.html

test: check
	$(BIN)/pytest -n auto

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What a user gets: the built wheel alone, in an empty environment, away from this folder. Without JAX, which is an extra,
# the doctor ends with 4.
wheel: $(VENV)/.dev
	rm -rf dist && $(BIN)/python -m hatchling build -t wheel -d dist
	rm -rf dist/venv && $(PYTHON) -m venv dist/venv && dist/venv/bin/pip install --quiet dist/*.whl
	cd dist && { venv/bin/speedup doctor || [ $$? -eq 4 ]; } && venv/bin/speedup recommend resnet34 --network 10gbit --max-workers 16 \
		&& venv/bin/speedup report resnet34 --network 10gbit -o report.html

docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) demo dist docs/_build docs/notebooks

# Debian ships venv apart from Python; install it where we may.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than Python 3.11. Run: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 4; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq -y python3-venv >/dev/null; } \
		|| { echo "error: $(PYTHON) has no venv. Run: sudo apt-get install python3-venv"; exit 4; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.calibrate: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[calibrate]'
	@touch $@

# Pages are tested in Chromium, which no Python package brings; where we may not install it, those tests are skipped.
$(VENV)/.dev: pyproject.toml | $(VENV)/.calibrate
	$(BIN)/pip install --quiet --editable '.[calibrate,cluster]' --group dev
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ "$$(id -u)" != 0 ] \
		|| { apt-get update -qq && apt-get install -qq -y chromium >/dev/null; } \
		|| echo "no Chromium: tests in a browser will be skipped"
	@touch $@
