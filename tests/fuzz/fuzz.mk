# Fuzzing of what reads files (tests/fuzz/fuzz_file.c), by clang's libFuzzer: `make check-fuzz`
# for 20 s from the corpus in tests/fuzz/corpus/, `make fuzz-file` for $(SOAK_FUZZ_SECONDS).
# What crashed is left in $(BUILD)/fuzz/.  `make fuzz-corpus` writes the corpus anew.

FUZZ_SECONDS      ?= 20
SOAK_FUZZ_SECONDS ?= 300
FUZZ_CC           ?= clang
FUZZ_FLAGS        := -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -DSQ_CHECK
FUZZ_SRC          := tests/fuzz/fuzz_file.c tests/fuzz/fuzz_queue.c $(patsubst %,tools/shmq-check/salvage_%.c,file header decide write) \
                     $(patsubst %,src/%.c,file/format file/frame_writer file/image base/bug base/crc base/error sync/lock_rank \
                         persist/restore segment/segment ring/ring ring/record group/table group/heap group/pending \
                         group/pending_rebuild group/key_index group/group group/group_bulk group/group_lease)
# What is asked for at once may be more than there is memory: that is an error, no crash.
FUZZ_RUN          := -max_len=16384 -timeout=10 -malloc_limit_mb=0 -print_final_stats=1 \
                     -verbosity=1 -artifact_prefix=$(BUILD)/fuzz/

$(BUILD)/fuzz/fuzz_file: $(FUZZ_SRC) $(wildcard src/*.h src/*/*.h tools/shmq-check/salvage.h) tests/fuzz/fuzz_queue.h $(BUILD)/libshmq.a
	@mkdir -p $(@D)/found
	$(FUZZ_CC) $(filter-out -MMD -MP,$(BASE)) -Isrc -Itools -Itests $(FUZZ_FLAGS) $(FUZZ_SRC) $(BUILD)/libshmq.a \
	    $(LDLIBS) -o $@

# run-fuzzer SECONDS
define run-fuzzer
	$(BUILD)/fuzz/fuzz_file $(FUZZ_RUN) -max_total_time=$(1) $(BUILD)/fuzz/found tests/fuzz/corpus/file
endef

.PHONY: check-fuzz fuzz-file fuzz-corpus
check-fuzz: $(BUILD)/fuzz/fuzz_file
	$(call run-fuzzer,$(FUZZ_SECONDS))

fuzz-file: $(BUILD)/fuzz/fuzz_file
	$(call run-fuzzer,$(SOAK_FUZZ_SECONDS))

$(BUILD)/tests/fuzz/make_corpus: $(BUILD)/tests/fuzz/make_corpus.o $(BUILD)/tests/libtest.a $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

fuzz-corpus: $(BUILD)/tests/fuzz/make_corpus
	mkdir -p tests/fuzz/corpus/file
	$< corpus tests/fuzz/corpus/file

# Once for each format, when it is new: tests/fuzz/corpus/formatN/ (support/format_sample.h).
.PHONY: format-samples
format-samples: $(BUILD)/tests/fuzz/make_corpus
	$< samples tests/fuzz/corpus
