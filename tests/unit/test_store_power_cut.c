/* P2: the power is cut at any instant of a commit. What is not flushed reaches the disk in any
 * order, in part, or torn between sectors; every set of files that may be left behind is built from
 * what the store really wrote, and opened. It must hold exactly one of the batches' states, and
 * never less than what was reported durable: in LMDB alone the one before the commit until the
 * commit's last page is written; with a journal that one, or the batch on its way as well.
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
#define FILES        STORE_RECORDED_FILES
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

/* Says in the store itself which batch was the last: in a table that the model does not use. */
#define BATCH_TABLE 3
static const struct leat_bytes batch_key = {(const uint8_t *)"batch", 5};

struct run {
    struct store_directory *directory;
    struct leat_rng rng;
    struct store_model models[BATCHES + 1]; /* after each batch */
    size_t reported[BATCHES + 1];           /* calls recorded when it was reported durable */
    size_t file_count;
    struct disk disks[FILES]; /* the same disk, file by file */
    size_t valid; /* batches of which the last page is on the disk; with a journal, reported ones */
    uint8_t *scratch[FILES]; /* the file that is being looked at */
    uint64_t scratch_used[FILES];
    size_t states;    /* of the disk that were looked at */
    size_t next_seen; /* of them with the batch after the last that was reported */
    char copy[200];   /* of the directory */
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

/* Which of the pending sectors of a file have reached the disk; and whether its new size has. */
struct fate {
    bool has_new_size;
    bool is_there[PENDING_MAX];
};

static void write_file(struct run *run, size_t file, const struct fate *fate)
{
    const struct disk *disk = &run->disks[file];
    uint64_t size = fate->has_new_size ? disk->pending_size : disk->size;
    uint64_t used = disk->used;
    uint8_t *image = run->scratch[file];
    memcpy(image, disk->image, used);
    if (run->scratch_used[file] > used) {
        memset(image + used, 0, (size_t)(run->scratch_used[file] - used));
    }
    for (size_t i = 0; i < disk->pending_count; i++) {
        if (fate->is_there[i]) {
            put_sector(image, &used, &size, &disk->pending[i]);
        }
    }
    char path[256];
    path_in(run->copy, store_recorded_names[file], path);
    write_whole(path, image, used, size);
    run->scratch_used[file] = used;
}

static size_t batch_of(struct leat_store *store)
{
    struct leat_bytes value;
    uint64_t batch = 0;
    if (leat_store_get(store, BATCH_TABLE, batch_key, &value) == LEAT_OK) {
        assert_int_equal(value.size, sizeof batch);
        memcpy(&batch, value.data, sizeof batch);
    }
    return (size_t)batch;
}

/* Opens what the power cut left behind. */
static void check_state(struct run *run, const struct fate fates[FILES], const char *what)
{
    for (size_t file = 0; file < run->file_count; file++) {
        write_file(run, file, &fates[file]);
    }
    struct leat_store *store = NULL;
    struct leat_why why = {""};
    if (store_directory_try(run->copy, &store, &why) != LEAT_OK) {
        fail_msg("state %zu, batch %zu, %s: %s", run->states, run->valid, what, why.text);
    }
    size_t batch = batch_of(store);
    bool may_be_next = store_directory_has_journal && batch == run->valid + 1;
    if (batch != run->valid && !(may_be_next && batch <= BATCHES)) {
        fail_msg("state %zu, batch %zu, %s: batch %zu is there", run->states, run->valid, what,
                 batch);
    }
    run->next_seen += batch != run->valid;
    store_model_compare(&run->models[batch], store);
    leat_store_close(&store);
    run->states++;
}

/* ---- all states of one instant ---- */

/* The file at hand gets the fate that is asked for; what others have pending, as writing goes on in
 * several files at once, is there by chance. */
static struct fate *begin_fates(struct run *run, size_t file, bool all)
{
    static struct fate fates[FILES];
    for (size_t i = 0; i < run->file_count; i++) {
        uint32_t share_ppm = (uint32_t)leat_rng_below(&run->rng, 1000001);
        fates[i].has_new_size = leat_rng_chance(&run->rng, share_ppm);
        for (size_t k = 0; k < run->disks[i].pending_count; k++) {
            fates[i].is_there[k] = i == file ? all : leat_rng_chance(&run->rng, share_ppm);
        }
    }
    return fates;
}

static void all_mixtures(struct run *run, size_t file)
{
    size_t count = run->disks[file].pending_count;
    struct fate *fates = begin_fates(run, file, false);
    struct fate *mine = &fates[file];
    mine->has_new_size = false;
    check_state(run, fates, "nothing was written");
    if (count == 0) {
        return;
    }
    mine->has_new_size = true;
    check_state(run, fates, "only the size was");
    fates = begin_fates(run, file, true);
    mine->has_new_size = true;
    check_state(run, fates, "all was written, but the last page");
    for (int i = 0; i < MIXTURES; i++) {
        uint32_t share_ppm = (uint32_t)leat_rng_below(&run->rng, 1000001);
        fates = begin_fates(run, file, false);
        for (size_t k = 0; k < count; k++) {
            mine->is_there[k] = leat_rng_chance(&run->rng, share_ppm);
        }
        mine->has_new_size = i % 2 == 0;
        check_state(run, fates, "some sectors were written");
    }
    mine->has_new_size = true;
    size_t first = (size_t)leat_rng_below(&run->rng, count);
    for (size_t k = 0; k < count; k++) {
        mine->is_there[k] = k >= first; /* the later ones before the earlier ones */
    }
    check_state(run, fates, "the later half was written");
    for (size_t k = 0; k < count; k++) {
        mine->is_there[k] = k != first;
    }
    check_state(run, fates, "one sector is missing");
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

/* The page that makes a commit of LMDB valid. It is smaller than a sector, and so is there or not.
 */
static void take_last_page(struct run *run, const struct store_recorded *call)
{
    struct disk *disk = &run->disks[call->file];
    assert_true(call->offset + call->size <= META_BYTES);
    assert_int_equal(call->offset / SECTOR_BYTES, (call->offset + call->size - 1) / SECTOR_BYTES);
    assert_int_equal(disk->pending_count, 0); /* else it could be there before what it points to */
    add_pending(disk, call);
    flush(disk);
    if (!store_directory_has_journal) {
        run->valid++;
        assert_true(run->valid <= BATCHES);
    }
    check_state(run, begin_fates(run, FILES, false), "the last page was written");
}

static void take_call(struct run *run, size_t index)
{
    const struct store_recorded *call = store_recorder_at(index);
    struct disk *disk = &run->disks[call->file];
    switch (call->kind) {
    case STORE_RECORDED_WRITE:
        if (call->is_flushed) {
            take_last_page(run, call);
        } else {
            assert_true(call->file != STORE_RECORDED_DATA || call->offset >= META_BYTES);
            add_pending(disk, call);
        }
        break;
    case STORE_RECORDED_FLUSH:
        all_mixtures(run, (size_t)call->file);
        flush(disk);
        break;
    case STORE_RECORDED_SIZE:
        if (call->size > disk->pending_size) {
            disk->pending_size = call->size;
        }
        break;
    }
    for (size_t batch = 1; batch <= BATCHES; batch++) {
        if (run->reported[batch] == index + 1 && store_directory_has_journal) {
            run->valid = batch;
        }
        if (run->reported[batch] == index + 1) {
            assert_true(run->valid >= batch); /* what was reported is there */
        }
    }
}

/* ---- the store writes ---- */

static void write_batch(struct run *run, struct leat_store *store, uint64_t number)
{
    struct store_model *model = &run->models[number];
    *model = run->models[number - 1];
    for (uint64_t i = 1 + leat_rng_below(&run->rng, 40); i > 0; i--) {
        store_model_write(model, store, &run->rng);
    }
    leat_store_put(store, BATCH_TABLE, batch_key, leat_bytes_of(&number, sizeof number));
    assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    run->reported[number] = store_recorder_count();
}

static void record_run(struct run *run)
{
    struct leat_store *store = store_directory_open(run->directory);
    for (int i = 0; i < 300; i++) {
        store_model_write(&run->models[0], store, &run->rng);
    }
    assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    leat_store_close(&store); /* with a journal: nothing is on its way to LMDB */
    store = store_directory_open(run->directory);
    for (size_t file = 0; file < run->file_count; file++) {
        struct disk *disk = &run->disks[file];
        char path[256];
        path_in(run->directory->path, store_recorded_names[file], path);
        disk->image = read_whole(path, &disk->size);
        disk->pending_size = disk->size;
        disk->used = disk->size;
        while (disk->used > 0 && disk->image[disk->used - 1] == 0) {
            disk->used--;
        }
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
    run->file_count = store_directory_has_journal ? FILES : 1;
    for (size_t file = 0; file < run->file_count; file++) {
        run->scratch[file] = calloc(1, COPY_BYTES);
        assert_non_null(run->scratch[file]);
    }
    record_run(run);
    make_copy(run);
    store_recorder_skip_flushes(true);
    for (size_t i = 0; i < store_recorder_count(); i++) {
        take_call(run, i);
    }
    store_recorder_skip_flushes(false);
    assert_int_equal(run->valid, BATCHES);
    print_message(
        "%zu calls, %zu disks that a power cut may leave behind, %zu with a batch that was "
        "not reported\n",
        store_recorder_count(), run->states, run->next_seen);
    assert_true(run->states > (size_t)BATCHES * MIXTURES);
    assert_true(run->next_seen > 0 || !store_directory_has_journal);
    for (size_t file = 0; file < run->file_count; file++) {
        free(run->disks[file].image);
        free(run->scratch[file]);
    }
    free(run);
    store_recorder_free();
}

static int setup_journaled(void **state)
{
    store_directory_has_journal = true;
    return store_directory_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"lmdb", a_power_cut_leaves_a_whole_number_of_batches, store_directory_setup,
         store_directory_teardown, NULL},
        {"journaled", a_power_cut_leaves_a_whole_number_of_batches, setup_journaled,
         store_directory_teardown, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
