/* The typed store: a job's row of which one byte of the id in its key was changed. */
#include "broker/ventilator/store_inside.h"

#include "core/check.h"
#include "wire/record.h"

static bool is_at(struct leat_ventilator_store *store, const struct leat_id *id,
                  const struct leat_ventilator_place *place)
{
    struct leat_ventilator_place known;
    return leat_ventilator_store_find(store, id, &known) == LEAT_OK &&
           leat_ventilator_same_place(&known, place);
}

/* The seal covers the key: of all ids that differ from `id` in one byte, that with which it fits.
 */
static bool find_fit(leat_table table, const struct leat_id *id,
                     const struct leat_ventilator_place *place, struct leat_bytes value,
                     struct leat_id *ret_id)
{
    for (size_t i = 0; i < LEAT_ID_BYTES; i++) {
        struct leat_id other = *id;
        for (unsigned change = 1; change <= UINT8_MAX; change++) {
            other.bytes[i] = (uint8_t)(id->bytes[i] ^ change);
            struct leat_ventilator_key key = leat_ventilator_key_job(&other, place);
            if (leat_record_intact(value,
                                   leat_ventilator_at(table, leat_ventilator_key_view(&key)))) {
                *ret_id = other;
                return true;
            }
        }
    }
    return false;
}

enum leat_err leat_ventilator_store_mend_id(struct leat_ventilator_store *store,
                                            const struct leat_id *id,
                                            const struct leat_ventilator_place *place,
                                            struct leat_id *ret_id)
{
    const leat_table table = leat_ventilator_table_of(place->where);
    struct leat_ventilator_key key = leat_ventilator_key_job(id, place);
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store->store, table, leat_ventilator_key_view(&key), &value);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_id owner;
    if (!find_fit(table, id, place, value, &owner) || !is_at(store, &owner, place)) {
        return LEAT_ERR_NOT_FOUND;
    }
    struct leat_ventilator_key true_key = leat_ventilator_key_job(&owner, place);
    err = leat_store_get(store->store, table, leat_ventilator_key_view(&key), &value);
    if (err != LEAT_OK) {
        return err;
    }
    leat_store_put(store->store, table, leat_ventilator_key_view(&true_key), value);
    leat_store_del(store->store, table, leat_ventilator_key_view(&key));
    leat_ventilator_store_lower_floor(store, table, &true_key);
    *ret_id = owner;
    return LEAT_OK;
}
