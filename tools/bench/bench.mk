# shmq-bench: `make build/shmq-bench` builds it, `make bench` builds it and runs
# a quick round of its bars.  Peers are built in where their development
# packages are installed; only then is the system asked about them.

BENCH_DIR  := tools/bench
BENCH_BIN  := $(BUILD)/shmq-bench
BENCH_SRC  := $(filter-out $(BENCH_DIR)/peer_%,$(call sources,$(BENCH_DIR))) \
              $(addprefix $(BENCH_DIR)/peer_,pipe.c socket.c mq.c sysv.c beanstalkd.c redis.c)
BENCH_DEFS :=
BENCH_LIBS := -lrt
BENCH_LINK := $(CC)
CXX        ?= c++

ifneq ($(filter bench $(BENCH_BIN),$(MAKECMDGOALS)),)
# A '#' in a function's argument: some makes want it escaped, others do not.
BENCH_HASH := \#
bench_header = $(shell echo '$(BENCH_HASH)include <$(2)>' | $(1) $(3) -E - >/dev/null 2>&1 && echo yes)
bench_pkg    = $(shell pkg-config --exists $(1) 2>/dev/null && echo yes)
bench_isys   = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(1)))

ifeq ($(call bench_header,$(CXX) -x c++,boost/interprocess/ipc/message_queue.hpp),yes)
BENCH_SRC  += $(BENCH_DIR)/peer_boost.cc
BENCH_DEFS += -DHAVE_BOOST
BENCH_LINK := $(CXX)
endif
ifeq ($(call bench_pkg,libzmq),yes)
BENCH_SRC  += $(BENCH_DIR)/peer_zmq.c
BENCH_DEFS += -DHAVE_ZMQ
BENCH_LIBS += -lzmq
$(BUILD)/$(BENCH_DIR)/peer_zmq.o: BENCH_PEER := $(call bench_isys,libzmq)
endif
ifeq ($(call bench_header,$(CC) -x c,nng/protocol/pipeline0/push.h),yes)
BENCH_SRC  += $(BENCH_DIR)/peer_nng.c
BENCH_DEFS += -DHAVE_NNG
BENCH_LIBS += -lnng
endif
ifeq ($(call bench_pkg,libqb),yes)
BENCH_SRC  += $(BENCH_DIR)/peer_qb.c
BENCH_DEFS += -DHAVE_QB
BENCH_LIBS += -lqb
endif
ifeq ($(call bench_pkg,libdpdk),yes)
BENCH_SRC  += $(BENCH_DIR)/peer_rte.c
BENCH_DEFS += -DHAVE_RTE
BENCH_LIBS += -lrte_ring -lrte_eal
# DPDK's headers speak GNU C.
$(BUILD)/$(BENCH_DIR)/peer_rte.o: BENCH_PEER := -std=gnu11 $(call bench_isys,libdpdk)
endif
ifeq ($(call bench_pkg,ck),yes)
BENCH_SRC  += $(BENCH_DIR)/peer_ck.c
BENCH_DEFS += -DHAVE_CK
$(BUILD)/$(BENCH_DIR)/peer_ck.o: BENCH_PEER := $(call bench_isys,ck)
endif
ifeq ($(call bench_pkg,sqlite3),yes)
BENCH_SRC  += $(BENCH_DIR)/peer_sqlite.c
BENCH_DEFS += -DHAVE_SQLITE
BENCH_LIBS += -lsqlite3
endif
endif

BENCH_OBJ  := $(patsubst %,$(BUILD)/%.o,$(basename $(BENCH_SRC)))

# What is built in is compiled into the list of transports.
$(BUILD)/$(BENCH_DIR)/transports.o: BENCH_PEER := $(BENCH_DEFS)

$(BUILD)/$(BENCH_DIR)/%.o: $(BENCH_DIR)/%.c
	@mkdir -p $(@D)
	$(CC) $(BASE) -Itools $(CFLAGS) $(BENCH_PEER) -c $< -o $@

$(BUILD)/$(BENCH_DIR)/%.o: $(BENCH_DIR)/%.cc
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -D_GNU_SOURCE -Itools -MMD -MP -Wall -Wextra -Werror $(CFLAGS) -c $< -o $@

$(BENCH_BIN): $(BENCH_OBJ) $(BUILD)/libshmq.a
	$(BENCH_LINK) $(CFLAGS) $(LDFLAGS) $^ $(BENCH_LIBS) $(LDLIBS) -o $@

.PHONY: bench
bench: $(BENCH_BIN)
	$(BENCH_BIN) --bars --peers --quick

-include $(wildcard $(BUILD)/$(BENCH_DIR)/*.d)
