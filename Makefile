# `make` alone lists the targets. GNU make 4.3 or later.
#
# Settings, on the command line or in the environment (make run PORT=7080):
PORT ?= 7071
AZURITE_PORT ?= 10000
DATA_DIR ?= .data
KEEP ?=
REPEAT ?= 1
export PORT AZURITE_PORT DATA_DIR KEEP

PYTHON := .venv/bin/python
CHECKED := $(wildcard function_app.py functions shared devhost labelbridge samples bench scripts tests)
WEB := $(if $(wildcard web/package.json),web)
CHROMIUM := $(if $(wildcard tests/browser),chromium)

# A recipe that starts a long-running program is one line with `exec`: the program is then a direct
# child of make, which forwards SIGTERM to it and waits for its end.

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  settings: PORT=$(PORT) AZURITE_PORT=$(AZURITE_PORT) DATA_DIR=$(DATA_DIR) KEEP=$(KEEP) REPEAT=$(REPEAT) PYTEST_ARGS=$(PYTEST_ARGS)"

.PHONY: install
install: ## install .venv and Azurite (other targets do it when needed)
	@exec scripts/bootstrap.sh

.PHONY: web
web: ## build the review page, if it changed
	@exec scripts/web.sh

.PHONY: chromium
chromium:
	@exec scripts/chromium.sh

.PHONY: demo
demo: install $(WEB) ## show the path from an upload to a saved label; KEEP=1 leaves it running
	@exec $(PYTHON) -m samples.demo

CHECK := $(PYTHON) -m scripts.check_settings --port "$(PORT)" --azurite-port "$(AZURITE_PORT)" --data-dir "$(DATA_DIR)"

.PHONY: checked-settings
checked-settings: install
	@$(CHECK)

.PHONY: doctor
doctor: ## check this machine and the settings; works without Node.js and says so when it is missing
	@scripts/bootstrap.sh python && exec $(CHECK) --machine

.PHONY: run
run: install checked-settings $(WEB) ## serve in the foreground until Ctrl-C or SIGTERM
	@exec $(PYTHON) -m devhost run --app . --port "$(PORT)" --azurite-port "$(AZURITE_PORT)" --data-dir "$(DATA_DIR)" \
		--exclude labelbridge --exclude %TABLE_PREFIX% --say "$$($(PYTHON) -m scripts.welcome)"

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

# The model answers by chance; these tests hold the app to the contract of a real server, which no fake does.
.PHONY: test-llm
test-llm: install ## run the tests against a real language model; the first run builds a server for up to an hour
	@scripts/llm.sh
	@exec $(PYTHON) scripts/test.py llm

.PHONY: bench
bench: install ## measure against raw storage in the same run; REPEAT=3 for median and spread, FULL=1 adds 100,000 documents
	@exec $(PYTHON) -m bench --repeat "$(REPEAT)"

.PHONY: bench-idle
bench-idle: install ## count storage calls with nothing to do, with 1 and with 300 projects
	@exec $(PYTHON) -m bench --idle

.PHONY: bench-memory
bench-memory: install ## measure peak memory: large imports from a body and from a blob, refused bodies, fits and predictions
	@exec $(PYTHON) -m bench.memory

.PHONY: bench-compare
bench-compare: install ## print the ratios of two results: OLD=a.json NEW=b.json
	@exec $(PYTHON) -m bench --compare "$(OLD)" "$(NEW)"

.PHONY: bench-engines
bench-engines: install ## measure the engines' quality and speed
	@exec $(PYTHON) -m bench.engines

.PHONY: compare-storage
compare-storage: install ## compare the answers of both storage clients to many random inputs (minutes); EXAMPLES=500
	@COMPARE_EXAMPLES="$${EXAMPLES:-500}" exec $(PYTHON) -m pytest tests/contract/test_clients_agree.py --timeout 3600

.PHONY: lint
lint: install ## check style, types, imports between layers, the function index, and the Bicep files
	$(PYTHON) -m ruff check $(CHECKED)
	$(PYTHON) -m ruff format --check $(CHECKED)
	$(PYTHON) -m pyright --project pyproject.toml
	.venv/bin/lint-imports
	$(PYTHON) scripts/index_functions.py
	$(PYTHON) scripts/lint_infra.py

.PHONY: format
format: install ## format the code and sort its imports
	$(PYTHON) -m ruff check --fix-only --select I $(CHECKED)
	$(PYTHON) -m ruff format $(CHECKED)

COMPILE := .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.13 \
	--generate-hashes --no-header

.PHONY: requirements
requirements: ## compile the requirements files from pyproject.toml; UPGRADE=--upgrade takes newer versions
	@scripts/bootstrap.sh python
	$(COMPILE) $(UPGRADE) --extra app --output-file requirements.txt
	$(COMPILE) $(UPGRADE) --extra app --extra cli --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	$(COMPILE) $(UPGRADE) --extra cli --extra entra --constraint requirements-dev.txt --output-file requirements-cli.txt

.PHONY: clean
clean: ## remove everything that can be rebuilt; the data in DATA_DIR stays
	rm -rf .venv node_modules web/node_modules web/dist .bootstrap
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
