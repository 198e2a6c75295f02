# `make site` and `make test` set up everything they need; see .ci/setup for what that is.
PYTHON := .venv/bin/python
MODELS := fashion
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help site test setup lint benchmark builds serve clean

help:            ## list the targets
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*## / — /'

setup:           ## install what is needed into .venv and site/node_modules
	@bash .ci/setup

site: setup      ## build _site/ (MODELS="fashion …") and measure it in a real browser
	$(PYTHON) -m export.build $(foreach model,$(MODELS),--model $(model))
	$(PYTHON) -m export.measure

test: setup lint ## run every check and test
	$(PYTHON) -m pytest -q

lint: setup      ## static checks and the tests of the page's scripts
	.venv/bin/ruff check export tests
	.venv/bin/ruff format --check export tests
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/clang-format --dry-run --Werror $$(find site/engine tests/engine -name '*.[ch]')
	npm run --silent --prefix site check
	npm test --silent --prefix site
	npm run --silent --prefix site lint:workflows

benchmark: setup ## compare all engines on DeiT-tiny, first visits included
	$(PYTHON) -m export.measure --benchmark --model deit_t --weights random --rounds 5

builds: setup    ## measure how long builds take, from nothing to a page
	$(PYTHON) -m export.measure --builds

serve:           ## show _site/ on localhost
	$(PYTHON) -m export.serve

clean:           ## remove what was built; the environment stays
	rm -rf _site artifacts .cache/bundle
