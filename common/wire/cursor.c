#include "wire/cursor.h"

#include <string.h>

#include "core/limits.h"
#include "core/utf8.h"

/* Big-endian, `width` bytes that are known to be there. */
static uint64_t load(const uint8_t *at, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

/* Takes `width` bytes as one number. */
static bool take(struct leat_wire_cursor *cursor, size_t width, uint64_t *ret_value)
{
    if (leat_wire_cursor_left(cursor) < width) {
        return false;
    }
    *ret_value = load(cursor->at, width);
    cursor->at += width;
    return true;
}

/* Takes `size` bytes as they are. */
static bool take_bytes(struct leat_wire_cursor *cursor, uint64_t size,
                       struct leat_wire_token *token)
{
    if (size > leat_wire_cursor_left(cursor)) {
        return false;
    }
    token->bytes = (struct leat_bytes){cursor->at, (size_t)size};
    cursor->at += size;
    return true;
}

/* A length in `width` bytes, then as many bytes. */
static bool take_sized(struct leat_wire_cursor *cursor, size_t width, enum leat_wire_kind kind,
                       struct leat_wire_token *token)
{
    uint64_t size;
    token->kind = kind;
    return take(cursor, width, &size) && take_bytes(cursor, size, token);
}

/* One type byte, then `size` bytes. */
static bool take_ext(struct leat_wire_cursor *cursor, uint64_t size, struct leat_wire_token *token)
{
    uint64_t type;
    if (!take(cursor, 1, &type)) {
        return false;
    }
    token->kind = LEAT_WIRE_EXT;
    token->ext_type = (int8_t)type;
    return take_bytes(cursor, size, token);
}

static bool take_sized_ext(struct leat_wire_cursor *cursor, size_t width,
                           struct leat_wire_token *token)
{
    uint64_t size;
    return take(cursor, width, &size) && take_ext(cursor, size, token);
}

/* Every element takes at least one byte, so no count can be larger than what is left. */
static bool set_count(const struct leat_wire_cursor *cursor, uint64_t count,
                      enum leat_wire_kind kind, struct leat_wire_token *token)
{
    uint64_t elements = kind == LEAT_WIRE_MAP ? 2 * count : count; /* count < 2^32 */
    if (elements > leat_wire_cursor_left(cursor)) {
        return false;
    }
    token->kind = kind;
    token->count = (uint32_t)count;
    return true;
}

static bool take_count(struct leat_wire_cursor *cursor, size_t width, enum leat_wire_kind kind,
                       struct leat_wire_token *token)
{
    uint64_t count;
    return take(cursor, width, &count) && set_count(cursor, count, kind, token);
}

static bool take_uint(struct leat_wire_cursor *cursor, size_t width, struct leat_wire_token *token)
{
    token->kind = LEAT_WIRE_UINT;
    return take(cursor, width, &token->uinteger);
}

static bool take_int(struct leat_wire_cursor *cursor, size_t width, struct leat_wire_token *token)
{
    uint64_t raw;
    if (!take(cursor, width, &raw)) {
        return false;
    }
    /* Sign extension without shifting a negative number: flip the sign bit, subtract its weight. */
    uint64_t sign = UINT64_C(1) << (8 * width - 1);
    int64_t value = (int64_t)((raw ^ sign) - sign);
    if (value >= 0) {
        token->kind = LEAT_WIRE_UINT;
        token->uinteger = (uint64_t)value;
    } else {
        token->kind = LEAT_WIRE_INT;
        token->integer = value;
    }
    return true;
}

static bool take_float(struct leat_wire_cursor *cursor, size_t width, struct leat_wire_token *token)
{
    uint64_t raw;
    if (!take(cursor, width, &raw)) {
        return false;
    }
    token->kind = LEAT_WIRE_FLOAT;
    if (width == 4) {
        uint32_t bits = (uint32_t)raw;
        float single;
        memcpy(&single, &bits, sizeof(single));
        token->real = (double)single;
    } else {
        memcpy(&token->real, &raw, sizeof(token->real));
    }
    return true;
}

/* 0xc0 to 0xdf: the heads that stand for a type and the width of what follows. */
static bool take_wide(struct leat_wire_cursor *cursor, uint8_t head, struct leat_wire_token *token)
{
    size_t power = (size_t)1 << (head & 3); /* for the int families: 1, 2, 4, 8 */
    switch (head) {
    case 0xc0:
        token->kind = LEAT_WIRE_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        token->kind = LEAT_WIRE_BOOL;
        token->boolean = head == 0xc3;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take_sized(cursor, power, LEAT_WIRE_BIN, token);
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return take_sized_ext(cursor, (size_t)1 << (head - 0xc7), token);
    case 0xca:
        return take_float(cursor, 4, token);
    case 0xcb:
        return take_float(cursor, 8, token);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_uint(cursor, power, token);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_int(cursor, power, token);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return take_ext(cursor, UINT64_C(1) << (head - 0xd4), token);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_sized(cursor, (size_t)1 << (head - 0xd9), LEAT_WIRE_STR, token);
    case 0xdc:
    case 0xdd:
        return take_count(cursor, head == 0xdc ? 2 : 4, LEAT_WIRE_ARRAY, token);
    case 0xde:
    case 0xdf:
        return take_count(cursor, head == 0xde ? 2 : 4, LEAT_WIRE_MAP, token);
    default:
        return false; /* 0xc1, never used */
    }
}

static bool take_token(struct leat_wire_cursor *cursor, struct leat_wire_token *token)
{
    if (cursor->at == cursor->end) {
        return false;
    }
    uint8_t head = *cursor->at++;
    if (head < 0x80) {
        token->kind = LEAT_WIRE_UINT;
        token->uinteger = head;
        return true;
    }
    if (head >= 0xe0) {
        token->kind = LEAT_WIRE_INT;
        token->integer = (int64_t)head - 0x100;
        return true;
    }
    if (head < 0x90) {
        return set_count(cursor, head & 0x0f, LEAT_WIRE_MAP, token);
    }
    if (head < 0xa0) {
        return set_count(cursor, head & 0x0f, LEAT_WIRE_ARRAY, token);
    }
    if (head < 0xc0) {
        token->kind = LEAT_WIRE_STR;
        return take_bytes(cursor, head & 0x1f, token);
    }
    return take_wide(cursor, head, token);
}

enum leat_err leat_wire_cursor_next(struct leat_wire_cursor *cursor,
                                    struct leat_wire_token *ret_token)
{
    struct leat_wire_cursor ahead = *cursor;
    struct leat_wire_token token;
    token.ext_type = 0;
    if (!take_token(&ahead, &token)) {
        return LEAT_ERR_MALFORMED;
    }
    *cursor = ahead;
    *ret_token = token;
    return LEAT_OK;
}

enum leat_err leat_wire_cursor_skip(struct leat_wire_cursor *cursor)
{
    struct leat_wire_cursor ahead = *cursor;
    uint64_t open[LEAT_NESTING_MAX]; /* elements still to come in each open container */
    size_t depth = 0;
    for (;;) {
        struct leat_wire_token token;
        if (!take_token(&ahead, &token)) {
            return LEAT_ERR_MALFORMED;
        }
        if (token.kind == LEAT_WIRE_ARRAY || token.kind == LEAT_WIRE_MAP) {
            if (depth == LEAT_NESTING_MAX) {
                return LEAT_ERR_LIMIT;
            }
            open[depth++] = token.kind == LEAT_WIRE_MAP ? 2 * (uint64_t)token.count : token.count;
        }
        while (depth > 0 && open[depth - 1] == 0) {
            depth--;
        }
        if (depth == 0) {
            break;
        }
        open[depth - 1]--;
    }
    *cursor = ahead;
    return LEAT_OK;
}

/* Reads the next token if it is of this kind. */
static enum leat_err expect(struct leat_wire_cursor *cursor, enum leat_wire_kind kind,
                            struct leat_wire_token *ret_token)
{
    struct leat_wire_cursor ahead = *cursor;
    struct leat_wire_token token;
    if (!take_token(&ahead, &token) || token.kind != kind) {
        return LEAT_ERR_MALFORMED;
    }
    *cursor = ahead;
    *ret_token = token;
    return LEAT_OK;
}

enum leat_err leat_wire_cursor_any_u64(struct leat_wire_cursor *cursor, uint64_t *ret_value)
{
    struct leat_wire_token token;
    enum leat_err err = expect(cursor, LEAT_WIRE_UINT, &token);
    if (err == LEAT_OK) {
        *ret_value = token.uinteger;
    }
    return err;
}

enum leat_err leat_wire_cursor_any_i64(struct leat_wire_cursor *cursor, int64_t *ret_value)
{
    struct leat_wire_cursor ahead = *cursor;
    struct leat_wire_token token;
    if (!take_token(&ahead, &token)) {
        return LEAT_ERR_MALFORMED;
    }
    if (token.kind == LEAT_WIRE_UINT && token.uinteger <= INT64_MAX) {
        *ret_value = (int64_t)token.uinteger;
    } else if (token.kind == LEAT_WIRE_INT) {
        *ret_value = token.integer;
    } else {
        return LEAT_ERR_MALFORMED;
    }
    *cursor = ahead;
    return LEAT_OK;
}

enum leat_err leat_wire_cursor_any_bool(struct leat_wire_cursor *cursor, bool *ret_value)
{
    struct leat_wire_token token;
    enum leat_err err = expect(cursor, LEAT_WIRE_BOOL, &token);
    if (err == LEAT_OK) {
        *ret_value = token.boolean;
    }
    return err;
}

enum leat_err leat_wire_cursor_str(struct leat_wire_cursor *cursor, struct leat_str *ret_text)
{
    struct leat_wire_cursor ahead = *cursor;
    struct leat_wire_token token;
    enum leat_err err = expect(&ahead, LEAT_WIRE_STR, &token);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_str text = {(const char *)token.bytes.data, token.bytes.size};
    if (!leat_utf8_valid(text.data, text.size)) {
        return LEAT_ERR_MALFORMED;
    }
    *cursor = ahead;
    *ret_text = text;
    return LEAT_OK;
}

enum leat_err leat_wire_cursor_any_bin(struct leat_wire_cursor *cursor,
                                       struct leat_bytes *ret_bytes)
{
    struct leat_wire_token token;
    enum leat_err err = expect(cursor, LEAT_WIRE_BIN, &token);
    if (err == LEAT_OK) {
        *ret_bytes = token.bytes;
    }
    return err;
}

enum leat_err leat_wire_cursor_any_array(struct leat_wire_cursor *cursor, uint32_t *ret_count)
{
    struct leat_wire_token token;
    enum leat_err err = expect(cursor, LEAT_WIRE_ARRAY, &token);
    if (err == LEAT_OK) {
        *ret_count = token.count;
    }
    return err;
}

enum leat_err leat_wire_cursor_map(struct leat_wire_cursor *cursor, uint32_t *ret_count)
{
    struct leat_wire_token token;
    enum leat_err err = expect(cursor, LEAT_WIRE_MAP, &token);
    if (err == LEAT_OK) {
        *ret_count = token.count;
    }
    return err;
}

const char *leat_wire_cursor_what(const struct leat_wire_cursor *cursor)
{
    static const char *const names[] = {
        [LEAT_WIRE_NIL] = "nil",         [LEAT_WIRE_BOOL] = "bool",
        [LEAT_WIRE_UINT] = "an integer", [LEAT_WIRE_INT] = "a negative integer",
        [LEAT_WIRE_FLOAT] = "a float",   [LEAT_WIRE_STR] = "str",
        [LEAT_WIRE_BIN] = "bin",         [LEAT_WIRE_ARRAY] = "an array",
        [LEAT_WIRE_MAP] = "a map",       [LEAT_WIRE_EXT] = "ext",
    };
    struct leat_wire_cursor ahead = *cursor;
    struct leat_wire_token token;
    if (cursor->at == cursor->end) {
        return "nothing";
    }
    return take_token(&ahead, &token) ? names[token.kind] : "bytes that are not msgpack";
}
