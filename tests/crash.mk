# Deaths and power cuts: `make check-crash-quick` (a minute or two), `make check-crash` (every
# kill point of every operation, more states of the disk), `make soak` (that, storms of ten
# minutes each, and fuzzing).

CRASH_BASE  := crash_main crash_step
CRASH_OBJ   := $(addprefix $(BUILD)/tests/,$(addsuffix .o,$(CRASH_BASE) crash crash_scene \
                   crash_ops crash_check))
DELIVERY_OBJ := $(addprefix $(BUILD)/tests/,$(addsuffix .o,$(CRASH_BASE))) \
    $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/crash_delivery*.c))
KEEP_OBJ     := $(filter-out $(BUILD)/tests/crash_delivery.o,$(DELIVERY_OBJ)) \
    $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/crash_keep*.c))
CRASH_TESTS := $(addprefix $(BUILD)/tests/,crash crash_delivery crash_keep waiters storm lease_storm \
                   journal_storm)
CRASH_SAMPLE ?= 1000
DELIVERY_SAMPLE ?= 600
KEEP_SAMPLE ?= 600
SOAK_SECONDS ?= 600

# Calls are bound at the start (-z now), or the first step into each would go
# through the dynamic linker.
$(BUILD)/tests/crash: $(CRASH_OBJ)
$(BUILD)/tests/crash_delivery: $(DELIVERY_OBJ)
$(BUILD)/tests/crash_keep: $(KEEP_OBJ)
$(BUILD)/tests/waiters: $(BUILD)/tests/waiters.o
$(BUILD)/tests/lease_storm: $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/lease_storm*.c))
$(BUILD)/tests/journal_storm: $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/journal_storm*.c))
$(BUILD)/tests/journal_storm: $(BUILD)/tests/disk/place.o
$(BUILD)/tests/storm: $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/storm*.c))
$(CRASH_TESTS): $(addprefix $(BUILD)/tests/,helper.o message.o) $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) -Wl,-z,now $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LDLIBS) -o $@

# Power cuts: states of the disk, of which the library makes queues.
FILE_STATES ?= 500
JOURNAL_STATES ?= 350
POWER_TESTS := $(addprefix $(BUILD)/tests/,crash_files crash_journal)
$(BUILD)/tests/crash_files: $(BUILD)/tests/crash_files.o
$(BUILD)/tests/crash_journal: $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/crash_journal*.c))
$(BUILD)/tests/crash_journal: $(BUILD)/tests/message.o
$(POWER_TESTS): $(addprefix $(BUILD)/tests/disk/,states.o place.o) $(BUILD)/libshmq.a \
    | $(BUILD)/tests/disk/record.so
	$(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS) -o $@

.PHONY: check-crash-quick check-crash soak
check-crash-quick: $(CRASH_TESTS) $(POWER_TESTS)
	$(BUILD)/tests/crash --sample $(CRASH_SAMPLE)
	$(BUILD)/tests/crash_delivery --sample $(DELIVERY_SAMPLE)
	$(BUILD)/tests/crash_keep --sample $(KEEP_SAMPLE)
	$(BUILD)/tests/waiters 200
	$(BUILD)/tests/storm 10
	$(BUILD)/tests/lease_storm 10
	$(BUILD)/tests/journal_storm 10
	$(BUILD)/tests/crash_files --states $(FILE_STATES) --saves 20
	$(BUILD)/tests/crash_journal --states $(JOURNAL_STATES) --deeds 150

check-crash: $(CRASH_TESTS) $(POWER_TESTS)
	# The one mostly waits, the other mostly steps.
	$(BUILD)/tests/crash --op waking & waking=$$!; \
	$(BUILD)/tests/crash --op other && $(BUILD)/tests/waiters 1000; other=$$?; \
	wait $$waking && exit $$other
	$(BUILD)/tests/crash_delivery
	$(BUILD)/tests/crash_keep --op file & file=$$!; \
	$(BUILD)/tests/crash_keep --op journal && $(BUILD)/tests/crash_keep --op always; other=$$?; \
	wait $$file && exit $$other
	$(BUILD)/tests/crash_files
	$(BUILD)/tests/crash_journal

soak: check-crash
	$(BUILD)/tests/storm $(SOAK_SECONDS)
	$(BUILD)/tests/lease_storm $(SOAK_SECONDS)
	$(BUILD)/tests/journal_storm $(SOAK_SECONDS)
	$(MAKE) fuzz-file
