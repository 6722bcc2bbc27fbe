# Deaths and power cuts: `make check-crash-quick` (a minute or two), `make check-crash` (every
# kill point of every operation, more states of the disk), `make soak` (that, storms of ten
# minutes each, and fuzzing).

# A program of crash/ is the files that begin with its name, and what steps a victim.
CRASH_STEPS  := $(addprefix $(BUILD)/tests/crash/,crash_main.o crash_step.o)
CRASH_OBJ    := $(addprefix $(BUILD)/tests/crash/,crash.o crash_scene.o crash_ops.o crash_check.o)
DELIVERY_OBJ := $(filter $(BUILD)/tests/crash/crash_delivery%,$(call objects,tests/crash))
FILE_OBJ     := $(filter $(BUILD)/tests/crash/crash_file%,$(call objects,tests/crash)) \
                    $(filter-out %/crash_delivery.o,$(DELIVERY_OBJ))
CRASH_TESTS  := $(addprefix $(BUILD)/tests/crash/,crash crash_delivery crash_file)
STORM_TESTS  := $(addprefix $(BUILD)/tests/storm/,storm lease_storm journal_storm waiters)
CRASH_SAMPLE ?= 1000
DELIVERY_SAMPLE ?= 600
FILE_SAMPLE ?= 600
SOAK_SECONDS ?= 600

$(BUILD)/tests/crash/crash: $(CRASH_STEPS) $(CRASH_OBJ)
$(BUILD)/tests/crash/crash_delivery: $(CRASH_STEPS) $(DELIVERY_OBJ)
$(BUILD)/tests/crash/crash_file: $(CRASH_STEPS) $(FILE_OBJ)
$(BUILD)/tests/storm/storm: $(addprefix $(BUILD)/tests/storm/,storm.o storm_check.o storm_threads.o storm_work.o)
$(BUILD)/tests/storm/lease_storm: $(filter $(BUILD)/tests/storm/lease_storm%,$(call objects,tests/storm))
$(BUILD)/tests/storm/journal_storm: $(filter $(BUILD)/tests/storm/journal_storm%,$(call objects,tests/storm))
$(BUILD)/tests/storm/waiters: $(BUILD)/tests/storm/waiters.o

# Calls are bound at the start (-z now), or the first step into each would go
# through the dynamic linker.
$(CRASH_TESTS) $(STORM_TESTS): $(BUILD)/tests/libtest.a $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $(WRAP) -Wl,-z,now $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LDLIBS) -o $@

# Power cuts: states of the disk, of which the library makes queues.
FILE_STATES ?= 500
JOURNAL_STATES ?= 350
POWER_TESTS := $(addprefix $(BUILD)/tests/crash/,power_snapshot power_journal)
$(BUILD)/tests/crash/power_snapshot: $(BUILD)/tests/crash/power_snapshot.o
$(BUILD)/tests/crash/power_journal: $(filter $(BUILD)/tests/crash/power_journal%,$(call objects,tests/crash))
$(POWER_TESTS): $(BUILD)/tests/libtest.a $(BUILD)/libshmq.a | $(BUILD)/tests/disk/record.so
	$(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS) -o $@

.PHONY: check-crash-quick check-crash soak
check-crash-quick: $(CRASH_TESTS) $(STORM_TESTS) $(POWER_TESTS)
	$(BUILD)/tests/crash/crash --sample $(CRASH_SAMPLE)
	$(BUILD)/tests/crash/crash_delivery --sample $(DELIVERY_SAMPLE)
	$(BUILD)/tests/crash/crash_file --sample $(FILE_SAMPLE)
	$(BUILD)/tests/storm/waiters 200
	$(BUILD)/tests/storm/storm 10
	$(BUILD)/tests/storm/lease_storm 10
	$(BUILD)/tests/storm/journal_storm 10
	$(BUILD)/tests/crash/power_snapshot --states $(FILE_STATES) --saves 20
	$(BUILD)/tests/crash/power_journal --states $(JOURNAL_STATES) --deeds 150

check-crash: $(CRASH_TESTS) $(STORM_TESTS) $(POWER_TESTS)
	# The one mostly waits, the other mostly steps.
	$(BUILD)/tests/crash/crash --op waking & waking=$$!; \
	$(BUILD)/tests/crash/crash --op other && $(BUILD)/tests/storm/waiters 1000; other=$$?; \
	wait $$waking && exit $$other
	$(BUILD)/tests/crash/crash_delivery
	$(BUILD)/tests/crash/crash_file --op file & file=$$!; \
	$(BUILD)/tests/crash/crash_file --op journal && $(BUILD)/tests/crash/crash_file --op always; other=$$?; \
	wait $$file && exit $$other
	$(BUILD)/tests/crash/power_snapshot
	$(BUILD)/tests/crash/power_journal

soak: check-crash
	$(BUILD)/tests/storm/storm $(SOAK_SECONDS)
	$(BUILD)/tests/storm/lease_storm $(SOAK_SECONDS)
	$(BUILD)/tests/storm/journal_storm $(SOAK_SECONDS)
	$(MAKE) fuzz-file
