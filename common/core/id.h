/* 128-bit identifiers: of jobs (UUIDv7, RFC 9562, so that they sort by time), of sessions,
 * producers and result streams (random bits in the same form). As text: 36 characters, lower case,
 * hyphenated. */
#ifndef LEAT_CORE_ID_H
#define LEAT_CORE_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/err.h"
#include "core/instant.h"
#include "core/rng.h"
#include "core/view.h"

#define LEAT_ID_BYTES      16
#define LEAT_ID_TIME_BYTES 6  /* the first ones: when it was made, in ms, big-endian */
#define LEAT_ID_TEXT_BYTES 37 /* with the terminating zero */

struct leat_id {
    uint8_t bytes[LEAT_ID_BYTES];
};

static inline bool leat_id_equal(const struct leat_id *a, const struct leat_id *b)
{
    return memcmp(a->bytes, b->bytes, LEAT_ID_BYTES) == 0;
}

static inline bool leat_id_is_zero(const struct leat_id *id)
{
    static const struct leat_id zero;
    return leat_id_equal(id, &zero);
}

/* Makes UUIDv7 ids that strictly increase within one generator, also when the clock stands still or
 * steps back (RFC 9562 section 6.2, method 1: the 12 bits after the time count within the
 * millisecond; on overflow the time runs ahead). Caller's storage; not thread-safe. */
struct leat_id_generator {
    struct leat_rng *rng; /* borrowed */
    int64_t last_ms;
    unsigned counter; /* 0 to 4095 */
};

void leat_id_generator_init(struct leat_id_generator *generator, struct leat_rng *rng);
struct leat_id leat_id_next(struct leat_id_generator *generator, struct leat_wall wall);

/* The id under which a failed job is run again: a pure function of the old id, so that running a
 * job again twice from the same failure makes one job. Keeps the time bits, stays a UUIDv7. */
struct leat_id leat_id_rerun(const struct leat_id *id);

/* `text` gets 36 characters and a zero. Returns text. */
const char *leat_id_format(const struct leat_id *id, char text[LEAT_ID_TEXT_BYTES]);

/* Reads 36 characters (either case) of hyphenated hex. LEAT_ERR_INVALID names the text. */
LEAT_MUST_USE enum leat_err leat_id_parse(struct leat_str text, struct leat_id *ret_id,
                                          struct leat_why *why);

#endif
