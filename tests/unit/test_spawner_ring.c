/* The ring in shared memory, and what goes to a slot process and comes back as bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/spawner/ring.h"
#include "worker/spawner/slot_bytes.h"

static unsigned seed(void)
{
    const char *text = getenv("LEAT_SEED");
    unsigned value = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 20260101;
    print_message("LEAT_SEED=%u\n", value);
    return value;
}

/* A piece whose contents follow from its number. */
static struct leat_bytes piece_of(unsigned number, size_t size, uint8_t *bytes)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(number * 31 + i);
    }
    return leat_bytes_of(bytes, size);
}

static void assert_next(struct leat_ring_taker *taker, struct leat_wire_buffer *piece,
                        struct leat_bytes expected)
{
    bool elsewhere = true;
    assert_int_equal(leat_ring_take(taker, piece, &elsewhere), LEAT_OK);
    assert_false(elsewhere);
    assert_int_equal(piece->size, expected.size);
    if (expected.size > 0) {
        assert_memory_equal(piece->data, expected.data, expected.size);
    }
}

static void pieces_come_out_as_they_went_in_around_the_end_and_again(void **state)
{
    (void)state;
    static struct leat_ring ring;
    static uint8_t bytes[LEAT_RING_BYTES];
    struct leat_ring_writer writer = {.ring = &ring};
    struct leat_ring_taker taker = {.ring = &ring};
    struct leat_wire_buffer piece = {0};
    size_t sizes[5000];
    srand(seed());
    unsigned put = 0;
    unsigned taken = 0;
    bool elsewhere = false;
    while (taken < 5000) {
        if (put < 5000 && rand() % 2 == 0) {
            sizes[put] = rand() % 20 == 0   ? SIZE_MAX
                         : rand() % 20 == 0 ? (size_t)rand() % 20000
                                            : (size_t)rand() % 300;
            put += sizes[put] == SIZE_MAX
                       ? leat_ring_put_elsewhere(&writer)
                       : leat_ring_put(&writer, piece_of(put, sizes[put], bytes));
        } else if (taken < put && sizes[taken] == SIZE_MAX) {
            assert_int_equal(leat_ring_take(&taker, &piece, &elsewhere), LEAT_OK);
            assert_true(elsewhere);
            taken++;
        } else if (taken < put) {
            assert_next(&taker, &piece, piece_of(taken, sizes[taken], bytes));
            taken++;
        } else {
            assert_int_equal(leat_ring_take(&taker, &piece, &elsewhere), LEAT_ERR_NOT_FOUND);
        }
    }
    leat_wire_buffer_fini(&piece);
}

static void a_full_ring_takes_notes_only_and_all_of_them(void **state)
{
    (void)state;
    static struct leat_ring ring;
    static uint8_t bytes[LEAT_RING_BYTES + 1];
    struct leat_ring_writer writer = {.ring = &ring};
    struct leat_ring_taker taker = {.ring = &ring};
    struct leat_wire_buffer piece = {0};
    assert_false(leat_ring_put(&writer, leat_bytes_of(bytes, LEAT_RING_BYTES + 1)));
    assert_false(leat_ring_put(&writer, leat_bytes_of(bytes, LEAT_RING_BYTES)));
    unsigned count = 0;
    while (leat_ring_put(&writer, piece_of(count, 100, bytes))) {
        count++;
    }
    assert_true(count > LEAT_RING_BYTES / 2 / 104);
    for (unsigned i = 0; i < LEAT_PIPELINE_JOBS; i++) {
        assert_true(leat_ring_put_elsewhere(&writer));
    }
    for (unsigned i = 0; i < count; i++) {
        assert_next(&taker, &piece, piece_of(i, 100, bytes));
    }
    for (unsigned i = 0; i < LEAT_PIPELINE_JOBS; i++) {
        bool elsewhere = false;
        assert_int_equal(leat_ring_take(&taker, &piece, &elsewhere), LEAT_OK);
        assert_true(elsewhere);
    }
    assert_true(leat_ring_put(&writer, piece_of(1, 100, bytes)));
    assert_next(&taker, &piece, piece_of(1, 100, bytes));
    leat_wire_buffer_fini(&piece);
}

static void nonsense_in_the_memory_is_found_or_taken_for_a_piece_within_it(void **state)
{
    (void)state;
    static struct leat_ring ring;
    static uint8_t bytes[1000];
    struct leat_wire_buffer piece = {0};
    srand(seed());
    unsigned found = 0;
    for (unsigned round = 0; round < 2000; round++) {
        memset(&ring, 0, sizeof ring);
        struct leat_ring_writer writer = {.ring = &ring};
        struct leat_ring_taker taker = {.ring = &ring};
        for (unsigned i = 0; i < 20; i++) {
            assert_true(leat_ring_put(&writer, piece_of(i, (size_t)rand() % 1000, bytes)));
        }
        if (rand() % 2 == 0) {
            atomic_store(&ring.written, (uint64_t)rand() << (rand() % 34));
            atomic_store(&ring.taken, (uint64_t)rand() << (rand() % 34)); /* nobody asks it */
        }
        for (int i = 0; i < 50; i++) {
            ring.bytes[rand() % 8000] = (uint8_t)rand();
        }
        enum leat_err err = LEAT_OK;
        for (unsigned i = 0; err == LEAT_OK; i++) {
            assert_true(i <= LEAT_RING_BYTES / 4);
            bool elsewhere;
            err = leat_ring_take(&taker, &piece, &elsewhere);
            assert_true(piece.size <= LEAT_RING_BYTES);
        }
        assert_true(err == LEAT_ERR_NOT_FOUND || err == LEAT_ERR_MALFORMED);
        found += err == LEAT_ERR_MALFORMED;
    }
    assert_true(found > 100);
    leat_wire_buffer_fini(&piece);
}

#define THREAD_PIECES 200000

static void *write_pieces(void *context)
{
    struct leat_ring_writer writer = {.ring = context};
    uint8_t bytes[64];
    for (unsigned i = 0; i < THREAD_PIECES; i++) {
        while (!leat_ring_put(&writer, piece_of(i, i % 64, bytes))) {
            sched_yield();
        }
    }
    return NULL;
}

static void writer_and_taker_may_run_at_the_same_time(void **state)
{
    (void)state;
    static struct leat_ring ring;
    struct leat_ring_taker taker = {.ring = &ring};
    struct leat_wire_buffer piece = {0};
    uint8_t bytes[64];
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_pieces, &ring), 0);
    for (unsigned i = 0; i < THREAD_PIECES; i++) {
        bool elsewhere;
        enum leat_err err;
        while ((err = leat_ring_take(&taker, &piece, &elsewhere)) == LEAT_ERR_NOT_FOUND) {
            sched_yield();
        }
        const struct leat_bytes expected = piece_of(i, i % 64, bytes);
        if (err != LEAT_OK || piece.size != expected.size ||
            (piece.size > 0 && memcmp(piece.data, bytes, piece.size) != 0)) {
            fail_msg("piece %u is not what was put", i);
        }
    }
    pthread_join(thread, NULL);
    leat_wire_buffer_fini(&piece);
}

static void assert_terminated(struct leat_str text, const char *expected)
{
    assert_int_equal(text.size, strlen(expected));
    assert_string_equal(text.data, expected);
}

static void an_order_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct leat_item_header headers[] = {{leat_str_of("color"), leat_str_of("blue")},
                                         {leat_str_of("n"), leat_str_of("")}};
    for (size_t count = 0; count <= 2; count++) {
        struct leat_item_attempt run = {
            .id = {{1, 2, 3}},
            .attempt = 3,
            .queue = leat_str_of("default"),
            .type = leat_str_of("echo"),
            .timeout_ms = 1234,
            .payload = leat_bytes_of("p\0q", count == 1 ? 0 : 3),
        };
        run.headers.items = headers;
        run.headers.count = count;
        uint8_t bytes[512];
        const size_t size = leat_slot_order_size(&run);
        assert_true(size < sizeof bytes);
        bytes[size] = 0xa5;
        leat_slot_order_write(&run, 7, 99, count == 2, bytes);
        leat_slot_order_number(bytes, 1000);
        assert_int_equal(bytes[size], 0xa5);
        struct leat_slot_order order;
        assert_int_equal(leat_slot_order_read(leat_bytes_of(bytes, size), &order), LEAT_OK);
        assert_int_equal(order.seq, 1000);
        assert_int_equal(order.received_us, 99);
        assert_int_equal(order.handler, 7);
        assert_int_equal(order.apart, count == 2);
        assert_true(leat_id_equal(&order.run.id, &run.id));
        assert_int_equal(order.run.attempt, 3);
        assert_int_equal(order.run.timeout_ms, 1234);
        assert_terminated(order.run.queue, "default");
        assert_terminated(order.run.type, "echo");
        assert_int_equal(order.run.payload.size, run.payload.size);
        assert_memory_equal(order.run.payload.data, "p\0q", run.payload.size);
        assert_int_equal(order.run.headers.count, count);
        if (count == 2) {
            assert_terminated(order.run.headers.items[0].value, "blue");
            assert_terminated(order.run.headers.items[1].name, "n");
        }
        for (size_t less = 0; less < size; less++) {
            assert_int_equal(leat_slot_order_read(leat_bytes_of(bytes, less), &order),
                             LEAT_ERR_MALFORMED);
        }
    }
}

static void an_answer_is_read_as_it_was_written_or_refused(void **state)
{
    (void)state;
    const struct leat_item_outcome ran = {
        .failure = LEAT_FAILURE_HANDLER,
        .permanent = true,
        .code = -5,
        .error = leat_str_of("h\xc3\xa4 no"),
        .output = leat_bytes_of("some output", 11),
        .truncated = true,
        .queued_us = 12,
        .run_us = 34,
    };
    struct leat_wire_buffer bytes = {0};
    assert_int_equal(leat_slot_answer_append(&bytes, 77, &ran), LEAT_OK);
    struct leat_item_outcome read;
    uint64_t seq = 0;
    assert_int_equal(leat_slot_answer_read(leat_wire_buffer_view(&bytes), &seq, &read), LEAT_OK);
    assert_int_equal(seq, 77);
    assert_int_equal(read.failure, LEAT_FAILURE_HANDLER);
    assert_true(read.permanent && read.truncated);
    assert_int_equal(read.code, -5);
    assert_true(leat_str_equal(read.error, ran.error));
    assert_int_equal(read.output.size, 11);
    assert_memory_equal(read.output.data, "some output", 11);
    assert_int_equal(read.queued_us, 12);
    assert_int_equal(read.run_us, 34);
    for (size_t less = 0; less < bytes.size; less++) {
        assert_int_equal(leat_slot_answer_read(leat_bytes_of(bytes.data, less), &seq, &read),
                         LEAT_ERR_MALFORMED);
    }
    uint8_t *error = memchr(bytes.data + 8, 0xc3, bytes.size - 8);
    assert_non_null(error);
    *error = 0xff; /* no UTF-8 any more */
    assert_int_equal(leat_slot_answer_read(leat_wire_buffer_view(&bytes), &seq, &read),
                     LEAT_ERR_MALFORMED);
    leat_wire_buffer_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_come_out_as_they_went_in_around_the_end_and_again),
        cmocka_unit_test(a_full_ring_takes_notes_only_and_all_of_them),
        cmocka_unit_test(nonsense_in_the_memory_is_found_or_taken_for_a_piece_within_it),
        cmocka_unit_test(writer_and_taker_may_run_at_the_same_time),
        cmocka_unit_test(an_order_is_read_as_it_was_written),
        cmocka_unit_test(an_answer_is_read_as_it_was_written_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
