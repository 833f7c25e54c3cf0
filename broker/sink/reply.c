#include "broker/sink/reply.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"

#define BYTES_KEY "$base64"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

json_t *leat_reply_text(struct leat_str text)
{
    json_t *json = json_stringn(text.size > 0 ? text.data : "", text.size);
    if (json != NULL || text.size == 0) {
        return json;
    }
    char *shown = malloc(text.size);
    if (shown == NULL) {
        return NULL;
    }
    memcpy(shown, text.data, text.size);
    leat_utf8_repair(shown, text.size);
    json = json_stringn(shown, text.size);
    free(shown);
    return json;
}

/* RFC 4648 section 4, with padding. */
json_t *leat_reply_bytes(struct leat_bytes bytes)
{
    size_t length = (bytes.size + 2) / 3 * 4;
    char *text = malloc(length + 1);
    if (text == NULL) {
        return NULL;
    }
    size_t at = 0;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)bytes.data[i + 2] : 0;
        text[at++] = digits[group >> 18 & 63];
        text[at++] = digits[group >> 12 & 63];
        text[at++] = left > 1 ? digits[group >> 6 & 63] : '=';
        text[at++] = left > 2 ? digits[group & 63] : '=';
    }
    json_t *json = json_pack("{s:o}", BYTES_KEY, json_stringn_nocheck(text, length));
    free(text);
    return json;
}

json_t *leat_reply_text_or_bytes(struct leat_bytes bytes)
{
    if (bytes.size > 0 && memchr(bytes.data, 0, bytes.size) != NULL) {
        return leat_reply_bytes(bytes);
    }
    json_t *json = json_stringn(bytes.size > 0 ? (const char *)bytes.data : "", bytes.size);
    return json != NULL ? json : leat_reply_bytes(bytes);
}

json_t *leat_reply_error(enum leat_err err, const char *text)
{
    return json_pack("{s:{s:i,s:s,s:o}}", "error", "code", (int)err, "name",
                     leat_err_name((unsigned)err), "text", leat_reply_text(leat_str_of(text)));
}

static int write_piece(void *context, const char *data, size_t size)
{
    return leat_wire_buffer_append(context, data, size) == LEAT_OK ? 0 : -1;
}

static int dump_piece(const char *data, size_t size, void *context)
{
    return write_piece(context, data, size);
}

static unsigned value_of(char c)
{
    const char *at = strchr(digits, c);
    return c == '\0' || at == NULL ? 0 : (unsigned)(at - digits);
}

/* The text is our own, from leat_reply_bytes: a whole number of groups of four. */
static int pack_bytes(msgpack_packer *packer, const char *text, size_t length)
{
    size_t padding =
        length == 0 ? 0 : (size_t)(text[length - 1] == '=') + (text[length - 2] == '=');
    size_t size = length / 4 * 3 - padding;
    uint8_t *bytes = malloc(length / 4 * 3 + 1);
    if (bytes == NULL) {
        return -1;
    }
    for (size_t i = 0, at = 0; i + 3 < length; i += 4, at += 3) {
        uint32_t group = value_of(text[i]) << 18 | value_of(text[i + 1]) << 12 |
                         value_of(text[i + 2]) << 6 | value_of(text[i + 3]);
        bytes[at] = (uint8_t)(group >> 16);
        bytes[at + 1] = (uint8_t)(group >> 8);
        bytes[at + 2] = (uint8_t)group;
    }
    int failed = msgpack_pack_bin_with_body(packer, bytes, size);
    free(bytes);
    return failed;
}

static int pack(msgpack_packer *packer, json_t *json);

static int pack_text(msgpack_packer *packer, const char *text, size_t size)
{
    return msgpack_pack_str_with_body(packer, text, size);
}

static int pack_object(msgpack_packer *packer, json_t *object)
{
    const json_t *bytes = json_object_get(object, BYTES_KEY);
    if (bytes != NULL) {
        return pack_bytes(packer, json_string_value(bytes), json_string_length(bytes));
    }
    int failed = msgpack_pack_map(packer, json_object_size(object));
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        failed = failed || pack_text(packer, key, strlen(key)) || pack(packer, value);
    }
    return failed;
}

static int pack_array(msgpack_packer *packer, json_t *array)
{
    int failed = msgpack_pack_array(packer, json_array_size(array));
    for (size_t i = 0; i < json_array_size(array); i++) {
        failed = failed || pack(packer, json_array_get(array, i));
    }
    return failed;
}

/* Recursive: our own trees are a handful of levels deep. */
static int pack(msgpack_packer *packer, json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return pack_object(packer, json);
    case JSON_ARRAY:
        return pack_array(packer, json);
    case JSON_STRING:
        return pack_text(packer, json_string_value(json), json_string_length(json));
    case JSON_INTEGER:
        return msgpack_pack_int64(packer, json_integer_value(json));
    case JSON_REAL:
        return msgpack_pack_double(packer, json_real_value(json));
    case JSON_TRUE:
        return msgpack_pack_true(packer);
    case JSON_FALSE:
        return msgpack_pack_false(packer);
    case JSON_NULL:
        break;
    }
    return msgpack_pack_nil(packer);
}

enum leat_err leat_reply_write(json_t *tree, bool text, struct leat_wire_buffer *out)
{
    size_t before = out->size;
    int failed = 0;
    if (tree == NULL) {
        return LEAT_ERR_MEMORY;
    }
    if (text) {
        failed = json_dump_callback(tree, dump_piece, out, JSON_COMPACT);
    } else {
        msgpack_packer packer;
        msgpack_packer_init(&packer, out, write_piece);
        failed = pack(&packer, tree);
    }
    if (failed != 0) {
        out->size = before;
        return LEAT_ERR_LIMIT;
    }
    return LEAT_OK;
}
