/* The writer against msgpack-c: the same values give the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

#include "seed.h"
#include "wire/codec.h"
#include "wire/writer.h"

struct both {
    struct leat_wire_buffer ours;
    struct leat_wire_writer writer;
    msgpack_sbuffer theirs;
    msgpack_packer packer;
};

static int setup(void **state)
{
    struct both *both = calloc(1, sizeof *both);
    leat_wire_buffer_init(&both->ours, 0);
    leat_wire_writer_init(&both->writer, &both->ours);
    msgpack_sbuffer_init(&both->theirs);
    msgpack_packer_init(&both->packer, &both->theirs, msgpack_sbuffer_write);
    *state = both;
    return 0;
}

static int teardown(void **state)
{
    struct both *both = *state;
    leat_wire_buffer_fini(&both->ours);
    msgpack_sbuffer_destroy(&both->theirs);
    free(both);
    return 0;
}

static void assert_same(struct both *both)
{
    assert_int_equal(leat_wire_writer_finish(&both->writer), LEAT_OK);
    assert_int_equal(both->ours.size, both->theirs.size);
    assert_memory_equal(both->ours.data, both->theirs.data, both->ours.size);
}

/* One below, at, and one above each power of two, and their negatives. */
static void numbers_are_written_in_their_shortest_form(void **state)
{
    struct both *both = *state;
    for (unsigned bits = 0; bits < 64; bits++) {
        for (int off = -1; off <= 1; off++) {
            uint64_t value = (UINT64_C(1) << bits) + (uint64_t)(int64_t)off;
            leat_wire_writer_u64(&both->writer, value);
            msgpack_pack_uint64(&both->packer, value);
            leat_wire_writer_i64(&both->writer, (int64_t)value);
            msgpack_pack_int64(&both->packer, (int64_t)value);
            leat_wire_writer_i64(&both->writer, (int64_t)(0 - value));
            msgpack_pack_int64(&both->packer, (int64_t)(0 - value));
        }
    }
    assert_same(both);
}

static void random_numbers_are_written_as_msgpack_c_writes_them(void **state)
{
    struct both *both = *state;
    struct leat_rng rng = leat_seed_rng("random_numbers_are_written_as_msgpack_c_writes_them");
    for (int i = 0; i < 20000; i++) {
        uint64_t value = leat_rng_next(&rng) >> (leat_rng_next(&rng) % 64);
        leat_wire_writer_u64(&both->writer, value);
        msgpack_pack_uint64(&both->packer, value);
        leat_wire_writer_i64(&both->writer, -(int64_t)(value >> 1));
        msgpack_pack_int64(&both->packer, -(int64_t)(value >> 1));
        leat_wire_writer_bool(&both->writer, (value & 1) != 0);
        (void)((value & 1) != 0 ? msgpack_pack_true(&both->packer)
                                : msgpack_pack_false(&both->packer));
    }
    assert_same(both);
}

static void text_bytes_and_lists_of_each_size_have_the_head_that_msgpack_c_gives_them(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000};
    struct both *both = *state;
    char *text = calloc(1, 70000);
    memset(text, 'x', 70000);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        leat_wire_writer_str(&both->writer, (struct leat_str){text, size}, size);
        msgpack_pack_str_with_body(&both->packer, text, size);
        leat_wire_writer_bin(&both->writer, leat_bytes_of(text, size), size);
        msgpack_pack_bin_with_body(&both->packer, text, size);
        leat_wire_writer_array(&both->writer, size);
        msgpack_pack_array(&both->packer, size);
    }
    free(text);
    assert_same(both);
}

/* Each value is written at each distance from the end of the memory at hand. */
static void a_value_that_needs_more_memory_is_written_whole(void **state)
{
    (void)state;
    for (size_t before = 200; before < 300; before++) {
        struct leat_wire_buffer ours = {0};
        struct leat_wire_writer writer;
        leat_wire_writer_init(&writer, &ours);
        for (size_t i = 0; i < before; i++) {
            leat_wire_writer_bool(&writer, true);
        }
        leat_wire_writer_u64(&writer, UINT64_MAX);
        leat_wire_writer_i64(&writer, INT64_MIN);
        leat_wire_writer_array(&writer, 1000);
        assert_int_equal(leat_wire_writer_finish(&writer), LEAT_OK);
        static const uint8_t tail[] = {0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xff, 0xff, 0xd3, 0x80, 0,    0,    0,
                                       0,    0,    0,    0,    0xdc, 0x03, 0xe8};
        assert_int_equal(ours.size, before + sizeof tail);
        assert_memory_equal(ours.data + before, tail, sizeof tail);
        leat_wire_buffer_fini(&ours);
    }
}

static void what_does_not_fit_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    struct leat_wire_buffer ours;
    struct leat_wire_writer writer;
    leat_wire_buffer_init(&ours, 4);
    leat_wire_writer_init(&writer, &ours);
    leat_wire_writer_u64(&writer, 1);
    leat_wire_writer_u64(&writer, 200); /* two bytes: fits */
    assert_int_equal(leat_wire_writer_finish(&writer), LEAT_OK);
    assert_int_equal(ours.size, 3);
    leat_wire_writer_init(&writer, &ours);
    leat_wire_writer_u64(&writer, 2);
    leat_wire_writer_u64(&writer, 3);
    leat_wire_writer_u64(&writer, 4);
    assert_int_equal(leat_wire_writer_finish(&writer), LEAT_ERR_LIMIT);
    assert_int_equal(ours.size, 3);
    leat_wire_buffer_fini(&ours);
}

/* Room beyond what it takes, for heads that could have been longer. */
#define SPARE_BYTES 2048

static void a_message_of_large_values_gets_as_much_memory_as_it_takes(void **state)
{
    (void)state;
    enum { COUNT = 9, BODY_BYTES = 70000 };
    static const uint8_t body[BODY_BYTES] = {1};
    static struct leat_item_submission jobs[COUNT];
    struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
    for (size_t i = 0; i < COUNT; i++) {
        jobs[i].queue = leat_str_of("q");
        jobs[i].type = leat_str_of("t");
        jobs[i].body = leat_bytes_of(body, sizeof body);
    }
    msg.submit.jobs.items = jobs;
    msg.submit.jobs.count = COUNT;
    for (size_t before = 0; before < 600; before += 300) { /* behind what is there already */
        struct leat_wire_buffer exact = {0};
        assert_int_equal(leat_wire_buffer_append(&exact, body, before), LEAT_OK);
        assert_int_equal(leat_wire_encode(&msg, &exact), LEAT_OK);
        assert_in_range(exact.size, COUNT * BODY_BYTES, COUNT * BODY_BYTES + SPARE_BYTES);
        assert_in_range(exact.capacity, exact.size, exact.size + SPARE_BYTES);
        leat_wire_buffer_fini(&exact);
    }
}

static void what_comes_behind_a_list_asks_for_its_own_room_alone(void **state)
{
    (void)state;
    static const uint8_t payload[100000] = {1};
    struct leat_item_header header = {leat_str_of("name"), leat_str_of("value")};
    struct leat_item_body body = {.payload = leat_bytes_of(payload, sizeof payload)};
    body.headers.items = &header;
    body.headers.count = 1;
    struct leat_wire_buffer exact = {0};
    assert_int_equal(leat_wire_buffer_reserve(&exact, sizeof payload + SPARE_BYTES), LEAT_OK);
    assert_int_equal(leat_wire_encode_item_body(&body, &exact), LEAT_OK);
    assert_int_equal(exact.capacity, sizeof payload + SPARE_BYTES);
    leat_wire_buffer_fini(&exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_are_written_in_their_shortest_form, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(random_numbers_are_written_as_msgpack_c_writes_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            text_bytes_and_lists_of_each_size_have_the_head_that_msgpack_c_gives_them, setup,
            teardown),
        cmocka_unit_test(a_value_that_needs_more_memory_is_written_whole),
        cmocka_unit_test(what_does_not_fit_leaves_the_buffer_as_it_was),
        cmocka_unit_test(a_message_of_large_values_gets_as_much_memory_as_it_takes),
        cmocka_unit_test(what_comes_behind_a_list_asks_for_its_own_room_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
