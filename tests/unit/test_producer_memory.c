/* What libleat holds on to, with no ventilator in sight. */
#include <malloc.h>
#include <stdlib.h>

#include "cmocka_all.h"
#include "leat/producer.h"

#define SMALL_BYTES (20 << 10)
#define LARGE_BYTES (40 << 20)
#define JOBS        20

static size_t in_use_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Each large job finds the window taken, and leaves the memory in which it was to lie. */
static void a_job_that_was_not_taken_leaves_no_memory_to_the_next_one(void **state)
{
    (void)state;
    struct leat_producer_options options = LEAT_PRODUCER_OPTIONS;
    struct leat_producer *producer;
    char error[LEAT_PRODUCER_ERROR_BYTES];
    options.ventilator = "ipc://@leat-test-nobody-is-here";
    options.payload_bytes_max = LARGE_BYTES;
    assert_int_equal(leat_producer_connect(&options, &producer, error), LEAT_PRODUCER_OK);
    struct leat_producer_job job = LEAT_PRODUCER_JOB;
    char *payload = calloc(1, LARGE_BYTES);
    assert_non_null(payload);
    job.type = "t";
    job.payload = payload;
    size_t before = in_use_bytes();
    for (int i = 0; i < JOBS; i++) {
        job.payload_bytes = SMALL_BYTES;
        assert_int_equal(leat_producer_submit(producer, &job, 0, NULL), LEAT_PRODUCER_OK);
        job.payload_bytes = LARGE_BYTES;
        assert_int_equal(leat_producer_submit(producer, &job, 0, NULL), LEAT_PRODUCER_BUSY);
    }
    /* The small ones, and one buffer in which the next job is encoded. */
    assert_in_range(in_use_bytes() - before, 0, 2 * (size_t)LARGE_BYTES);
    free(payload);
    leat_producer_close(&producer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_that_was_not_taken_leaves_no_memory_to_the_next_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
