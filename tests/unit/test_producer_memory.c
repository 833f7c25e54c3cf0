/* What libleat holds on to, with no ventilator in sight. */
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cmocka_all.h"
#include "leat/producer.h"

#define SMALL_BYTES (20 << 10)
#define LARGE_BYTES (40 << 20)
#define BELOW_BYTES (15 << 10) /* copied: its memory is used again, and doubled */
#define TRIES       20
#define PAIRS       400

/* Another malloc tells nothing of what is in use. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_TOLD false
#else
#define IS_TOLD true
#endif

static size_t in_use_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Other threads may have freed some meanwhile. */
static size_t grown_bytes(size_t before)
{
    size_t now = in_use_bytes();
    return now > before ? now - before : 0;
}

struct held {
    struct leat_producer *producer;
    struct leat_producer_job job;
    char *payload;
    size_t before;
};

static int connect_to_nobody(void **state)
{
    struct held *held = calloc(1, sizeof *held);
    struct leat_producer_options options = LEAT_PRODUCER_OPTIONS;
    char error[LEAT_PRODUCER_ERROR_BYTES];
    options.ventilator = "ipc://@leat-test-nobody-is-here";
    options.payload_bytes_max = LARGE_BYTES;
    assert_non_null(held);
    assert_int_equal(leat_producer_connect(&options, &held->producer, error), LEAT_PRODUCER_OK);
    held->payload = calloc(1, LARGE_BYTES);
    assert_non_null(held->payload);
    held->job.type = "t";
    held->job.payload = held->payload;
    held->before = in_use_bytes();
    *state = held;
    return 0;
}

static int close_held(void **state)
{
    struct held *held = *state;
    leat_producer_close(&held->producer);
    free(held->payload);
    free(held);
    return 0;
}

static int submit(struct held *held, size_t payload_bytes)
{
    held->job.payload_bytes = payload_bytes;
    return leat_producer_submit(held->producer, &held->job, 0, NULL);
}

/* The large job finds the window taken, and leaves the memory in which it was to lie. */
static void fill_and_find_no_room(struct held *held)
{
    assert_int_equal(submit(held, BELOW_BYTES), LEAT_PRODUCER_OK);
    assert_int_equal(submit(held, LARGE_BYTES), LEAT_PRODUCER_BUSY);
}

static void assert_nothing_large(const struct held *held)
{
    assert_in_range(grown_bytes(held->before), 0, LARGE_BYTES / 8);
}

static void a_job_that_is_tried_again_finds_its_memory(void **state)
{
    struct held *held = *state;
    if (!IS_TOLD) {
        skip();
    }
    fill_and_find_no_room(held);
    for (int i = 0; i < TRIES; i++) {
        assert_in_range(grown_bytes(held->before), LARGE_BYTES, LARGE_BYTES + LARGE_BYTES / 8);
        assert_int_equal(submit(held, LARGE_BYTES), LEAT_PRODUCER_BUSY);
    }
}

static void a_job_that_was_not_taken_leaves_no_memory_to_the_next_one(void **state)
{
    static const size_t sizes[] = {0, BELOW_BYTES, SMALL_BYTES};
    struct held *held = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fill_and_find_no_room(held);
        assert_int_equal(submit(held, sizes[i]), LEAT_PRODUCER_OK);
        assert_nothing_large(held);
    }
}

static void a_job_that_was_not_taken_leaves_no_memory_to_who_waits(void **state)
{
    struct held *held = *state;
    fill_and_find_no_room(held);
    assert_int_equal(leat_producer_flush(held->producer, 0), LEAT_PRODUCER_TIMEOUT);
    assert_nothing_large(held);
}

/* The queue's name is looked at when the body is there already. */
static void a_job_that_is_refused_leaves_no_memory(void **state)
{
    struct held *held = *state;
    held->job.queue = "no name/";
    assert_int_equal(submit(held, LARGE_BYTES), LEAT_PRODUCER_INVALID);
    assert_nothing_large(held);
}

static void memory_that_is_much_larger_than_its_body_is_not_held(void **state)
{
    struct held *held = *state;
    if (!IS_TOLD) {
        skip();
    }
    for (int i = 0; i < PAIRS; i++) {
        assert_int_equal(submit(held, BELOW_BYTES), LEAT_PRODUCER_OK);
        assert_int_equal(submit(held, SMALL_BYTES), LEAT_PRODUCER_OK);
    }
    size_t bodies = (size_t)PAIRS * (BELOW_BYTES + SMALL_BYTES);
    assert_in_range(grown_bytes(held->before), bodies, bodies + bodies / 8);
}

#define WITH_NOBODY(test) cmocka_unit_test_setup_teardown(test, connect_to_nobody, close_held)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_NOBODY(a_job_that_is_tried_again_finds_its_memory),
        WITH_NOBODY(a_job_that_was_not_taken_leaves_no_memory_to_the_next_one),
        WITH_NOBODY(a_job_that_was_not_taken_leaves_no_memory_to_who_waits),
        WITH_NOBODY(a_job_that_is_refused_leaves_no_memory),
        WITH_NOBODY(memory_that_is_much_larger_than_its_body_is_not_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
