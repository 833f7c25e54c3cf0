#include "core/id.h"

#include "core/hash.h"

#define TIME_BYTES       LEAT_ID_TIME_BYTES
#define TIME_MS_MAX      ((INT64_C(1) << 48) - 1)
#define COUNTER_MAX      4095
#define HYPHEN_BEFORE(i) ((i) == 4 || (i) == 6 || (i) == 8 || (i) == 10)

static void put_big_endian(uint8_t *bytes, uint64_t value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(value >> (8 * (count - 1 - i)));
    }
}

/* Version 7 and the variant of RFC 9562 sections 4.1 and 4.2. */
static void put_marks(struct leat_id *id)
{
    id->bytes[6] = (uint8_t)((id->bytes[6] & 0x0f) | 0x70);
    id->bytes[8] = (uint8_t)((id->bytes[8] & 0x3f) | 0x80);
}

void leat_id_generator_init(struct leat_id_generator *generator, struct leat_rng *rng)
{
    *generator = (struct leat_id_generator){.rng = rng, .last_ms = -1};
}

struct leat_id leat_id_next(struct leat_id_generator *generator, struct leat_wall wall)
{
    int64_t ms = wall.us / LEAT_US_PER_MS;
    if (ms > generator->last_ms && ms <= TIME_MS_MAX) {
        generator->last_ms = ms;
        generator->counter = 0;
    } else if (generator->last_ms < 0) {
        generator->last_ms = 0;
        generator->counter = 0;
    } else if (generator->counter < COUNTER_MAX) {
        generator->counter++;
    } else {
        generator->last_ms++;
        generator->counter = 0;
    }
    struct leat_id id;
    put_big_endian(id.bytes, (uint64_t)generator->last_ms, TIME_BYTES);
    put_big_endian(id.bytes + TIME_BYTES, generator->counter, 2);
    put_big_endian(id.bytes + 8, leat_rng_next(generator->rng), 8);
    put_marks(&id);
    return id;
}

struct leat_id leat_id_rerun(const struct leat_id *id)
{
    /* Fixed keys: every process must come to the same id. */
    static const struct leat_hash_key high_key = {{0x6c656174, 0x726572756e31}};
    static const struct leat_hash_key low_key = {{0x6c656174, 0x726572756e32}};
    struct leat_id again;
    uint64_t high = leat_hash_bytes(high_key, id->bytes, LEAT_ID_BYTES);
    uint64_t low = leat_hash_bytes(low_key, id->bytes, LEAT_ID_BYTES);
    memcpy(again.bytes, id->bytes, TIME_BYTES);
    put_big_endian(again.bytes + TIME_BYTES, high & 0xffff, 2);
    put_big_endian(again.bytes + 8, low, 8);
    put_marks(&again);
    return again;
}

const char *leat_id_format(const struct leat_id *id, char text[LEAT_ID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char *at = text;
    for (size_t i = 0; i < LEAT_ID_BYTES; i++) {
        if (HYPHEN_BEFORE(i)) {
            *at++ = '-';
        }
        *at++ = digits[id->bytes[i] >> 4];
        *at++ = digits[id->bytes[i] & 0x0f];
    }
    *at = '\0';
    return text;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* False when the text has another form. */
static bool read_digits(struct leat_str text, struct leat_id *ret_id)
{
    if (text.size != LEAT_ID_TEXT_BYTES - 1) {
        return false;
    }
    size_t at = 0;
    for (size_t i = 0; i < LEAT_ID_BYTES; i++) {
        if (HYPHEN_BEFORE(i) && text.data[at++] != '-') {
            return false;
        }
        int high = digit_of(text.data[at++]);
        int low = digit_of(text.data[at++]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret_id->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

enum leat_err leat_id_parse(struct leat_str text, struct leat_id *ret_id, struct leat_why *why)
{
    struct leat_id id;
    if (!read_digits(text, &id)) {
        struct leat_str shown = text;
        shown.size = shown.size > 64 ? 64 : shown.size;
        return leat_fail(why, LEAT_ERR_INVALID,
                         "'%.*s' is not an id: expected 36 characters of hex with hyphens",
                         LEAT_STR_ARGS(shown));
    }
    *ret_id = id;
    return LEAT_OK;
}
