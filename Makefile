# Two commands: `make run` and `make test`. Each sets up what it needs in $(VENV) first; a second call finds it there.
PORT ?= 8501
PYTHON ?=
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development
BENCH := $(VENV)/.bench

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup develop browser run test check format bench loadtest scale exports picture clean

help:
	@echo 'make run       start the playground at http://localhost:$(PORT)   (another port: make run PORT=8600)'
	@echo 'make test      run all tests                            (some: make test ARGS="tests/engine -k adam")'
	@echo 'make check     formatting, lint and types, changing nothing'
	@echo 'make format    format and mend what ruff can mend'
	@echo 'make bench     measure the figures of the README'
	@echo 'make loadtest  measure a classroom of students against a server'
	@echo 'make scale     measure maps and sweeps'
	@echo 'make exports   measure exports beside a visitor who moves a slider'
	@echo 'make picture   draw the picture of the README'
	@echo 'make setup     only set up .venv                        (another Python: make setup PYTHON=python3.13)'
	@echo 'make clean     remove .venv, caches and generated files'

setup: $(RUNTIME)
	@:

develop: $(DEVELOPMENT)
	@:

# A missing interpreter makes the stamps stale, so that the first stamp's recipe makes it.
$(PY): ;

$(RUNTIME): requirements.txt $(PY)
	@sh tools/venv.sh $(VENV) '$(PYTHON)'
	@echo 'Installing the packages of requirements.txt …'
	@$(PY) -m pip install --requirement requirements.txt
	@touch $@

$(DEVELOPMENT): requirements-dev.txt $(RUNTIME)
	@echo 'Installing the packages of requirements-dev.txt …'
	@$(PY) -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

$(BENCH): requirements-bench.txt $(DEVELOPMENT)
	@echo 'Installing the packages of requirements-bench.txt …'
	@$(PY) -m pip install --quiet --requirement requirements-bench.txt
	@touch $@

browser: develop
	@$(PY) -m tools.browser >/dev/null

# Without a server address Streamlit asks a host on the internet for the address of this machine.
run: setup
	@$(PY) -m streamlit run app.py --server.port $(PORT) --browser.serverAddress localhost

test: develop browser
	@$(PY) -m pytest $(ARGS)

check: develop
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

format: develop
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: $(BENCH) browser
	@$(PY) -m bench

loadtest: develop
	@$(PY) -m bench.loadtest

exports: develop
	@$(PY) -m bench.exports

scale: develop browser
	@$(PY) -m bench.scale

picture: develop browser
	$(PY) -m tools.picture

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis static/vega*.js
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
