# make play [PORT=8800]   serve the game and open it in the browser (base install: no torch)
# make test               run every test (base install + extras train and dev)
#                         (the page is tested in the system's own Chromium, and not at all where there is none)
# make lint               formatting, rules, types, room boundaries (same install as make test)
#
# Each does its own set-up in .venv and repeats it only when pyproject.toml or constraints.txt changed.

PORT ?= 8800
JOBS ?= 2
VENV := .venv
PY := $(VENV)/bin/python
BASE := $(VENV)/.installed-base
FULL := $(VENV)/.installed-full
INPUTS := pyproject.toml constraints.txt tools/setup.sh

# A stamp counts only while the environment behind it works and holds this very checkout.
HOME_OF = import pathlib, pushjepa; print(pathlib.Path(pushjepa.__file__).resolve().parents[2])
ifneq ($(shell $(PY) -I -c '$(HOME_OF)' 2>/dev/null),$(realpath $(CURDIR)))
$(BASE): FORCE
endif

.PHONY: play test lint format constraints FORCE
.NOTPARALLEL:

play: $(BASE)
	$(PY) -m pushjepa play --port $(PORT)

test: $(FULL)
	@[ -n "$$PUSHJEPA_CHROMIUM" ] || command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null || \
	    echo "make test: no Chromium is installed, so the tests of the page are skipped (on Debian: apt install chromium)"
	$(PY) -m pytest -n $(JOBS) --ignore tests/browser
	$(PY) -m pytest tests/browser

lint: $(FULL)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

format: $(FULL)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

# Newest versions that fit together; commit the result together with the change that needed it.
constraints:
	tools/setup.sh constraints

$(BASE): $(INPUTS)
	tools/setup.sh base
	touch $@

# The full install holds the base one, so a newer base (or a new environment) makes this one due again.
$(FULL): $(BASE) $(INPUTS)
	tools/setup.sh full
	touch $@

FORCE:
