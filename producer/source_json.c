/* JSON lines: one job per line, every field of it. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/limits.h"
#include "core/units.h"
#include "producer/base64.h"
#include "producer/source_inside.h"

struct json_lines {
    struct leat_source source;
    struct leat_records records;
    json_t *line;           /* owned; what the last job borrows from */
    unsigned char *payload; /* owned; decoded from base64 */
    struct leat_producer_header headers[LEAT_HEADERS_MAX];
};

static enum leat_err refuse(struct json_lines *lines, struct leat_why *why, const char *key,
                            const char *expected)
{
    return leat_fail(why, LEAT_ERR_INVALID, "line %llu: %s must be %s",
                     (unsigned long long)lines->records.number, key, expected);
}

static enum leat_err read_text(struct json_lines *lines, const char *key, const char **text,
                               struct leat_why *why)
{
    const json_t *value = json_object_get(lines->line, key);
    if (value == NULL) {
        return LEAT_OK;
    }
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value)) {
        return refuse(lines, why, key, "a text");
    }
    *text = json_string_value(value);
    return LEAT_OK;
}

static enum leat_err read_number(struct json_lines *lines, const char *key, int64_t *number,
                                 struct leat_why *why)
{
    const json_t *value = json_object_get(lines->line, key);
    if (value == NULL) {
        return LEAT_OK;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return refuse(lines, why, key, "a whole number of at least 0");
    }
    *number = json_integer_value(value);
    return LEAT_OK;
}

/* "30s", or a number of milliseconds. */
static enum leat_err read_duration(struct json_lines *lines, const char *key, int64_t *ms,
                                   struct leat_why *why)
{
    const json_t *value = json_object_get(lines->line, key);
    if (value == NULL || json_is_integer(value)) {
        enum leat_err err = read_number(lines, key, ms, why);
        return err == LEAT_OK && *ms > LEAT_WALL_MS_MAX
                   ? refuse(lines, why, key, "253402300799999 ms at most")
                   : err;
    }
    int64_t us = 0;
    if (!json_is_string(value) ||
        leat_units_parse_duration(leat_str_of(json_string_value(value)), &us, NULL) != LEAT_OK) {
        return refuse(lines, why, key, "a duration such as \"30s\" or a number of milliseconds");
    }
    *ms = (us + LEAT_US_PER_MS - 1) / LEAT_US_PER_MS;
    return LEAT_OK;
}

static enum leat_err read_headers(struct json_lines *lines, struct leat_producer_job *job,
                                  struct leat_why *why)
{
    json_t *headers = json_object_get(lines->line, "headers");
    if (headers == NULL) {
        return LEAT_OK;
    }
    if (!json_is_object(headers) || json_object_size(headers) > LEAT_HEADERS_MAX) {
        return refuse(lines, why, "headers", "an object of at most 32 texts");
    }
    size_t count = 0;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(headers, name, value)
    {
        if (!json_is_string(value) ||
            strlen(json_string_value(value)) != json_string_length(value)) {
            return refuse(lines, why, "headers", "an object of texts without zero bytes");
        }
        lines->headers[count++] = (struct leat_producer_header){name, json_string_value(value)};
    }
    job->headers = lines->headers;
    job->headers_count = count;
    return LEAT_OK;
}

static enum leat_err read_payload(struct json_lines *lines, struct leat_producer_job *job,
                                  struct leat_why *why)
{
    const json_t *text = json_object_get(lines->line, "payload");
    const json_t *base64 = json_object_get(lines->line, "payload_base64");
    if (text != NULL && base64 != NULL) {
        return refuse(lines, why, "payload_base64", "left out when there is a payload");
    }
    if (text != NULL) {
        if (!json_is_string(text)) {
            return refuse(lines, why, "payload", "a text; use payload_base64 for other bytes");
        }
        job->payload = json_string_value(text);
        job->payload_bytes = json_string_length(text);
    }
    if (base64 != NULL) {
        free(lines->payload);
        lines->payload = NULL;
        if (!json_is_string(base64) ||
            leat_base64_decode(leat_str_of(json_string_value(base64)), &lines->payload,
                               &job->payload_bytes) != LEAT_OK) {
            return refuse(lines, why, "payload_base64", "a text in base64");
        }
        job->payload = lines->payload;
    }
    return LEAT_OK;
}

static enum leat_err read_factor(struct json_lines *lines, struct leat_producer_job *job,
                                 struct leat_why *why)
{
    const json_t *factor = json_object_get(lines->line, "backoff_factor");
    const json_t *jitter = json_object_get(lines->line, "jitter");
    if (factor != NULL && !(json_number_value(factor) >= 1)) { /* what is no number gives 0 */
        return refuse(lines, why, "backoff_factor", "a number of at least 1");
    }
    if (jitter != NULL && !json_is_boolean(jitter)) {
        return refuse(lines, why, "jitter", "true or false");
    }
    job->backoff_factor = factor != NULL ? json_number_value(factor) : job->backoff_factor;
    job->backoff_no_jitter = jitter != NULL ? json_is_false(jitter) : job->backoff_no_jitter;
    return LEAT_OK;
}

static enum leat_err check_keys(struct json_lines *lines, struct leat_why *why)
{
    static const char *const known[] = {
        "id",       "queue",        "type",        "payload",        "payload_base64", "timeout",
        "attempts", "backoff_base", "backoff_cap", "backoff_factor", "jitter",         "not_before",
        "delay",    "expires_at",   "expires_in",  "headers",
    };
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(lines->line, key, value)
    {
        size_t i = 0;
        while (i < sizeof(known) / sizeof(known[0]) && strcmp(key, known[i]) != 0) {
            i++;
        }
        if (i == sizeof(known) / sizeof(known[0])) {
            return leat_fail(why, LEAT_ERR_INVALID, "line %llu: unknown key \"%.64s\"",
                             (unsigned long long)lines->records.number, key);
        }
    }
    return LEAT_OK;
}

static enum leat_err read_times(struct json_lines *lines, struct leat_now now,
                                struct leat_producer_job *job, struct leat_why *why)
{
    int64_t delay_ms = 0;
    int64_t expires_in_ms = 0;
    struct {
        const char *key;
        int64_t *value;
        bool is_duration;
    } times[] = {
        {"not_before", &job->not_before_ms, false},
        {"expires_at", &job->expires_at_ms, false},
        {"delay", &delay_ms, true},
        {"expires_in", &expires_in_ms, true},
    };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        enum leat_err err = times[i].is_duration
                                ? read_duration(lines, times[i].key, times[i].value, why)
                                : read_number(lines, times[i].key, times[i].value, why);
        if (err != LEAT_OK) {
            return err;
        }
    }
    int64_t now_ms = now.wall.us / LEAT_US_PER_MS;
    job->not_before_ms = delay_ms > 0 ? now_ms + delay_ms : job->not_before_ms;
    job->expires_at_ms = expires_in_ms > 0 ? now_ms + expires_in_ms : job->expires_at_ms;
    return LEAT_OK;
}

static enum leat_err read_retries(struct json_lines *lines, struct leat_producer_job *job,
                                  struct leat_why *why)
{
    struct {
        const char *key;
        uint64_t *value;
        bool is_duration;
    } numbers[] = {
        {"timeout", &job->timeout_ms, true},
        {"attempts", &job->attempts_max, false},
        {"backoff_base", &job->backoff_base_ms, true},
        {"backoff_cap", &job->backoff_cap_ms, true},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int64_t value = (int64_t)*numbers[i].value;
        enum leat_err err = numbers[i].is_duration
                                ? read_duration(lines, numbers[i].key, &value, why)
                                : read_number(lines, numbers[i].key, &value, why);
        if (err != LEAT_OK) {
            return err;
        }
        if (value == 0 && json_object_get(lines->line, numbers[i].key) != NULL) {
            return refuse(lines, why, numbers[i].key, "more than 0"); /* 0 would be the default */
        }
        *numbers[i].value = (uint64_t)value;
    }
    return LEAT_OK;
}

static enum leat_err read_job(struct json_lines *lines, struct leat_now now,
                              struct leat_producer_job *job, struct leat_why *why)
{
    enum leat_err err = check_keys(lines, why);
    err = err != LEAT_OK ? err : read_text(lines, "id", &job->id, why);
    err = err != LEAT_OK ? err : read_text(lines, "queue", &job->queue, why);
    err = err != LEAT_OK ? err : read_text(lines, "type", &job->type, why);
    err = err != LEAT_OK ? err : read_payload(lines, job, why);
    err = err != LEAT_OK ? err : read_retries(lines, job, why);
    err = err != LEAT_OK ? err : read_factor(lines, job, why);
    err = err != LEAT_OK ? err : read_times(lines, now, job, why);
    err = err != LEAT_OK ? err : read_headers(lines, job, why);
    return err;
}

static enum leat_err next_json(struct leat_source *source, struct leat_now now,
                               struct leat_source_job *ret_job, struct leat_why *why)
{
    struct json_lines *lines = (struct json_lines *)source;
    struct leat_bytes record;
    do {
        enum leat_err err = leat_records_next(&lines->records, &record, why);
        if (err != LEAT_OK) {
            return err;
        }
    } while (record.size == 0);
    json_decref(lines->line);
    json_error_t error;
    lines->line = json_loadb((const char *)record.data, record.size,
                             JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json_is_object(lines->line)) {
        return leat_fail(why, LEAT_ERR_INVALID, "line %llu is no JSON object: %.120s",
                         (unsigned long long)lines->records.number,
                         lines->line == NULL ? error.text : "another value");
    }
    snprintf(source->label, sizeof(source->label), "line %llu",
             (unsigned long long)lines->records.number);
    struct leat_producer_job job = *source->template;
    enum leat_err err = read_job(lines, now, &job, why);
    if (err != LEAT_OK) {
        return err;
    }
    *ret_job = (struct leat_source_job){job, source->label};
    return LEAT_OK;
}

static void close_json(struct leat_source *source)
{
    struct json_lines *lines = (struct json_lines *)source;
    leat_records_close(&lines->records);
    json_decref(lines->line);
    free(lines->payload);
    free(lines);
}

enum leat_err leat_source_open_json(const char *path, const struct leat_producer_job *template,
                                    struct leat_source **ret_source, struct leat_why *why)
{
    struct json_lines *lines = calloc(1, sizeof(*lines));
    if (lines == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    enum leat_err err = leat_records_open(&lines->records, path, '\n', why);
    if (err != LEAT_OK) {
        free(lines);
        return err;
    }
    lines->source = (struct leat_source){.template = template,
                                         .next = next_json,
                                         .close = close_json,
                                         .fd = lines->records.fd,
                                         .due_us = LEAT_NEVER_US};
    *ret_source = &lines->source;
    return LEAT_OK;
}
