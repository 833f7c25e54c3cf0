#include "store_journal_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_faults.h"

const struct leat_bytes key = {(const uint8_t *)"key", 3};
const struct leat_bytes value = {(const uint8_t *)"value", 5};

int setup(void **state)
{
    store_faults_clear();
    store_directory_has_journal = true;
    return store_directory_setup(state);
}

int setup_lmdb(void **state)
{
    int failed = setup(state);
    store_directory_has_journal = false;
    return failed;
}

void sync_store(struct leat_store *store)
{
    struct leat_why why = {""};
    if (leat_store_sync(store, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
}

void advance_until(struct leat_store *store, bool (*is_reached)(struct leat_store *))
{
    while (!is_reached(store)) {
        struct pollfd item = {.fd = leat_store_fd(store), .events = POLLIN};
        assert_int_equal(poll(&item, 1, 60000), 1);
        assert_int_equal(leat_store_advance(store, NULL), LEAT_OK);
    }
}

bool has_room(struct leat_store *store)
{
    return leat_store_has_room(store);
}

bool has_no_room(struct leat_store *store)
{
    return !leat_store_has_room(store);
}

bool is_committed(struct leat_store *store)
{
    return !leat_store_is_committing(store);
}

struct leat_bytes number_key(uint64_t number, uint8_t bytes[8])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    return leat_bytes_of(bytes, 8);
}

void put_number(struct leat_store *store, uint64_t number, size_t size)
{
    static uint8_t body[1 << 20];
    uint8_t bytes[8];
    memset(body, (int)(number & 0xff), size);
    leat_store_put(store, 0, number_key(number, bytes), leat_bytes_of(body, size));
}

void assert_numbers(struct leat_store *store, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint8_t bytes[8];
        struct leat_bytes found;
        assert_int_equal(leat_store_get(store, 0, number_key(i, bytes), &found), LEAT_OK);
        assert_int_equal(found.data[found.size - 1], (uint8_t)i);
    }
    assert_int_equal(leat_store_count(store, 0), count);
}

const char *const files[FILES] = {"data.mdb", "leat.lock", "journal-0", "journal-1"};

void copy_file(const char *from, const char *to)
{
    static uint8_t bytes[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    ssize_t size;
    while ((size = read(in, bytes, sizeof bytes)) > 0) {
        assert_int_equal(write(out, bytes, (size_t)size), size);
    }
    close(in);
    close(out);
}

/* The directory as a process that is killed now would leave it. */
void crash(const struct store_directory *directory, struct store_directory *ret_left)
{
    *ret_left = *directory;
    snprintf(ret_left->path, sizeof ret_left->path, "%.100s/left", directory->root);
    assert_true(mkdir(ret_left->path, 0700) == 0 || errno == EEXIST);
    for (size_t i = 0; i < FILES; i++) {
        char from[256];
        char to[256];
        snprintf(from, sizeof from, "%s/%s", directory->path, files[i]);
        snprintf(to, sizeof to, "%s/%s", ret_left->path, files[i]);
        copy_file(from, to);
    }
}

struct leat_store *open_with(const struct store_directory *directory, uint64_t journal_bytes)
{
    struct leat_store_options options = store_directory_options;
    options.journal_bytes = journal_bytes;
    struct leat_store *store = NULL;
    struct leat_why why = {""};
    if (leat_store_open_journaled(directory->path, &options, &store, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    return store;
}

void leave_ten(void **state, struct store_directory *ret_left)
{
    struct leat_store *store = open_with(*state, 1 << 20);
    for (uint64_t i = 0; i < 10; i++) {
        put_number(store, i, 1000);
        sync_store(store);
    }
    crash(*state, ret_left);
    leat_store_close(&store);
}

void flip(const struct store_directory *directory, const char *name, off_t offset)
{
    char path[256];
    uint8_t byte;
    snprintf(path, sizeof path, "%s/%s", directory->path, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}
