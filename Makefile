# The commands of this project; `make` alone lists them. Everything is set up when it is first needed.
# All paths are relative, because make cannot cope with spaces in a longer one.

PYTHON = python3
VENV = .venv/bin/python

.PHONY: help run test benchmark faults clean
.NOTPARALLEL:

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /    make \1	/p' Makefile

run: .venv/installed ## set up, do what cron does every ten minutes, and say what is deployed
	@$(VENV) fullprocess.py
	@$(VENV) fullprocess.py --status

# A file's tests go to one process, and files in the order of their names: the faults, which take longest, come first.
test: .venv/installed-dev ## set up and run every check: style, types, tests
	$(VENV) -m ruff check
	$(VENV) -m ruff format --check
	$(VENV) -m mypy
	$(VENV) -m pytest -n auto --dist loadfile --no-loadscope-reorder

benchmark: .venv/installed ## measure speed and memory
	@$(VENV) benchmarks/run.py

faults: .venv/installed-dev ## kill, fail and damage a run at every point (some hours)
	@$(VENV) -m tests.faults

# The records and what is deployed are history, not rubbish: they stay. `git clean -Xdi` takes them too.
clean: ## remove the virtual environment and caches, never data, models or records
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +


# The virtual environment. The empty files .venv/installed and .venv/installed-dev say that it holds what the
# requirements files ask for. They are removed first and written last, so a set-up that was cut off starts afresh.

# Settings of the user's pip that would lead packages elsewhere are blanked; which index to ask remains theirs.
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_DRY_RUN PIP_NO_DEPS PIP_PYTHON PIP_REQUIRE_VIRTUALENV
unexport PYTHONHOME PYTHONPATH
export PIP_NO_INPUT = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
BLANK = target =\nprefix =\nroot =\nuser =\ndry-run =\nno-deps =\npython =\nrequire-virtualenv =\n
PIP_INSTALL = $(VENV) -m pip install --quiet

# An environment whose Python is gone, or was upgraded with the system, is made anew.
WORKS = $(VENV) -c 'import pip; print("yes")' 2>/dev/null
ifneq ($(shell $(WORKS)),yes)
.PHONY: .venv/installed
endif

.venv/installed: requirements.txt
	$(if $(trouble),$(error $(trouble)))
	@echo "setting up .venv (once, a minute or two)"
	@test -f $@ && $(WORKS) >/dev/null || $(PYTHON) -m venv --clear .venv
	@rm -f .venv/installed .venv/installed-dev
	@printf '[global]\n$(BLANK)[install]\n$(BLANK)' >.venv/pip.conf
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt requirements-postgresql.txt requirements-remote.txt .venv/installed
	@echo "adding what the tests need to .venv"
	@rm -f .venv/installed .venv/installed-dev
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch .venv/installed $@

# What is wrong with the Python at hand, in one line, or nothing.
trouble = $(shell \
	if ! command -v $(PYTHON) >/dev/null; then \
	    echo "$(PYTHON) not found: install Python 3.11 or newer"; \
	elif ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    echo "Python 3.11 or newer is needed, and this is `$(PYTHON) -V 2>&1`; name another: make PYTHON=python3.12 ..."; \
	elif ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$(PYTHON) cannot make virtual environments: install python3-venv (Debian, Ubuntu: apt-get install python3-venv)"; \
	fi)
