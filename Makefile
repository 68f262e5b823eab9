# Set-up happens by itself: `make demo` and `make test` make .venv on first use and are quick afterwards.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The CPU build; `make test TORCH=` leaves torch and the tests that need it out.
TORCH  ?= torch==2.13.0
NATIVE := $(shell find tvm_memopt -path '*/native/*' -name '*.cc' -o -path '*/native/*' -name '*.h')
RUNTIME := $(wildcard tvm_memopt/export/runtime/*)
MODEL  := examples/models/basic_pitch.onnx
SHAPE  := serving_default_input_2:0=1,43844,1

.PHONY: demo test test-slow test-emulator test-relay lint docs wheel test-sanitize bench clean
.DELETE_ON_ERROR:

# Debian's python3 may lack ensurepip: then the system's pip fills the environment.
$(VENV)/.made:
	$(PYTHON) -m venv $(VENV) 2>/dev/null \
	  || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
	       && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	touch $@

$(VENV)/.demo: $(VENV)/.made setup.py $(NATIVE)
	$(BIN)/python -m pip install --quiet --editable '.[tvm,onnx,report]'
	touch $@

$(VENV)/.test: $(VENV)/.made setup.py $(NATIVE)
	$(if $(TORCH),$(BIN)/python -m pip install --quiet '$(TORCH)')
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/.docs: $(VENV)/.made setup.py $(NATIVE)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

demo: $(VENV)/.demo
	mkdir -p demo_output
	$(BIN)/tvm-memopt optimize $(MODEL) --shape $(SHAPE) -o demo_output/basic_pitch.so \
	  --report demo_output/report --measure

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# What make test leaves out to stay quick.
test-slow: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m slow

# On emulated AArch64 and Hexagon devices: the first run downloads 160 MB into the user's cache.
test-emulator: $(VENV)/.test
	$(BIN)/python -m pytest tests/targets/emulator tests/export -m emulator

# The door to Relay-era TVM, in an environment of its own: both TVMs install the package tvm. The wheel is for CPython
# 3.10; on a later Python it runs without its compiled FFI module, through ctypes.
RELAY       := .venv-relay
RELAY_WHEEL := hhb-tvm==3.2.3
RELAY_PIP    = $(RELAY)/bin/python -m pip install --quiet
RELAY_HOME   = $$($(RELAY)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
$(RELAY)/.made: setup.py tests/relay/requirements.txt $(NATIVE)
	test -x $(RELAY)/bin/python || $(PYTHON) -m venv $(RELAY) 2>/dev/null \
	  || { $(PYTHON) -m venv --clear --without-pip $(RELAY) \
	       && $(PYTHON) -m pip --python $(RELAY)/bin/python install --quiet pip; }
	$(if $(TORCH),$(RELAY_PIP) '$(TORCH)')
	$(RELAY_PIP) --requirement tests/relay/requirements.txt
	$(RELAY_PIP) --no-deps --only-binary=:all: --python-version 3.10 --upgrade --target "$(RELAY_HOME)" '$(RELAY_WHEEL)'
	$(RELAY_PIP) --no-deps --no-build-isolation --editable .
	touch $@

test-relay:
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then $(MAKE) --no-print-directory run-test-relay; \
	else echo "test-relay: skipped: $(RELAY_WHEEL) has no wheel for $$(uname -sm)"; fi

.PHONY: run-test-relay
run-test-relay: $(RELAY)/.made
	$(RELAY)/bin/python -m pytest tests/relay --numprocesses 2 --dist worksteal

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/clang-format --dry-run --Werror $(NATIVE) $(RUNTIME)
	$(BIN)/codespell

# The native cores with sanitizers, in a copy of the sources: a report ends the tests that run them.
SANITIZED := tests/solvers/order tests/solvers/layout/test_exact.py tests/solvers/remat/test_native_remat.py \
             tests/solvers/remat/test_windows.py tests/solvers/remat/test_exact.py tests/cost_model/features
THREADED  := tests/solvers/order/test_search.py tests/solvers/remat/test_native_remat.py tests/solvers/remat/test_search.py
test-sanitize: $(VENV)/.test
	$(call sanitized,address$(,)undefined,libasan.so,ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0,$(SANITIZED))
	$(call sanitized,thread,libtsan.so,TSAN_OPTIONS=halt_on_error=1:ignore_noninstrumented_modules=1,$(THREADED))

, := ,
# $(1): the sanitizers, $(2): their library, $(3): their options, $(4): the tests
define sanitized
	rm -rf build/sanitize && mkdir -p build/sanitize
	git ls-files -z | xargs -0 tar cf - | tar xf - -C build/sanitize
	cd build/sanitize && CXXFLAGS="-fsanitize=$(1) -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g" \
	  $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	cd build/sanitize && LD_PRELOAD="$$(g++ -print-file-name=$(2)) $$(g++ -print-file-name=libstdc++.so)" $(3) \
	  PYTHONPATH=. $(CURDIR)/$(BIN)/python -m pytest $(4)
endef

# The wheel in an empty environment: the search without TVM, one clear line where TVM is missing.
wheel: $(VENV)/.test
	rm -rf dist build/wheel build/five_buffers_plan.json
	$(BIN)/python -m build --wheel --outdir dist
	$(PYTHON) -m venv build/wheel 2>/dev/null \
	  || { $(PYTHON) -m venv --clear --without-pip build/wheel \
	       && $(PYTHON) -m pip --python build/wheel/bin/python install --quiet pip; }
	build/wheel/bin/python -m pip install --quiet dist/*.whl
	cd build && ! wheel/bin/python -c "import tvm" 2>/dev/null
	cd build && wheel/bin/tvm-memopt plan ../docs/five_buffers.json -o five_buffers_plan.json

# The site, in site/. A link that leads nowhere ends the build.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --requirement benchmarks/requirements-models.txt
	$(BIN)/python -m benchmarks.models --resume
	$(BIN)/python -m benchmarks.layered

clean:
	rm -rf $(VENV) $(RELAY) build demo_output site *.egg-info
