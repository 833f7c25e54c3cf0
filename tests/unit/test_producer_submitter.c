/* The submitter: numbering, repeating, and when it takes a new id. */
#include "cmocka_all.h"
#include "producer/submitter.h"
#include "seed.h"

#define MS INT64_C(1000)

struct rig {
    struct leat_submitter *submitter;
    struct leat_out out;
    int64_t now_us;
    size_t accepted, rejected;
};

static void on_answer(const struct leat_id *id, bool accepted, void *context)
{
    (void)id;
    struct rig *rig = context;
    *(accepted ? &rig->accepted : &rig->rejected) += 1;
}

static void rig_open(struct rig *rig, size_t batch_jobs, size_t window_jobs)
{
    struct leat_submitter_config config = leat_submitter_defaults(1);
    config.batch_jobs = batch_jobs;
    config.window_jobs = window_jobs;
    *rig = (struct rig){.submitter = leat_submitter_new(&config), .now_us = 1000};
    assert_non_null(rig->submitter);
    leat_out_init(&rig->out);
    leat_submitter_observe(rig->submitter, on_answer, rig);
}

static void rig_close(struct rig *rig)
{
    leat_submitter_destroy(&rig->submitter);
    assert_null(rig->submitter);
    leat_out_fini(&rig->out);
}

static struct leat_now now_of(const struct rig *rig)
{
    return (struct leat_now){rig->now_us, {INT64_C(1700000000000000) + rig->now_us}};
}

static enum leat_err offer(struct rig *rig)
{
    struct leat_item_submission job = {
        .queue = leat_str_of("q"), .type = leat_str_of("t"), .body = leat_bytes_of("body", 4)};
    struct leat_id id;
    return leat_submitter_offer(rig->submitter, &job, now_of(rig), &id);
}

/* A body of its own that is not copied; it stays the caller's when the job is not taken. */
static enum leat_err adopt(struct rig *rig, uint8_t *body, size_t size)
{
    struct leat_item_submission job = {
        .queue = leat_str_of("q"), .type = leat_str_of("t"), .body = leat_bytes_of(body, size)};
    struct leat_id id;
    return leat_submitter_adopt(rig->submitter, &job, body, now_of(rig), &id);
}

static void feed(struct rig *rig, const struct leat_msg *msg)
{
    struct leat_event event = {.kind = msg == NULL ? LEAT_EVENT_TICK : LEAT_EVENT_MESSAGE,
                               .now = now_of(rig),
                               .link = LEAT_LINK_VENTILATOR,
                               .msg = msg};
    leat_out_clear(&rig->out);
    leat_submitter_step(rig->submitter, &event, &rig->out);
    leat_submitter_check(rig->submitter);
}

/* The SUBMITs of the last step, as "1x2 2x1": number x jobs. */
static const char *sent(const struct rig *rig)
{
    static char text[512];
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < rig->out.count; i++) {
        const struct leat_action *action = &rig->out.actions[i];
        if (action->kind == LEAT_ACTION_SEND) {
            assert_int_equal(action->msg.type, LEAT_MSG_SUBMIT);
            size +=
                (size_t)snprintf(text + size, sizeof(text) - size, "%s%dx%d", size == 0 ? "" : " ",
                                 (int)action->msg.submit.batch, (int)action->msg.submit.jobs.count);
        }
    }
    return text;
}

static struct leat_id producer_of(const struct rig *rig)
{
    return rig->out.actions[rig->out.count - 1].msg.submit.producer;
}

static void answer(struct rig *rig, enum leat_msg_type type, const struct leat_id *producer,
                   uint64_t batch)
{
    struct leat_msg msg = {.type = type};
    if (type == LEAT_MSG_ACCEPTED) {
        msg.accepted = (struct leat_msg_accepted){*producer, batch, 0};
    } else if (type == LEAT_MSG_RESEND) {
        msg.resend = (struct leat_msg_resend){*producer, batch};
    } else if (type == LEAT_MSG_BUSY) {
        msg.busy = (struct leat_msg_busy){*producer, batch, 100, leat_str_of("jobs")};
    } else {
        msg.type = LEAT_MSG_REJECTED;
        msg.rejected = (struct leat_msg_rejected){*producer, batch, LEAT_ERR_LIMIT,
                                                  leat_str_of("payload is too large")};
    }
    feed(rig, &msg);
}

static void one_job_leaves_at_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 10, 100);
    assert_int_equal(offer(&rig), LEAT_OK);
    feed(&rig, NULL);
    assert_string_equal(sent(&rig), "1x1");
    rig_close(&rig);
}

static void jobs_gather_while_a_batch_is_under_way_and_leave_when_it_is_acknowledged(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 10, 100);
    assert_int_equal(offer(&rig), LEAT_OK);
    feed(&rig, NULL);
    struct leat_id producer = producer_of(&rig);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(offer(&rig), LEAT_OK);
        feed(&rig, NULL);
        assert_string_equal(sent(&rig), "");
    }
    answer(&rig, LEAT_MSG_ACCEPTED, &producer, 1);
    assert_string_equal(sent(&rig), "2x3");
    assert_int_equal(rig.accepted, 1);
    rig_close(&rig);
}

static void a_full_batch_does_not_wait_for_the_one_before(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 2, 100);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(offer(&rig), LEAT_OK);
    }
    feed(&rig, NULL);
    assert_string_equal(sent(&rig), "1x2 2x2");
    rig_close(&rig);
}

static void a_full_window_is_busy_and_takes_again_after_an_acknowledgement(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 2, 2);
    assert_int_equal(offer(&rig), LEAT_OK);
    assert_int_equal(offer(&rig), LEAT_OK);
    assert_int_equal(offer(&rig), LEAT_ERR_BUSY);
    feed(&rig, NULL);
    struct leat_id producer = producer_of(&rig);
    answer(&rig, LEAT_MSG_ACCEPTED, &producer, 1);
    assert_int_equal(leat_submitter_pending(rig.submitter), 0);
    assert_int_equal(offer(&rig), LEAT_OK);
    rig_close(&rig);
}

static const uint8_t *body_sent(const struct rig *rig)
{
    return rig->out.actions[rig->out.count - 1].msg.submit.jobs.items[0].body.data;
}

/* What is freed twice or never is found by the sanitizer. */
static void an_adopted_body_is_sent_from_where_it_lies_and_freed_at_the_end(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, 2);
    uint8_t *bodies[3];
    for (int i = 0; i < 3; i++) {
        bodies[i] = calloc(1, 100);
        assert_non_null(bodies[i]);
    }
    assert_int_equal(adopt(&rig, bodies[0], 100), LEAT_OK);
    feed(&rig, NULL);
    assert_ptr_equal(body_sent(&rig), bodies[0]);
    struct leat_id producer = producer_of(&rig);
    assert_int_equal(adopt(&rig, bodies[1], 100), LEAT_OK);
    assert_int_equal(adopt(&rig, bodies[2], 100), LEAT_ERR_BUSY);
    free(bodies[2]);
    feed(&rig, NULL);
    answer(&rig, LEAT_MSG_RESEND, &producer, 1);
    assert_string_equal(sent(&rig), "1x1 2x1");
    assert_ptr_equal(body_sent(&rig), bodies[1]);
    answer(&rig, LEAT_MSG_ACCEPTED, &producer, 1);
    assert_int_equal(rig.accepted, 1);
    rig_close(&rig); /* with one in flight */
}

static void adopt_many(struct rig *rig, size_t bytes, int count)
{
    for (int i = 0; i < count; i++) {
        uint8_t *body = calloc(1, bytes);
        assert_non_null(body);
        assert_int_equal(adopt(rig, body, bytes), LEAT_OK);
    }
}

static void few_large_jobs_make_a_larger_batch_than_many_small_ones(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        int jobs;
        const char *sent;
    } cases[] = {
        {64 << 10, 33, "1x16 2x16"}, /* of 1 MiB each; one more is no full batch */
        {300 << 10, 7, "1x3 2x3"},   {20 << 10, 33, "1x16 2x16"}, /* 320 KiB */
        {4 << 10, 129, "1x64 2x64"}, {2 << 20, 2, "1x1 2x1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        rig_open(&rig, 1000, 1000);
        adopt_many(&rig, cases[i].bytes, cases[i].jobs);
        feed(&rig, NULL);
        assert_string_equal(sent(&rig), cases[i].sent);
        rig_close(&rig);
    }
}

static void silence_sends_everything_again_later_each_time(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, 100);
    assert_int_equal(offer(&rig), LEAT_OK);
    assert_int_equal(offer(&rig), LEAT_OK);
    feed(&rig, NULL);
    assert_string_equal(sent(&rig), "1x1 2x1");
    int64_t last_pause_us = 0;
    for (int i = 0; i < 3; i++) {
        int64_t due_us = leat_submitter_deadline_us(rig.submitter);
        int64_t pause_us = due_us - rig.now_us;
        assert_true(pause_us <= 8000 * MS && pause_us >= 500 * MS);
        rig.now_us = due_us - 1;
        feed(&rig, NULL);
        assert_string_equal(sent(&rig), "");
        rig.now_us = due_us;
        feed(&rig, NULL);
        assert_string_equal(sent(&rig), "1x1 2x1");
        assert_true(2 * pause_us >= last_pause_us);
        last_pause_us = pause_us;
    }
    assert_int_equal(leat_submitter_counts(rig.submitter).repeated, 6);
    rig_close(&rig);
}

static void a_missing_batch_is_sent_again_once_with_all_that_follow(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, 100);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(offer(&rig), LEAT_OK);
    }
    feed(&rig, NULL);
    struct leat_id producer = producer_of(&rig);
    /* 2 was lost: 3 and 4 bring a RESEND each. */
    answer(&rig, LEAT_MSG_RESEND, &producer, 2);
    assert_string_equal(sent(&rig), "2x1 3x1 4x1");
    assert_int_equal(rig.accepted, 1);
    answer(&rig, LEAT_MSG_RESEND, &producer, 2);
    assert_string_equal(sent(&rig), "");
    answer(&rig, LEAT_MSG_ACCEPTED, &producer, 4);
    assert_int_equal(rig.accepted, 4);
    rig_close(&rig);
}

static void busy_holds_everything_back_for_the_hint(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, 100);
    assert_int_equal(offer(&rig), LEAT_OK);
    feed(&rig, NULL);
    struct leat_id producer = producer_of(&rig);
    answer(&rig, LEAT_MSG_BUSY, &producer, 1);
    assert_string_equal(sent(&rig), "");
    assert_int_equal(offer(&rig), LEAT_OK);
    rig.now_us += 99 * MS;
    feed(&rig, NULL);
    assert_string_equal(sent(&rig), "");
    rig.now_us = leat_submitter_deadline_us(rig.submitter);
    feed(&rig, NULL);
    assert_string_equal(sent(&rig), "1x1 2x1");
    rig_close(&rig);
}

static void when_it_is_forgotten_it_numbers_anew_under_a_new_id(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, 100);
    assert_int_equal(offer(&rig), LEAT_OK);
    feed(&rig, NULL);
    struct leat_id producer = producer_of(&rig);
    answer(&rig, LEAT_MSG_ACCEPTED, &producer, 1);
    assert_int_equal(offer(&rig), LEAT_OK);
    feed(&rig, NULL);
    assert_string_equal(sent(&rig), "2x1");
    answer(&rig, LEAT_MSG_RESEND, &producer, 1);
    assert_string_equal(sent(&rig), "1x1");
    struct leat_id renewed = producer_of(&rig);
    assert_false(leat_id_equal(&producer, &renewed));
    /* What is said to the old id no longer counts. */
    answer(&rig, LEAT_MSG_ACCEPTED, &producer, 2);
    assert_int_equal(leat_submitter_pending(rig.submitter), 1);
    answer(&rig, LEAT_MSG_ACCEPTED, &renewed, 1);
    assert_int_equal(leat_submitter_pending(rig.submitter), 0);
    rig_close(&rig);
}

/* The ventilator was restored from a copy of its store that does not know the last batches. */
static void when_less_is_known_than_was_acknowledged_it_numbers_anew_after_a_silence(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, 100);
    struct leat_id producer = {{0}};
    for (uint64_t batch = 1; batch <= 4; batch++) {
        assert_int_equal(offer(&rig), LEAT_OK);
        feed(&rig, NULL);
        producer = producer_of(&rig);
        answer(&rig, LEAT_MSG_ACCEPTED, &producer, batch);
    }
    assert_int_equal(offer(&rig), LEAT_OK);
    feed(&rig, NULL);
    assert_string_equal(sent(&rig), "5x1");
    answer(&rig, LEAT_MSG_RESEND, &producer, 3); /* perhaps an old answer */
    assert_string_equal(sent(&rig), "");
    rig.now_us = leat_submitter_deadline_us(rig.submitter);
    feed(&rig, NULL);
    assert_string_equal(sent(&rig), "5x1");
    answer(&rig, LEAT_MSG_RESEND, &producer, 3);
    assert_string_equal(sent(&rig), "1x1");
    struct leat_id renewed = producer_of(&rig);
    assert_false(leat_id_equal(&producer, &renewed));
    answer(&rig, LEAT_MSG_ACCEPTED, &renewed, 1);
    assert_int_equal(leat_submitter_pending(rig.submitter), 0);
    rig_close(&rig);
}

static void a_rejected_batch_is_dropped_and_the_rest_goes_on_under_a_new_id(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, 100);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(offer(&rig), LEAT_OK);
    }
    feed(&rig, NULL);
    struct leat_id producer = producer_of(&rig);
    answer(&rig, LEAT_MSG_REJECTED, &producer, 2);
    assert_int_equal(rig.accepted, 1);
    assert_int_equal(rig.rejected, 1);
    assert_string_equal(sent(&rig), "1x1");
    assert_string_equal(leat_submitter_last_error(rig.submitter), "payload is too large");
    struct leat_id renewed = producer_of(&rig);
    assert_false(leat_id_equal(&producer, &renewed));
    rig_close(&rig);
}

/* The batch before it may have been lost on its way: to take it for accepted would lose its jobs.
 */
static void a_forbidden_batch_says_nothing_about_the_others(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, 100);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(offer(&rig), LEAT_OK);
    }
    feed(&rig, NULL);
    struct leat_id producer = producer_of(&rig);
    struct leat_msg msg = {.type = LEAT_MSG_REJECTED};
    msg.rejected = (struct leat_msg_rejected){producer, 2, LEAT_ERR_FORBIDDEN,
                                              leat_str_of("key 'k' (producer): SUBMIT: ...")};
    feed(&rig, &msg);
    assert_int_equal(rig.accepted, 0);
    assert_int_equal(rig.rejected, 1);
    assert_int_equal(leat_submitter_pending(rig.submitter), 2);
    assert_string_equal(sent(&rig), "1x1 2x1");
    struct leat_id renewed = producer_of(&rig);
    assert_false(leat_id_equal(&producer, &renewed));
    feed(&rig, &msg); /* the same once more: it is about a number of the old id */
    assert_int_equal(rig.rejected, 1);
    rig_close(&rig);
}

/* A ventilator that takes only the next batch, over a network that loses and repeats. */
struct model {
    struct leat_id producer;
    uint64_t last;
    size_t jobs;
};

static void model_takes(struct model *model, const struct leat_msg_submit *submit,
                        struct leat_msg *reply)
{
    if (!leat_id_equal(&model->producer, &submit->producer)) {
        model->producer = submit->producer;
        model->last = 0;
    }
    if (submit->batch == model->last + 1) {
        model->last++;
        model->jobs += submit->jobs.count;
    }
    *reply = (struct leat_msg){.type = LEAT_MSG_ACCEPTED};
    reply->accepted = (struct leat_msg_accepted){submit->producer, model->last, 0};
    if (submit->batch > model->last) {
        reply->type = LEAT_MSG_RESEND;
        reply->resend = (struct leat_msg_resend){submit->producer, model->last + 1};
    }
}

static void whatever_is_lost_each_job_is_taken_exactly_once(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("each job is taken exactly once");
    for (int run = 0; run < 200; run++) {
        struct rig rig;
        struct model model = {0};
        rig_open(&rig, 1 + (size_t)leat_rng_below(&rng, 5), 64);
        struct leat_msg replies[64];
        size_t reply_count = 0;
        size_t offered = 0;
        while (offered < 100 || leat_submitter_pending(rig.submitter) > 0) {
            if (offered < 100 && offer(&rig) == LEAT_OK) {
                offered++;
            }
            if (reply_count > 0) {
                struct leat_msg reply = replies[--reply_count];
                feed(&rig, leat_rng_chance(&rng, 200000) ? NULL : &reply);
            } else {
                rig.now_us =
                    leat_min_us(leat_submitter_deadline_us(rig.submitter), rig.now_us + 10 * MS);
                feed(&rig, NULL);
            }
            for (size_t i = 0; i < rig.out.count; i++) {
                const struct leat_action *action = &rig.out.actions[i];
                if (action->kind == LEAT_ACTION_SEND && !leat_rng_chance(&rng, 200000) &&
                    reply_count < 64) {
                    model_takes(&model, &action->msg.submit, &replies[reply_count++]);
                }
            }
        }
        assert_int_equal(model.jobs, 100);
        assert_int_equal(rig.accepted, 100);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_job_leaves_at_once),
        cmocka_unit_test(jobs_gather_while_a_batch_is_under_way_and_leave_when_it_is_acknowledged),
        cmocka_unit_test(a_full_batch_does_not_wait_for_the_one_before),
        cmocka_unit_test(a_full_window_is_busy_and_takes_again_after_an_acknowledgement),
        cmocka_unit_test(an_adopted_body_is_sent_from_where_it_lies_and_freed_at_the_end),
        cmocka_unit_test(few_large_jobs_make_a_larger_batch_than_many_small_ones),
        cmocka_unit_test(silence_sends_everything_again_later_each_time),
        cmocka_unit_test(a_missing_batch_is_sent_again_once_with_all_that_follow),
        cmocka_unit_test(busy_holds_everything_back_for_the_hint),
        cmocka_unit_test(when_it_is_forgotten_it_numbers_anew_under_a_new_id),
        cmocka_unit_test(when_less_is_known_than_was_acknowledged_it_numbers_anew_after_a_silence),
        cmocka_unit_test(a_rejected_batch_is_dropped_and_the_rest_goes_on_under_a_new_id),
        cmocka_unit_test(a_forbidden_batch_says_nothing_about_the_others),
        cmocka_unit_test(whatever_is_lost_each_job_is_taken_exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
