#include "broker/sink/request.h"

#include <jansson.h>

#include "core/messages.h"
#include "wire/cursor.h"

static const struct {
    const char *name;
    enum leat_request_verb verb;
} verbs[] = {
    {"ping", LEAT_REQUEST_PING},         {"version", LEAT_REQUEST_VERSION},
    {"stats", LEAT_REQUEST_STATS},       {"queues", LEAT_REQUEST_QUEUES},
    {"workers", LEAT_REQUEST_WORKERS},   {"job", LEAT_REQUEST_JOB},
    {"failures", LEAT_REQUEST_FAILURES},
};

#define VERBS (sizeof verbs / sizeof verbs[0])

const char *leat_request_name(enum leat_request_verb verb)
{
    for (size_t i = 0; i < VERBS; i++) {
        if (verbs[i].verb == verb) {
            return verbs[i].name;
        }
    }
    return "unknown";
}

bool leat_request_is_text(struct leat_bytes bytes)
{
    return bytes.size == 0 || bytes.data[0] < 0x80;
}

/* A value in either format. */
enum value_kind { VALUE_STR, VALUE_UINT, VALUE_BOOL, VALUE_OTHER };

struct value {
    enum value_kind kind;
    struct leat_str text;
    uint64_t number;
    bool truth;
};

static enum leat_err wrong_type(const char *name, const char *expected, struct leat_why *why)
{
    return leat_fail(why, LEAT_ERR_MALFORMED, "field '%s' is not %s", name, expected);
}

static enum leat_err set_text(const char *name, const struct value *value, char *field, size_t max,
                              struct leat_why *why)
{
    if (value->kind != VALUE_STR) {
        return wrong_type(name, "text", why);
    }
    if (value->text.size > max) {
        return leat_fail(why, LEAT_ERR_LIMIT, "field '%s' is %zu bytes, limit is %zu", name,
                         value->text.size, max);
    }
    if (value->text.size > 0 && memchr(value->text.data, 0, value->text.size) != NULL) {
        return leat_fail(why, LEAT_ERR_INVALID, "field '%s' holds a zero byte", name);
    }
    if (value->text.size > 0) {
        memcpy(field, value->text.data, value->text.size);
    }
    field[value->text.size] = '\0';
    return LEAT_OK;
}

static enum leat_err set_bool(const char *name, const struct value *value, bool *field,
                              struct leat_why *why)
{
    if (value->kind != VALUE_BOOL) {
        return wrong_type(name, "true or false", why);
    }
    *field = value->truth;
    return LEAT_OK;
}

static enum leat_err set_verb(const struct value *value, struct leat_request *request,
                              struct leat_why *why)
{
    if (value->kind != VALUE_STR) {
        return wrong_type("request", "text", why);
    }
    for (size_t i = 0; i < VERBS; i++) {
        if (leat_str_equal(value->text, leat_str_of(verbs[i].name))) {
            request->verb = verbs[i].verb;
            return LEAT_OK;
        }
    }
    int shown = (int)(value->text.size > 40 ? 40 : value->text.size);
    return leat_fail(why, LEAT_ERR_UNKNOWN_TYPE,
                     "no request '%.*s'; known are ping, version, stats, queues, workers, job, "
                     "failures",
                     shown, shown > 0 ? value->text.data : "");
}

static enum leat_err set_limit(const struct value *value, struct leat_request *request,
                               struct leat_why *why)
{
    if (value->kind != VALUE_UINT) {
        return wrong_type("limit", "a number from 1", why);
    }
    if (value->number < 1 || value->number > LEAT_PAGE_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "field 'limit' is %llu, it must be 1 to %d",
                         (unsigned long long)value->number, LEAT_PAGE_MAX);
    }
    request->limit = value->number;
    return LEAT_OK;
}

static enum leat_err set_id(const struct value *value, struct leat_request *request,
                            struct leat_why *why)
{
    if (value->kind != VALUE_STR) {
        return wrong_type("id", "text", why);
    }
    enum leat_err err = leat_id_parse(value->text, &request->id, why);
    request->has_id = err == LEAT_OK;
    return err;
}

static enum leat_err set_kind(const struct value *value, struct leat_request *request,
                              struct leat_why *why)
{
    enum leat_err err = set_text("kind", value, request->kind, sizeof request->kind - 1, why);
    enum leat_failure failure;
    if (err == LEAT_OK && request->kind[0] != '\0' &&
        leat_failure_parse(leat_str_of(request->kind), &failure) != LEAT_OK) {
        return leat_fail(why, LEAT_ERR_INVALID, "field 'kind': no failure is named '%s'",
                         request->kind);
    }
    return err;
}

static enum leat_err set_field(struct leat_str key, const struct value *value,
                               struct leat_request *request, struct leat_why *why)
{
    struct {
        const char *name;
        char *field;
        size_t max;
    } texts[] = {
        {"queue", request->queue, sizeof request->queue - 1},
        {"type", request->type, sizeof request->type - 1},
        {"after", request->after, sizeof request->after - 1},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (leat_str_equal(key, leat_str_of(texts[i].name))) {
            return set_text(texts[i].name, value, texts[i].field, texts[i].max, why);
        }
    }
    if (leat_str_equal(key, leat_str_of("request"))) {
        return set_verb(value, request, why);
    }
    if (leat_str_equal(key, leat_str_of("id"))) {
        return set_id(value, request, why);
    }
    if (leat_str_equal(key, leat_str_of("kind"))) {
        return set_kind(value, request, why);
    }
    if (leat_str_equal(key, leat_str_of("limit"))) {
        return set_limit(value, request, why);
    }
    if (leat_str_equal(key, leat_str_of("with_body"))) {
        return set_bool("with_body", value, &request->with_body, why);
    }
    if (leat_str_equal(key, leat_str_of("reruns"))) {
        return set_bool("reruns", value, &request->reruns, why);
    }
    return LEAT_OK;
}

static struct value json_value(const json_t *json)
{
    struct value value = {.kind = VALUE_OTHER};
    if (json_is_string(json)) {
        value.kind = VALUE_STR;
        value.text = (struct leat_str){json_string_value(json), json_string_length(json)};
    } else if (json_is_integer(json) && json_integer_value(json) >= 0) {
        value.kind = VALUE_UINT;
        value.number = (uint64_t)json_integer_value(json);
    } else if (json_is_boolean(json)) {
        value.kind = VALUE_BOOL;
        value.truth = json_is_true(json);
    }
    return value;
}

static enum leat_err parse_json(struct leat_bytes bytes, struct leat_request *request,
                                struct leat_why *why)
{
    json_error_t error;
    /* The size is bounded, jansson bounds the depth, and so memory is bounded too. */
    json_t *root = json_loadb((const char *)bytes.data, bytes.size, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return leat_fail(why, LEAT_ERR_MALFORMED, "not a JSON object: %s", error.text);
    }
    enum leat_err err = LEAT_OK;
    if (!json_is_object(root)) {
        err = leat_fail(why, LEAT_ERR_MALFORMED, "not a JSON object");
    } else {
        const char *key;
        json_t *json;
        json_object_foreach(root, key, json)
        {
            struct value value = json_value(json);
            err = set_field(leat_str_of(key), &value, request, why);
            if (err != LEAT_OK) {
                break;
            }
        }
    }
    json_decref(root);
    return err;
}

/* Reads one element whole; arrays and maps count as OTHER and are passed. */
static enum leat_err msgpack_value(struct leat_wire_cursor *cursor, struct value *ret_value)
{
    struct leat_wire_cursor ahead = *cursor;
    struct leat_wire_token token;
    struct value value = {.kind = VALUE_OTHER};
    enum leat_err err = leat_wire_cursor_skip(cursor);
    if (err != LEAT_OK) {
        return err;
    }
    err = leat_wire_cursor_next(&ahead, &token);
    if (err != LEAT_OK) {
        return err;
    }
    if (token.kind == LEAT_WIRE_STR) {
        value.kind = VALUE_STR;
        value.text = (struct leat_str){(const char *)token.bytes.data, token.bytes.size};
    } else if (token.kind == LEAT_WIRE_UINT) {
        value.kind = VALUE_UINT;
        value.number = token.uinteger;
    } else if (token.kind == LEAT_WIRE_BOOL) {
        value.kind = VALUE_BOOL;
        value.truth = token.boolean;
    }
    *ret_value = value;
    return LEAT_OK;
}

static enum leat_err parse_msgpack(struct leat_bytes bytes, struct leat_request *request,
                                   struct leat_why *why)
{
    struct leat_wire_cursor cursor = leat_wire_cursor_of(bytes);
    uint32_t pairs = 0;
    if (leat_wire_cursor_map(&cursor, &pairs) != LEAT_OK) {
        return leat_fail(why, LEAT_ERR_MALFORMED, "not a msgpack map but %s",
                         leat_wire_cursor_what(&cursor));
    }
    for (uint32_t i = 0; i < pairs; i++) {
        struct leat_str key;
        struct value value;
        if (leat_wire_cursor_str(&cursor, &key) != LEAT_OK) {
            return leat_fail(why, LEAT_ERR_MALFORMED, "key %u of the map is not UTF-8 text", i);
        }
        enum leat_err err = msgpack_value(&cursor, &value);
        if (err != LEAT_OK) {
            return leat_fail(why, err, "value %u of the map cannot be read: %s", i,
                             leat_err_text(err));
        }
        err = set_field(key, &value, request, why);
        if (err != LEAT_OK) {
            return err;
        }
    }
    if (leat_wire_cursor_left(&cursor) > 0) {
        return leat_fail(why, LEAT_ERR_MALFORMED, "%zu bytes follow the map",
                         leat_wire_cursor_left(&cursor));
    }
    return LEAT_OK;
}

enum leat_err leat_request_parse(struct leat_bytes bytes, struct leat_request *ret_request,
                                 struct leat_why *why)
{
    struct leat_request request = {.limit = LEAT_REQUEST_LIMIT_DEFAULT};
    if (bytes.size > LEAT_REQUEST_BYTES_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "the request is %zu bytes, limit is %d", bytes.size,
                         LEAT_REQUEST_BYTES_MAX);
    }
    if (bytes.size == 0) {
        return leat_fail(why, LEAT_ERR_MALFORMED, "the request is empty");
    }
    enum leat_err err = leat_request_is_text(bytes) ? parse_json(bytes, &request, why)
                                                    : parse_msgpack(bytes, &request, why);
    if (err != LEAT_OK) {
        return err;
    }
    if (request.verb == 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "field 'request' is missing");
    }
    if (request.verb == LEAT_REQUEST_JOB && !request.has_id) {
        return leat_fail(why, LEAT_ERR_INVALID, "request 'job' needs field 'id'");
    }
    *ret_request = request;
    return LEAT_OK;
}
