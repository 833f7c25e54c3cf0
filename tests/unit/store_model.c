#include "store_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "core/crc32c.h"
#include "store/sorted.h"

#define VALUE_BYTES_MAX 100000

static uint8_t key_bytes[STORE_MODEL_KEYS][LEAT_STORE_KEY_BYTES_MAX];
static size_t key_sizes[STORE_MODEL_KEYS];
static uint8_t value_bytes[VALUE_BYTES_MAX];

uint64_t store_model_seed(void)
{
    const char *text = getenv("LEAT_SEED");
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)now.tv_nsec;
    printf("LEAT_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Ascending by construction: each key follows from the one before it, either longer by some bytes
 * (zero bytes among them) or greater in its last byte. */
static void make_keys(void)
{
    struct leat_rng rng;
    leat_rng_init(&rng, 7);
    uint8_t key[LEAT_STORE_KEY_BYTES_MAX] = {1};
    size_t size = 1;
    for (size_t i = 0; i < STORE_MODEL_KEYS; i++) {
        memcpy(key_bytes[i], key, size);
        key_sizes[i] = size;
        if (size < LEAT_STORE_KEY_BYTES_MAX && leat_rng_below(&rng, 3) == 0) {
            size_t more = 1 + leat_rng_below(&rng, LEAT_STORE_KEY_BYTES_MAX - size);
            memset(key + size, leat_rng_below(&rng, 2) == 0 ? 0 : 0x80, more);
            size += more;
        } else {
            size = 1 + leat_rng_below(&rng, size);
            while (key[size - 1] == 0xff) {
                size--;
            }
            key[size - 1]++;
        }
    }
}

struct leat_bytes store_model_key(size_t index)
{
    if (key_sizes[0] == 0) {
        make_keys();
    }
    return leat_bytes_of(key_bytes[index], key_sizes[index]);
}

struct leat_bytes store_model_value(uint64_t version)
{
    struct leat_rng rng;
    leat_rng_init(&rng, version);
    uint64_t kind = leat_rng_below(&rng, 100);
    uint64_t bound = kind < 5 ? 1 : kind < 80 ? 200 : kind < 98 ? 5000 : VALUE_BYTES_MAX;
    size_t size = (size_t)leat_rng_below(&rng, bound);
    memset(value_bytes, (int)(version & 0xff), size);
    memcpy(value_bytes, &version, size < sizeof version ? size : sizeof version);
    return leat_bytes_of(value_bytes, size);
}

void store_model_write(struct store_model *model, struct leat_store *store, struct leat_rng *rng)
{
    leat_table table = (leat_table)leat_rng_below(rng, STORE_MODEL_TABLES);
    size_t key = (size_t)leat_rng_below(rng, STORE_MODEL_KEYS);
    if (leat_rng_below(rng, 3) == 0) {
        model->version[table][key] = 0;
        leat_store_del(store, table, store_model_key(key));
        return;
    }
    bool is_new = model->version[table][key] == 0 && leat_rng_below(rng, 4) > 0;
    model->version[table][key] = ++model->last_version;
    struct leat_bytes value = store_model_value(model->last_version);
    if (is_new && value.size >= LEAT_STORE_LARGE_BYTES) {
        uint8_t *place = leat_store_add_large(store, table, store_model_key(key), value.size);
        memcpy(place, value.data, value.size);
        if (leat_rng_below(rng, 2) == 0) {
            leat_store_tell_checksum(store, leat_crc32c(0, value.data, value.size));
        }
    } else if (is_new) {
        leat_store_add(store, table, store_model_key(key), value);
    } else {
        leat_store_put(store, table, store_model_key(key), value);
    }
}

static void assert_bytes(struct leat_bytes found, struct leat_bytes expected)
{
    assert_int_equal(leat_sorted_compare(found, expected), 0);
}

static void check_get(const struct store_model *model, struct leat_store *store, leat_table table,
                      size_t key)
{
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store, table, store_model_key(key), &value);
    if (model->version[table][key] == 0) {
        assert_int_equal(err, LEAT_ERR_NOT_FOUND);
        return;
    }
    assert_int_equal(err, LEAT_OK);
    assert_bytes(value, store_model_value(model->version[table][key]));
}

struct walk {
    const uint64_t *versions; /* of the table */
    size_t next;              /* index of the key from which on the next entry must come */
    uint64_t left;            /* visits until it says stop */
};

static bool check_visit(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct walk *walk = context;
    while (walk->next < STORE_MODEL_KEYS && walk->versions[walk->next] == 0) {
        walk->next++;
    }
    assert_true(walk->next < STORE_MODEL_KEYS);
    assert_bytes(key, store_model_key(walk->next));
    assert_bytes(value, store_model_value(walk->versions[walk->next]));
    walk->next++;
    walk->left--;
    return walk->left > 0;
}

static void check_scan(const struct store_model *model, struct leat_store *store, leat_table table,
                       size_t from, uint64_t visits)
{
    struct walk walk = {model->version[table], from, visits};
    struct leat_bytes key = from == 0 ? (struct leat_bytes){NULL, 0} : store_model_key(from);
    assert_int_equal(leat_store_scan(store, table, key, check_visit, &walk), LEAT_OK);
    for (; walk.left > 0 && walk.next < STORE_MODEL_KEYS; walk.next++) {
        assert_int_equal(walk.versions[walk.next], 0);
    }
}

static void check_count(const struct store_model *model, struct leat_store *store, leat_table table)
{
    uint64_t count = 0;
    for (size_t i = 0; i < STORE_MODEL_KEYS; i++) {
        count += model->version[table][i] != 0;
    }
    assert_int_equal(leat_store_count(store, table), count);
}

void store_model_read(const struct store_model *model, struct leat_store *store,
                      struct leat_rng *rng)
{
    leat_table table = (leat_table)leat_rng_below(rng, STORE_MODEL_TABLES);
    size_t key = (size_t)leat_rng_below(rng, STORE_MODEL_KEYS);
    switch (leat_rng_below(rng, 20)) {
    case 0:
        check_count(model, store, table);
        break;
    case 1:
    case 2:
    case 3:
        check_scan(model, store, table, key, 1 + leat_rng_below(rng, 20));
        break;
    default:
        check_get(model, store, table, key);
        break;
    }
}

void store_model_compare(const struct store_model *model, struct leat_store *store)
{
    for (leat_table table = 0; table < STORE_MODEL_TABLES; table++) {
        check_count(model, store, table);
        check_scan(model, store, table, 0, UINT64_MAX);
        for (size_t i = 0; i < STORE_MODEL_KEYS; i++) {
            check_get(model, store, table, i);
        }
    }
}
