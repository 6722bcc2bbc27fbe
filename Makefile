# shmq: `make demo` shows it working, `make check` tests it, `make quick` does so in a minute,
# `make install` installs it.  Variables: CC, CFLAGS, PREFIX, DESTDIR, SYNC=futex|posix,
# LZ4=yes|no, JANSSON=yes|no.

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
LIBFLAGS := $(BASE) -Isrc -fPIC -fvisibility=hidden $(LZ4_CFLAGS)
LDLIBS   := -lpthread $(LZ4_LIBS)

# sources FOLDER: its C files.  A folder without any is a mistake, not an empty list.
sources = $(or $(wildcard $(1)/*.c),$(error no C file in $(1)/))

# The layers of the library, lowest first (src/README.md).  The condition variable has two
# bodies; exactly one is built in.
LAYERS   := base sync ring file group segment message handle persist api service
SYNC_OTHER := $(if $(filter posix,$(SYNC)),futex,posix)
LIB_SRC  := $(filter-out src/sync/cond_$(SYNC_OTHER).c,$(foreach layer,$(LAYERS),$(call sources,src/$(layer))))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
TOOLS    := $(addprefix $(BUILD)/,shmq shmq-stat shmq-check)
TESTS    := $(patsubst %.c,$(BUILD)/%,$(filter tests/unit/test_%,$(call sources,tests/unit)))
# shmq-bench is for this tree, and not installed.
MANPAGES := $(addprefix tools/man/,$(addsuffix .1,$(notdir $(TOOLS))))

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
# A tool is the files of its folder and those that all share.

# objects FOLDER...: those of its C files
objects = $(patsubst %.c,$(BUILD)/%.o,$(foreach folder,$(1),$(call sources,$(folder))))

$(BUILD)/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	$(CC) $(BASE) -Itools $(TOOL_CFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/tools/shmq/json_import.o: TOOL_CFLAGS = $(JANSSON_CFLAGS)
# This one knows the library from inside.
$(BUILD)/tools/shmq-check/%.o: TOOL_CFLAGS = -Isrc

$(BUILD)/shmq: $(call objects,tools/shmq)
$(BUILD)/shmq-stat: $(call objects,tools/shmq-stat)
$(BUILD)/shmq-check: $(call objects,tools/shmq-check)
$(TOOLS): $(BUILD)/%: $(call objects,tools/common) $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(BUILD)/libshmq.a $(LDLIBS) $(LIBS_$*) -o $@

LIBS_shmq := $(JANSSON_LIBS)

.PHONY: demo
demo: all $(BUILD)/demo
	$(BUILD)/demo $(BUILD)/shmq-stat include src tools tests Makefile /usr/share

$(BUILD)/demo: $(BUILD)/tools/demo/demo.o $(BUILD)/libshmq.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

# --- tests ---------------------------------------------------------------
# Tests see the internal headers, and link the static library, cmocka, what tests share
# (libtest.a), and those of shmq-check its insides (libcheck.a).

$(BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(BASE) -Isrc -Itools -Itests $(TEST_CFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/tests/libtest.a: $(call objects,tests/support tests/reference) $(addprefix $(BUILD)/tests/disk/,states.o place.o)
$(BUILD)/tests/libcheck.a: $(filter-out %/main.o,$(call objects,tools/shmq-check)) $(call objects,tools/common)
$(BUILD)/tests/libtest.a $(BUILD)/tests/libcheck.a:
	rm -f $@
	$(AR) rcs $@ $^

# What shmq import reads.
$(BUILD)/tests/unit/test_json_import: $(BUILD)/tools/shmq/json_import.o $(call objects,tools/common)
$(BUILD)/tests/unit/test_json_import: LDLIBS += $(JANSSON_LIBS)

$(BUILD)/tests/unit/test_old_format.o: TEST_CFLAGS = -DTEST_CORPUS='"$(CURDIR)/tests/fuzz/corpus"'

# What records or breaks the calls on a folder's files, preloaded.
$(BUILD)/tests/disk/record.so: $(addprefix tests/disk/,record.c faults.c faults.h log.h)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(BASE)) -Itests -fPIC -shared -O2 -g $(filter %.c,$^) -o $@

# Tests that control time (support/moment.h).
MOMENT_TESTS := $(addprefix $(BUILD)/tests/unit/test_,call dead fd lease order space unique wait worker) \
                $(BUILD)/tests/storm/waiters
$(MOMENT_TESTS): WRAP = -Wl,--wrap=clock_gettime,--wrap=sq_nap,--wrap=sq_cond_sleep,--wrap=sq_cond_sleep_any

$(addprefix $(BUILD)/tests/unit/test_,check salvage): $(BUILD)/tests/libcheck.a
$(TESTS): %: %.o $(BUILD)/tests/libtest.a $(BUILD)/libshmq.a | $(BUILD)/tests/disk/record.so
	$(CC) $(CFLAGS) $(LDFLAGS) $(WRAP) $(filter %.o,$^) $(filter %.a,$^) $(BUILD)/libshmq.a -lcmocka $(LDLIBS) -o $@

# --- models: the protocols, and why there is no pthread_cond_t ---------------

.PHONY: check-models show-condhang
check-models:
	tests/spin/run.sh

$(BUILD)/condhang: tests/evidence/condhang.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) $< $(LDLIBS) -o $@

show-condhang: $(BUILD)/condhang
	$<

include tests/crash/crash.mk
include tests/fuzz/fuzz.mk

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

include tests/run/check.mk
include tools/bench/bench.mk

-include $(wildcard $(BUILD)/*/*/*.d $(BUILD)/*/*.d)
