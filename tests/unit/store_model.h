/* A naive model of a store, and random operations that compare the two: shared by the tests of the
 * memory store and of the LMDB store. The model knows, for each table and each key of a small fixed
 * set, the number of the last write to it; value bytes follow from that number. */
#ifndef LEAT_TESTS_STORE_MODEL_H
#define LEAT_TESTS_STORE_MODEL_H

#include "core/rng.h"
#include "store/store.h"

#define STORE_MODEL_TABLES 3
#define STORE_MODEL_KEYS   300

struct store_model {
    uint64_t version[STORE_MODEL_TABLES][STORE_MODEL_KEYS]; /* 0: the key is not there */
    uint64_t last_version;
};

/* The seed of this run: LEAT_SEED, or a new one; printed. */
uint64_t store_model_seed(void);

/* Keys in ascending order: of 1 to 64 bytes, many with long common beginnings. */
struct leat_bytes store_model_key(size_t index);
/* Value bytes of a write; borrowed until the next call. */
struct leat_bytes store_model_value(uint64_t version);

/* One random put or del, in both. */
void store_model_write(struct store_model *model, struct leat_store *store, struct leat_rng *rng);
/* One random get, scan or count: fails the test when store and model differ. */
void store_model_read(const struct store_model *model, struct leat_store *store,
                      struct leat_rng *rng);
/* Everything. */
void store_model_compare(const struct store_model *model, struct leat_store *store);

#endif
