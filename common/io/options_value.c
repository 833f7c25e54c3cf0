#include "io/options_inside.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/bucket.h"
#include "core/instant.h"
#include "core/units.h"
#include "io/socket.h"

void leat_option_env_name(const struct leat_option *row, char ret_name[LEAT_OPTION_ENV_BYTES])
{
    if (row->env != NULL) {
        snprintf(ret_name, LEAT_OPTION_ENV_BYTES, "%s", row->env);
        return;
    }
    int size = snprintf(ret_name, LEAT_OPTION_ENV_BYTES, "LEAT_%s", row->name);
    assert(size > 0 && size < LEAT_OPTION_ENV_BYTES);
    for (int i = 5; i < size; i++) {
        ret_name[i] = ret_name[i] == '-' ? '_' : (char)toupper((unsigned char)ret_name[i]);
    }
}

static enum leat_err read_flag(const char *text, bool *ret_flag, struct leat_why *why)
{
    static const char *const on[] = {"1", "true", "yes", "on"};
    static const char *const off[] = {"0", "false", "no", "off"};
    for (size_t i = 0; i < LEAT_COUNT_OF(on); i++) {
        if (strcasecmp(text, on[i]) == 0 || strcasecmp(text, off[i]) == 0) {
            *ret_flag = strcasecmp(text, on[i]) == 0;
            return LEAT_OK;
        }
    }
    return leat_fail(why, LEAT_ERR_INVALID, "'%.64s' is neither yes nor no", text);
}

static enum leat_err read_choice(const struct leat_option *row, const char *text,
                                 struct leat_why *why)
{
    size_t size = strlen(text);
    const char *at = row->choices;
    while (at != NULL) {
        size_t length = strcspn(at, ",");
        if (length == size && memcmp(at, text, size) == 0) {
            return LEAT_OK;
        }
        at = at[length] == ',' ? at + length + 1 : NULL;
    }
    return leat_fail(why, LEAT_ERR_INVALID, "'%.64s' is none of %s", text, row->choices);
}

static enum leat_err read_duration_ms(const char *text, int64_t *ret_ms, struct leat_why *why)
{
    int64_t us;
    enum leat_err err = leat_units_parse_duration(leat_str_of(text), &us, why);
    if (err != LEAT_OK) {
        return err;
    }
    if (us % LEAT_US_PER_MS != 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "'%.64s' is not whole milliseconds", text);
    }
    *ret_ms = us / LEAT_US_PER_MS;
    return LEAT_OK;
}

/* The bounds as the user would write them. */
static const char *bound_text(const struct leat_option *row, int64_t bound,
                              char text[LEAT_UNITS_TEXT_BYTES])
{
    if (row->kind == LEAT_OPTION_DURATION && bound <= LEAT_NEVER_US / LEAT_US_PER_MS) {
        return leat_units_format_duration(bound * LEAT_US_PER_MS, text);
    }
    if (row->kind == LEAT_OPTION_SIZE) {
        return leat_units_format_size((uint64_t)bound, text);
    }
    if (row->kind == LEAT_OPTION_RATE) {
        snprintf(text, LEAT_UNITS_TEXT_BYTES, "%g/s", (double)bound / 1000);
        return text;
    }
    snprintf(text, LEAT_UNITS_TEXT_BYTES, "%lld", (long long)bound);
    return text;
}

static enum leat_err check_bounds(const struct leat_option *row, const char *text, int64_t number,
                                  struct leat_why *why)
{
    bool open_above = row->max == 0;
    if (number >= row->min && (open_above || number <= row->max)) {
        return LEAT_OK;
    }
    char least[LEAT_UNITS_TEXT_BYTES];
    char most[LEAT_UNITS_TEXT_BYTES];
    if (open_above) {
        return leat_fail(why, LEAT_ERR_LIMIT, "'%.64s' is less than %s", text,
                         bound_text(row, row->min, least));
    }
    return leat_fail(why, LEAT_ERR_LIMIT, "'%.64s' is not within %s and %s", text,
                     bound_text(row, row->min, least), bound_text(row, row->max, most));
}

static enum leat_err read_number(const struct leat_option *row, const char *text,
                                 int64_t *ret_number, struct leat_why *why)
{
    uint64_t number = 0;
    struct leat_rate rate;
    enum leat_err err;
    if (row->kind == LEAT_OPTION_DURATION) {
        int64_t ms = 0;
        err = read_duration_ms(text, &ms, why);
        number = (uint64_t)ms;
    } else if (row->kind == LEAT_OPTION_SIZE) {
        err = leat_units_parse_size(leat_str_of(text), &number, why);
    } else if (row->kind == LEAT_OPTION_RATE) {
        err = leat_units_parse_rate(leat_str_of(text), &rate, why);
        number = err == LEAT_OK ? leat_rate_milli_per_s(rate) : 0;
    } else {
        err = leat_units_parse_count(leat_str_of(text), &number, why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    err = check_bounds(row, text, (int64_t)number, why);
    if (err == LEAT_OK) {
        *ret_number = (int64_t)number;
    }
    return err;
}

static enum leat_err append_list(struct leat_option_value *value, const char *text,
                                 struct leat_why *why)
{
    if (value->list_count == LEAT_OPTION_REPEATS_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "given more than %d times", LEAT_OPTION_REPEATS_MAX);
    }
    if (value->list == NULL) {
        value->list = calloc(LEAT_OPTION_REPEATS_MAX, sizeof *value->list);
        if (value->list == NULL) {
            abort();
        }
    }
    value->list[value->list_count++] = text;
    return LEAT_OK;
}

enum leat_err leat_option_value_read(const struct leat_option *row, const char *text,
                                     struct leat_option_value *value, struct leat_why *why)
{
    enum leat_err err;
    switch (row->kind) {
    case LEAT_OPTION_FLAG:
        return read_flag(text, &value->flag, why);
    case LEAT_OPTION_STRING:
        err = row->choices == NULL ? LEAT_OK : read_choice(row, text, why);
        value->text = err == LEAT_OK ? text : value->text;
        return err;
    case LEAT_OPTION_ENDPOINT:
        err = leat_endpoint_check(text, why);
        value->text = err == LEAT_OK ? text : value->text;
        return err;
    case LEAT_OPTION_LIST:
        return append_list(value, text, why);
    case LEAT_OPTION_COUNT:
    case LEAT_OPTION_DURATION:
    case LEAT_OPTION_SIZE:
    case LEAT_OPTION_RATE:
        return read_number(row, text, &value->number, why);
    default:
        abort();
    }
}

void leat_option_value_fini(struct leat_option_value *value)
{
    free(value->list);
    free(value->lines);
    memset(value, 0, sizeof *value);
}
