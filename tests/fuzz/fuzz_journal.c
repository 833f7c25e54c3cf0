/* A batch as a record of the journal, and what a disk may make of it: it reads back as it was
 * written; with a changed byte or cut short it is no whole record, or still the same; any bytes at
 * all are read within their bounds.
 *
 * Bytes: how many writes; for each its table, sizes and what is in it; then changes: places and
 * values; the rest is read as a record of its own. */
#include <stdlib.h>
#include <string.h>

#include "store/journal_record.h"
#include "tests/fuzz/fuzz.h"

#define WRITES_MAX  16
#define CHANGES_MAX 8

struct written {
    unsigned table;
    struct leat_bytes key, value;
    bool is_del;
};

static const struct leat_id store = {{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3}};

static bool same(struct leat_bytes a, struct leat_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static size_t write_some(struct fuzz_input *in, struct leat_journal_buffer *buffer,
                         struct written writes[WRITES_MAX])
{
    size_t count = 1 + fuzz_byte(in) % WRITES_MAX;
    for (size_t i = 0; i < count; i++) {
        uint8_t head = fuzz_byte(in);
        uint8_t length = fuzz_byte(in);
        struct leat_bytes key = fuzz_bytes(in, 1 + length % 64);
        static const uint8_t some_key[1] = {'k'};
        writes[i] = (struct written){
            .table = head & 15,
            .is_del = (head & 16) != 0,
            .key = key.size == 0 ? leat_bytes_of(some_key, 1) : key,
        };
        if (!writes[i].is_del) {
            writes[i].value = fuzz_bytes(in, (size_t)fuzz_byte(in) << (head >> 5));
        }
        leat_journal_buffer_add(buffer, writes[i].table, writes[i].key,
                                writes[i].is_del ? NULL : &writes[i].value);
    }
    return count;
}

/* All writes of a body; only those that were made, when they are given. */
static void read_all(struct leat_bytes body, const struct written *writes, size_t count)
{
    struct leat_journal_write write;
    size_t number = 0;
    enum leat_err err;
    while ((err = leat_journal_next(&body, &write)) == LEAT_OK) {
        if (writes != NULL &&
            (number >= count || write.table != writes[number].table ||
             write.is_del != writes[number].is_del || !same(write.key, writes[number].key) ||
             !same(write.value, writes[number].value))) {
            fuzz_fail("write %zu is not what was written", number);
        }
        number++;
    }
    if (writes != NULL && (err != LEAT_ERR_NOT_FOUND || number != count)) {
        fuzz_fail("%zu of %zu writes, then %s", number, count, leat_err_name(err));
    }
}

static void change(struct fuzz_input *in, uint8_t *bytes, size_t size)
{
    for (size_t i = fuzz_byte(in) % CHANGES_MAX; i > 0; i--) {
        size_t place = (size_t)fuzz_byte(in) << 8 | fuzz_byte(in);
        bytes[place % size] ^= fuzz_byte(in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 20000) {
        return -1;
    }
    static struct leat_journal_buffer buffer;
    struct fuzz_input in = fuzz_input_of(data, size);
    struct written writes[WRITES_MAX];
    struct leat_journal_record record;
    struct leat_hash_key key = leat_journal_key(&store);
    leat_journal_buffer_clear(&buffer, 1 << 20);
    size_t count = write_some(&in, &buffer, writes);
    struct leat_journal_parts parts = leat_journal_buffer_finish(&buffer, key, 1 + size);
    if (parts.count != 1) {
        fuzz_fail("nothing is held, and there are %zu parts", parts.count);
    }
    struct leat_bytes whole = parts.items[0];
    size_t used = buffer.size;
    if (leat_journal_record_read(whole, key, &record) != LEAT_JOURNAL_WHOLE ||
        record.number != 1 + size || record.blocks * LEAT_JOURNAL_BLOCK_BYTES != whole.size) {
        fuzz_fail("the record does not read back");
    }
    read_all(record.body, writes, count);

    uint8_t *damaged = malloc(whole.size);
    if (damaged == NULL) {
        abort();
    }
    memcpy(damaged, whole.data, whole.size);
    change(&in, damaged, whole.size);
    size_t cut = fuzz_byte(&in) % 4 == 0 ? whole.size * fuzz_byte(&in) / 256 : whole.size;
    enum leat_journal_found found =
        leat_journal_record_read(leat_bytes_of(damaged, cut), key, &record);
    bool is_changed = cut < used || memcmp(damaged, whole.data, used) != 0;
    if ((found == LEAT_JOURNAL_WHOLE) == is_changed) {
        fuzz_fail(is_changed ? "a damaged record counts as whole" : "a whole one does not");
    }
    free(damaged);

    struct leat_bytes rest = fuzz_bytes(&in, size);
    if (leat_journal_record_read(rest, key, &record) == LEAT_JOURNAL_WHOLE) {
        read_all(record.body, NULL, 0);
    }
    read_all(rest, NULL, 0);
    return 0;
}
