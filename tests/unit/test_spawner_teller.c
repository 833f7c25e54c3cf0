/* When a slot process says that it has answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/spawner/slot_bytes.h"
#include "worker/spawner/teller.h"

#define MOST     4
#define MOST_US  1000
#define START_US 1000000

/* A teller, and the spawner's side of ring and socket. */
struct ends {
    struct leat_ring *ring;
    struct leat_ring_taker taker;
    struct leat_teller teller;
    struct leat_frames near;
    struct leat_frames far;
    struct leat_wire_buffer piece;
    int fds[2];
};

static void ends_init(struct ends *ends)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends->fds), 0);
    ends->ring = aligned_alloc(LEAT_RING_LINE, sizeof *ends->ring);
    assert_non_null(ends->ring);
    *ends->ring = (struct leat_ring){0};
    ends->taker = (struct leat_ring_taker){.ring = ends->ring};
    leat_frames_init(&ends->near, ends->fds[0], 0);
    leat_frames_init(&ends->far, ends->fds[1], 0);
    leat_wire_buffer_init(&ends->piece, LEAT_RING_BYTES);
    leat_teller_init(&ends->teller, &ends->near, ends->ring, MOST, MOST_US);
    ends->teller.told_us = START_US;
}

static void ends_fini(struct ends *ends)
{
    leat_wire_buffer_fini(&ends->teller.answer);
    leat_wire_buffer_fini(&ends->piece);
    leat_frames_fini(&ends->near);
    leat_frames_fini(&ends->far);
    close(ends->fds[0]);
    close(ends->fds[1]);
    free(ends->ring);
}

static void answer(struct ends *ends, size_t output_bytes, int64_t now_us)
{
    static uint8_t zeros[2 * LEAT_RING_BYTES];
    const struct leat_item_outcome ran = {.output = leat_bytes_of(zeros, output_bytes)};
    assert_int_equal(leat_teller_answer(&ends->teller, 1, &ran, now_us), LEAT_OK);
}

/* How many words have come since the last call; `ret_whole`: how many answers among them. */
static size_t words(struct ends *ends, size_t *ret_whole)
{
    do { /* a large answer takes a socket several turns */
        assert_int_equal(leat_frames_flush(&ends->near), LEAT_OK);
        enum leat_err err = LEAT_OK;
        while (err == LEAT_OK) {
            err = leat_frames_fill(&ends->far);
        }
        assert_int_equal(err, LEAT_ERR_NOT_FOUND);
    } while (leat_frames_queued_bytes(&ends->near) > 0);
    size_t count = 0;
    struct leat_bytes frame;
    *ret_whole = 0;
    while (leat_frames_next(&ends->far, &frame) == LEAT_OK) {
        count += frame.size == 0;
        *ret_whole += frame.size > 0;
    }
    return count;
}

static void expect_words(struct ends *ends, size_t expected)
{
    size_t whole;
    assert_int_equal(words(ends, &whole), expected);
    assert_int_equal(whole, 0);
}

static size_t take_all(struct ends *ends)
{
    size_t count = 0;
    bool elsewhere;
    while (leat_ring_take(&ends->taker, &ends->piece, &elsewhere) == LEAT_OK) {
        count++;
    }
    return count;
}

static void a_word_is_due_by_number_and_by_time(void **state)
{
    (void)state;
    struct ends ends;
    ends_init(&ends);
    answer(&ends, 1, START_US + MOST_US); /* the first is told, if the last word is long ago */
    expect_words(&ends, 1);
    for (int i = 0; i < MOST - 1; i++) {
        answer(&ends, 1, START_US + MOST_US + 1);
        expect_words(&ends, 0);
    }
    answer(&ends, 1, START_US + MOST_US + 1);
    expect_words(&ends, 1);
    answer(&ends, 1, START_US + 2 * MOST_US);
    expect_words(&ends, 0);
    answer(&ends, 1, START_US + 2 * MOST_US + 1);
    expect_words(&ends, 1);
    assert_int_equal(take_all(&ends), 1 + MOST + 2);
    ends_fini(&ends);
}

static void a_word_goes_when_there_is_nothing_more_to_do(void **state)
{
    (void)state;
    struct ends ends;
    ends_init(&ends);
    assert_int_equal(leat_teller_tell(&ends.teller), LEAT_OK);
    expect_words(&ends, 0);
    answer(&ends, 1, START_US);
    answer(&ends, 1, START_US);
    expect_words(&ends, 0);
    assert_int_equal(leat_teller_tell(&ends.teller), LEAT_OK);
    expect_words(&ends, 1);
    assert_int_equal(leat_teller_tell(&ends.teller), LEAT_OK);
    expect_words(&ends, 0);
    ends_fini(&ends);
}

static void what_was_taken_without_a_word_needs_none(void **state)
{
    (void)state;
    struct ends ends;
    ends_init(&ends);
    for (int i = 0; i < MOST - 1; i++) {
        answer(&ends, 1, START_US + MOST_US / 2);
    }
    assert_int_equal(take_all(&ends), MOST - 1);
    /* Number and time begin anew, the time with the last that was taken. */
    answer(&ends, 1, START_US + MOST_US);
    answer(&ends, 1, START_US + MOST_US);
    answer(&ends, 1, START_US + MOST_US + MOST_US / 2 - 1);
    expect_words(&ends, 0);
    answer(&ends, 1, START_US + MOST_US + MOST_US / 2 - 1);
    expect_words(&ends, 1);
    /* One that took its time is told at once. */
    assert_int_equal(take_all(&ends), MOST);
    answer(&ends, 1, START_US + 2 * MOST_US);
    expect_words(&ends, 0);
    assert_int_equal(take_all(&ends), 1);
    answer(&ends, 1, START_US + 3 * MOST_US);
    expect_words(&ends, 1);
    assert_int_equal(take_all(&ends), 1);
    /* Some left is not all taken. */
    answer(&ends, 1, START_US + 3 * MOST_US);
    answer(&ends, 1, START_US + 3 * MOST_US);
    bool elsewhere;
    assert_int_equal(leat_ring_take(&ends.taker, &ends.piece, &elsewhere), LEAT_OK);
    answer(&ends, 1, START_US + 3 * MOST_US);
    expect_words(&ends, 0);
    answer(&ends, 1, START_US + 3 * MOST_US);
    expect_words(&ends, 1);
    ends_fini(&ends);
}

/* So that what comes meanwhile need not go over the socket. */
static void a_word_is_due_when_half_of_the_ring_is_full(void **state)
{
    (void)state;
    struct ends ends;
    ends_init(&ends);
    const size_t third = LEAT_RING_BYTES / 3;
    for (int i = 0; i < 3; i++) {
        answer(&ends, third, START_US);
        expect_words(&ends, 0);
        answer(&ends, third, START_US);
        expect_words(&ends, 1);
        assert_int_equal(take_all(&ends), 2);
    }
    answer(&ends, third, START_US);
    assert_int_equal(take_all(&ends), 1); /* and counts no more */
    answer(&ends, third, START_US);
    expect_words(&ends, 0);
    ends_fini(&ends);
}

static void what_the_ring_has_no_room_for_goes_over_the_socket(void **state)
{
    (void)state;
    struct ends ends;
    ends_init(&ends);
    answer(&ends, 1, START_US);
    answer(&ends, 2 * LEAT_RING_BYTES, START_US);
    size_t whole;
    assert_int_equal(words(&ends, &whole), 0);
    assert_int_equal(whole, 1); /* that is a word, too */
    assert_int_equal(leat_teller_tell(&ends.teller), LEAT_OK);
    expect_words(&ends, 0);
    assert_int_equal(take_all(&ends), 2); /* the second is a note that it goes another way */
    ends_fini(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_due_by_number_and_by_time),
        cmocka_unit_test(a_word_goes_when_there_is_nothing_more_to_do),
        cmocka_unit_test(what_was_taken_without_a_word_needs_none),
        cmocka_unit_test(a_word_is_due_when_half_of_the_ring_is_full),
        cmocka_unit_test(what_the_ring_has_no_room_for_goes_over_the_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
