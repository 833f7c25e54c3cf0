#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"
#include "wire/msgtable.h"
#include "wire_messages.h"

enum { ROUNDS = 40, ARENA_BYTES = 64 << 20 };

struct bench {
    struct leat_rng rng;
    struct leat_arena made;    /* what random messages live in */
    struct leat_arena decoded; /* what they are decoded into */
    struct leat_wire_buffer buffer;
    struct leat_why why;
};

static struct bench bench;

static int set_up(void **state)
{
    (void)state;
    leat_rng_init(&bench.rng, wire_test_seed());
    leat_arena_init(&bench.made, ARENA_BYTES);
    leat_arena_init(&bench.decoded, ARENA_BYTES);
    leat_wire_buffer_init(&bench.buffer, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    leat_arena_fini(&bench.made);
    leat_arena_fini(&bench.decoded);
    leat_wire_buffer_fini(&bench.buffer);
    return 0;
}

/* A copy of just these bytes on the heap, so that the sanitizer sees a read past their end. */
static struct leat_bytes exact_copy(const void *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    return (struct leat_bytes){copy, size};
}

static void free_copy(struct leat_bytes copy)
{
    free((void *)(uintptr_t)copy.data);
}

static enum leat_err decode(const void *data, size_t size, struct leat_msg *ret_msg)
{
    leat_arena_clear(&bench.decoded);
    bench.why.text[0] = '\0';
    return leat_wire_decode((struct leat_bytes){data, size}, &bench.decoded, ret_msg, &bench.why);
}

static enum leat_err decode_exact(const void *data, size_t size)
{
    struct leat_msg msg;
    struct leat_bytes copy = exact_copy(data, size);
    enum leat_err err = decode(copy.data, copy.size, &msg);
    free_copy(copy);
    return err;
}

static void make(const struct leat_wire_message *message, struct leat_msg *ret_msg)
{
    leat_arena_clear(&bench.made);
    wire_random_message(message, &bench.rng, &bench.made, ret_msg);
}

static void encode(const struct leat_msg *msg)
{
    leat_wire_buffer_clear(&bench.buffer);
    assert_int_equal(leat_wire_encode(msg, &bench.buffer), LEAT_OK);
}

/* Calls `check` with ROUNDS random messages of each type. */
static void for_each_message(void (*check)(const struct leat_msg *msg), int rounds)
{
    const struct leat_wire_message *message;
    for (size_t i = 0; (message = leat_wire_message_at(i)) != NULL; i++) {
        for (int round = 0; round < rounds; round++) {
            struct leat_msg msg;
            make(message, &msg);
            check(&msg);
        }
    }
}

static void check_round_trip(const struct leat_msg *msg)
{
    struct leat_msg back;
    encode(msg);
    assert_int_equal(decode(bench.buffer.data, bench.buffer.size, &back), LEAT_OK);
    assert_true(wire_message_equal(msg, &back));
    struct leat_bytes view = leat_wire_buffer_view(&bench.buffer);
    assert_int_equal(leat_wire_peek_type(view), msg->type);
}

static void every_message_comes_back_as_it_was_sent(void **state)
{
    (void)state;
    for_each_message(check_round_trip, ROUNDS);
}

static void check_oracle_reads_ours(const struct leat_msg *msg)
{
    const struct leat_wire_message *message = leat_wire_message_of(msg->type);
    msgpack_unpacked unpacked;
    size_t used = 0;
    encode(msg);
    msgpack_unpacked_init(&unpacked);
    assert_int_equal(
        msgpack_unpack_next(&unpacked, (const char *)bench.buffer.data, bench.buffer.size, &used),
        MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(used, bench.buffer.size);
    const msgpack_object *array = &unpacked.data;
    assert_true(wire_fields_match(message->fields, message->field_count,
                                  leat_wire_message_fields(msg), array, 2));
    assert_int_equal(array->via.array.ptr[0].via.u64, LEAT_PROTOCOL_VERSION);
    assert_int_equal(array->via.array.ptr[1].via.u64, msg->type);
    msgpack_unpacked_destroy(&unpacked);
}

static void msgpack_c_reads_what_we_write(void **state)
{
    (void)state;
    for_each_message(check_oracle_reads_ours, ROUNDS);
}

static void check_reads_loose(const struct leat_msg *msg, bool extra)
{
    struct leat_msg back;
    msgpack_sbuffer loose;
    msgpack_sbuffer_init(&loose);
    wire_pack_loosely(msg, extra, &bench.rng, &loose);
    enum leat_err err = decode(loose.data, loose.size, &back);
    if (err != LEAT_OK) {
        fail_msg("%s: %s", leat_wire_message_name((uint64_t)msg->type), bench.why.text);
    }
    assert_true(wire_message_equal(msg, &back));
    msgpack_sbuffer_destroy(&loose);
}

static void check_loose(const struct leat_msg *msg)
{
    check_reads_loose(msg, false);
}

static void check_extra(const struct leat_msg *msg)
{
    check_reads_loose(msg, true);
}

static void integers_and_heads_of_any_width_are_read(void **state)
{
    (void)state;
    for_each_message(check_loose, ROUNDS);
}

static void extra_elements_of_messages_and_items_are_skipped(void **state)
{
    (void)state;
    for_each_message(check_extra, ROUNDS);
}

static void check_truncations(const struct leat_msg *msg)
{
    encode(msg);
    size_t size = bench.buffer.size < 4000 ? bench.buffer.size : 4000;
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(decode_exact(bench.buffer.data, cut), LEAT_ERR_MALFORMED);
        assert_true(bench.why.text[0] != '\0');
    }
}

static void a_message_cut_at_any_byte_is_malformed(void **state)
{
    (void)state;
    for_each_message(check_truncations, 3);
}

static void check_flips(const struct leat_msg *msg)
{
    encode(msg);
    size_t size = bench.buffer.size < 600 ? bench.buffer.size : 600;
    struct leat_bytes copy = exact_copy(bench.buffer.data, bench.buffer.size);
    uint8_t *bytes = (uint8_t *)(uintptr_t)copy.data;
    for (size_t at = 0; at < size; at++) {
        for (unsigned value = 1; value < 256; value += at < 40 ? 1 : 37) {
            struct leat_msg back;
            struct leat_wire_buffer again = {0};
            bytes[at] ^= (uint8_t)value;
            if (decode(bytes, copy.size, &back) == LEAT_OK) {
                /* What is accepted is a valid message: it can be sent on. */
                assert_int_equal(leat_wire_encode(&back, &again), LEAT_OK);
                leat_wire_buffer_fini(&again);
            } else {
                assert_true(bench.why.text[0] != '\0');
            }
            bytes[at] ^= (uint8_t)value;
        }
    }
    free_copy(copy);
}

static void a_changed_byte_never_does_more_than_change_or_refuse_the_message(void **state)
{
    (void)state;
    for_each_message(check_flips, 2);
}

/* So that two sides of different versions can tell each other. */
static void an_error_of_any_version_is_read_and_nothing_else_is(void **state)
{
    (void)state;
    struct leat_msg msg = {.type = LEAT_MSG_ERROR};
    msg.error.code = LEAT_ERR_VERSION;
    msg.error.text = leat_str_of("protocol version 1 is not spoken here");
    struct leat_msg ping = {.type = LEAT_MSG_PING};
    for (uint8_t version = 0; version < 0x80; version++) {
        struct leat_msg back;
        encode(&msg);
        bench.buffer.data[1] = version;
        assert_int_equal(decode(bench.buffer.data, bench.buffer.size, &back), LEAT_OK);
        assert_int_equal(back.error.code, LEAT_ERR_VERSION);
        assert_true(leat_str_equal(back.error.text, msg.error.text));
        encode(&ping);
        bench.buffer.data[1] = version;
        assert_int_equal(decode(bench.buffer.data, bench.buffer.size, &back),
                         version == LEAT_PROTOCOL_VERSION ? LEAT_OK : LEAT_ERR_VERSION);
    }
}

static void random_bytes_never_do_harm(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[64];
        size_t size = (size_t)leat_rng_below(&bench.rng, sizeof(bytes));
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)leat_rng_next(&bench.rng);
        }
        if (size > 3 && round % 2 == 0) { /* get past the envelope */
            bytes[0] = 0x9f;
            bytes[1] = LEAT_PROTOCOL_VERSION;
            bytes[2] = (uint8_t)(0x10 + leat_rng_below(&bench.rng, 0x58));
        }
        (void)decode_exact(bytes, size);
    }
}

struct bytes_case {
    const char *what;
    const char *bytes;
    size_t size;
    enum leat_err err;
    const char *says; /* part of the reason */
};

#define BYTES(text) text, sizeof(text) - 1

static void bad_frames_are_refused_with_the_right_error(void **state)
{
    (void)state;
    static const struct bytes_case cases[] = {
        {"empty frame", BYTES(""), LEAT_ERR_MALFORMED, "nothing"},
        {"no array", BYTES("\x01"), LEAT_ERR_MALFORMED, "an integer"},
        {"a map", BYTES("\x80"), LEAT_ERR_MALFORMED, "a map"},
        {"empty array", BYTES("\x90"), LEAT_ERR_MALFORMED, "0 elements"},
        {"version only", BYTES("\x91\x01"), LEAT_ERR_MALFORMED, "1 elements"},
        {"version as text", BYTES("\x92\xa1\x31\x10"), LEAT_ERR_MALFORMED, "version"},
        {"version 0", BYTES("\x92\x00\x27"), LEAT_ERR_VERSION, "version 0"},
        {"version 2", BYTES("\x92\x02\x27"), LEAT_ERR_VERSION, "version 2"},
        {"version 2 without a type", BYTES("\x92\x02\xa1\x31"), LEAT_ERR_VERSION, "version 2"},
        {"version 2 in eight bytes", BYTES("\x92\xcf\0\0\0\0\0\0\0\x02\x27"), LEAT_ERR_VERSION,
         "version 2"},
        {"type as text", BYTES("\x92\x01\xa1\x31"), LEAT_ERR_MALFORMED, "type"},
        {"negative type", BYTES("\x92\x01\xff"), LEAT_ERR_MALFORMED, "type"},
        {"type 0", BYTES("\x92\x01\x00"), LEAT_ERR_UNKNOWN_TYPE, "type 0"},
        {"type 2", BYTES("\x92\x01\x02"), LEAT_ERR_UNKNOWN_TYPE, "type 2"},
        {"type 2^32 + 0x27", BYTES("\x92\x01\xcf\0\0\0\x01\0\0\0\x27"), LEAT_ERR_UNKNOWN_TYPE,
         "4294967335"},
        {"PONG without its fields", BYTES("\x92\x01\x27"), LEAT_ERR_MALFORMED, "2 elements"},
        {"PONG with one field", BYTES("\x93\x01\x27\x01"), LEAT_ERR_MALFORMED, "3 elements"},
        {"PONG", BYTES("\x94\x01\x27\x05\x06"), LEAT_OK, NULL},
        {"PONG and a byte", BYTES("\x94\x01\x27\x05\x06\x00"), LEAT_ERR_MALFORMED, "1 bytes"},
        {"PONG with nil", BYTES("\x94\x01\x27\xc0\x06"), LEAT_ERR_MALFORMED, "PONG round"},
        {"PONG with -1", BYTES("\x94\x01\x27\x01\xff"), LEAT_ERR_MALFORMED, "PONG number"},
        {"PONG with a float", BYTES("\x94\x01\x27\x01\xca\x3f\x80\0\0"), LEAT_ERR_MALFORMED,
         "a float"},
        {"PONG with an unused head", BYTES("\x94\x01\x27\x01\xc1"), LEAT_ERR_MALFORMED, "number"},
        {"PONG, extra element cut", BYTES("\x95\x01\x27\x05\x06"), LEAT_ERR_MALFORMED, ""},
        {"STORED, id of 15 bytes",
         BYTES("\x94\x01\x31\xc4\x0f"
               "123456789012345"
               "\x01"),
         LEAT_ERR_MALFORMED, "15"},
        {"STORED, id as text",
         BYTES("\x94\x01\x31\xb0"
               "1234567890123456"
               "\x01"),
         LEAT_ERR_MALFORMED, "str"},
        {"GOODBYE, reason as bin", BYTES("\x95\x01\x28\x01\x01\xc4\x01x"), LEAT_ERR_MALFORMED,
         "GOODBYE reason"},
        {"GOODBYE, reason not UTF-8", BYTES("\x95\x01\x28\x01\x01\xa2\xc3\x28"), LEAT_ERR_MALFORMED,
         "UTF-8"},
        {"RECALLED, list as map", BYTES("\x93\x01\x64\x80"), LEAT_ERR_MALFORMED, "a map"},
        {"RECALLED, item as integer",
         BYTES("\x93\x01\x64\x91\x07"
               "aaaaaaaaaaaaaaaaaaaaaaaaa"),
         LEAT_ERR_MALFORMED, "jobs[0]"},
        {"RECALLED, item too short",
         BYTES("\x93\x01\x64\x91\x91\xc4\x10"
               "1234567890123456"
               "\x05"),
         LEAT_ERR_MALFORMED, "RECALLED jobs[0] has 1 elements, needs 2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum leat_err err = decode_exact(cases[i].bytes, cases[i].size);
        if (err != cases[i].err ||
            (err != LEAT_OK && strstr(bench.why.text, cases[i].says) == NULL)) {
            fail_msg("%s: error %d, \"%s\"", cases[i].what, (int)err, bench.why.text);
        }
    }
}

static void bombs_are_refused_before_anything_is_allocated(void **state)
{
    (void)state;
    static const struct bytes_case cases[] = {
        {"array32 as message", BYTES("\xdd\xff\xff\xff\xff"), LEAT_ERR_MALFORMED, ""},
        {"array32 as list", BYTES("\x93\x01\x64\xdd\xff\xff\xff\xff"), LEAT_ERR_MALFORMED, ""},
        {"array16 as list", BYTES("\x93\x01\x64\xdc\xff\xff"), LEAT_ERR_MALFORMED, ""},
        {"more items than bytes for them",
         BYTES("\x93\x01\x64\x9f"
               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
         LEAT_ERR_MALFORMED, "declares 15 items"},
        {"str32", BYTES("\x95\x01\x28\x01\x01\xdb\xff\xff\xff\xff"), LEAT_ERR_MALFORMED, ""},
        {"bin32 as id", BYTES("\x94\x01\x31\xc6\xff\xff\xff\xff\x01"), LEAT_ERR_MALFORMED, ""},
        {"map32 as extra", BYTES("\x95\x01\x27\x05\x06\xdf\xff\xff\xff\xff"), LEAT_ERR_MALFORMED,
         ""},
        {"map32 of 2^31 pairs", BYTES("\x95\x01\x27\x05\x06\xdf\x80\0\0\0\x01\x01"),
         LEAT_ERR_MALFORMED, ""},
        {"ext32 as extra", BYTES("\x95\x01\x27\x05\x06\xc9\xff\xff\xff\xff\x01"),
         LEAT_ERR_MALFORMED, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum leat_err err = decode_exact(cases[i].bytes, cases[i].size);
        if (err != cases[i].err || strstr(bench.why.text, cases[i].says) == NULL) {
            fail_msg("%s: error %d, \"%s\"", cases[i].what, (int)err, bench.why.text);
        }
        assert_int_equal(bench.decoded.used_bytes, 0);
    }
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    static uint8_t bytes[6 + DEPTH];
    memcpy(bytes, "\x95\x01\x27\x05\x06", 5);
    memset(bytes + 5, 0x91, DEPTH);
    bytes[5 + DEPTH] = 0xc0;
    assert_int_equal(decode_exact(bytes, sizeof(bytes)), LEAT_ERR_LIMIT);
    assert_non_null(strstr(bench.why.text, "nested"));

    memset(bytes + 5, 0x91, LEAT_NESTING_MAX);
    bytes[5 + LEAT_NESTING_MAX] = 0xc0;
    assert_int_equal(decode_exact(bytes, 6 + LEAT_NESTING_MAX), LEAT_OK);
    bytes[5 + LEAT_NESTING_MAX] = 0x91;
    bytes[6 + LEAT_NESTING_MAX] = 0xc0;
    assert_int_equal(decode_exact(bytes, 7 + LEAT_NESTING_MAX), LEAT_ERR_LIMIT);
}

/* GOODBYE with a reason of `size` bytes, by msgpack-c. */
static void pack_goodbye(msgpack_sbuffer *out, size_t size)
{
    msgpack_packer packer;
    char *reason = calloc(1, size);
    assert_non_null(reason);
    msgpack_sbuffer_init(out);
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 5);
    msgpack_pack_int(&packer, LEAT_PROTOCOL_VERSION);
    msgpack_pack_int(&packer, LEAT_MSG_GOODBYE);
    msgpack_pack_int(&packer, 1);
    msgpack_pack_int(&packer, 1);
    msgpack_pack_str(&packer, size);
    msgpack_pack_str_body(&packer, reason, size);
    free(reason);
}

/* Short texts are looked at in words: each size, and each place of what is no UTF-8. The copies end
 * where the text ends, so that the sanitizer sees a read past it. */
static void a_byte_that_is_no_text_is_found_wherever_it_stands(void **state)
{
    (void)state;
    enum { MOST = 40 };
    for (size_t size = 0; size <= MOST; size++) {
        for (size_t bad = 0; bad <= size; bad++) { /* the last round: a good one */
            char text[MOST + 1];
            memset(text, 'x', sizeof text);
            struct leat_msg msg = {.type = LEAT_MSG_GOODBYE};
            leat_wire_buffer_clear(&bench.buffer);
            msg.goodbye.reason = (struct leat_str){text, size};
            assert_int_equal(leat_wire_encode(&msg, &bench.buffer), LEAT_OK);
            enum leat_err expected = LEAT_OK;
            if (bad < size) {
                bench.buffer.data[bench.buffer.size - size + bad] = 0xff;
                expected = LEAT_ERR_MALFORMED;
            }
            assert_int_equal(decode_exact(bench.buffer.data, bench.buffer.size), expected);

            struct leat_bytes copy = exact_copy(text, size);
            if (bad < size) {
                ((uint8_t *)(uintptr_t)copy.data)[bad] = 0xff;
                expected = LEAT_ERR_INVALID;
            }
            msg.goodbye.reason = (struct leat_str){(const char *)copy.data, size};
            assert_int_equal(leat_wire_encode(&msg, &bench.buffer), expected);
            free_copy(copy);
        }
    }
}

static void a_text_is_taken_at_its_limit_and_refused_above(void **state)
{
    (void)state;
    msgpack_sbuffer out;
    pack_goodbye(&out, LEAT_TEXT_BYTES_MAX);
    assert_int_equal(decode_exact(out.data, out.size), LEAT_OK);
    msgpack_sbuffer_destroy(&out);
    pack_goodbye(&out, LEAT_TEXT_BYTES_MAX + 1);
    assert_int_equal(decode_exact(out.data, out.size), LEAT_ERR_LIMIT);
    assert_string_equal(bench.why.text, "GOODBYE reason is 4097 bytes, limit is 4096");
    msgpack_sbuffer_destroy(&out);
}

static void a_list_is_taken_at_its_limit_and_refused_above(void **state)
{
    (void)state;
    struct leat_item_job_id *ids = calloc(LEAT_QUERY_IDS_MAX, sizeof(*ids));
    assert_non_null(ids);
    struct leat_msg msg = {.type = LEAT_MSG_QUERY};
    msg.query.jobs.items = ids;
    msg.query.jobs.count = LEAT_QUERY_IDS_MAX;
    encode(&msg);
    assert_int_equal(decode_exact(bench.buffer.data, bench.buffer.size), LEAT_OK);

    /* [1, QUERY, ref, with_output, array16: one more item] */
    uint8_t *bytes = bench.buffer.data;
    assert_int_equal(bytes[5], 0xdc);
    assert_int_equal(leat_wire_buffer_append(&bench.buffer, bytes + 8, 19), LEAT_OK);
    bench.buffer.data[7] = (uint8_t)(bench.buffer.data[7] + 1);
    assert_int_equal(decode_exact(bench.buffer.data, bench.buffer.size), LEAT_ERR_LIMIT);
    assert_string_equal(bench.why.text, "QUERY jobs is 1025 items, limit is 1024");
    free(ids);
}

static void encode_refuses_what_decode_would_refuse(void **state)
{
    (void)state;
    static char text[LEAT_TEXT_BYTES_MAX + 1];
    struct leat_msg msg = {.type = LEAT_MSG_GOODBYE};
    leat_wire_buffer_clear(&bench.buffer);
    assert_int_equal(leat_wire_buffer_append(&bench.buffer, "kept", 4), LEAT_OK);

    msg.goodbye.reason = (struct leat_str){text, sizeof(text)};
    assert_int_equal(leat_wire_encode(&msg, &bench.buffer), LEAT_ERR_LIMIT);
    msg.goodbye.reason = leat_str_of("\xff");
    assert_int_equal(leat_wire_encode(&msg, &bench.buffer), LEAT_ERR_INVALID);
    msg.type = (enum leat_msg_type)0x7f;
    assert_int_equal(leat_wire_encode(&msg, &bench.buffer), LEAT_ERR_UNKNOWN_TYPE);
    msg = (struct leat_msg){.type = LEAT_MSG_RECALLED};
    msg.recalled.jobs.count = LEAT_SESSION_LEASES_MAX + 1;
    assert_int_equal(leat_wire_encode(&msg, &bench.buffer), LEAT_ERR_LIMIT);
    assert_int_equal(bench.buffer.size, 4);
    assert_memory_equal(bench.buffer.data, "kept", 4);
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    struct leat_wire_buffer small;
    leat_wire_buffer_init(&small, 100); /* the numbers count as if they were large */
    struct leat_msg msg = {.type = LEAT_MSG_GOODBYE};
    msg.goodbye.reason = leat_str_of("a reason that has room");
    assert_int_equal(leat_wire_encode(&msg, &small), LEAT_OK);
    size_t size = small.size;
    assert_int_equal(leat_wire_encode(&msg, &small), LEAT_ERR_LIMIT);
    assert_int_equal(small.size, size);
    assert_true(small.capacity <= 100);
    leat_wire_buffer_fini(&small);
}

static void an_arena_at_its_limit_refuses_the_message(void **state)
{
    (void)state;
    struct leat_item_lease leases[64] = {{{{0}}, 0}};
    struct leat_msg msg = {.type = LEAT_MSG_RECALLED};
    msg.recalled.jobs.items = leases;
    msg.recalled.jobs.count = 64;
    encode(&msg);
    struct leat_arena tiny;
    leat_arena_init(&tiny, 100);
    struct leat_msg back = {.type = LEAT_MSG_PONG};
    assert_int_equal(
        leat_wire_decode(leat_wire_buffer_view(&bench.buffer), &tiny, &back, &bench.why),
        LEAT_ERR_MEMORY);
    assert_int_equal(back.type, LEAT_MSG_PONG);
    leat_arena_fini(&tiny);
}

static void a_stand_alone_item_comes_back_as_it_was(void **state)
{
    (void)state;
    const struct leat_wire_item *item = NULL;
    for (size_t i = 0; (item = leat_wire_item_at(i)) != NULL; i++) {
        if (strcmp(item->name, "body") == 0) {
            break;
        }
    }
    assert_non_null(item);
    for (int round = 0; round < ROUNDS; round++) {
        struct leat_item_body body;
        struct leat_item_body back;
        leat_arena_clear(&bench.made);
        leat_arena_clear(&bench.decoded);
        wire_random_fields(item->fields, item->field_count, &bench.rng, &bench.made, &body);
        leat_wire_buffer_clear(&bench.buffer);
        assert_int_equal(leat_wire_encode_item_body(&body, &bench.buffer), LEAT_OK);
        struct leat_bytes view = leat_wire_buffer_view(&bench.buffer);
        assert_int_equal(leat_wire_decode_item_body(view, &bench.decoded, &back, NULL), LEAT_OK);
        assert_true(wire_fields_equal(item->fields, item->field_count, &body, &back));
        for (size_t cut = 0; cut < view.size; cut++) {
            struct leat_bytes copy = exact_copy(view.data, cut);
            assert_int_equal(leat_wire_decode_item_body(copy, &bench.decoded, &back, &bench.why),
                             LEAT_ERR_MALFORMED);
            free_copy(copy);
        }
    }
}

static void a_stand_alone_item_of_another_version_is_refused(void **state)
{
    (void)state;
    struct leat_item_lease lease = {{{1}}, 7};
    struct leat_item_lease back;
    leat_wire_buffer_clear(&bench.buffer);
    assert_int_equal(leat_wire_encode_item_lease(&lease, &bench.buffer), LEAT_OK);
    assert_int_equal(bench.buffer.data[1], LEAT_RECORD_VERSION);
    bench.buffer.data[1] = LEAT_RECORD_VERSION + 1;
    assert_int_equal(leat_wire_decode_item_lease(leat_wire_buffer_view(&bench.buffer),
                                                 &bench.decoded, &back, &bench.why),
                     LEAT_ERR_VERSION);
    assert_string_equal(bench.why.text, "lease has record version 2, this program reads 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_was_sent),
        cmocka_unit_test(msgpack_c_reads_what_we_write),
        cmocka_unit_test(integers_and_heads_of_any_width_are_read),
        cmocka_unit_test(extra_elements_of_messages_and_items_are_skipped),
        cmocka_unit_test(a_message_cut_at_any_byte_is_malformed),
        cmocka_unit_test(a_changed_byte_never_does_more_than_change_or_refuse_the_message),
        cmocka_unit_test(an_error_of_any_version_is_read_and_nothing_else_is),
        cmocka_unit_test(random_bytes_never_do_harm),
        cmocka_unit_test(bad_frames_are_refused_with_the_right_error),
        cmocka_unit_test(bombs_are_refused_before_anything_is_allocated),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(a_byte_that_is_no_text_is_found_wherever_it_stands),
        cmocka_unit_test(a_text_is_taken_at_its_limit_and_refused_above),
        cmocka_unit_test(a_list_is_taken_at_its_limit_and_refused_above),
        cmocka_unit_test(encode_refuses_what_decode_would_refuse),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(an_arena_at_its_limit_refuses_the_message),
        cmocka_unit_test(a_stand_alone_item_comes_back_as_it_was),
        cmocka_unit_test(a_stand_alone_item_of_another_version_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
