# Fuzzing of what reads files (tests/fuzz_file.c), by clang's libFuzzer: `make check-fuzz`
# for 20 s from the corpus in tests/corpus/, `make fuzz-file` for $(SOAK_FUZZ_SECONDS).
# What crashed is left in $(BUILD)/fuzz/.  `make fuzz-corpus` writes the corpus anew.

FUZZ_SECONDS      ?= 20
SOAK_FUZZ_SECONDS ?= 300
FUZZ_CC           ?= clang
FUZZ_FLAGS        := -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_SRC          := tests/fuzz_file.c tests/fuzz_queue.c $(patsubst %,tools/%.c,$(OBJ_salvage)) \
                     $(patsubst %,src/%.c,frame frames image crc error restore segment ring record \
                     heap pending rebuild keys group groupall lease)
# What is asked for at once may be more than there is memory: that is an error, no crash.
FUZZ_RUN          := -max_len=16384 -timeout=10 -malloc_limit_mb=0 -print_final_stats=1 \
                     -verbosity=1 -artifact_prefix=$(BUILD)/fuzz/

$(BUILD)/fuzz/fuzz_file: $(FUZZ_SRC) $(wildcard src/*.h tools/salvage.h) tests/fuzz_queue.h $(BUILD)/libshmq.a
	@mkdir -p $(@D)/found
	$(FUZZ_CC) $(filter-out -MMD -MP,$(BASE)) -Isrc $(FUZZ_FLAGS) $(FUZZ_SRC) $(BUILD)/libshmq.a \
	    $(LDLIBS) -o $@

# run-fuzzer SECONDS
define run-fuzzer
	@mkdir -p $(BUILD)/fuzz
	@if echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' | \
	    $(FUZZ_CC) -fsanitize=fuzzer,address -x c - -o $(BUILD)/fuzz/probe 2>/dev/null; then \
	    $(MAKE) $(BUILD)/fuzz/fuzz_file && \
	    $(BUILD)/fuzz/fuzz_file $(FUZZ_RUN) -max_total_time=$(1) $(BUILD)/fuzz/found tests/corpus/file; \
	else echo "fuzzing skipped: $(FUZZ_CC) or its libFuzzer is not here"; fi
endef

.PHONY: check-fuzz fuzz-file fuzz-corpus
check-fuzz:
	$(call run-fuzzer,$(FUZZ_SECONDS))

fuzz-file:
	$(call run-fuzzer,$(SOAK_FUZZ_SECONDS))

$(BUILD)/tests/make_files: $(patsubst %,$(BUILD)/tests/%.o,make_files made_file format_sample) $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

fuzz-corpus: $(BUILD)/tests/make_files
	mkdir -p tests/corpus/file
	$< corpus tests/corpus/file

# Once for each format, when it is new: tests/corpus/formatN/ (tests/format_sample.h).
.PHONY: format-samples
format-samples: $(BUILD)/tests/make_files
	$< samples tests/corpus
