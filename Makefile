# Every target makes what it needs, so each works in a fresh clone.
#
#   make test PYTHON=python3.13 VENV=.venv-3.13     another interpreter, elsewhere
#   make test ARGS="tests/codec -x"                 a part of the suite

SHELL := /bin/sh
VENV ?= .venv
ARGS ?=

# The first Python that is new enough and can make an environment.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 \
	$(HOME)/.pyenv/versions/*/bin/python3; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && { echo "$$python"; break; }; done)

python = $(VENV)/bin/python
pip = $(python) -m pip
ready = $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo demo-cluster demo-check test soak faults failover bench lint format types docs clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(ready)/demo ## a flight board on an embedded server; Ctrl-C stops it
	@$(python) demo/run.py $(ARGS)

demo-cluster: $(ready)/demo ## the same on a cluster of six local nodes
	@$(python) demo/run.py --cluster $(ARGS)

demo-check: $(ready)/demo-check ## drive the demo by HTTP and in Chromium
	$(python) demo/check.py $(ARGS)

test: $(ready)/test $(ready)/redis-server $(ready)/faketime $(ready)/postgresql $(ready)/chromium ## the whole suite
	$(python) -m pytest $(ARGS)

soak: $(ready)/test $(ready)/redis-server $(ready)/faketime $(ready)/postgresql ## the long randomized runs
	$(python) -m pytest --soak -m soak -o faulthandler_timeout=7200 $(ARGS)

faults: $(ready)/test $(ready)/redis-server ## one file a fault, ours and the peers
	$(python) -m benchmarks.faults $(ARGS)

failover: $(ready)/test $(ready)/redis-server ## what a failover costs, and loses
	$(python) -m benchmarks.failover $(ARGS)

bench: $(ready)/test $(ready)/bench $(ready)/redis-server ## ours and the peers in one run
	$(python) -m benchmarks $(ARGS)

lint: $(ready)/lint ## style and format
	$(python) -m ruff check --output-format concise .
	$(python) -m ruff format --check .

format: $(ready)/lint ## mend what lint can mend
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

types: $(ready)/test $(ready)/types ## mypy and pyright, both strict
	$(python) -m mypy
	$(python) -m pyright --pythonpath $(python)

docs: $(ready)/docs ## the documentation, in docs/_build
	$(python) -m sphinx -n -W --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache

# -- what they need ---------------------------------------------------------

# One stamp a dependency group; each is made again when pyproject.toml changes.
$(ready)/test $(ready)/lint $(ready)/types $(ready)/docs $(ready)/demo \
		$(ready)/demo-check $(ready)/bench: $(ready)/package
	$(pip) install --quiet --group $(@F)
	@touch $@

$(ready)/package: $(ready)/venv pyproject.toml
	$(pip) install --quiet --editable .
	@touch $@

# Dependency groups need pip 25.1; a new environment has the one that Python came with.
$(ready)/venv:
	@test -n "$(PYTHON)" || { echo "Redpony needs Python 3.11 or newer, with venv \
	(Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(pip) install --quiet --upgrade "pip>=25.1"
	@mkdir -p $(ready)
	@touch $@

$(ready)/redis-server: | $(ready)/venv
	@sh .ci/need redis-server redis-server
	@touch $@

# For servers whose clock is set while they run.
$(ready)/faketime: | $(ready)/venv
	@sh .ci/need faketime faketime
	@touch $@

$(ready)/postgresql: | $(ready)/venv
	@sh .ci/need initdb postgresql
	@touch $@

$(ready)/chromium: | $(ready)/venv
	@sh .ci/need chromium chromium
	@sh .ci/need chromedriver chromium-driver
	@touch $@
