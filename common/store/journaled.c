#include "store/journaled.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/instant.h"
#include "core/limits.h"
#include "store/backend.h"
#include "store/journal.h"
#include "store/journal_place.h"
#include "store/thread.h"

#define BUFFER_KEEP_BYTES (4U << 20)
/* The journal is no longer than this many times what it should be before it waits for LMDB. */
#define FILLED_TIMES_MAX 2

struct journaled {
    struct leat_store store; /* its overlays: upper is ours, lower the batch on its way in `base` */
    struct leat_store *base;
    struct leat_journal *journal;
    struct leat_hash_key key;
    leat_table place_table;
    uint64_t max_bytes;
    uint64_t fill_bytes; /* apply when an overlay or a file of the journal is this large */
    uint64_t fill_bytes_max;
    bool is_fill_fixed;
    char *path; /* owned */
    struct leat_journal_buffer buffers[2];
    struct leat_journal_buffer *filling;
    struct leat_journal_buffer *on_its_way;
    uint64_t number;          /* of the record sealed last */
    _Atomic uint64_t durable; /* the number up to which all is in the journal or in base */
    uint64_t applied;         /* the number up to which base has everything */
    uint64_t applying;        /* and is being given everything */
    int64_t age_us;           /* apply when something has waited as long */
    int64_t unapplied_us;     /* when the oldest sealed write in the upper overlay was; 0: none */
    bool is_waiting;          /* a record was sealed, but the journal is too long as it is */
    bool is_short;            /* the disk has no room for the journal */
    bool is_bypassing; /* the sealed record goes to base without having been in the journal */
    int poll_fd;
};

static struct journaled *journaled_of(struct leat_store *store)
{
    return (struct journaled *)store;
}

/* ---- reading: what base has, below the overlays ---- */

static enum leat_err broken_by_base(struct journaled *self)
{
    return leat_store_break(&self->store, leat_store_error(self->base));
}

static enum leat_err journaled_get(struct leat_store *store, leat_table table,
                                   struct leat_bytes key, struct leat_bytes *ret_value)
{
    struct journaled *self = journaled_of(store);
    enum leat_err err = self->base->backend->get(self->base, table, key, ret_value);
    return err == LEAT_ERR_IO ? broken_by_base(self) : err;
}

static enum leat_err journaled_seek(struct leat_store *store, leat_table table,
                                    struct leat_bytes from, struct leat_entry *ret_entry)
{
    struct journaled *self = journaled_of(store);
    enum leat_err err = self->base->backend->seek(self->base, table, from, ret_entry);
    return err == LEAT_ERR_IO ? broken_by_base(self) : err;
}

static enum leat_err journaled_next(struct leat_store *store, struct leat_entry *ret_entry)
{
    struct journaled *self = journaled_of(store);
    enum leat_err err = self->base->backend->next(self->base, ret_entry);
    return err == LEAT_ERR_IO ? broken_by_base(self) : err;
}

static enum leat_err journaled_count(struct leat_store *store, leat_table table,
                                     uint64_t *ret_count)
{
    struct journaled *self = journaled_of(store);
    enum leat_err err = self->base->backend->count(self->base, table, ret_count);
    return err == LEAT_ERR_IO ? broken_by_base(self) : err;
}

/* ---- applying: overlays to base ---- */

/* All that is sealed becomes one batch of base. */
static void apply(struct journaled *self)
{
    struct leat_store *base = self->base;
    uint8_t place[LEAT_JOURNAL_PLACE_BYTES];
    leat_journal_place_format(self->number, self->key, place);
    leat_sorted_put(&self->store.upper->tables[self->place_table], leat_journal_place_key(),
                    leat_bytes_of(place, sizeof place));
    struct leat_batch *batch = self->store.upper;
    self->store.upper = base->upper;
    base->upper = batch;
    base->filling_rows = leat_batch_count(batch);
    leat_store_seal(base);
    self->store.lower = base->lower;
    self->applying = self->number;
    self->unapplied_us = 0;
    leat_journal_turn(self->journal);
}

static void write_to_base(const struct leat_journal_write *write, void *context)
{
    struct journaled *self = context;
    if (write->is_del) {
        leat_store_del(self->base, write->table, write->key);
    } else {
        leat_store_put(self->base, write->table, write->key, write->value);
    }
}

static void put_place(struct journaled *self)
{
    uint8_t place[LEAT_JOURNAL_PLACE_BYTES];
    leat_journal_place_format(self->number, self->key, place);
    leat_store_put(self->base, self->place_table, leat_journal_place_key(),
                   leat_bytes_of(place, sizeof place));
}

/* base has been given some of what the upper overlay holds as added. From now on a del leaves a
 * tombstone; and what was added, sealed and then deleted in the batch that fills, gets one. */
static void base_has_some(struct journaled *self)
{
    for (leat_table table = 0; table < LEAT_STORE_TABLES_MAX; table++) {
        leat_sorted_forget_new(&self->store.upper->tables[table]);
    }
    if (self->store.filling_rows == 0) {
        return;
    }
    struct leat_bytes body = leat_journal_buffer_body(self->filling);
    struct leat_journal_write write;
    while (leat_journal_next(&body, &write) == LEAT_OK) {
        struct leat_sorted *table = &self->store.upper->tables[write.table];
        struct leat_sorted_entry entry;
        if (write.is_del && !leat_sorted_find(table, write.key, &entry)) {
            leat_sorted_put_tombstone(table, write.key);
        }
    }
}

/* A full disk: the sealed record fits into no file of the journal. base has a reserve for such
 * times, so it gets the record itself. The upper overlay cannot be given to it as it is, since
 * there are unsealed writes in it; what is sealed is read back from the journal. */
static enum leat_err bypass(struct journaled *self, struct leat_why *why)
{
    if (leat_store_is_committing(self->base) || !leat_journal_take_back(self->journal)) {
        return LEAT_OK;
    }
    uint64_t last;
    enum leat_err err =
        leat_journal_read(self->journal, self->applied, write_to_base, self, &last, why);
    if (err == LEAT_OK && last + 1 < self->number) {
        err = leat_fail(why, LEAT_ERR_CORRUPT, "the journal has lost what was written to it");
    }
    struct leat_bytes body = leat_journal_buffer_body(self->on_its_way);
    struct leat_journal_write write;
    while (err == LEAT_OK && leat_journal_next(&body, &write) == LEAT_OK) {
        write_to_base(&write, self);
    }
    if (err != LEAT_OK) {
        return err;
    }
    put_place(self);
    leat_store_seal(self->base);
    base_has_some(self);
    self->store.lower = self->base->lower;
    self->applying = self->number;
    self->is_bypassing = true;
    leat_journal_turn(self->journal);
    return LEAT_OK;
}

static bool is_due(const struct journaled *self)
{
    return self->store.upper->slab.used_bytes >= self->fill_bytes || self->is_short ||
           (leat_journal_filled_bytes(self->journal) >= self->fill_bytes &&
            !leat_journal_is_turning(self->journal)) ||
           leat_store_mono_us() - self->unapplied_us >= self->age_us;
}

/* Only between two batches: base must not get a part of one. */
static void apply_if_due(struct journaled *self)
{
    if (self->unapplied_us != 0 && self->store.filling_rows == 0 &&
        !leat_store_is_committing(self->base) && !self->store.is_broken && is_due(self)) {
        apply(self);
    }
}

/* What waits to be applied must fit into the reserve of a disk or of a store that is nearly full,
 * or base could be stuck with it for ever. */
static void learn_fill(struct journaled *self)
{
    struct statvfs disk;
    if (self->is_fill_fixed || statvfs(self->path, &disk) != 0) {
        return;
    }
    uint64_t used = self->base->used_bytes;
    uint64_t free_bytes = used < self->max_bytes ? self->max_bytes - used : 0;
    if ((uint64_t)disk.f_bavail * disk.f_frsize < free_bytes) {
        free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    }
    uint64_t share = free_bytes / LEAT_JOURNAL_FREE_SHARE;
    self->fill_bytes = share < LEAT_JOURNAL_BYTES_MIN ? LEAT_JOURNAL_BYTES_MIN
                       : share < self->fill_bytes_max ? share
                                                      : self->fill_bytes_max;
}

static enum leat_err take_note_of_base(struct journaled *self, struct leat_why *why)
{
    bool was_applying = leat_store_is_committing(self->base);
    enum leat_err err = leat_store_advance(self->base, why);
    if (err == LEAT_OK && was_applying && !leat_store_is_committing(self->base)) {
        self->store.lower = NULL;
        self->is_short = false;
        self->applied = self->applying;
        leat_journal_applied(self->journal, self->applied);
        learn_fill(self);
    }
    return err;
}

/* ---- committing: a batch to the journal ---- */

static void journaled_note(struct leat_store *store, leat_table table, struct leat_bytes key,
                           const struct leat_bytes *value, void *piece)
{
    struct leat_journal_buffer *filling = journaled_of(store)->filling;
    if (piece != NULL) {
        leat_journal_buffer_add_held(filling, table, key, *value, piece);
    } else {
        leat_journal_buffer_add(filling, table, key, value);
    }
}

static void journaled_tell_checksum(struct leat_store *store, uint32_t crc)
{
    leat_journal_buffer_tell_checksum(journaled_of(store)->filling, crc);
}

/* Hands the sealed record over, unless the journal must first become shorter. */
static void hand_over(struct journaled *self, bool is_here)
{
    bool is_long =
        leat_journal_filled_bytes(self->journal) >= FILLED_TIMES_MAX * self->fill_bytes ||
        self->store.upper->slab.used_bytes >= FILLED_TIMES_MAX * self->fill_bytes;
    if (!self->is_waiting || (is_long && leat_store_is_committing(self->base))) {
        return;
    }
    self->is_waiting = false;
    if (!is_here || !leat_journal_write_here(self->journal, self->number, self->on_its_way)) {
        leat_journal_submit(self->journal, self->number, self->on_its_way);
    }
}

static void journaled_commit(struct leat_store *store, bool is_here)
{
    struct journaled *self = journaled_of(store);
    struct leat_journal_buffer *sealed = self->filling;
    self->filling = self->on_its_way;
    self->on_its_way = sealed;
    self->number++;
    self->is_waiting = true;
    if (self->unapplied_us == 0) {
        self->unapplied_us = leat_store_mono_us();
        leat_journal_remind_at(self->journal, self->unapplied_us + self->age_us);
    }
    hand_over(self, is_here);
    apply_if_due(self);
}

/* All is applied. */
static bool is_idle(const struct journaled *self)
{
    return self->unapplied_us == 0 && !leat_store_is_committing(self->base);
}

static void learn_room(struct journaled *self)
{
    struct leat_store *store = &self->store;
    store->used_bytes = self->base->used_bytes + store->upper->slab.used_bytes +
                        (store->lower == NULL ? 0 : store->lower->slab.used_bytes);
    store->has_room = leat_store_has_room(self->base) && !self->is_short &&
                      store->used_bytes + LEAT_STORE_RESERVE_BYTES <= self->max_bytes;
}

static enum leat_commit_state journaled_poll(struct leat_store *store, struct leat_why *why)
{
    struct journaled *self = journaled_of(store);
    if (take_note_of_base(self, why) != LEAT_OK) {
        return LEAT_COMMIT_BROKEN;
    }
    enum leat_journal_state state = leat_journal_poll(self->journal, why);
    if (state == LEAT_JOURNAL_SHORT && self->applied == self->number &&
        leat_journal_take_back(self->journal)) {
        state = LEAT_JOURNAL_DONE; /* base was given it while it was still being written */
        leat_journal_turn(self->journal);
    }
    bool is_done = state == LEAT_JOURNAL_DONE;
    if (self->is_bypassing && !leat_store_is_committing(self->base)) {
        self->is_bypassing = false;
        is_done = true;
    }
    if (state == LEAT_JOURNAL_SHORT) {
        self->is_short = true;
    } else if (is_idle(self)) {
        self->is_short = false; /* nothing will end that could say so */
    }
    if (state == LEAT_JOURNAL_BROKEN ||
        (state == LEAT_JOURNAL_SHORT && bypass(self, why) != LEAT_OK)) {
        return LEAT_COMMIT_BROKEN;
    }
    if (is_done) {
        atomic_store(&self->durable, self->number);
        leat_journal_buffer_clear(self->on_its_way, BUFFER_KEEP_BYTES);
    }
    hand_over(self, false);
    apply_if_due(self);
    if (!leat_store_has_room(self->base) && state == LEAT_JOURNAL_IDLE && is_idle(self) &&
        leat_journal_shrink(self->journal, why) != LEAT_OK) {
        return LEAT_COMMIT_BROKEN;
    }
    learn_room(self);
    return is_done ? LEAT_COMMIT_DONE : LEAT_COMMIT_PENDING;
}

static enum leat_err journaled_wait(struct leat_store *store, struct leat_why *why)
{
    struct journaled *self = journaled_of(store);
    bool is_held = leat_journal_is_held(self->journal);
    if (leat_store_is_committing(self->base) &&
        (is_held || self->is_waiting || self->is_bypassing)) {
        return self->base->backend->wait(self->base, why);
    }
    if (is_held) {
        return leat_fail(why, LEAT_ERR_NO_SPACE, "no space left for the journal of the store");
    }
    struct pollfd item = {.fd = self->poll_fd, .events = POLLIN};
    (void)poll(&item, 1, -1); /* EINTR: the caller looks and waits again */
    return LEAT_OK;
}

static int journaled_fd(const struct leat_store *store)
{
    return ((const struct journaled *)store)->poll_fd;
}

static struct leat_readable journaled_readable(struct leat_store *store)
{
    struct journaled *self = journaled_of(store);
    struct leat_readable readable = self->base->backend->readable(self->base);
    readable.durable = &self->durable;
    readable.place_table = self->place_table;
    return readable;
}

/* ---- closing and opening ---- */

/* What is sealed goes to base, so that data.mdb alone is the store and the next start is quick. Not
 * if something is unsealed or has gone wrong: the journal has it all, and is read at the next open.
 */
static void apply_last(struct journaled *self)
{
    while (leat_store_sync(self->base, NULL) == LEAT_OK) {
        (void)take_note_of_base(self, NULL);
        self->store.lower = NULL;
        if (self->unapplied_us == 0) {
            enum leat_err err = leat_store_lmdb_end_journal(self->base, NULL);
            (void)err; /* no room: the directory stays what it was while it was open */
            return;
        }
        apply(self);
    }
}

static void journaled_close(struct leat_store *store)
{
    struct journaled *self = journaled_of(store);
    while (store->is_committing && leat_store_advance(store, NULL) == LEAT_OK &&
           store->is_committing && journaled_wait(store, NULL) == LEAT_OK) {
    }
    bool is_whole = !store->is_broken && store->filling_rows == 0 && !store->is_committing;
    if (self->journal != NULL && is_whole) {
        apply_last(self);
    }
    leat_journal_close(&self->journal);
    leat_store_close(&self->base);
    if (self->poll_fd >= 0) {
        close(self->poll_fd);
    }
    free(self->path);
    leat_journal_buffer_fini(&self->buffers[0]);
    leat_journal_buffer_fini(&self->buffers[1]);
    leat_store_fini(store);
    free(self);
}

static const struct leat_backend journaled_backend = {
    .get = journaled_get,
    .seek = journaled_seek,
    .next = journaled_next,
    .count = journaled_count,
    .note = journaled_note,
    .tell_checksum = journaled_tell_checksum,
    .commit = journaled_commit,
    .poll = journaled_poll,
    .wait = journaled_wait,
    .fd = journaled_fd,
    .readable = journaled_readable,
    .close = journaled_close,
};

struct replay {
    struct journaled *self;
    bool is_damaged; /* a write to a table that is none */
};

static void replay_write(const struct leat_journal_write *write, void *context)
{
    struct replay *replay = context;
    if (write->table >= replay->self->place_table || write->key.size > LEAT_STORE_KEY_BYTES_MAX) {
        replay->is_damaged = true;
    } else {
        write_to_base(write, replay->self);
    }
}

/* How far the journal is applied; LEAT_ERR_NOT_FOUND: the store has none yet. */
static enum leat_err read_place(struct journaled *self, const char *path, uint64_t *ret_number,
                                struct leat_why *why)
{
    struct leat_bytes value;
    enum leat_err err =
        leat_store_get(self->base, self->place_table, leat_journal_place_key(), &value);
    if (err == LEAT_ERR_IO) {
        return leat_fail(why, err, "%s", leat_store_error(self->base));
    }
    if (err != LEAT_OK) {
        return err;
    }
    if (leat_journal_place_read(value, self->key, ret_number) != LEAT_OK) {
        return leat_fail(why, LEAT_ERR_CORRUPT,
                         "store %s: the record of how far its journal is applied is damaged", path);
    }
    return LEAT_OK;
}

/* Everything that the journal has goes to base, durably. */
static enum leat_err recover(struct journaled *self, const char *path, struct leat_why *why)
{
    uint64_t applied = 0;
    struct leat_id id = leat_store_lmdb_id(self->base);
    self->key = leat_journal_key(&id);
    enum leat_err err = read_place(self, path, &applied, why);
    if (err == LEAT_ERR_NOT_FOUND && leat_journal_is_used(path)) {
        return leat_fail(why, LEAT_ERR_CORRUPT,
                         "%s/data.mdb is from before the journal beside it; to go on without what "
                         "may be in that, remove journal-0, journal-1 and leat.lock",
                         path);
    }
    if (err != LEAT_OK && err != LEAT_ERR_NOT_FOUND) {
        return err;
    }
    /* A copy of data.mdb has no journal: what is in it is all there is. */
    bool is_new = err == LEAT_ERR_NOT_FOUND ||
                  (!leat_store_lmdb_has_lived_here(self->base) && !leat_journal_is_there(path));
    err = leat_journal_open(path, &id, is_new, &self->journal, why);
    struct replay replay = {.self = self};
    if (err == LEAT_OK) {
        err = leat_journal_read(self->journal, applied, replay_write, &replay, &self->number, why);
    }
    if (err == LEAT_OK && replay.is_damaged) {
        err = leat_fail(why, LEAT_ERR_CORRUPT, "store %s: the journal writes to an unknown table",
                        path);
    }
    if (err == LEAT_OK && (is_new || self->number != applied)) {
        put_place(self);
        err = leat_store_sync(self->base, why);
    }
    if (err == LEAT_OK) {
        self->applied = self->number;
        atomic_store(&self->durable, self->number);
        leat_journal_begin(self->journal, self->number);
        err = leat_store_lmdb_sign(self->base, why);
    }
    return err;
}

static enum leat_err open_poll(struct journaled *self, struct leat_why *why)
{
    const int fds[] = {leat_store_fd(self->base), leat_journal_fd(self->journal)};
    self->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    bool is_ok = self->poll_fd >= 0;
    for (size_t i = 0; is_ok && i < sizeof fds / sizeof fds[0]; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        is_ok = epoll_ctl(self->poll_fd, EPOLL_CTL_ADD, fds[i], &event) == 0;
    }
    return is_ok ? LEAT_OK
                 : leat_fail(why, LEAT_ERR_IO, "cannot make an epoll: %s", strerror(errno));
}

static enum leat_err open_all(struct journaled *self, const char *path,
                              const struct leat_store_options *options, struct leat_why *why)
{
    const char *tables[LEAT_STORE_TABLES_MAX];
    struct leat_store_options with_place = *options;
    if (options->table_count >= LEAT_STORE_TABLES_MAX) {
        return leat_fail(why, LEAT_ERR_INVALID, "%u tables, %d are possible beside the journal's",
                         options->table_count, LEAT_STORE_TABLES_MAX - 1);
    }
    memcpy(tables, options->tables, options->table_count * sizeof *tables);
    tables[options->table_count] = LEAT_JOURNAL_PLACE_TABLE;
    with_place.tables = tables;
    with_place.table_count++;
    with_place.has_journal = true;
    self->place_table = options->table_count;
    self->max_bytes = options->max_bytes != 0 ? options->max_bytes : LEAT_STORE_BYTES_DEFAULT;
    self->age_us = LEAT_US_PER_MS *
                   (options->journal_age_ms != 0 ? options->journal_age_ms : LEAT_JOURNAL_AGE_MS);
    self->is_fill_fixed = options->journal_bytes != 0;
    self->fill_bytes = self->is_fill_fixed ? options->journal_bytes : LEAT_JOURNAL_BYTES_MIN;
    self->fill_bytes_max =
        options->journal_bytes_max != 0 ? options->journal_bytes_max : LEAT_JOURNAL_BYTES_DEFAULT;
    self->path = strdup(path);
    if (self->path == NULL) {
        abort();
    }
    enum leat_err err = leat_store_open_lmdb(path, &with_place, &self->base, why);
    if (err == LEAT_OK) {
        err = recover(self, path, why);
    }
    if (err == LEAT_OK) {
        err = open_poll(self, why);
    }
    if (err == LEAT_OK) {
        learn_fill(self);
        learn_room(self);
    }
    return err;
}

enum leat_err leat_store_open_journaled(const char *path, const struct leat_store_options *options,
                                        struct leat_store **ret_store, struct leat_why *why)
{
    struct journaled *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    leat_store_init(&self->store, &journaled_backend, LEAT_BATCH_KEEP_BYTES);
    self->filling = &self->buffers[0];
    self->on_its_way = &self->buffers[1];
    self->poll_fd = -1;
    enum leat_err err = open_all(self, path, options, why);
    if (err != LEAT_OK) {
        self->store.is_broken = true; /* nothing is to be applied */
        journaled_close(&self->store);
        return err;
    }
    *ret_store = &self->store;
    return LEAT_OK;
}
