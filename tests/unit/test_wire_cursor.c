#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/rng.h"
#include "core/utf8.h"
#include "wire/cursor.h"
#include "wire_messages.h"

static struct leat_rng rng;

static int set_up(void **state)
{
    (void)state;
    leat_rng_init(&rng, wire_test_seed());
    return 0;
}

static struct leat_wire_cursor cursor_of(const msgpack_sbuffer *bytes)
{
    return leat_wire_cursor_of(leat_bytes_of(bytes->data, bytes->size));
}

/* ---- against msgpack-c ---- */

static void pack_random(msgpack_packer *to, unsigned depth)
{
    static const char text[70000];
    size_t size = (size_t)leat_rng_below(&rng, leat_rng_below(&rng, 30) == 0 ? 70000 : 40);
    size_t count = (size_t)leat_rng_below(&rng, leat_rng_below(&rng, 30) == 0 ? 20 : 4);
    uint64_t number = leat_rng_next(&rng) >> leat_rng_below(&rng, 64);
    switch (leat_rng_below(&rng, depth > 0 ? 10 : 8)) {
    case 0:
        msgpack_pack_nil(to);
        break;
    case 1:
        (void)(number % 2 == 0 ? msgpack_pack_true(to) : msgpack_pack_false(to));
        break;
    case 2:
        msgpack_pack_uint64(to, number);
        break;
    case 3:
        msgpack_pack_int64(to, -(int64_t)(number >> 1));
        break;
    case 4:
        msgpack_pack_str(to, size);
        msgpack_pack_str_body(to, text, size);
        break;
    case 5:
        msgpack_pack_bin(to, size);
        msgpack_pack_bin_body(to, text, size);
        break;
    case 6:
        msgpack_pack_ext(to, size, (int8_t)number);
        msgpack_pack_ext_body(to, text, size);
        break;
    case 7:
        (void)(number % 2 == 0 ? msgpack_pack_double(to, (double)number / 3)
                               : msgpack_pack_float(to, (float)number / 3));
        break;
    case 8:
        msgpack_pack_array(to, count);
        for (size_t i = 0; i < count; i++) {
            pack_random(to, depth - 1);
        }
        break;
    default:
        msgpack_pack_map(to, count);
        for (size_t i = 0; i < 2 * count; i++) {
            pack_random(to, depth - 1);
        }
        break;
    }
}

static void expect_bytes(struct leat_bytes bytes, const char *data, size_t size)
{
    assert_int_equal(bytes.size, size);
    assert_memory_equal(bytes.data, data, size);
}

/* Reads with the cursor what msgpack-c has read. */
static void expect_object(struct leat_wire_cursor *cursor, const msgpack_object *object)
{
    struct leat_wire_token token;
    assert_int_equal(leat_wire_cursor_next(cursor, &token), LEAT_OK);
    switch ((int)object->type) {
    case MSGPACK_OBJECT_NIL:
        assert_int_equal(token.kind, LEAT_WIRE_NIL);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        assert_int_equal(token.kind, LEAT_WIRE_BOOL);
        assert_int_equal(token.boolean, object->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        assert_int_equal(token.kind, LEAT_WIRE_UINT);
        assert_true(token.uinteger == object->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        assert_int_equal(token.kind, LEAT_WIRE_INT);
        assert_true(token.integer == object->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        assert_int_equal(token.kind, LEAT_WIRE_FLOAT);
        assert_memory_equal(&token.real, &object->via.f64, sizeof(double));
        break;
    case MSGPACK_OBJECT_STR:
        assert_int_equal(token.kind, LEAT_WIRE_STR);
        expect_bytes(token.bytes, object->via.str.ptr, object->via.str.size);
        break;
    case MSGPACK_OBJECT_BIN:
        assert_int_equal(token.kind, LEAT_WIRE_BIN);
        expect_bytes(token.bytes, object->via.bin.ptr, object->via.bin.size);
        break;
    case MSGPACK_OBJECT_EXT:
        assert_int_equal(token.kind, LEAT_WIRE_EXT);
        assert_int_equal(token.ext_type, object->via.ext.type);
        expect_bytes(token.bytes, object->via.ext.ptr, object->via.ext.size);
        break;
    case MSGPACK_OBJECT_ARRAY:
        assert_int_equal(token.kind, LEAT_WIRE_ARRAY);
        assert_int_equal(token.count, object->via.array.size);
        for (uint32_t i = 0; i < token.count; i++) {
            expect_object(cursor, &object->via.array.ptr[i]);
        }
        break;
    case MSGPACK_OBJECT_MAP:
        assert_int_equal(token.kind, LEAT_WIRE_MAP);
        assert_int_equal(token.count, object->via.map.size);
        for (uint32_t i = 0; i < token.count; i++) {
            expect_object(cursor, &object->via.map.ptr[i].key);
            expect_object(cursor, &object->via.map.ptr[i].val);
        }
        break;
    default:
        fail_msg("msgpack-c gave type %d", (int)object->type);
    }
}

static void the_cursor_reads_what_msgpack_c_reads(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        msgpack_sbuffer bytes;
        msgpack_packer packer;
        msgpack_unpacked unpacked;
        size_t used = 0;
        msgpack_sbuffer_init(&bytes);
        msgpack_packer_init(&packer, &bytes, msgpack_sbuffer_write);
        pack_random(&packer, 4);
        msgpack_unpacked_init(&unpacked);
        assert_int_equal(msgpack_unpack_next(&unpacked, bytes.data, bytes.size, &used),
                         MSGPACK_UNPACK_SUCCESS);
        struct leat_wire_cursor cursor = cursor_of(&bytes);
        expect_object(&cursor, &unpacked.data);
        assert_int_equal(leat_wire_cursor_left(&cursor), 0);

        cursor = cursor_of(&bytes);
        assert_int_equal(leat_wire_cursor_skip(&cursor), LEAT_OK);
        assert_int_equal(leat_wire_cursor_left(&cursor), 0);
        msgpack_unpacked_destroy(&unpacked);
        msgpack_sbuffer_destroy(&bytes);
    }
}

static void a_cut_element_leaves_the_cursor_where_it_was(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        msgpack_sbuffer bytes;
        msgpack_packer packer;
        msgpack_sbuffer_init(&bytes);
        msgpack_packer_init(&packer, &bytes, msgpack_sbuffer_write);
        pack_random(&packer, 3);
        size_t most = bytes.size < 500 ? bytes.size : 500;
        for (size_t cut = 0; cut < most; cut++) {
            uint8_t *exact = malloc(cut > 0 ? cut : 1); /* the sanitizer watches its end */
            assert_non_null(exact);
            memcpy(exact, bytes.data, cut);
            struct leat_wire_cursor cursor = leat_wire_cursor_of(leat_bytes_of(exact, cut));
            assert_int_equal(leat_wire_cursor_skip(&cursor), LEAT_ERR_MALFORMED);
            assert_ptr_equal(cursor.at, exact);
            free(exact);
        }
        msgpack_sbuffer_destroy(&bytes);
    }
}

/* ---- typed reads ---- */

struct number_case {
    const char *bytes;
    size_t size;
    bool is_u64, is_i64;
    uint64_t u64;
    int64_t i64;
};

#define BYTES(text) text, sizeof(text) - 1

static void numbers_are_read_into_the_type_that_holds_them(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {BYTES("\x00"), true, true, 0, 0},
        {BYTES("\x7f"), true, true, 127, 127},
        {BYTES("\xff"), false, true, 0, -1},
        {BYTES("\xe0"), false, true, 0, -32},
        {BYTES("\xcc\xff"), true, true, 255, 255},
        {BYTES("\xcd\xff\xff"), true, true, 65535, 65535},
        {BYTES("\xce\xff\xff\xff\xff"), true, true, UINT32_MAX, UINT32_MAX},
        {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), true, false, UINT64_MAX, 0},
        {BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), true, true, INT64_MAX, INT64_MAX},
        {BYTES("\xcf\x80\0\0\0\0\0\0\0"), true, false, UINT64_C(1) << 63, 0},
        {BYTES("\xd0\x80"), false, true, 0, INT8_MIN},
        {BYTES("\xd0\x7f"), true, true, 127, 127},
        {BYTES("\xd1\x80\0"), false, true, 0, INT16_MIN},
        {BYTES("\xd1\0\x01"), true, true, 1, 1},
        {BYTES("\xd2\x80\0\0\0"), false, true, 0, INT32_MIN},
        {BYTES("\xd2\0\0\0\x01"), true, true, 1, 1},
        {BYTES("\xd3\x80\0\0\0\0\0\0\0"), false, true, 0, INT64_MIN},
        {BYTES("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), true, true, INT64_MAX, INT64_MAX},
        {BYTES("\xc0"), false, false, 0, 0},
        {BYTES("\xc3"), false, false, 0, 0},
        {BYTES("\xca\0\0\0\0"), false, false, 0, 0},
        {BYTES("\xa1\x31"), false, false, 0, 0},
        {BYTES("\xcd\xff"), false, false, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct number_case *c = &cases[i];
        struct leat_bytes bytes = leat_bytes_of(c->bytes, c->size);
        struct leat_wire_cursor cursor = leat_wire_cursor_of(bytes);
        uint64_t u64 = 99;
        assert_int_equal(leat_wire_cursor_u64(&cursor, &u64) == LEAT_OK, c->is_u64);
        assert_true(u64 == (c->is_u64 ? c->u64 : 99));
        assert_int_equal(leat_wire_cursor_left(&cursor), c->is_u64 ? 0 : c->size);
        cursor = leat_wire_cursor_of(bytes);
        int64_t i64 = 99;
        assert_int_equal(leat_wire_cursor_i64(&cursor, &i64) == LEAT_OK, c->is_i64);
        assert_true(i64 == (c->is_i64 ? c->i64 : 99));
        assert_int_equal(leat_wire_cursor_left(&cursor), c->is_i64 ? 0 : c->size);
    }
}

static void each_type_is_refused_as_any_other(void **state)
{
    (void)state;
    static const char elements[][2] = {"\x01", "\xc2", "\xa0", "\xc4", "\x90", "\x80"};
    enum { NUMBER, BOOLEAN, TEXT, BINARY, ARRAY, MAP, TYPES };
    for (int have = 0; have < TYPES; have++) {
        for (int want = 0; want < TYPES; want++) {
            struct leat_wire_cursor cursor =
                leat_wire_cursor_of(leat_bytes_of(elements[have], have == BINARY ? 2 : 1));
            uint64_t number;
            bool boolean;
            struct leat_str text;
            struct leat_bytes bytes;
            uint32_t count;
            enum leat_err err = want == NUMBER    ? leat_wire_cursor_u64(&cursor, &number)
                                : want == BOOLEAN ? leat_wire_cursor_bool(&cursor, &boolean)
                                : want == TEXT    ? leat_wire_cursor_str(&cursor, &text)
                                : want == BINARY  ? leat_wire_cursor_bin(&cursor, &bytes)
                                : want == ARRAY   ? leat_wire_cursor_array(&cursor, &count)
                                                  : leat_wire_cursor_map(&cursor, &count);
            assert_int_equal(err, want == have ? LEAT_OK : LEAT_ERR_MALFORMED);
        }
    }
}

static void a_count_is_never_larger_than_what_follows(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum leat_err err;
    } cases[] = {
        {BYTES("\x90"), LEAT_OK},
        {BYTES("\x91"), LEAT_ERR_MALFORMED},
        {BYTES("\x91\x01"), LEAT_OK},
        {BYTES("\x92\x01"), LEAT_ERR_MALFORMED},
        {BYTES("\xdc\0\x02\x01\x02"), LEAT_OK},
        {BYTES("\xdc\0\x03\x01\x02"), LEAT_ERR_MALFORMED},
        {BYTES("\xdd\xff\xff\xff\xff\x01\x02"), LEAT_ERR_MALFORMED},
        {BYTES("\x81\x01\x02"), LEAT_OK},
        {BYTES("\x81\x01"), LEAT_ERR_MALFORMED},
        {BYTES("\xde\0\x01\x01\x02"), LEAT_OK},
        {BYTES("\xde\0\x02\x01\x02\x03"), LEAT_ERR_MALFORMED},
        {BYTES("\xdf\x80\0\0\0\x01\x02"), LEAT_ERR_MALFORMED},
        {BYTES("\xdf\xff\xff\xff\xff\x01\x02"), LEAT_ERR_MALFORMED},
        {BYTES("\xdb\xff\xff\xff\xffx"), LEAT_ERR_MALFORMED},
        {BYTES("\xc6\xff\xff\xff\xffx"), LEAT_ERR_MALFORMED},
        {BYTES("\xc9\xff\xff\xff\xff\x01x"), LEAT_ERR_MALFORMED},
        {BYTES("\xc9\xff\xff\xff\xff"), LEAT_ERR_MALFORMED},
        {BYTES("\xc1"), LEAT_ERR_MALFORMED},
        {BYTES(""), LEAT_ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct leat_wire_token token;
        struct leat_wire_cursor cursor =
            leat_wire_cursor_of(leat_bytes_of(cases[i].bytes, cases[i].size));
        assert_int_equal(leat_wire_cursor_next(&cursor, &token), cases[i].err);
    }
}

static void skip_stops_at_the_nesting_limit(void **state)
{
    (void)state;
    enum { DEEP = 1000000 };
    uint8_t *bytes = malloc(DEEP);
    assert_non_null(bytes);
    memset(bytes, 0x91, DEEP);
    struct leat_wire_cursor cursor = leat_wire_cursor_of(leat_bytes_of(bytes, DEEP));
    assert_int_equal(leat_wire_cursor_skip(&cursor), LEAT_ERR_LIMIT);
    assert_ptr_equal(cursor.at, bytes);
    memset(bytes, 0x81, DEEP); /* maps whose keys are maps */
    assert_int_equal(leat_wire_cursor_skip(&cursor), LEAT_ERR_LIMIT);
    for (size_t depth = 0; depth <= LEAT_NESTING_MAX + 1; depth++) {
        memset(bytes, 0x91, depth);
        bytes[depth] = 0x05;
        cursor = leat_wire_cursor_of(leat_bytes_of(bytes, depth + 1));
        assert_int_equal(leat_wire_cursor_skip(&cursor),
                         depth <= LEAT_NESTING_MAX ? LEAT_OK : LEAT_ERR_LIMIT);
    }
    free(bytes);
}

/* ---- UTF-8 ---- */

static void only_utf8_is_a_text(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        bool valid;
    } cases[] = {
        {BYTES(""), true},
        {BYTES("plain"), true},
        {BYTES("zero \0 inside"), true},
        {BYTES("\x7f"), true},
        {BYTES("\x80"), false},
        {BYTES("\xbf"), false},
        {BYTES("\xc0\x80"), false}, /* overlong */
        {BYTES("\xc1\xbf"), false},
        {BYTES("\xc2\x80"), true},
        {BYTES("\xc2"), false},
        {BYTES("\xc2\x7f"), false},
        {BYTES("\xdf\xbf"), true},
        {BYTES("\xe0\x9f\xbf"), false}, /* overlong */
        {BYTES("\xe0\xa0\x80"), true},
        {BYTES("\xe2\x82"), false},
        {BYTES("\xe2\x82\xac"), true},
        {BYTES("\xed\x9f\xbf"), true},
        {BYTES("\xed\xa0\x80"), false}, /* surrogate */
        {BYTES("\xee\x80\x80"), true},
        {BYTES("\xf0\x8f\xbf\xbf"), false}, /* overlong */
        {BYTES("\xf0\x90\x80\x80"), true},
        {BYTES("\xf4\x8f\xbf\xbf"), true},
        {BYTES("\xf4\x90\x80\x80"), false}, /* above U+10FFFF */
        {BYTES("\xf5\x80\x80\x80"), false},
        {BYTES("\xff"), false},
        {BYTES("12345678\xff"), false},
        {BYTES("1234567\xff"), false},
        {BYTES("12345678123456789\xe2\x82\xac"
               "12345678"),
         true},
        {BYTES("1234567\xe2\x82"), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *exact = malloc(cases[i].size + 1);
        assert_non_null(exact);
        memcpy(exact, cases[i].bytes, cases[i].size);
        assert_int_equal(leat_utf8_valid(exact, cases[i].size), cases[i].valid);
        leat_utf8_repair(exact, cases[i].size);
        assert_true(leat_utf8_valid(exact, cases[i].size));
        if (cases[i].valid) {
            assert_memory_equal(exact, cases[i].bytes, cases[i].size);
        }
        free(exact);
    }
}

static void a_text_is_shortened_between_characters(void **state)
{
    (void)state;
    static const char text[] = "a\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t kept[] = {0, 1, 1, 1, 4, 4, 4, 4, 8, 9, 9};
    for (size_t max = 0; max < sizeof(kept) / sizeof(kept[0]); max++) {
        assert_int_equal(leat_utf8_shorten(text, sizeof(text) - 1, max), kept[max]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cursor_reads_what_msgpack_c_reads),
        cmocka_unit_test(a_cut_element_leaves_the_cursor_where_it_was),
        cmocka_unit_test(numbers_are_read_into_the_type_that_holds_them),
        cmocka_unit_test(each_type_is_refused_as_any_other),
        cmocka_unit_test(a_count_is_never_larger_than_what_follows),
        cmocka_unit_test(skip_stops_at_the_nesting_limit),
        cmocka_unit_test(only_utf8_is_a_text),
        cmocka_unit_test(a_text_is_shortened_between_characters),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
