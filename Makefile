# The front door. `make` alone lists what there is. GNU make 4.3 or newer.
#
# Settings, on the command line or in the environment (make run PORT=7080):
PORT ?= 7071
AZURITE_PORT ?= 10000
DATA_DIR ?= .data
KEEP ?=
export PORT AZURITE_PORT DATA_DIR KEEP

PYTHON := .venv/bin/python
CHECKED := $(wildcard function_app.py functions shared devhost samples bench scripts tests)
WEB := $(if $(wildcard web/package.json),web)
CHROMIUM := $(if $(wildcard tests/browser),chromium)

# A recipe that starts something long-lived is one line with `exec`: the program is then make's own
# child, to which make passes a SIGTERM on and for whose end it waits.

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  settings: PORT=$(PORT) AZURITE_PORT=$(AZURITE_PORT) DATA_DIR=$(DATA_DIR) KEEP=$(KEEP) PYTEST_ARGS=$(PYTEST_ARGS)"

.PHONY: install
install: ## install what everything else needs: .venv and Azurite (done by the others when needed)
	@exec scripts/bootstrap.sh

.PHONY: web
web: ## build the review page, when it changed
	@exec scripts/web.sh

.PHONY: chromium
chromium:
	@exec scripts/chromium.sh

.PHONY: demo
demo: install $(WEB) ## show the whole path from an upload to a saved label; KEEP=1 leaves it running
	@exec $(PYTHON) -m samples.demo

.PHONY: run
run: install $(WEB) ## serve in the foreground until Ctrl-C or SIGTERM
	@exec $(PYTHON) -m devhost run --app . --port "$(PORT)" --azurite-port "$(AZURITE_PORT)" --data-dir "$(DATA_DIR)"

.PHONY: test
test: install $(WEB) $(CHROMIUM) ## run all tests
	@npm --prefix web run --silent check
	@npm --prefix web run --silent test
	@exec $(PYTHON) scripts/test.py

.PHONY: test-unit
test-unit: install ## run the tests that take seconds
	@exec $(PYTHON) scripts/test.py unit architecture

test-browser: $(CHROMIUM)
test-%: install $(WEB) ## run the tests of one folder of tests/, as make test-integration
	@exec $(PYTHON) scripts/test.py $*

.PHONY: bench
bench: install ## measure against raw storage in the same run
	@exec $(PYTHON) -m bench

.PHONY: bench-engines
bench-engines: install ## measure the engines' quality and speed
	@exec $(PYTHON) -m bench.engines

.PHONY: lint
lint: install ## check style, types and the direction of imports
	$(PYTHON) -m ruff check $(CHECKED)
	$(PYTHON) -m ruff format --check $(CHECKED)
	$(PYTHON) -m pyright --project pyproject.toml
	.venv/bin/lint-imports

.PHONY: format
format: install ## format the code and sort its imports
	$(PYTHON) -m ruff check --fix-only --select I $(CHECKED)
	$(PYTHON) -m ruff format $(CHECKED)

COMPILE := .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.13 \
	--generate-hashes --no-header

.PHONY: requirements
requirements: ## compile both requirements files from pyproject.toml; UPGRADE=--upgrade takes newer versions
	@scripts/bootstrap.sh python
	$(COMPILE) $(UPGRADE) --output-file requirements.txt
	$(COMPILE) $(UPGRADE) --extra dev --constraint requirements.txt --output-file requirements-dev.txt

.PHONY: clean
clean: ## remove everything that can be made again; the data in DATA_DIR stays
	rm -rf .venv node_modules web/node_modules web/dist .bootstrap
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
