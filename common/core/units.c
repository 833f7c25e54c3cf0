#include "core/units.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/instant.h"

__extension__ typedef unsigned __int128 wide;

#define VALUE_MAX      (UINT64_C(1) << 62)
#define RATE_WHOLE_MAX (LEAT_RATE_PER_S_MAX * 24 * 3600) /* of any unit; in thousandths it fits */
#define BILLIONTHS     UINT64_C(1000000000)
#define FRACTION_MAX   9  /* digits after the point */
#define SHOWN_MAX      64 /* bytes of a refused text that an error repeats */
#define COUNT_OF(row)  (sizeof(row) / sizeof((row)[0]))

struct unit {
    const char *name;
    uint64_t scale; /* in the base unit */
};

/* Largest first, so that formatting finds the largest that fits. */
static const struct unit duration_units[] = {
    {"d", UINT64_C(86400000000)},
    {"h", UINT64_C(3600000000)},
    {"m", 60000000},
    {"s", 1000000},
    {"ms", 1000},
    {"us", 1},
};
static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40},
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"TB", UINT64_C(1000000000000)},
    {"GB", 1000000000},
    {"MB", 1000000},
    {"kB", 1000},
    {"KB", 1000},
    {"B", 1},
    {"", 1},
};
static const struct unit count_units[] = {{"G", 1000000000}, {"M", 1000000}, {"k", 1000}, {"", 1}};
static const struct unit rate_units[] = {
    {"/s", 1000000},
    {"/m", 60000000},
    {"/h", UINT64_C(3600000000)},
    {"/d", UINT64_C(86400000000)},
};

/* A number as it was written: whole + billionths / 10^9, and what follows it. */
struct number {
    uint64_t whole;
    uint64_t billionths;
    struct leat_str rest;
};

/* What a parser is for, in the words of its errors. */
struct kind {
    const char *name;
    const char *expected;
    const char *smallest;
    bool exact; /* a fraction of the base unit is refused, not rounded down */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum leat_err refuse(const struct kind *kind, struct leat_str text, struct leat_why *why)
{
    int shown = (int)(text.size > SHOWN_MAX ? SHOWN_MAX : text.size);
    return leat_fail(why, LEAT_ERR_INVALID, "'%.*s' is not a %s: expected %s", shown,
                     text.size == 0 ? "" : text.data, kind->name, kind->expected);
}

static enum leat_err refuse_large(const struct kind *kind, struct leat_str text,
                                  struct leat_why *why)
{
    int shown = (int)(text.size > SHOWN_MAX ? SHOWN_MAX : text.size);
    return leat_fail(why, LEAT_ERR_LIMIT, "'%.*s' is too large for a %s", shown, text.data,
                     kind->name);
}

/* LEAT_ERR_INVALID: no number; LEAT_ERR_LIMIT: over VALUE_MAX. */
static enum leat_err read_number(struct leat_str text, struct number *ret_number)
{
    struct number number = {0};
    size_t at = 0;
    enum leat_err err = LEAT_OK;
    for (; at < text.size && is_digit(text.data[at]); at++) {
        uint64_t digit = (uint64_t)(text.data[at] - '0');
        if (number.whole > (VALUE_MAX - digit) / 10) {
            err = LEAT_ERR_LIMIT;
        } else {
            number.whole = number.whole * 10 + digit;
        }
    }
    if (at == 0) {
        return LEAT_ERR_INVALID;
    }
    if (at < text.size && text.data[at] == '.') {
        size_t first = ++at;
        uint64_t weight = BILLIONTHS / 10;
        for (; at < text.size && is_digit(text.data[at]); at++, weight /= 10) {
            number.billionths += weight * (uint64_t)(text.data[at] - '0');
        }
        if (at == first || at - first > FRACTION_MAX) {
            return LEAT_ERR_INVALID;
        }
    }
    number.rest = (struct leat_str){text.data + at, text.size - at};
    *ret_number = number;
    return err;
}

static const struct unit *unit_of(struct leat_str name, const struct unit *units, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (leat_str_equal(name, leat_str_of(units[i].name))) {
            return &units[i];
        }
    }
    return NULL;
}

/* Number and unit to the base unit. */
static enum leat_err read_value(const struct kind *kind, const struct unit *units, size_t count,
                                struct leat_str text, uint64_t *ret_value, struct leat_why *why)
{
    struct number number;
    enum leat_err err = read_number(text, &number);
    if (err == LEAT_ERR_INVALID) {
        return refuse(kind, text, why);
    }
    if (err != LEAT_OK) {
        return refuse_large(kind, text, why);
    }
    const struct unit *unit = unit_of(number.rest, units, count);
    if (unit == NULL) {
        return refuse(kind, text, why);
    }
    wide value =
        (wide)number.whole * unit->scale + (wide)number.billionths * unit->scale / BILLIONTHS;
    if (value > VALUE_MAX) {
        return refuse_large(kind, text, why);
    }
    if (kind->exact && (wide)number.billionths * unit->scale % BILLIONTHS != 0) {
        return refuse(kind, text, why);
    }
    if (value == 0 && number.billionths != 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "'%.*s' is too small for a %s: the least is %s",
                         LEAT_STR_ARGS(text), kind->name, kind->smallest);
    }
    *ret_value = (uint64_t)value;
    return LEAT_OK;
}

enum leat_err leat_units_parse_duration(struct leat_str text, int64_t *ret_us, struct leat_why *why)
{
    static const struct kind kind = {
        "duration", "a number with a unit, such as 500us, 250ms, 1.5s, 5m, 2h, 7d, or 0", "1us",
        false};
    uint64_t value = 0;
    if (leat_str_equal(text, leat_str_of("0"))) {
        *ret_us = 0;
        return LEAT_OK;
    }
    enum leat_err err =
        read_value(&kind, duration_units, COUNT_OF(duration_units), text, &value, why);
    if (err == LEAT_OK) {
        *ret_us = (int64_t)value;
    }
    return err;
}

enum leat_err leat_units_parse_size(struct leat_str text, uint64_t *ret_bytes, struct leat_why *why)
{
    static const struct kind kind = {
        "size", "bytes or a number with a unit, such as 4096, 64KiB, 1.5MiB, 10MB, 16GiB", "1",
        false};
    return read_value(&kind, size_units, COUNT_OF(size_units), text, ret_bytes, why);
}

enum leat_err leat_units_parse_count(struct leat_str text, uint64_t *ret_count,
                                     struct leat_why *why)
{
    static const struct kind kind = {
        "count", "a whole number, or one with k, M or G, such as 4, 100k, 2M", "1", true};
    return read_value(&kind, count_units, COUNT_OF(count_units), text, ret_count, why);
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

enum leat_err leat_units_parse_rate(struct leat_str text, struct leat_rate *ret_rate,
                                    struct leat_why *why)
{
    static const struct kind kind = {
        "rate", "a number above 0 (thousandths at the finest) per s, m, h or d, such as 5/s, 30/m",
        "0.001", false};
    struct number number;
    enum leat_err err = read_number(text, &number);
    if (err == LEAT_ERR_LIMIT) {
        return refuse_large(&kind, text, why);
    }
    const struct unit *unit =
        err == LEAT_OK ? unit_of(number.rest, rate_units, COUNT_OF(rate_units)) : NULL;
    if (unit == NULL || number.billionths % (BILLIONTHS / 1000) != 0 ||
        (number.whole == 0 && number.billionths == 0)) {
        return refuse(&kind, text, why);
    }
    if (number.whole > RATE_WHOLE_MAX) {
        return refuse_large(&kind, text, why);
    }
    uint64_t tokens = number.whole * 1000 + number.billionths / (BILLIONTHS / 1000);
    uint64_t per_us = 1000 * unit->scale;
    uint64_t divisor = greatest_divisor(tokens, per_us);
    if (tokens / divisor > LEAT_RATE_TOKENS_MAX ||
        (wide)tokens * (uint64_t)LEAT_US_PER_S > (wide)per_us * LEAT_RATE_PER_S_MAX) {
        return refuse_large(&kind, text, why);
    }
    *ret_rate = (struct leat_rate){tokens / divisor, per_us / divisor};
    return LEAT_OK;
}

/* In the largest unit that needs no fraction. */
static void format_exact(uint64_t value, const char *sign, const struct unit *units, size_t count,
                         char text[LEAT_UNITS_TEXT_BYTES])
{
    size_t i = 0;
    while (i + 1 < count && (value == 0 || value % units[i].scale != 0)) {
        i++;
    }
    snprintf(text, LEAT_UNITS_TEXT_BYTES, "%s%llu%s", sign,
             (unsigned long long)(value / units[i].scale), units[i].name);
}

static uint64_t magnitude_of(int64_t us)
{
    return us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
}

const char *leat_units_format_duration(int64_t us, char text[LEAT_UNITS_TEXT_BYTES])
{
    if (us == 0) {
        return strcpy(text, "0");
    }
    format_exact(magnitude_of(us), us < 0 ? "-" : "", duration_units, COUNT_OF(duration_units),
                 text);
    return text;
}

const char *leat_units_format_size(uint64_t bytes, char text[LEAT_UNITS_TEXT_BYTES])
{
    /* From 1 B on the last unit, without a name, serves. */
    size_t i = 0;
    while (size_units[i].scale > 1 && (bytes == 0 || bytes % size_units[i].scale != 0)) {
        i++;
    }
    bool has_unit = size_units[i].scale > 1;
    snprintf(text, LEAT_UNITS_TEXT_BYTES, "%llu%s",
             (unsigned long long)(bytes / size_units[i].scale), has_unit ? size_units[i].name : "");
    return text;
}

/* Thousandths without trailing zeros. */
static void format_thousandths(uint64_t milli, const char *unit, char text[LEAT_UNITS_TEXT_BYTES])
{
    unsigned rest = (unsigned)(milli % 1000);
    int digits = 3;
    while (digits > 0 && rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    unsigned long long whole = milli / 1000;
    if (digits == 0) {
        snprintf(text, LEAT_UNITS_TEXT_BYTES, "%llu%s", whole, unit);
    } else {
        snprintf(text, LEAT_UNITS_TEXT_BYTES, "%llu.%0*u%s", whole, digits, rest, unit);
    }
}

const char *leat_units_format_rate(struct leat_rate rate, char text[LEAT_UNITS_TEXT_BYTES])
{
    /* Whole numbers first: 30/m, not 0.5/s. */
    for (uint64_t step = 1000; step >= 1; step /= 1000) {
        for (size_t i = 0; i < COUNT_OF(rate_units); i++) {
            wide milli = (wide)rate.tokens * rate_units[i].scale * 1000;
            if (milli % ((wide)rate.per_us * step) == 0 && milli / rate.per_us <= UINT64_MAX) {
                format_thousandths((uint64_t)(milli / rate.per_us), rate_units[i].name, text);
                return text;
            }
        }
    }
    format_thousandths(leat_rate_milli_per_s(rate), "/s", text);
    return text;
}

/* About three digits, rounded down. */
static void format_about(uint64_t value, uint64_t scale, const char *sign, const char *unit,
                         char text[LEAT_UNITS_TEXT_BYTES])
{
    unsigned long long whole = value / scale;
    unsigned hundredths = (unsigned)((wide)(value % scale) * 100 / scale);
    if (whole >= 100 || scale == 1) {
        snprintf(text, LEAT_UNITS_TEXT_BYTES, "%s%llu%s", sign, whole, unit);
    } else if (whole >= 10) {
        snprintf(text, LEAT_UNITS_TEXT_BYTES, "%s%llu.%u%s", sign, whole, hundredths / 10, unit);
    } else {
        snprintf(text, LEAT_UNITS_TEXT_BYTES, "%s%llu.%02u%s", sign, whole, hundredths, unit);
    }
}

const char *leat_units_about_duration(int64_t us, char text[LEAT_UNITS_TEXT_BYTES])
{
    const char *sign = us < 0 ? "-" : "";
    uint64_t value = magnitude_of(us);
    unsigned long long seconds = value / (uint64_t)LEAT_US_PER_S;
    if (value < 1000) {
        format_about(value, 1, sign, "us", text);
    } else if (value < (uint64_t)LEAT_US_PER_S) {
        format_about(value, 1000, sign, "ms", text);
    } else if (seconds < 60) {
        format_about(value, (uint64_t)LEAT_US_PER_S, sign, "s", text);
    } else if (seconds < 3600) {
        snprintf(text, LEAT_UNITS_TEXT_BYTES, "%s%llum%02llus", sign, seconds / 60, seconds % 60);
    } else if (seconds < 86400) {
        snprintf(text, LEAT_UNITS_TEXT_BYTES, "%s%lluh%02llum", sign, seconds / 3600,
                 seconds / 60 % 60);
    } else {
        snprintf(text, LEAT_UNITS_TEXT_BYTES, "%s%llud%02lluh", sign, seconds / 86400,
                 seconds / 3600 % 24);
    }
    return text;
}

const char *leat_units_about_size(uint64_t bytes, char text[LEAT_UNITS_TEXT_BYTES])
{
    /* The first four units are the binary ones. */
    for (size_t i = 0; i < 4; i++) {
        if (bytes >= size_units[i].scale) {
            format_about(bytes, size_units[i].scale, "", size_units[i].name, text);
            return text;
        }
    }
    format_about(bytes, 1, "", "B", text);
    return text;
}
