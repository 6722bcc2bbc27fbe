/*
 * peer_sqlite.c - SQLite, as those use it who keep a queue in a table: in WAL mode with
 * synchronous=FULL, one INSERT a transaction.  Each process has a connection of its own,
 * and waits for the others by SQLite's own busy handler.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "bench/disk.h"

enum { BUSY_MS = 20000 };

struct sqlite {
    sqlite3 *db;
    sqlite3_stmt *insert;
};

static int sqlite_connect(const struct channel *channel, sqlite3 **db)
{
    char path[DISK_PATH];
    disk_path(channel, "queue.db", path, sizeof path);
    if (sqlite3_open(path, db) != SQLITE_OK)
        return -EIO;
    sqlite3_busy_timeout(*db, BUSY_MS);
    return sqlite3_exec(*db, "PRAGMA synchronous=FULL", NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static int sqlite_create(struct channel *channel)
{
    channel->state = calloc(1, sizeof(struct sqlite));
    sqlite3 *db = NULL;
    int error = channel->state ? disk_prepare(channel) : -ENOMEM;
    if (error)
        return error;
    error = sqlite_connect(channel, &db);
    if (!error && sqlite3_exec(db,
                               "PRAGMA journal_mode=WAL;"
                               "CREATE TABLE queue (id INTEGER PRIMARY KEY, data BLOB)",
                               NULL, NULL, NULL) != SQLITE_OK)
        error = -EIO;
    sqlite3_close(db);
    return error;
}

static void sqlite_destroy(struct channel *channel)
{
    free(channel->state);
    disk_remove(channel);
}

static int sqlite_open(struct channel *channel, enum side side)
{
    (void)side;
    struct sqlite *s = channel->state;
    int error = sqlite_connect(channel, &s->db);
    if (!error && sqlite3_prepare_v2(s->db, "INSERT INTO queue (data) VALUES (?)", -1, &s->insert,
                                     NULL) != SQLITE_OK)
        error = -EIO;
    return error;
}

static void sqlite_close(struct channel *channel, enum side side)
{
    (void)side;
    struct sqlite *s = channel->state;
    sqlite3_finalize(s->insert);
    sqlite3_close(s->db);
}

static int sqlite_send(struct channel *channel, const void *message)
{
    const struct sqlite *s = channel->state;
    sqlite3_bind_blob(s->insert, 1, message, (int)channel->size, SQLITE_STATIC);
    int rc = sqlite3_step(s->insert);
    sqlite3_reset(s->insert);
    return rc == SQLITE_DONE ? 0 : rc == SQLITE_BUSY ? -EBUSY : -EIO;
}

static int sqlite_kept(struct channel *channel, uint64_t *count)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *select = NULL;
    int error = sqlite_connect(channel, &db);
    if (!error &&
        (sqlite3_prepare_v2(db, "SELECT count(*) FROM queue", -1, &select, NULL) != SQLITE_OK ||
         sqlite3_step(select) != SQLITE_ROW))
        error = -EIO;
    if (!error)
        *count = (uint64_t)sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    sqlite3_close(db);
    return error;
}

const struct transport transport_sqlite = {
    .name = "sqlite",
    .traits = TRAIT_DURABLE | TRAIT_PEER,
    .version = sqlite3_libversion,
    .create = sqlite_create,
    .open = sqlite_open,
    .close = sqlite_close,
    .destroy = sqlite_destroy,
    .send = sqlite_send,
    .kept = sqlite_kept,
};
