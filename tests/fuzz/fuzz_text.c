/* What people write: ids, durations, sizes, counts, rates, names, base64, all tried on the same
 * text. What is taken is written back as a text that means the same; what is refused has a reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/id.h"
#include "core/name.h"
#include "core/units.h"
#include "core/utf8.h"
#include "producer/base64.h"
#include "tests/fuzz/fuzz.h"

__extension__ typedef unsigned __int128 wide;

static void check_refusal(const char *what, enum leat_err err, const struct leat_why *why)
{
    bool expected = err == LEAT_ERR_INVALID || err == LEAT_ERR_LIMIT;
    if (!expected || why->text[0] == '\0' || memchr(why->text, 0, sizeof why->text) == NULL) {
        fuzz_fail("%s: refused with %s: %s", what, leat_err_name(err), why->text);
    }
}

static void try_id(struct leat_str text)
{
    struct leat_id id;
    struct leat_why why = {""};
    char again[LEAT_ID_TEXT_BYTES];
    enum leat_err err = leat_id_parse(text, &id, &why);
    if (err != LEAT_OK) {
        check_refusal("id", err, &why);
        return;
    }
    leat_id_format(&id, again);
    if (text.size != strlen(again) || strncasecmp(again, text.data, text.size) != 0) {
        fuzz_fail("an id is written as %s", again);
    }
    struct leat_id rerun = leat_id_rerun(&id);
    leat_id_format(&rerun, again);
}

static void try_duration(struct leat_str text)
{
    int64_t us, again;
    struct leat_why why = {""};
    char written[LEAT_UNITS_TEXT_BYTES];
    enum leat_err err = leat_units_parse_duration(text, &us, &why);
    if (err != LEAT_OK) {
        check_refusal("duration", err, &why);
        return;
    }
    leat_units_format_duration(us, written);
    if (us < 0 || leat_units_parse_duration(leat_str_of(written), &again, &why) != LEAT_OK ||
        again != us) {
        fuzz_fail("a duration is written as %s", written);
    }
    leat_units_about_duration(us, written);
}

static void try_size(struct leat_str text)
{
    uint64_t bytes, again;
    struct leat_why why = {""};
    char written[LEAT_UNITS_TEXT_BYTES];
    enum leat_err err = leat_units_parse_size(text, &bytes, &why);
    if (err != LEAT_OK) {
        check_refusal("size", err, &why);
        return;
    }
    leat_units_format_size(bytes, written);
    if (leat_units_parse_size(leat_str_of(written), &again, &why) != LEAT_OK || again != bytes) {
        fuzz_fail("a size is written as %s", written);
    }
    leat_units_about_size(bytes, written);
}

static void try_count(struct leat_str text)
{
    uint64_t count, again;
    struct leat_why why = {""};
    char written[LEAT_UNITS_TEXT_BYTES];
    enum leat_err err = leat_units_parse_count(text, &count, &why);
    if (err != LEAT_OK) {
        check_refusal("count", err, &why);
        return;
    }
    snprintf(written, sizeof written, "%llu", (unsigned long long)count);
    if (leat_units_parse_count(leat_str_of(written), &again, &why) != LEAT_OK || again != count) {
        fuzz_fail("a count is written as %s", written);
    }
}

static void try_rate(struct leat_str text)
{
    struct leat_rate rate, again;
    struct leat_why why = {""};
    char written[LEAT_UNITS_TEXT_BYTES];
    enum leat_err err = leat_units_parse_rate(text, &rate, &why);
    if (err != LEAT_OK) {
        check_refusal("rate", err, &why);
        return;
    }
    struct leat_bucket bucket;
    leat_bucket_init(&bucket, rate, 1, 0); /* asserts that the rate is in its ranges */
    leat_units_format_rate(rate, written);
    if (leat_units_parse_rate(leat_str_of(written), &again, &why) != LEAT_OK ||
        (wide)again.tokens * rate.per_us != (wide)rate.tokens * again.per_us) {
        fuzz_fail("a rate is written as %s: %s", written, why.text);
    }
}

static void try_base64(struct leat_str text)
{
    unsigned char *bytes = NULL;
    size_t size = 0;
    if (leat_base64_decode(text, &bytes, &size) != LEAT_OK) {
        return;
    }
    char *again = leat_base64_encode(leat_bytes_of(bytes, size));
    unsigned char *bytes_again = NULL;
    size_t size_again = 0;
    if (again == NULL ||
        leat_base64_decode(leat_str_of(again), &bytes_again, &size_again) != LEAT_OK ||
        size_again != size || (size > 0 && memcmp(bytes, bytes_again, size) != 0)) {
        fuzz_fail("base64 does not come back");
    }
    free(bytes);
    free(bytes_again);
    free(again);
}

static void try_name(struct leat_str text)
{
    struct leat_why why = {""};
    enum leat_err err = leat_name_check_queue(text, &why);
    if (err != LEAT_OK) {
        check_refusal("name", err, &why);
    }
}

static void try_utf8(struct leat_str text)
{
    char copy[256];
    size_t size = text.size < sizeof copy ? text.size : sizeof copy;
    if (size == 0) {
        return;
    }
    memcpy(copy, text.data, size);
    bool valid = leat_utf8_valid(copy, size);
    leat_utf8_repair(copy, size);
    if (!leat_utf8_valid(copy, size) || (valid && memcmp(copy, text.data, size) != 0)) {
        fuzz_fail("a repaired text is not UTF-8, or one that was valid has changed");
    }
    for (size_t max = 0; max <= size; max++) {
        size_t kept = leat_utf8_shorten(copy, size, max);
        if (kept > max || max - kept > 3 || !leat_utf8_valid(copy, kept)) {
            fuzz_fail("a shortened text is not UTF-8");
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct leat_str text = {(const char *)data, size};
    try_id(text);
    try_duration(text);
    try_size(text);
    try_count(text);
    try_rate(text);
    try_base64(text);
    try_name(text);
    try_utf8(text);
    return 0;
}
