# Tests: `make check` runs everything, stage by stage (tests/run/check.sh), and ends
# with "N passed, N failed".  The targets below run single stages.

# The sanitizers' builds also check who holds which lock, and that what cannot be is not
# (src/sync/lock_rank.h, src/base/bug.h).
ASAN_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
              -fno-omit-frame-pointer -DSQ_CHECK
TSAN_FLAGS := -O1 -g -fsanitize=thread -Wno-error=tsan -DSQ_CHECK
# Those that threads race in; the others use processes, which TSan cannot see into.
TSAN_TESTS := many wait worker call
# Those that sleep and wake, for the other body of the condition variable.
SYNC_TESTS := cond wait plain many lease topic fd space roles worker call
VALGRIND_TESTS := plain many attr ring stats send byid

ALL_TESTS := $(patsubst $(BUILD)/tests/unit/test_%,%,$(TESTS))

.PHONY: check deps check-build check-unit check-tools check-examples check-layers \
        check-asan check-tsan check-posix check-clang check-musl check-valgrind check-growth \
        check-instructions check-symbols check-install check-left lint tests tests-run

check: deps
	@MAKE="$(MAKE)" BUILD="$(BUILD)" sh tests/run/check.sh

deps:
	@CC="$(CC)" sh tests/run/install-deps.sh

tests: $(TESTS)

tests-run: tests
	@TEST_PREFIX="$(TEST_PREFIX)" sh tests/run/run_tests.sh $(BUILD) $(or $(ONLY),$(ALL_TESTS))

# Before each commit: the library and its layers, and the unit tests that were built since
# they last passed.  A minute after a change in src/, seconds after one in a test.
.PHONY: quick
quick: check-build check-layers
	@TEST_PREFIX="$(TEST_PREFIX)" sh tests/run/run_tests.sh $(BUILD) --changed $(ALL_TESTS)

check-build: all tests $(CRASH_TESTS) $(STORM_TESTS) $(POWER_TESTS)

check-unit: tests-run

check-tools: all
	bash tests/cli/tools.sh $(BUILD)
	bash tests/cli/tools_delivery.sh $(BUILD)
	bash tests/cli/tools_work.sh $(BUILD)
	bash tests/cli/tools_export.sh $(BUILD)
	bash tests/cli/tools_files.sh $(BUILD)
	bash tests/cli/tools_check.sh $(BUILD)

check-examples: all
	BUILD=$(BUILD) CC="$(CC)" bash tests/run/examples.sh

check-layers: $(LIB_OBJ)
	sh tests/run/layers.sh $(BUILD)

# ASan's own signal stacks and cancelled threads do not go together.
check-asan:
	$(MAKE) BUILD=build-asan CFLAGS="$(ASAN_FLAGS)" \
	    TEST_PREFIX="env ASAN_OPTIONS=use_sigaltstack=0" tests-run

# gcc warns that TSan does not know fences.  It is told of what they order by the
# atomics beside them.
check-tsan:
	$(MAKE) BUILD=build-tsan CFLAGS="$(TSAN_FLAGS)" \
	    TEST_PREFIX="env TSAN_OPTIONS=halt_on_error=1" ONLY="$(TSAN_TESTS)" tests-run
	$(MAKE) BUILD=build-tsan CFLAGS="$(TSAN_FLAGS)" build-tsan/tests/storm/storm
	env TSAN_OPTIONS=halt_on_error=1 build-tsan/tests/storm/storm 4 --threads

check-posix:
	$(MAKE) BUILD=build-posix SYNC=posix ONLY="$(SYNC_TESTS)" tests-run

check-clang:
	$(MAKE) BUILD=build-clang CC=clang all tests
	$(MAKE) BUILD=build-clang CC=clang ONLY="plain many ring" tests-run

# Also the library without liblz4, and the commands without jansson.
check-musl: all
	$(MAKE) BUILD=build-musl CC=musl-gcc LZ4=no JANSSON=no all
	sh tests/run/smoke.sh build-musl $(BUILD)

check-valgrind:
	$(MAKE) TEST_PREFIX="valgrind -q --leak-check=full --error-exitcode=9 --child-silent-after-fork=yes" \
	    ONLY="$(VALGRIND_TESTS)" tests-run

$(BUILD)/tests/run/growth: $(BUILD)/tests/run/growth.o $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

check-growth: $(BUILD)/tests/run/growth
	sh tests/run/growth.sh $(BUILD)

$(BUILD)/tests/run/instructions: $(BUILD)/tests/run/instructions.o $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

check-instructions: $(BUILD)/tests/run/instructions
	CC="$(CC)" CFLAGS="$(CFLAGS)" sh tests/run/instructions.sh $(BUILD)

check-symbols: all
	sh tests/run/symbols.sh $(BUILD)

check-install: all
	MAKE="$(MAKE)" CC="$(CC)" BUILD=$(BUILD) sh tests/run/install.sh

lint:
	clang-format --dry-run -Werror $(shell git ls-files '*.c' '*.h')
