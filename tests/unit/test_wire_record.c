#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/rng.h"
#include "wire/codec.h"
#include "wire/record.h"
#include "wire_messages.h"

/* A table of its own, as a store would have it: what wire/record_template.h promises. */
#define TEST_ITEMS(I) I(KEPT_JOB, kept_job) I(SHELF, shelf) I(BLOB, blob)
#define LEAT_FIELDS_KEPT_JOB(F)                                                                    \
    F(ID, id, 0, none, "job id")                                                                   \
    F(U64, attempt, 0, none, "attempt")                                                            \
    F(I64, due_ms, 0, none, "due")                                                                 \
    F(BOOL, paused, 0, none, "paused")                                                             \
    F(STR, queue, 8, none, "queue")                                                                \
    F(BIN, body, 100, none, "body")                                                                \
    F(LIST, headers, 4, header, "an item of messages.def")
#define LEAT_FIELDS_SHELF(F)                                                                       \
    F(ITEM, first, 1, kept_job, "an item of this table")                                           \
    F(LIST, jobs, 3, kept_job, "the others")
#define LEAT_FIELDS_BLOB(F) F(BIN, bytes, 300000, none, "bytes")

#define LEAT_RECORD_TABLE TEST_ITEMS
#include "wire/record_template.h"
#define LEAT_RECORD_TABLE TEST_ITEMS
#define LEAT_RECORD_IMPLEMENT
#include "wire/record_template.h"

static struct leat_rng rng;
static struct leat_arena arena;

static int set_up(void **state)
{
    (void)state;
    leat_rng_init(&rng, wire_test_seed());
    leat_arena_init(&arena, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    leat_arena_fini(&arena);
    return 0;
}

/* ---- CRC-32C ---- */

static uint32_t crc_by_bits(const uint8_t *data, size_t size)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
        }
    }
    return ~crc;
}

static void the_checksum_agrees_with_the_published_vectors(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(leat_crc32c(0, NULL, 0), 0);
    assert_int_equal(leat_crc32c(0, "123456789", 9), 0xe3069283);
    memset(bytes, 0, sizeof(bytes)); /* RFC 3720, B.4 */
    assert_int_equal(leat_crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(leat_crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(leat_crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(leat_crc32c(0, bytes, sizeof(bytes)), 0x113fdb5c);
}

static void table_hardware_and_definition_agree_at_every_length_and_alignment(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)leat_rng_next(&rng);
    }
    for (size_t from = 0; from < 16; from++) {
        for (size_t size = 0; size + from <= sizeof(bytes); size++) {
            uint32_t crc = crc_by_bits(bytes + from, size);
            assert_int_equal(leat_crc32c(0, bytes + from, size), crc);
            assert_int_equal(leat_crc32c_portable(0, bytes + from, size), crc);
            size_t part = size > 0 ? (size_t)leat_rng_below(&rng, size) : 0;
            uint32_t first = leat_crc32c(0, bytes + from, part);
            assert_int_equal(leat_crc32c(first, bytes + from + part, size - part), crc);
        }
    }
}

static void long_inputs_have_the_same_checksum(void **state)
{
    (void)state;
    static uint8_t bytes[30000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)leat_rng_next(&rng);
    }
    for (int i = 0; i < 400; i++) {
        size_t from = (size_t)leat_rng_below(&rng, 16);
        size_t around = 3072 * (size_t)leat_rng_below(&rng, 9);
        size_t size = around + (size_t)leat_rng_below(&rng, 20);
        size -= size < 10 ? 0 : 10;
        uint32_t before = (uint32_t)leat_rng_next(&rng);
        assert_int_equal(leat_crc32c(before, bytes + from, size),
                         leat_crc32c_portable(before, bytes + from, size));
    }
}

/* One run of zeros, longer and longer: each power of two needs another constant. */
static void joined_checksums_are_those_of_what_is_put_together(void **state)
{
    (void)state;
    static uint8_t bytes[1 << 16];
    const uint32_t first = leat_crc32c(0, "123456789", 9);
    uint32_t zeros = 0;
    uint32_t whole = first;
    size_t done = 0;
    for (unsigned n = 0; n < 29; n++) {
        const size_t size = (size_t)1 << n;
        while (done < size) {
            size_t step = size - done < sizeof(bytes) ? size - done : sizeof(bytes);
            zeros = leat_crc32c(zeros, bytes, step);
            whole = leat_crc32c(whole, bytes, step);
            done += step;
        }
        assert_int_equal(leat_crc32c_join(first, zeros, size), whole);
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)leat_rng_next(&rng);
    }
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)leat_rng_below(&rng, sizeof(bytes));
        size_t part = (size_t)leat_rng_below(&rng, size + 1);
        assert_int_equal(leat_crc32c_join(leat_crc32c(0, bytes, part),
                                          leat_crc32c(0, bytes + part, size - part), size - part),
                         leat_crc32c(0, bytes, size));
    }
}

/* ---- seals ---- */

static const struct leat_record_place place = {7, {(const uint8_t *)"key", 3}};

static void make_sealed(struct leat_wire_buffer *out, size_t size)
{
    uint8_t payload[200];
    assert_true(size <= sizeof(payload));
    for (size_t i = 0; i < size; i++) {
        payload[i] = (uint8_t)leat_rng_next(&rng);
    }
    assert_int_equal(leat_record_seal(place, leat_bytes_of(payload, size), out), LEAT_OK);
    struct leat_bytes back;
    assert_int_equal(leat_record_unseal(leat_wire_buffer_view(out), place, &back, NULL), LEAT_OK);
    assert_int_equal(back.size, size);
    assert_memory_equal(back.data, payload, size);
}

static void a_record_of_bytes_is_the_same_wherever_it_is_sealed(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,     1,     255,    256,    5000,  32767,
                                   32768, 32769, 65535,  65536,  98304, 262144,
                                   70000, 99999, 299999, 300000, 3,     16384};
    static uint8_t bytes[300000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)leat_rng_next(&rng);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct leat_wire_buffer sealed = {0};
        struct leat_item_blob blob = {.bytes = leat_bytes_of(bytes, sizes[i])};
        assert_int_equal(leat_wire_seal_item_blob(&blob, place, &sealed), LEAT_OK);
        assert_int_equal(leat_record_bin_bytes(sizes[i]), sealed.size);
        uint8_t *there = malloc(sealed.size);
        assert_non_null(there);
        uint32_t crc = leat_record_seal_bin(place, blob.bytes, there);
        assert_int_equal(crc, leat_crc32c(0, sealed.data, sealed.size));
        assert_memory_equal(there, sealed.data, sealed.size);
        free(there);
        leat_wire_buffer_fini(&sealed);
    }
}

static void any_flipped_bit_is_detected(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 8, 64, 200};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct leat_wire_buffer sealed = {0};
        make_sealed(&sealed, sizes[i]);
        for (size_t bit = 0; bit < 8 * sealed.size; bit++) {
            struct leat_bytes payload;
            struct leat_why why = {""};
            sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(
                leat_record_unseal(leat_wire_buffer_view(&sealed), place, &payload, &why),
                LEAT_ERR_CORRUPT);
            assert_true(why.text[0] != '\0');
            sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        leat_wire_buffer_fini(&sealed);
    }
}

static void a_record_under_another_key_or_in_another_table_is_detected(void **state)
{
    (void)state;
    struct leat_wire_buffer sealed = {0};
    make_sealed(&sealed, 20);
    struct leat_bytes view = leat_wire_buffer_view(&sealed);
    assert_true(leat_record_intact(view, place));
    for (unsigned bit = 0; bit < 24; bit++) {
        uint8_t key[] = {'k', 'e', 'y'};
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct leat_record_place other = {place.table, leat_bytes_of(key, sizeof key)};
        assert_false(leat_record_intact(view, other));
    }
    for (unsigned table = 0; table < 16; table++) {
        struct leat_record_place other = {table, place.key};
        assert_int_equal(leat_record_intact(view, other), table == place.table);
    }
    /* What the payload begins with does not pass for the key's end. */
    struct leat_record_place longer = {place.table, leat_bytes_of("keyp", 4)};
    struct leat_wire_buffer other = {0};
    assert_int_equal(leat_record_seal(place, leat_bytes_of("pay", 3), &other), LEAT_OK);
    memmove(other.data + LEAT_RECORD_SEAL_BYTES, other.data + LEAT_RECORD_SEAL_BYTES + 1, 2);
    assert_false(leat_record_intact(leat_bytes_of(other.data, other.size - 1), longer));
    leat_wire_buffer_fini(&other);
    leat_wire_buffer_fini(&sealed);
}

static void a_record_cut_at_any_byte_is_detected(void **state)
{
    (void)state;
    struct leat_wire_buffer sealed = {0};
    make_sealed(&sealed, 150);
    for (size_t cut = 0; cut < sealed.size; cut++) {
        struct leat_bytes payload;
        assert_int_equal(leat_record_unseal(leat_bytes_of(sealed.data, cut), place, &payload, NULL),
                         LEAT_ERR_CORRUPT);
    }
    leat_wire_buffer_fini(&sealed);
}

static void a_record_of_a_later_version_is_not_called_damaged(void **state)
{
    (void)state;
    struct leat_wire_buffer sealed = {0};
    struct leat_bytes payload;
    struct leat_why why;
    make_sealed(&sealed, 20);
    sealed.data[0] = LEAT_STORE_VERSION + 1;
    leat_record_end(&sealed, 0, place);
    assert_int_equal(leat_record_unseal(leat_wire_buffer_view(&sealed), place, &payload, &why),
                     LEAT_ERR_VERSION);
    assert_string_equal(why.text, "store version 5, this program reads 4");
    leat_wire_buffer_fini(&sealed);
}

static void a_seal_that_finds_no_room_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    struct leat_wire_buffer out;
    leat_wire_buffer_init(&out, 12);
    struct leat_bytes payload = leat_bytes_of("12345678", 8);
    assert_int_equal(leat_record_seal(place, payload, &out), LEAT_ERR_LIMIT);
    assert_int_equal(out.size, 0);
    struct leat_item_lease lease = {{{1}}, 2};
    assert_int_equal(leat_wire_seal_item_lease(&lease, place, &out), LEAT_ERR_LIMIT);
    assert_int_equal(out.size, 0);
    leat_wire_buffer_fini(&out);
}

/* ---- the template ---- */

static const struct leat_item_header headers[] = {{{"a", 1}, {"b", 1}}, {{"c", 1}, {"", 0}}};

static struct leat_item_kept_job kept_job(uint64_t attempt)
{
    struct leat_item_kept_job job = {.attempt = attempt, .due_ms = -5, .paused = true};
    job.id.bytes[3] = 9;
    job.queue = leat_str_of("mail");
    job.body = leat_bytes_of("\0\x01", 2);
    job.headers.items = (struct leat_item_header *)(uintptr_t)headers;
    job.headers.count = 2;
    return job;
}

static void expect_job(const struct leat_item_kept_job *job, uint64_t attempt)
{
    assert_int_equal(job->attempt, attempt);
    assert_int_equal(job->due_ms, -5);
    assert_true(job->paused);
    assert_int_equal(job->id.bytes[3], 9);
    assert_true(leat_str_equal(job->queue, leat_str_of("mail")));
    assert_int_equal(job->body.size, 2);
    assert_int_equal(job->headers.count, 2);
    assert_true(leat_str_equal(job->headers.items[1].name, leat_str_of("c")));
}

static void a_table_of_records_gets_its_codec_from_the_template(void **state)
{
    (void)state;
    struct leat_wire_buffer sealed = {0};
    struct leat_item_kept_job jobs[3] = {kept_job(1), kept_job(2), kept_job(3)};
    struct leat_item_shelf shelf = {.first = kept_job(7)};
    struct leat_item_shelf back;
    shelf.jobs.items = jobs;
    shelf.jobs.count = 3;
    assert_int_equal(leat_wire_seal_item_shelf(&shelf, place, &sealed), LEAT_OK);
    struct leat_bytes view = leat_wire_buffer_view(&sealed);
    assert_int_equal(leat_wire_unseal_item_shelf(view, place, &arena, &back, NULL), LEAT_OK);
    expect_job(&back.first, 7);
    assert_int_equal(back.jobs.count, 3);
    for (size_t i = 0; i < 3; i++) {
        expect_job(&back.jobs.items[i], i + 1);
    }
    sealed.data[sealed.size - 1] ^= 1;
    assert_int_equal(leat_wire_unseal_item_shelf(view, place, &arena, &back, NULL),
                     LEAT_ERR_CORRUPT);
    leat_wire_buffer_fini(&sealed);
}

static void a_record_over_its_limits_is_not_written(void **state)
{
    (void)state;
    struct leat_wire_buffer out = {0};
    struct leat_item_kept_job job = kept_job(1);
    job.queue = leat_str_of("nine byte");
    assert_int_equal(leat_wire_encode_item_kept_job(&job, &out), LEAT_ERR_LIMIT);
    assert_int_equal(leat_wire_seal_item_kept_job(&job, place, &out), LEAT_ERR_LIMIT);
    assert_int_equal(out.size, 0);
    leat_wire_buffer_fini(&out);
}

static void errors_in_nested_lists_name_the_place(void **state)
{
    (void)state;
    struct leat_wire_buffer out = {0};
    struct leat_item_kept_job jobs[2] = {kept_job(1), kept_job(2)};
    struct leat_item_shelf shelf = {.first = kept_job(7)};
    struct leat_item_shelf back;
    struct leat_why why;
    shelf.jobs.items = jobs;
    shelf.jobs.count = 2;
    assert_int_equal(leat_wire_encode_item_shelf(&shelf, &out), LEAT_OK);
    /* The last bytes are header c, value "": ... 92 a1 'c' a0. */
    assert_int_equal(out.data[out.size - 1], 0xa0);
    out.data[out.size - 1] = 0xc0;
    assert_int_equal(leat_wire_decode_item_shelf(leat_wire_buffer_view(&out), &arena, &back, &why),
                     LEAT_ERR_MALFORMED);
    assert_string_equal(why.text, "shelf jobs[1].headers[1].value must be str, there is nil");
    leat_wire_buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_agrees_with_the_published_vectors),
        cmocka_unit_test(table_hardware_and_definition_agree_at_every_length_and_alignment),
        cmocka_unit_test(long_inputs_have_the_same_checksum),
        cmocka_unit_test(joined_checksums_are_those_of_what_is_put_together),
        cmocka_unit_test(a_record_of_bytes_is_the_same_wherever_it_is_sealed),
        cmocka_unit_test(any_flipped_bit_is_detected),
        cmocka_unit_test(a_record_under_another_key_or_in_another_table_is_detected),
        cmocka_unit_test(a_record_cut_at_any_byte_is_detected),
        cmocka_unit_test(a_record_of_a_later_version_is_not_called_damaged),
        cmocka_unit_test(a_seal_that_finds_no_room_leaves_the_buffer_as_it_was),
        cmocka_unit_test(a_table_of_records_gets_its_codec_from_the_template),
        cmocka_unit_test(a_record_over_its_limits_is_not_written),
        cmocka_unit_test(errors_in_nested_lists_name_the_place),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
