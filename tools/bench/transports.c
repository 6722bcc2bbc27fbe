/*
 * transports.c - the list of transports, those that are not built included, so
 * that a report says what it does not compare with.
 */
#include "bench/bench.h"

extern const struct transport transport_shmq, transport_shmq_sole;
extern const struct transport transport_lease, transport_lease_sole, transport_lease_many,
    transport_next;
extern const struct transport transport_priority, transport_priority_turns, transport_lifo;
extern const struct transport transport_topic, transport_topic_drop;
extern const struct transport transport_delayed, transport_falling_due;
extern const struct transport transport_bare, transport_line;
extern const struct transport transport_always, transport_os, transport_snapshot;
extern const struct transport transport_write_sync, transport_write_ahead, transport_write,
    transport_plain_file;
extern const struct transport transport_pipe, transport_seqpacket, transport_unix_stream;
extern const struct transport transport_mq, transport_sysv;
extern const struct transport transport_beanstalkd, transport_beanstalkd_piped,
    transport_beanstalkd_sync;
extern const struct transport transport_redis, transport_redis_piped;

#ifdef HAVE_BOOST
extern const struct transport transport_boost;
#else
static const struct transport transport_boost = {
    .name = "boost-mq",
    .traits = TRAIT_PEER,
    .missing = "boost/interprocess is not installed",
};
#endif

#ifdef HAVE_ZMQ
extern const struct transport transport_zmq;
#else
static const struct transport transport_zmq = {
    .name = "zeromq",
    .traits = TRAIT_PEER,
    .missing = "libzmq is not installed",
};
#endif

#ifdef HAVE_NNG
extern const struct transport transport_nng;
#else
static const struct transport transport_nng = {
    .name = "nng",
    .traits = TRAIT_PEER,
    .missing = "nng is not installed",
};
#endif

#ifdef HAVE_QB
extern const struct transport transport_qb;
#else
static const struct transport transport_qb = {
    .name = "libqb",
    .traits = TRAIT_PEER,
    .missing = "libqb is not installed",
};
#endif

#ifdef HAVE_RTE
extern const struct transport transport_rte_sp, transport_rte_hts;
#else
static const struct transport transport_rte_sp = {
    .name = "rte-ring-sp/sc",
    .traits = TRAIT_PEER,
    .missing = "DPDK is not installed",
};
static const struct transport transport_rte_hts = {
    .name = "rte-ring-hts",
    .traits = TRAIT_PEER,
    .missing = "DPDK is not installed",
};
#endif

#ifdef HAVE_CK
extern const struct transport transport_ck_spsc, transport_ck_mpmc;
#else
static const struct transport transport_ck_spsc = {
    .name = "ck-ring-spsc",
    .traits = TRAIT_PEER,
    .missing = "ck is not installed",
};
static const struct transport transport_ck_mpmc = {
    .name = "ck-ring-mpmc",
    .traits = TRAIT_PEER,
    .missing = "ck is not installed",
};
#endif

#ifdef HAVE_SQLITE
extern const struct transport transport_sqlite;
#else
static const struct transport transport_sqlite = {
    .name = "sqlite",
    .traits = TRAIT_DURABLE | TRAIT_PEER,
    .missing = "libsqlite3 is not installed",
};
#endif

const struct transport *const transports[] = {
    &transport_shmq,
    &transport_shmq_sole,
    &transport_lease,
    &transport_next,
    &transport_lease_sole,
    &transport_lease_many,
    &transport_priority,
    &transport_priority_turns,
    &transport_lifo,
    &transport_topic,
    &transport_topic_drop,
    &transport_delayed,
    &transport_falling_due,
    &transport_always,
    &transport_os,
    &transport_snapshot,
    &transport_bare,
    &transport_line,
    &transport_write_sync,
    &transport_write_ahead,
    &transport_write,
    &transport_plain_file,
    &transport_pipe,
    &transport_seqpacket,
    &transport_unix_stream,
    &transport_mq,
    &transport_sysv,
    &transport_boost,
    &transport_zmq,
    &transport_nng,
    &transport_qb,
    &transport_rte_sp,
    &transport_rte_hts,
    &transport_ck_spsc,
    &transport_ck_mpmc,
    &transport_beanstalkd,
    &transport_beanstalkd_piped,
    &transport_redis,
    &transport_redis_piped,
    &transport_sqlite,
    &transport_beanstalkd_sync,
    NULL,
};
