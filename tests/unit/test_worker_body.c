#include "worker/body.h"

#include "cmocka_all.h"
#include "core/job.h"
#include "core/limits.h"
#include "seed.h"
#include "wire/codec.h"

static struct leat_rng rng;

static bool chance(uint64_t of)
{
    return leat_rng_below(&rng, of) == 0;
}

/* One of a few policies, so that many bodies end alike; now and then with a header. */
static void make_body(struct leat_wire_buffer *out)
{
    static const uint8_t payload[300] = {1, 2, 3};
    struct leat_item_header header = {.name = leat_str_of("a"), .value = leat_str_of("b")};
    struct leat_item_body body;
    leat_job_body_defaults(&body);
    body.payload = leat_bytes_of(payload, (size_t)leat_rng_below(&rng, sizeof(payload)));
    body.timeout_ms = chance(3) ? 70000 : LEAT_TIMEOUT_MS_DEFAULT;
    body.attempts_max = chance(8) ? 0 : 1 + leat_rng_below(&rng, 2); /* 0 is none that may be */
    body.backoff_jitter = chance(2);
    body.headers.items = &header;
    body.headers.count = chance(4) ? 1 : 0;
    leat_wire_buffer_clear(out);
    assert_int_equal(leat_wire_encode_item_body(&body, out), LEAT_OK);
    if (chance(8)) { /* an element of a later version, or of nobody */
        out->data[0] = (uint8_t)(out->data[0] + (chance(2) ? 1 : 0));
        assert_int_equal(leat_wire_buffer_append(out, "\x07", 1), LEAT_OK);
    }
}

static void damage(struct leat_wire_buffer *body)
{
    size_t at = (size_t)leat_rng_below(&rng, body->size);
    if (chance(2)) {
        at = chance(2) ? body->size - 1 - at % 20 % body->size : at % 4; /* head or end */
    }
    if (chance(4)) {
        body->size = at;
    } else {
        body->data[at] ^= (uint8_t)(1U << leat_rng_below(&rng, 8));
    }
}

static void assert_same(const struct leat_item_body *a, const struct leat_item_body *b)
{
    assert_ptr_equal(a->payload.data, b->payload.data);
    assert_int_equal(a->payload.size, b->payload.size);
    assert_int_equal(a->timeout_ms, b->timeout_ms);
    assert_int_equal(a->attempts_max, b->attempts_max);
    assert_int_equal(a->backoff_base_ms, b->backoff_base_ms);
    assert_int_equal(a->backoff_factor_milli, b->backoff_factor_milli);
    assert_int_equal(a->backoff_cap_ms, b->backoff_cap_ms);
    assert_int_equal(a->backoff_jitter, b->backoff_jitter);
    assert_int_equal(a->headers.count, b->headers.count);
}

static void a_body_reads_the_same_whatever_was_read_before(void **state)
{
    (void)state;
    rng = leat_seed_rng("body");
    struct leat_worker_body_end last = {0};
    struct leat_wire_buffer bytes = {0};
    size_t read = 0;
    for (int i = 0; i < 20000; i++) {
        make_body(&bytes);
        if (chance(3)) {
            damage(&bytes);
        }
        struct leat_worker_body_end nothing = {0};
        struct leat_item_body body = {0};
        struct leat_item_body expected = {0};
        struct leat_why why = {""};
        struct leat_why expected_why = {""};
        enum leat_err err =
            leat_worker_body_read(&last, leat_wire_buffer_view(&bytes), &body, &why);
        assert_int_equal(leat_worker_body_read(&nothing, leat_wire_buffer_view(&bytes), &expected,
                                               &expected_why),
                         err);
        assert_string_equal(why.text, expected_why.text);
        assert_same(&body, &expected);
        read += err == LEAT_OK ? 1 : 0;
        free(body.headers.items);
        free(expected.headers.items);
    }
    assert_in_range(read, 8000, 18000);
    leat_wire_buffer_fini(&bytes);
}

static void what_follows_the_payload_is_read_once(void **state)
{
    (void)state;
    struct leat_worker_body_end last = {0};
    struct leat_wire_buffer bytes = {0};
    struct leat_item_body body;
    struct leat_why why = {""};
    leat_job_body_defaults(&body);
    assert_int_equal(leat_wire_encode_item_body(&body, &bytes), LEAT_OK);
    assert_int_equal(leat_worker_body_read(&last, leat_wire_buffer_view(&bytes), &body, &why),
                     LEAT_OK);
    last.body.timeout_ms = 4711;
    assert_int_equal(leat_worker_body_read(&last, leat_wire_buffer_view(&bytes), &body, &why),
                     LEAT_OK);
    assert_int_equal(body.timeout_ms, 4711);
    leat_wire_buffer_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_reads_the_same_whatever_was_read_before),
        cmocka_unit_test(what_follows_the_payload_is_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
