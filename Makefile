# `make site` and `make test` set up what they need themselves; see .ci/setup for what that is.
PYTHON := .venv/bin/python
MODELS := photos
ENGINES :=
GROUPS :=
WORKERS := 2
# Each file's tests in one process, so that what they share is made once; in the order of pyproject.toml.
PYTEST := $(PYTHON) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
export PATH := $(CURDIR)/.venv/bin:$(PATH)
comma := ,
empty :=
space := $(empty) $(empty)
override ENGINES := $(strip $(subst $(comma),$(space),$(ENGINES)))

.PHONY: help site test check setup lint wheel lib benchmark builds faults serve clean

help:            ## list the targets
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*## / — /'

setup:           ## install what everything needs, or only what ENGINES="vit …" need
	@bash .ci/setup $(ENGINES)

site:            ## build _site/ (MODELS="photos …", ENGINES="vit …") and measure it in a real browser
	@bash .ci/setup $(or $(ENGINES),vit tfjs)
	$(PYTHON) -m export.build $(foreach model,$(MODELS),--model $(model)) $(if $(ENGINES),--engine $(subst $(space),$(comma),$(ENGINES)))
	$(PYTHON) -m export.measure

test: lint       ## run every check and test, WORKERS=2 at once
	$(PYTEST) --durations 25

check: lint      ## run the checks and the tests that need no converter and no browser, and are not slow
	$(PYTEST) -m "not conversion and not browser and not slow"

lint:            ## static checks and the tests of the page's scripts
	@bash .ci/setup
	.venv/bin/ruff check .ci export tests
	.venv/bin/ruff format --check .ci export tests
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/clang-format --dry-run --Werror $$(find site/engine tests/engine -name '*.[ch]')
	npm run --silent --prefix site check
	npm test --silent --prefix site
	npm run --silent --prefix site lint:workflows

wheel:           ## build dist/*.whl, which brings the page along
	@bash .ci/setup vit
	$(PYTHON) -m pip wheel --quiet --no-deps -w dist .

lib:             ## write dist/npm, the npm package of the library
	@bash .ci/setup vit
	npm run --silent --prefix site lib -- --out dist/npm --bundle "$$($(PYTHON) -c 'from export.page.assets.bundle import make_bundle; print(make_bundle())')"

benchmark:       ## compare all engines on DeiT-tiny, first visits included
	@bash .ci/setup
	$(PYTHON) -m export.measure --benchmark --model deit_t --weights random --rounds 5

builds:          ## measure how long builds take, from nothing to a page
	@bash .ci/setup
	$(PYTHON) -m export.measure --builds

faults:          ## try every fault (GROUPS="kills network …": only these) and write artifacts/faults.json
	@bash .ci/setup
	$(PYTEST) -m faults --faults-full --faults-report artifacts/faults.json $(if $(strip $(GROUPS)),--faults-only $(subst $(space),$(comma),$(strip $(GROUPS))))

serve:           ## show _site/ on localhost
	$(PYTHON) -m export.serve

clean:           ## remove what was built; the environment stays
	rm -rf _site artifacts dist .cache/bundle .cache/wheel
