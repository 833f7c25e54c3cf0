#include "store/journal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/instant.h"
#include "store/journal_file.h"
#include "store/lmdb.h"
#include "store/thread.h"

struct leat_journal {
    struct leat_journal_file files[LEAT_JOURNAL_FILES];
    struct leat_hash_key key;
    pthread_t thread;
    int event_fd;

    /* the owner's */
    unsigned current;
    bool is_turning;
    uint64_t offset;                          /* in the current file, where the next record goes */
    uint64_t last_number[LEAT_JOURNAL_FILES]; /* in each file; 0: none */
    uint64_t applied;
    uint64_t number; /* of the record that was submitted last */

    pthread_mutex_t mutex; /* for what follows */
    pthread_cond_t wake;
    enum leat_journal_state state;
    struct leat_journal_buffer *buffer;
    unsigned writing_file;
    uint64_t writing_at;
    uint64_t end;           /* behind the record, when DONE */
    bool is_held;           /* SHORT: not before LEAT_STORE_ROOM_CHECK_MS are over */
    bool is_here;           /* the owner is writing it itself */
    unsigned quick_records; /* so many in a row were written within LEAT_JOURNAL_QUICK_US */
    bool is_stopping;
    int64_t remind_us;
    struct leat_why why;
};

/* ---- the thread, and the owner in its place ---- */

/* Called with the mutex, gives it up meanwhile. */
static void write_record(struct leat_journal *journal)
{
    struct leat_journal_file *file = &journal->files[journal->writing_file];
    uint64_t at = journal->writing_at;
    struct leat_journal_buffer *buffer = journal->buffer;
    uint64_t number = journal->number;
    struct leat_why why = {""};
    pthread_mutex_unlock(&journal->mutex);
    int64_t begun_us = leat_store_mono_us();
    struct leat_journal_parts record = leat_journal_buffer_finish(buffer, journal->key, number);
    enum leat_err err = leat_journal_file_append(file, at, record, &why);
    bool is_quick = err == LEAT_OK && leat_store_mono_us() - begun_us <= LEAT_JOURNAL_QUICK_US;
    pthread_mutex_lock(&journal->mutex);
    journal->quick_records = is_quick ? journal->quick_records + 1 : 0;
    if (err == LEAT_OK) {
        journal->state = LEAT_JOURNAL_DONE;
        journal->end = at + record.size;
    } else if (err == LEAT_ERR_NO_SPACE) {
        journal->state = LEAT_JOURNAL_SHORT;
        journal->is_held = true;
    } else {
        journal->state = LEAT_JOURNAL_BROKEN;
        journal->why = why;
    }
}

static void wait_until(struct leat_journal *journal, int64_t until_us)
{
    struct timespec until = {.tv_sec = until_us / LEAT_US_PER_S,
                             .tv_nsec = until_us % LEAT_US_PER_S * 1000};
    if (until_us == 0) {
        pthread_cond_wait(&journal->wake, &journal->mutex);
    } else {
        (void)pthread_cond_timedwait(&journal->wake, &journal->mutex, &until);
    }
}

/* Until there is something to write, and no longer than until it is time to remind the owner. */
static void wait_for_work(struct leat_journal *journal)
{
    if (journal->remind_us != 0 && leat_store_mono_us() >= journal->remind_us) {
        journal->remind_us = 0;
        leat_store_tell(journal->event_fd);
    }
    wait_until(journal, journal->remind_us);
}

/* The disk is full: looks again after a while, or when the owner has found another place. */
static void wait_for_room(struct leat_journal *journal)
{
    int64_t until_us = leat_store_mono_us() + LEAT_STORE_ROOM_CHECK_MS * LEAT_US_PER_MS;
    while (journal->is_held && !journal->is_stopping && leat_store_mono_us() < until_us) {
        wait_until(journal, until_us);
    }
    journal->is_held = false;
}

static void *run(void *argument)
{
    struct leat_journal *journal = argument;
    pthread_mutex_lock(&journal->mutex);
    for (;;) {
        bool has_work = !journal->is_here && (journal->state == LEAT_JOURNAL_WRITING ||
                                              journal->state == LEAT_JOURNAL_SHORT);
        if (has_work && !journal->is_held) {
            write_record(journal);
            leat_store_tell(journal->event_fd);
        } else if (journal->is_stopping) {
            break;
        } else if (has_work) {
            wait_for_room(journal);
        } else {
            wait_for_work(journal);
        }
    }
    pthread_mutex_unlock(&journal->mutex);
    return NULL;
}

/* ---- opening and closing ---- */

static void free_files(struct leat_journal *journal)
{
    for (unsigned i = 0; i < LEAT_JOURNAL_FILES; i++) {
        leat_journal_file_fini(&journal->files[i]);
    }
    if (journal->event_fd >= 0) {
        close(journal->event_fd);
    }
    free(journal);
}

enum leat_err leat_journal_open(const char *directory, const struct leat_id *store, bool make,
                                struct leat_journal **ret_journal, struct leat_why *why)
{
    struct leat_journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    journal->key = leat_journal_key(store);
    journal->offset = LEAT_JOURNAL_BLOCK_BYTES;
    journal->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum leat_err err =
        journal->event_fd >= 0
            ? LEAT_OK
            : leat_fail(why, LEAT_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    for (unsigned i = LEAT_JOURNAL_FILES; err == LEAT_OK && i > 0;
         i--) { /* the first is made last */
        struct leat_journal_file *file = &journal->files[i - 1];
        err = make ? leat_journal_file_make(file, directory, i - 1, store, why)
                   : leat_journal_file_open(file, directory, i - 1, store, why);
    }
    if (err == LEAT_OK) {
        int rc = leat_store_thread_start(&journal->thread, &journal->mutex, &journal->wake,
                                         "leat-journal", run, journal);
        if (rc != 0) {
            err =
                leat_fail(why, LEAT_ERR_IO, "cannot start the journal's thread: %s", strerror(rc));
        }
    }
    if (err != LEAT_OK) {
        free_files(journal);
        return err;
    }
    *ret_journal = journal;
    return LEAT_OK;
}

void leat_journal_close(struct leat_journal **journal)
{
    if (*journal == NULL) {
        return;
    }
    pthread_mutex_lock(&(*journal)->mutex);
    (*journal)->is_stopping = true;
    pthread_cond_signal(&(*journal)->wake);
    pthread_mutex_unlock(&(*journal)->mutex);
    leat_store_thread_join((*journal)->thread, &(*journal)->mutex, &(*journal)->wake);
    free_files(*journal);
    *journal = NULL;
}

bool leat_journal_is_there(const char *directory)
{
    return leat_journal_file_is_there(directory, 0) || leat_journal_is_used(directory);
}

bool leat_journal_is_used(const char *directory)
{
    return leat_journal_file_is_used(directory, 0) || leat_journal_file_is_used(directory, 1);
}

/* ---- writing ---- */

/* Where the record goes that is to be written. With the mutex. */
static void place_record(struct leat_journal *journal)
{
    unsigned other = 1 - journal->current;
    if (journal->is_turning && journal->last_number[other] <= journal->applied) {
        journal->current = other;
        journal->offset = LEAT_JOURNAL_BLOCK_BYTES;
        journal->is_turning = false;
    }
    journal->writing_file = journal->current;
    journal->writing_at = journal->offset;
    journal->last_number[journal->current] = journal->number;
}

/* With the mutex. */
static void begin_record(struct leat_journal *journal, uint64_t number,
                         struct leat_journal_buffer *buffer)
{
    assert(journal->state == LEAT_JOURNAL_IDLE && number == journal->number + 1);
    journal->number = number;
    journal->buffer = buffer;
    journal->is_held = false;
    place_record(journal);
    journal->state = LEAT_JOURNAL_WRITING;
}

void leat_journal_submit(struct leat_journal *journal, uint64_t number,
                         struct leat_journal_buffer *buffer)
{
    pthread_mutex_lock(&journal->mutex);
    begin_record(journal, number, buffer);
    pthread_cond_signal(&journal->wake);
    pthread_mutex_unlock(&journal->mutex);
}

/* In the file that is being filled, without its growing, which takes a while. */
static bool is_place_there(const struct leat_journal *journal, size_t size)
{
    return journal->offset + size <= journal->files[journal->current].size_bytes &&
           !journal->is_turning;
}

bool leat_journal_write_here(struct leat_journal *journal, uint64_t number,
                             struct leat_journal_buffer *buffer)
{
    size_t size = leat_journal_buffer_bytes(buffer);
    pthread_mutex_lock(&journal->mutex);
    bool is_quick = journal->quick_records >= LEAT_JOURNAL_QUICK_RECORDS &&
                    size <= LEAT_JOURNAL_HERE_BYTES && is_place_there(journal, size);
    if (is_quick) {
        begin_record(journal, number, buffer);
        journal->is_here = true;
        write_record(journal);
        journal->is_here = false;
        if (journal->state == LEAT_JOURNAL_SHORT) {
            pthread_cond_signal(&journal->wake); /* it looks for room from now on */
        }
    }
    pthread_mutex_unlock(&journal->mutex);
    return is_quick;
}

void leat_journal_applied(struct leat_journal *journal, uint64_t number)
{
    journal->applied = number;
}

void leat_journal_turn(struct leat_journal *journal)
{
    journal->is_turning = true;
}

uint64_t leat_journal_filled_bytes(const struct leat_journal *journal)
{
    return journal->offset;
}

enum leat_err leat_journal_shrink(struct leat_journal *journal, struct leat_why *why)
{
    assert(journal->state == LEAT_JOURNAL_IDLE && journal->applied == journal->number);
    enum leat_err err = LEAT_OK;
    for (unsigned i = 0; err == LEAT_OK && i < LEAT_JOURNAL_FILES; i++) {
        err = leat_journal_file_shrink(&journal->files[i], why);
    }
    journal->offset = LEAT_JOURNAL_BLOCK_BYTES;
    journal->is_turning = false;
    return err;
}

bool leat_journal_is_turning(const struct leat_journal *journal)
{
    return journal->is_turning;
}

/* A record that found no room may find it in the other file. With the mutex. */
static void try_other_file(struct leat_journal *journal)
{
    unsigned other = 1 - journal->current;
    if (journal->writing_at > LEAT_JOURNAL_BLOCK_BYTES &&
        journal->last_number[other] <= journal->applied) {
        journal->last_number[journal->current] = journal->number - 1;
        journal->is_turning = true;
        place_record(journal);
        journal->is_held = false;
        pthread_cond_signal(&journal->wake);
    }
}

enum leat_journal_state leat_journal_poll(struct leat_journal *journal, struct leat_why *why)
{
    leat_store_hear(journal->event_fd);
    pthread_mutex_lock(&journal->mutex);
    enum leat_journal_state state = journal->state;
    if (state == LEAT_JOURNAL_DONE) {
        journal->state = LEAT_JOURNAL_IDLE;
        journal->offset = journal->end;
        journal->buffer = NULL;
    } else if (state == LEAT_JOURNAL_SHORT && journal->is_held) {
        try_other_file(journal);
    } else if (state == LEAT_JOURNAL_BROKEN) {
        *why = journal->why;
    }
    pthread_mutex_unlock(&journal->mutex);
    return state;
}

bool leat_journal_is_held(struct leat_journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    bool is_held = journal->state == LEAT_JOURNAL_SHORT && journal->is_held;
    pthread_mutex_unlock(&journal->mutex);
    return is_held;
}

bool leat_journal_take_back(struct leat_journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    bool is_held = journal->state == LEAT_JOURNAL_SHORT && journal->is_held;
    if (is_held) {
        journal->state = LEAT_JOURNAL_IDLE;
        journal->is_held = false;
        journal->buffer = NULL;
    }
    pthread_mutex_unlock(&journal->mutex);
    return is_held;
}

int leat_journal_fd(const struct leat_journal *journal)
{
    return journal->event_fd;
}

void leat_journal_remind_at(struct leat_journal *journal, int64_t at_us)
{
    pthread_mutex_lock(&journal->mutex);
    journal->remind_us = at_us;
    pthread_cond_signal(&journal->wake);
    pthread_mutex_unlock(&journal->mutex);
}

/* ---- after a crash ---- */

struct found {
    struct leat_journal_record *records; /* owned; whole ones above `applied` */
    size_t count, capacity;
    uint64_t part; /* the highest number of which only a part is there; 0: none */
};

static void add_record(struct found *found, const struct leat_journal_record *record)
{
    if (found->count == found->capacity) {
        found->capacity = found->capacity == 0 ? 64 : 2 * found->capacity;
        found->records = realloc(found->records, found->capacity * sizeof *found->records);
        if (found->records == NULL) {
            abort();
        }
    }
    found->records[found->count++] = *record;
}

static void look_through(const struct leat_journal *journal, struct leat_bytes file,
                         uint64_t applied, struct found *found)
{
    size_t at = LEAT_JOURNAL_BLOCK_BYTES;
    while (at < file.size) {
        struct leat_bytes rest = leat_bytes_of(file.data + at, file.size - at);
        struct leat_journal_record record;
        size_t blocks = 1;
        switch (leat_journal_record_read(rest, journal->key, &record)) {
        case LEAT_JOURNAL_NOTHING:
            break;
        case LEAT_JOURNAL_PART:
            if (record.number > found->part) {
                found->part = record.number;
            }
            break;
        case LEAT_JOURNAL_WHOLE:
            blocks = record.blocks;
            if (record.number > applied) {
                add_record(found, &record);
            }
            break;
        }
        at += blocks * LEAT_JOURNAL_BLOCK_BYTES;
    }
}

static int by_number(const void *left, const void *right)
{
    const struct leat_journal_record *a = left;
    const struct leat_journal_record *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* A record that met a full disk at its very end lies whole in one file, and again in the other. */
static void drop_doubles(struct found *found)
{
    size_t kept = 1;
    for (size_t i = 1; i < found->count; i++) {
        if (found->records[i].number != found->records[kept - 1].number) {
            found->records[kept++] = found->records[i];
        }
    }
    found->count = kept;
}

static enum leat_err check_gaps(const struct leat_journal *journal, const struct found *found,
                                uint64_t applied, struct leat_why *why)
{
    uint64_t expected = applied + 1;
    for (size_t i = 0; i < found->count && found->records[i].number == expected; i++) {
        expected++;
    }
    uint64_t last = found->count == 0 ? applied : found->records[found->count - 1].number;
    if (last >= expected || found->part > expected) {
        return leat_fail(why, LEAT_ERR_CORRUPT,
                         "batch %llu is damaged or missing in %s or %s, though batch %llu, which "
                         "came after it, is there",
                         (unsigned long long)expected, journal->files[0].path,
                         journal->files[1].path,
                         (unsigned long long)(last >= expected ? last : found->part));
    }
    return LEAT_OK;
}

static enum leat_err visit_record(const struct leat_journal_record *record,
                                  leat_journal_visit_fn *visit, void *context, struct leat_why *why)
{
    struct leat_bytes body = record->body;
    struct leat_journal_write write;
    enum leat_err err;
    while ((err = leat_journal_next(&body, &write)) == LEAT_OK) {
        visit(&write, context);
    }
    if (err == LEAT_ERR_CORRUPT) {
        return leat_fail(why, err, "batch %llu of the journal has writes that are none",
                         (unsigned long long)record->number);
    }
    return LEAT_OK;
}

enum leat_err leat_journal_read(const struct leat_journal *journal, uint64_t applied,
                                leat_journal_visit_fn *visit, void *context, uint64_t *ret_last,
                                struct leat_why *why)
{
    struct leat_bytes maps[LEAT_JOURNAL_FILES] = {{NULL, 0}, {NULL, 0}};
    struct found found = {0};
    enum leat_err err = LEAT_OK;
    for (unsigned i = 0; err == LEAT_OK && i < LEAT_JOURNAL_FILES; i++) {
        err = leat_journal_file_map(&journal->files[i], &maps[i], why);
        if (err == LEAT_OK) {
            look_through(journal, maps[i], applied, &found);
        }
    }
    if (err == LEAT_OK && found.count > 0) {
        qsort(found.records, found.count, sizeof *found.records, by_number);
        drop_doubles(&found);
    }
    if (err == LEAT_OK) {
        err = check_gaps(journal, &found, applied, why);
    }
    for (size_t i = 0; err == LEAT_OK && i < found.count; i++) {
        err = visit_record(&found.records[i], visit, context, why);
    }
    for (unsigned i = 0; i < LEAT_JOURNAL_FILES; i++) {
        if (maps[i].data != NULL) {
            leat_journal_file_unmap(maps[i]);
        }
    }
    *ret_last = found.count == 0 ? applied : found.records[found.count - 1].number;
    free(found.records);
    return err;
}

void leat_journal_begin(struct leat_journal *journal, uint64_t number)
{
    journal->number = number;
    journal->applied = number;
    journal->last_number[0] = number;
    journal->last_number[1] = number;
}
