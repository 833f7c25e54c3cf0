/* P2: the power is cut at any instant of a commit. What is not flushed reaches the disk in any
 * order, in part, or torn between sectors; every file that may be left behind is built from what
 * the store really wrote, and opened. It must hold exactly one of the batches' states: the one
 * before the commit until the commit's last page is written, and never less than what was reported
 * durable.
 *
 * LEAT_SEED=N repeats a run. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_directory.h"
#include "store_model.h"
#include "store_recorder.h"

#define BATCHES      20
#define SECTOR_BYTES 512
#define MIXTURES     24 /* of pending sectors, by chance, at each instant */
#define PENDING_MAX  4096
#define META_BYTES   (2 * 4096) /* the two pages of which one makes a commit valid */
#define COPY_BYTES   (64 << 20)

/* A write of which each sector may or may not have reached the disk. */
struct sector {
    uint64_t offset;
    size_t size;
    const uint8_t *bytes;
};

struct disk {
    uint8_t *image; /* what is on it for sure */
    uint64_t size;
    uint64_t used; /* behind this nobody has written: room for later */
    struct sector pending[PENDING_MAX];
    size_t pending_count;
    uint64_t pending_size; /* the file may have become as long as this */
};

struct run {
    struct store_directory *directory;
    struct leat_rng rng;
    struct store_model models[BATCHES + 1]; /* after each batch */
    size_t reported[BATCHES + 1];           /* calls recorded when it was reported durable */
    struct disk disk;
    size_t valid;     /* batches of which the last page is on the disk */
    uint8_t *scratch; /* the file that is being looked at */
    uint64_t scratch_used;
    size_t states;  /* files looked at */
    char copy[200]; /* of the directory */
};

/* ---- files ---- */

static void path_in(const char *folder, const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", folder, name);
}

static uint8_t *read_whole(const char *path, uint64_t *ret_size)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    uint8_t *bytes = calloc(1, COPY_BYTES);
    assert_non_null(bytes);
    assert_true(status.st_size <= COPY_BYTES);
    assert_int_equal(pread(fd, bytes, (size_t)status.st_size, 0), status.st_size);
    close(fd);
    *ret_size = (uint64_t)status.st_size;
    return bytes;
}

/* The rest, up to `size`, is a hole: room that nobody has written to. */
static void write_whole(const char *path, const uint8_t *bytes, uint64_t used, uint64_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    uint64_t part = used < size ? used : size;
    assert_int_equal(pwrite(fd, bytes, part, 0), part);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

/* ---- one state ---- */

static void put_sector(uint8_t *image, uint64_t *used, uint64_t *size, const struct sector *sector)
{
    uint64_t end = sector->offset + sector->size;
    assert_true(end <= COPY_BYTES);
    memcpy(image + sector->offset, sector->bytes, sector->size);
    *used = end > *used ? end : *used;
    *size = end > *size ? end : *size;
}

/* Opens what the power cut left behind: `is_there` says which pending sectors it is. */
static void check_state(struct run *run, const bool *is_there, bool has_new_size, size_t expected,
                        const char *what)
{
    uint64_t size = has_new_size ? run->disk.pending_size : run->disk.size;
    uint64_t used = run->disk.used;
    uint8_t *image = run->scratch;
    memcpy(image, run->disk.image, used);
    memset(image + used, 0, (size_t)(run->scratch_used > used ? run->scratch_used - used : 0));
    for (size_t i = 0; i < run->disk.pending_count; i++) {
        if (is_there[i]) {
            put_sector(image, &used, &size, &run->disk.pending[i]);
        }
    }
    char path[256];
    path_in(run->copy, "data.mdb", path);
    write_whole(path, image, used, size);
    run->scratch_used = used;
    struct leat_store *store = NULL;
    struct leat_why why = {""};
    if (leat_store_open_lmdb(run->copy, &store_directory_options, &store, &why) != LEAT_OK) {
        fail_msg("state %zu, batch %zu, %s: %s", run->states, expected, what, why.text);
    }
    store_model_compare(&run->models[expected], store);
    leat_store_close(&store);
    run->states++;
}

/* ---- all states of one instant ---- */

static void all_mixtures(struct run *run)
{
    static bool is_there[PENDING_MAX];
    size_t count = run->disk.pending_count;
    memset(is_there, false, sizeof is_there);
    check_state(run, is_there, false, run->valid, "nothing was written");
    if (count == 0) {
        return;
    }
    check_state(run, is_there, true, run->valid, "only the size was");
    memset(is_there, true, sizeof is_there);
    check_state(run, is_there, true, run->valid, "all was written, but the last page");
    for (int i = 0; i < MIXTURES; i++) {
        uint32_t share_ppm = (uint32_t)leat_rng_below(&run->rng, 1000001);
        for (size_t k = 0; k < count; k++) {
            is_there[k] = leat_rng_chance(&run->rng, share_ppm);
        }
        check_state(run, is_there, i % 2 == 0, run->valid, "some sectors were written");
    }
    size_t first = (size_t)leat_rng_below(&run->rng, count);
    for (size_t k = 0; k < count; k++) {
        is_there[k] = k >= first; /* the later ones before the earlier ones */
    }
    check_state(run, is_there, true, run->valid, "the later half was written");
    for (size_t k = 0; k < count; k++) {
        is_there[k] = k != first;
    }
    check_state(run, is_there, true, run->valid, "one sector is missing");
}

/* ---- the calls, one after the other ---- */

static void add_pending(struct disk *disk, const struct store_recorded *call)
{
    uint64_t end = call->offset + call->size;
    for (uint64_t at = call->offset; at < end;) {
        uint64_t next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
        next = next < end ? next : end;
        assert_true(disk->pending_count < PENDING_MAX);
        disk->pending[disk->pending_count++] =
            (struct sector){at, (size_t)(next - at), call->bytes + (at - call->offset)};
        at = next;
    }
    if (end > disk->pending_size) {
        disk->pending_size = end;
    }
}

static void flush(struct disk *disk)
{
    for (size_t i = 0; i < disk->pending_count; i++) {
        put_sector(disk->image, &disk->used, &disk->size, &disk->pending[i]);
    }
    disk->pending_count = 0;
    if (disk->pending_size > disk->size) {
        disk->size = disk->pending_size;
    }
}

/* The page that makes a commit valid. It is smaller than a sector, and so is there or not. */
static void take_last_page(struct run *run, const struct store_recorded *call)
{
    struct disk *disk = &run->disk;
    assert_true(call->offset + call->size <= META_BYTES);
    assert_int_equal(call->offset / SECTOR_BYTES, (call->offset + call->size - 1) / SECTOR_BYTES);
    assert_int_equal(disk->pending_count, 0); /* else it could be there before what it points to */
    add_pending(disk, call);
    flush(disk);
    run->valid++;
    assert_true(run->valid <= BATCHES);
    check_state(run, NULL, true, run->valid, "the last page was written");
}

static void take_call(struct run *run, size_t index)
{
    const struct store_recorded *call = store_recorder_at(index);
    switch (call->kind) {
    case STORE_RECORDED_WRITE:
        if (call->is_flushed) {
            take_last_page(run, call);
        } else {
            assert_true(call->offset >= META_BYTES);
            add_pending(&run->disk, call);
        }
        break;
    case STORE_RECORDED_FLUSH:
        all_mixtures(run);
        flush(&run->disk);
        break;
    case STORE_RECORDED_SIZE:
        if (call->size > run->disk.pending_size) {
            run->disk.pending_size = call->size;
        }
        break;
    }
    for (size_t batch = 1; batch <= BATCHES; batch++) {
        if (run->reported[batch] == index + 1) {
            assert_true(run->valid >= batch); /* what was reported is there */
        }
    }
}

/* ---- the store writes ---- */

static bool has_committed(size_t from)
{
    for (size_t i = from; i < store_recorder_count(); i++) {
        if (store_recorder_at(i)->is_flushed) {
            return true;
        }
    }
    return false;
}

/* LMDB writes nothing for a batch that only deletes what is not there: then there is one more. */
static void write_batch(struct run *run, struct leat_store *store, size_t number)
{
    struct store_model *model = &run->models[number];
    *model = run->models[number - 1];
    size_t from = store_recorder_count();
    do {
        for (uint64_t i = 1 + leat_rng_below(&run->rng, 40); i > 0; i--) {
            store_model_write(model, store, &run->rng);
        }
        assert_true(leat_store_is_dirty(store));
        assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    } while (!has_committed(from));
    run->reported[number] = store_recorder_count();
}

static void record_run(struct run *run)
{
    struct leat_store *store = store_directory_open(run->directory);
    for (int i = 0; i < 300; i++) {
        store_model_write(&run->models[0], store, &run->rng);
    }
    assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    char path[256];
    path_in(run->directory->path, "data.mdb", path);
    run->disk.image = read_whole(path, &run->disk.size);
    run->disk.pending_size = run->disk.size;
    run->disk.used = run->disk.size;
    while (run->disk.used > 0 && run->disk.image[run->disk.used - 1] == 0) {
        run->disk.used--;
    }
    store_recorder_begin();
    for (size_t number = 1; number <= BATCHES; number++) {
        write_batch(run, store, number);
    }
    store_recorder_end();
    leat_store_close(&store);
}

/* A directory with the lock file of the other, which names the store. */
static void make_copy(struct run *run)
{
    char from[256];
    char to[256];
    snprintf(run->copy, sizeof run->copy, "%s/copy", run->directory->root);
    assert_int_equal(mkdir(run->copy, 0700), 0);
    path_in(run->directory->path, "leat.lock", from);
    path_in(run->copy, "leat.lock", to);
    uint64_t size;
    uint8_t *bytes = read_whole(from, &size);
    write_whole(to, bytes, size, size);
    free(bytes);
}

static void a_power_cut_leaves_a_whole_number_of_batches(void **state)
{
    struct run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->directory = *state;
    leat_rng_init(&run->rng, store_model_seed());
    run->scratch = calloc(1, COPY_BYTES);
    assert_non_null(run->scratch);
    record_run(run);
    make_copy(run);
    store_recorder_skip_flushes(true);
    for (size_t i = 0; i < store_recorder_count(); i++) {
        take_call(run, i);
    }
    store_recorder_skip_flushes(false);
    assert_int_equal(run->valid, BATCHES);
    print_message("%zu calls, %zu files that a power cut may leave behind\n",
                  store_recorder_count(), run->states);
    assert_true(run->states > (size_t)BATCHES * MIXTURES);
    free(run->disk.image);
    free(run->scratch);
    free(run);
    store_recorder_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_power_cut_leaves_a_whole_number_of_batches,
                                        store_directory_setup, store_directory_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
