# shmq: `make demo` shows it working, `make check` tests it, `make install`
# installs it.  Variables: CC, CFLAGS, PREFIX, DESTDIR, SYNC=futex|posix, LZ4=yes|no,
# JANSSON=yes|no.

VERSION  := 0.1.0
SONAME   := libshmq.so.0
PREFIX   ?= /usr/local
BINDIR   ?= $(PREFIX)/bin
LIBDIR   ?= $(PREFIX)/lib
INCDIR   ?= $(PREFIX)/include
MANDIR   ?= $(PREFIX)/share/man
SYNC     ?= futex
BUILD    ?= build

# Payloads are compressed where liblz4 is to be had (LZ4=no: not even then).
PKG_CONFIG ?= pkg-config
LZ4        ?= $(shell $(PKG_CONFIG) --exists liblz4 2>/dev/null && echo yes || echo no)
ifeq ($(LZ4),yes)
LZ4_CFLAGS := -DSQ_WITH_LZ4 $(shell $(PKG_CONFIG) --cflags liblz4)
LZ4_LIBS   := $(shell $(PKG_CONFIG) --libs liblz4)
endif

# The command shmq reads JSON (import) where libjansson is to be had, likewise.
JANSSON    ?= $(shell $(PKG_CONFIG) --exists jansson 2>/dev/null && echo yes || echo no)
ifeq ($(JANSSON),yes)
JANSSON_CFLAGS := -DSHMQ_WITH_JANSSON $(shell $(PKG_CONFIG) --cflags jansson)
JANSSON_LIBS   := $(shell $(PKG_CONFIG) --libs jansson)
endif

CC       ?= cc
CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Werror
BASE     := -std=c11 -D_GNU_SOURCE -Iinclude -fno-strict-aliasing -MMD -MP $(WARN) \
            $(if $(filter posix,$(SYNC)),-DSQ_SYNC_POSIX)
LIBFLAGS := $(BASE) -fPIC -fvisibility=hidden $(LZ4_CFLAGS)
LDLIBS   := -lpthread $(LZ4_LIBS)

# The condition variable has two bodies; exactly one is built in.
SYNC_OTHER := $(if $(filter posix,$(SYNC)),futex,posix)
LIB_SRC  := $(filter-out src/cond_$(SYNC_OTHER).c,$(wildcard src/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
TOOLS    := $(addprefix $(BUILD)/,shmq shmq-stat shmq-check)
TESTS    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
# shmq-bench is for this tree, and not installed.
MANPAGES := $(filter-out tools/shmq-bench.1,$(wildcard tools/*.1))

.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: all
all: $(BUILD)/libshmq.a $(BUILD)/$(SONAME) $(TOOLS) $(BUILD)/shmq.pc

# --- library -------------------------------------------------------------

$(BUILD)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(LIBFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/libshmq.a: $(LIB_OBJ)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/$(SONAME): $(LIB_OBJ) src/libshmq.map
	$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=src/libshmq.map \
	    $(CFLAGS) $(LDFLAGS) $(LIB_OBJ) $(LDLIBS) -o $@
	ln -sf $(SONAME) $(BUILD)/libshmq.so

$(BUILD)/shmq.pc: src/shmq.pc.in Makefile
	@mkdir -p $(@D)
	sed -e 's|@PREFIX@|$(PREFIX)|;s|@LIBDIR@|$(LIBDIR)|;s|@INCDIR@|$(INCDIR)|;s|@VERSION@|$(VERSION)|;s|@LZ4_LIBS@|$(LZ4_LIBS)|' \
	    $< > $@

# --- tools ---------------------------------------------------------------

$(BUILD)/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(TOOL_CFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/tools/json_line.o: TOOL_CFLAGS = $(JANSSON_CFLAGS)

# This one knows the library from inside.
$(BUILD)/tools/shmq-check.o $(BUILD)/tools/check_%.o $(BUILD)/tools/salvage_%.o: TOOL_CFLAGS = -Isrc

# A tool is linked of its own file, those named here, and what all share.
OBJ_shmq      := cmd_admin cmd_export cmd_file cmd_get cmd_group cmd_import cmd_look cmd_ls cmd_message \
                 cmd_peek cmd_policy cmd_put cmd_work group input json_line message policy reader target \
                 work_child
OBJ_shmq-stat := group stat_dead stat_file stat_group stat_look stat_priority stat_report stat_watch
OBJ_salvage   := salvage_file salvage_head salvage_mend salvage_write
OBJ_shmq-check := check_bytes check_exam check_file check_look check_queue check_repair check_report \
                  salvage_queue salvage_row $(OBJ_salvage)
OBJ_common    := cli cli_number text

.SECONDEXPANSION:
$(TOOLS): $(BUILD)/%: $(BUILD)/tools/%.o $$(addprefix $(BUILD)/tools/,$$(addsuffix .o,$$(OBJ_$$*))) \
    $(OBJ_common:%=$(BUILD)/tools/%.o) $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) $(LIBS_$*) -o $@

LIBS_shmq := $(JANSSON_LIBS)

.PHONY: demo
demo: all $(BUILD)/demo
	$(BUILD)/demo $(BUILD)/shmq-stat include src tools tests Makefile /usr/share

$(BUILD)/demo: $(BUILD)/tools/demo.o $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

# --- tests ---------------------------------------------------------------
# Tests see the internal headers, and link the static library and cmocka.

$(BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(BASE) -Isrc $(TEST_CFLAGS) $(CFLAGS) -c $< -o $@

# Those that compare with plain lists (tests/reference.h).
$(BUILD)/tests/test_group: $(patsubst %,$(BUILD)/tests/%.o,group_scene group_check group_steps group_moves)
$(BUILD)/tests/test_group: $(patsubst %,$(BUILD)/tests/%.o,reference shrink)

# Those that make files of their own.
$(BUILD)/tests/test_frame $(BUILD)/tests/test_image $(BUILD)/tests/test_salvage: $(BUILD)/tests/made_file.o

# What shmq-check knows.
$(BUILD)/tests/test_salvage $(BUILD)/tests/test_check: $(patsubst %,$(BUILD)/tools/%.o,$(OBJ_salvage) check_bytes \
    $(OBJ_common))
$(BUILD)/tests/test_check: $(patsubst %,$(BUILD)/tools/%.o,check_exam check_look salvage_queue salvage_row)

# What shmq import reads.
$(BUILD)/tests/test_json_line: $(patsubst %,$(BUILD)/tools/%.o,json_line $(OBJ_common))
$(BUILD)/tests/test_json_line: LDLIBS += $(JANSSON_LIBS)

# Files of all formats.
$(BUILD)/tests/test_old_format: $(BUILD)/tests/format_sample.o
$(BUILD)/tests/test_old_format.o: TEST_CFLAGS = -DTEST_CORPUS='"$(CURDIR)/tests/corpus"'

# What is left on a disk (tests/disk/).
$(BUILD)/tests/disk/record.so: $(addprefix tests/disk/,record.c faults.c faults.h log.h)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(BASE)) -fPIC -shared -O2 -g $(filter %.c,$^) -o $@

$(BUILD)/tests/test_disk: $(addprefix $(BUILD)/tests/disk/,states.o place.o) | $(BUILD)/tests/disk/record.so

$(BUILD)/tests/test_damaged_file: $(BUILD)/tests/contents.o

# Those that make its calls fail.
$(BUILD)/tests/test_faults $(BUILD)/tests/test_faults_file: $(addprefix $(BUILD)/tests/,faulty.o contents.o disk/place.o)
$(BUILD)/tests/test_faults $(BUILD)/tests/test_faults_file: | $(BUILD)/tests/disk/record.so

$(TESTS): %: %.o $(BUILD)/tests/helper.o $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LDLIBS) -o $@

# --- models: the protocols, and why there is no pthread_cond_t ---------------

.PHONY: check-models show-condhang
check-models:
	tests/models/run.sh

$(BUILD)/condhang: tests/evidence/condhang.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) $< $(LDLIBS) -o $@

show-condhang: $(BUILD)/condhang
	$<

-include tests/crash.mk
-include tests/fuzz.mk

# --- install -------------------------------------------------------------

.PHONY: install uninstall clean
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCDIR) \
	    $(DESTDIR)$(MANDIR)/man1
	install -m 755 $(TOOLS) $(DESTDIR)$(BINDIR)
	install -m 644 include/shmq.h $(DESTDIR)$(INCDIR)
	install -m 644 $(BUILD)/libshmq.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(BUILD)/$(SONAME) $(DESTDIR)$(LIBDIR)/libshmq.so.$(VERSION)
	ln -sf libshmq.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libshmq.so
	install -m 644 $(BUILD)/shmq.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 $(MANPAGES) $(DESTDIR)$(MANDIR)/man1

uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(notdir $(TOOLS)))
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libshmq.a libshmq.so $(SONAME) libshmq.so.$(VERSION))
	rm -f $(DESTDIR)$(LIBDIR)/pkgconfig/shmq.pc $(DESTDIR)$(INCDIR)/shmq.h
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man1/,$(notdir $(MANPAGES)))

clean:
	rm -rf $(BUILD)

include tests/check.mk
include tools/bench/bench.mk

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)
