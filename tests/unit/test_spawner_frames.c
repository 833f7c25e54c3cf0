/* Frames over a stream socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/codec.h"
#include "worker/spawner/frames.h"

struct ends {
    int fds[2];
    struct leat_frames left;
    struct leat_frames right;
};

static void open_ends(struct ends *ends, size_t queue_bytes_max)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends->fds), 0);
    leat_frames_init(&ends->left, ends->fds[0], queue_bytes_max);
    leat_frames_init(&ends->right, ends->fds[1], queue_bytes_max);
}

static void close_ends(struct ends *ends)
{
    leat_frames_fini(&ends->left);
    leat_frames_fini(&ends->right);
    close(ends->fds[0]);
    close(ends->fds[1]);
}

static void frames_arrive_whole_and_in_order_however_the_bytes_are_cut(void **state)
{
    (void)state;
    struct ends ends;
    open_ends(&ends, 0);
    static uint8_t body[3 << 20];
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (uint8_t)(i * 7 + i / 255);
    }
    const size_t sizes[] = {0, 1, 3, 4, 255, 256, 65536, 0, sizeof body, 5, sizeof body, 1};
    const size_t count = sizeof sizes / sizeof sizes[0];
    for (size_t i = 0; i < count; i++) {
        const uint8_t head = (uint8_t)i;
        assert_int_equal(
            leat_frames_send(&ends.left, leat_bytes_of(&head, 1), leat_bytes_of(body, sizes[i])),
            LEAT_OK);
    }
    size_t got = 0;
    while (got < count) {
        assert_int_equal(leat_frames_flush(&ends.left), LEAT_OK);
        struct leat_bytes frame;
        enum leat_err err = leat_frames_next(&ends.right, &frame);
        if (err == LEAT_ERR_NOT_FOUND) {
            err = leat_frames_fill(&ends.right);
            assert_true(err == LEAT_OK || err == LEAT_ERR_NOT_FOUND);
            continue;
        }
        assert_int_equal(err, LEAT_OK);
        assert_int_equal(frame.size, sizes[got] + 1);
        assert_int_equal(frame.data[0], got);
        assert_memory_equal(frame.data + 1, body, sizes[got]);
        got++;
    }
    assert_int_equal(leat_frames_queued_bytes(&ends.left), 0);
    close_ends(&ends);
}

static void byte_by_byte_is_enough(void **state)
{
    (void)state;
    struct ends ends;
    open_ends(&ends, 0);
    const uint8_t bytes[] = {2, 0, 0, 0, 'h', 'i', 0, 0, 0, 0};
    struct leat_bytes frame;
    size_t seen = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(leat_frames_next(&ends.right, &frame), LEAT_ERR_NOT_FOUND);
        assert_int_equal(write(ends.fds[0], &bytes[i], 1), 1);
        assert_int_equal(leat_frames_fill(&ends.right), LEAT_OK);
        if (i == 5 || i == 9) {
            assert_int_equal(leat_frames_next(&ends.right, &frame), LEAT_OK);
            assert_int_equal(frame.size, i == 5 ? 2 : 0);
            seen++;
        }
    }
    assert_int_equal(seen, 2);
    assert_int_equal(leat_frames_fill(&ends.right), LEAT_ERR_NOT_FOUND);
    close_ends(&ends);
}

static void a_length_over_the_limit_is_refused_before_memory_is_taken(void **state)
{
    (void)state;
    struct ends ends;
    open_ends(&ends, 0);
    const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 'x'};
    assert_int_equal(write(ends.fds[0], bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(leat_frames_fill(&ends.right), LEAT_OK);
    struct leat_bytes frame;
    assert_int_equal(leat_frames_next(&ends.right, &frame), LEAT_ERR_LIMIT);
    assert_int_equal(leat_frames_fill(&ends.right), LEAT_ERR_LIMIT);
    assert_true(ends.right.in.capacity < 1u << 20);
    close_ends(&ends);
}

static void memory_is_taken_for_what_came_and_not_for_what_was_announced(void **state)
{
    (void)state;
    struct ends ends;
    open_ends(&ends, 0);
    const uint8_t announced[] = {0, 0, 0, 5, 'x'}; /* 80 MiB */
    assert_int_equal(write(ends.fds[0], announced, sizeof announced), sizeof announced);
    struct leat_bytes frame;
    for (int i = 0; i < 3; i++) { /* the later ones know the length */
        enum leat_err err = leat_frames_fill(&ends.right);
        assert_int_equal(err, i == 0 ? LEAT_OK : LEAT_ERR_NOT_FOUND);
        assert_int_equal(leat_frames_next(&ends.right, &frame), LEAT_ERR_NOT_FOUND);
    }
    assert_in_range(ends.right.in.capacity, 5, 1 << 20);
    close_ends(&ends);
}

static void a_full_queue_is_busy_and_takes_again_after_a_flush(void **state)
{
    (void)state;
    struct ends ends;
    open_ends(&ends, 100);
    uint8_t body[96] = {0};
    const struct leat_bytes none = {0};
    assert_int_equal(leat_frames_send(&ends.left, none, leat_bytes_of(body, 96)), LEAT_OK);
    assert_int_equal(leat_frames_send(&ends.left, none, leat_bytes_of(body, 0)), LEAT_ERR_BUSY);
    assert_int_equal(leat_frames_queued_bytes(&ends.left), 100);
    assert_int_equal(leat_frames_flush(&ends.left), LEAT_OK);
    assert_int_equal(leat_frames_send(&ends.left, none, leat_bytes_of(body, 0)), LEAT_OK);
    /* An empty queue takes anything. */
    assert_int_equal(leat_frames_flush(&ends.left), LEAT_OK);
    uint8_t large[1000] = {0};
    assert_int_equal(leat_frames_send(&ends.left, none, leat_bytes_of(large, 1000)), LEAT_OK);
    close_ends(&ends);
}

static void a_message_that_cannot_be_encoded_leaves_the_queue_as_it_was(void **state)
{
    (void)state;
    struct ends ends;
    open_ends(&ends, 0);
    struct leat_msg msg = {.type = LEAT_MSG_RAN};
    assert_int_equal(leat_frames_send_msg(&ends.left, &msg), LEAT_OK);
    const size_t before = leat_frames_queued_bytes(&ends.left);
    struct leat_item_outcome outcome = {.error = leat_str_of("not UTF-8: \xff")};
    msg.ran.outcomes.items = &outcome;
    msg.ran.outcomes.count = 1;
    assert_int_equal(leat_frames_send_msg(&ends.left, &msg), LEAT_ERR_INVALID);
    assert_int_equal(leat_frames_queued_bytes(&ends.left), before);
    close_ends(&ends);
}

static void the_end_is_seen_after_the_last_frame(void **state)
{
    (void)state;
    struct ends ends;
    open_ends(&ends, 0);
    assert_int_equal(leat_frames_send(&ends.left, (struct leat_bytes){0}, leat_bytes_of("x", 1)),
                     LEAT_OK);
    assert_int_equal(leat_frames_flush(&ends.left), LEAT_OK);
    assert_int_equal(shutdown(ends.fds[0], SHUT_RDWR), 0);
    assert_int_equal(leat_frames_fill(&ends.right), LEAT_OK);
    assert_int_equal(leat_frames_fill(&ends.right), LEAT_ERR_CLOSED);
    struct leat_bytes frame;
    assert_int_equal(leat_frames_next(&ends.right, &frame), LEAT_OK);
    assert_int_equal(frame.size, 1);
    assert_int_equal(leat_frames_send(&ends.right, (struct leat_bytes){0}, leat_bytes_of("y", 1)),
                     LEAT_OK);
    assert_int_equal(leat_frames_flush(&ends.right), LEAT_ERR_CLOSED);
    close_ends(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_arrive_whole_and_in_order_however_the_bytes_are_cut),
        cmocka_unit_test(byte_by_byte_is_enough),
        cmocka_unit_test(a_length_over_the_limit_is_refused_before_memory_is_taken),
        cmocka_unit_test(memory_is_taken_for_what_came_and_not_for_what_was_announced),
        cmocka_unit_test(a_full_queue_is_busy_and_takes_again_after_a_flush),
        cmocka_unit_test(a_message_that_cannot_be_encoded_leaves_the_queue_as_it_was),
        cmocka_unit_test(the_end_is_seen_after_the_last_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
