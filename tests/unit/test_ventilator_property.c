/* Random lives: producers, workers, a sink, restarts and clock jumps, in any order, against a naive
 * model of what must hold. leat_ventilator_check runs after every step (ventilator_rig.c). */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/seed.h"
#include "tests/unit/ventilator_rig.h"

#define LIVES   12
#define STEPS   1500
#define JOBS    400 /* in one life, at most */
#define WORKERS 4
#define STREAM  4096

struct held {
    bool is_held;
    uint64_t delivery;
};

struct worker {
    bool open; /* it believes that its round is open */
    uint64_t round, number, heard_number, credit, received;
    struct held held[JOBS];
};

struct model {
    struct rig rig;
    struct leat_rng rng;
    bool accepted[JOBS], settled[JOBS];
    unsigned stream[STREAM]; /* jobs by number - 1 */
    uint64_t stream_count, followed;
    unsigned submitted;   /* jobs offered so far */
    unsigned batch_first; /* of the batch that waits for its answer */
    unsigned batch_count;
    uint64_t batch;
    unsigned producer;
    struct worker workers[WORKERS + 1];
    bool crashed; /* the last step's messages never left */
};

static uint64_t below(struct model *m, uint64_t bound)
{
    return leat_rng_below(&m->rng, bound);
}

static unsigned job_of(const struct leat_id *id)
{
    return (unsigned)id->bytes[14] << 8 | id->bytes[15];
}

static void say_settled(struct model *m, unsigned job)
{
    if (m->stream_count < STREAM) {
        m->stream[m->stream_count++] = job;
    }
}

/* ---- what the ventilator said ---- */

static void on_jobs(struct model *m, unsigned peer, const struct leat_msg_jobs *jobs)
{
    struct worker *worker = &m->workers[peer];
    if (!worker->open || jobs->round != worker->round) {
        return;
    }
    assert_int_equal(jobs->number, worker->heard_number + 1);
    worker->heard_number = jobs->number;
    for (size_t i = 0; i < jobs->jobs.count; i++) {
        const struct leat_item_delivery *delivery = &jobs->jobs.items[i];
        unsigned job = job_of(&delivery->id);
        assert_true(m->accepted[job]);
        assert_false(m->settled[job]);
        worker->held[job] = (struct held){true, delivery->delivery};
        worker->received++;
    }
    assert_true(worker->received <= worker->credit);
}

static void on_welcome(struct model *m, unsigned peer, const struct leat_msg_welcome *welcome)
{
    struct worker *worker = &m->workers[peer];
    if (welcome->round != worker->round) {
        return;
    }
    worker->open = true;
    for (size_t i = 0; i < welcome->refused.count; i++) {
        worker->held[job_of(&welcome->refused.items[i].id)].is_held = false;
    }
}

static void on_follow(struct model *m, const struct leat_msg_follow *follow)
{
    for (uint64_t i = m->followed; i < follow->settled; i++) {
        m->settled[m->stream[i]] = true;
    }
    m->followed = follow->settled;
}

static void on_accepted(struct model *m, const struct leat_msg_accepted *accepted)
{
    if (accepted->batch == m->batch) {
        for (unsigned i = 0; i < m->batch_count; i++) {
            m->accepted[m->batch_first + i] = true;
        }
        m->batch_count = 0;
    }
}

static void on_message(struct model *m, const struct leat_action *action)
{
    const struct leat_msg *msg = &action->msg;
    unsigned peer = action->peer.bytes[4];
    switch ((int)msg->type) {
    case LEAT_MSG_JOBS:
        on_jobs(m, peer, &msg->jobs);
        break;
    case LEAT_MSG_PONG:
        if (m->workers[peer].open && msg->pong.round == m->workers[peer].round) {
            m->workers[peer].heard_number++;
        }
        break;
    case LEAT_MSG_WELCOME:
        on_welcome(m, peer, &msg->welcome);
        break;
    case LEAT_MSG_ERROR:
        m->workers[peer].open = false;
        break;
    case LEAT_MSG_FOLLOW:
        on_follow(m, &msg->follow);
        break;
    case LEAT_MSG_ACCEPTED:
        on_accepted(m, &msg->accepted);
        break;
    case LEAT_MSG_RESULTS:
        for (size_t i = 0; i < msg->results.results.count; i++) {
            say_settled(m, job_of(&msg->results.results.items[i].id));
        }
        break;
    default:
        break;
    }
}

static void look(struct model *m)
{
    if (m->crashed) {
        return;
    }
    for (size_t i = 0; i < m->rig.out.count; i++) {
        if (m->rig.out.actions[i].kind == LEAT_ACTION_SEND) {
            on_message(m, &m->rig.out.actions[i]);
        }
    }
    uint64_t live = 0;
    for (unsigned job = 0; job < JOBS; job++) {
        live += m->accepted[job] && !m->settled[job] ? 1 : 0;
    }
    assert_int_equal(rig_counts(&m->rig).jobs, live);
}

/* Now and then the process dies right after a step, and nothing of the step has happened. */
static void before(struct model *m)
{
    m->crashed = below(m, 60) == 0;
    m->rig.hold = m->crashed;
    leat_out_clear(&m->rig.out); /* what was looked at already */
}

static void after(struct model *m)
{
    look(m);
    if (m->crashed) {
        rig_restart(&m->rig);
        m->rig.hold = false;
        for (unsigned i = 1; i <= WORKERS; i++) {
            m->workers[i].open = false;
        }
        m->crashed = false;
        look(m);
    }
}

/* ---- what the others do ---- */

static void submit(struct model *m)
{
    struct leat_item_submission jobs[8];
    static const char *const queues[] = {"a", "b", "c"};
    static const char *const types[] = {"x", "y"};
    if (m->batch_count == 0) {
        unsigned count = 1 + (unsigned)below(m, 8);
        if (m->submitted + count > JOBS) {
            return;
        }
        m->batch++;
        m->batch_first = m->submitted;
        m->batch_count = count;
        m->submitted += count;
    }
    for (unsigned i = 0; i < m->batch_count; i++) {
        unsigned job = m->batch_first + i;
        jobs[i] = rig_job(job, queues[job % 3], types[job / 3 % 2]);
        int64_t wall_ms = m->rig.now.wall.us / 1000;
        if (job % 5 == 0) {
            jobs[i].not_before_ms = wall_ms + (int64_t)below(m, 4000);
        }
        if (job % 7 == 0) {
            jobs[i].expires_at_ms = wall_ms + 4000 + (int64_t)below(m, 4000);
        }
    }
    before(m);
    rig_submit_jobs(&m->rig, m->producer, m->batch, jobs, m->batch_count);
    after(m);
}

static void hello(struct model *m, unsigned number)
{
    struct worker *worker = &m->workers[number];
    struct leat_item_lease leases[64];
    size_t count = 0;
    for (unsigned job = 0; job < JOBS; job++) {
        if (worker->held[job].is_held && count == 64) {
            worker->held[job].is_held = false; /* given up by not naming it */
        } else if (worker->held[job].is_held) {
            leases[count++] = rig_lease(job, worker->held[job].delivery);
        }
    }
    worker->round++;
    worker->open = false;
    worker->number = worker->heard_number = worker->credit = worker->received = 0;
    before(m);
    rig_hello(&m->rig, number, worker->round, number % 2 == 0 ? "a,b,c" : "b,a,c", leases, count);
    after(m);
}

static unsigned any_held(struct model *m, const struct worker *worker)
{
    unsigned start = (unsigned)below(m, JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        unsigned job = (start + i) % JOBS;
        if (worker->held[job].is_held) {
            return job;
        }
    }
    return JOBS;
}

static void work(struct model *m, unsigned number)
{
    struct worker *worker = &m->workers[number];
    if (!worker->open) {
        hello(m, number);
        return;
    }
    unsigned job = any_held(m, worker);
    uint64_t what = below(m, 12);
    uint64_t delivery = job < JOBS ? worker->held[job].delivery : 0;
    before(m);
    if (what < 4) {
        worker->credit += below(m, 5);
        rig_credit(&m->rig, number, worker->round, ++worker->number, worker->credit);
    } else if (what < 6) {
        rig_ping(&m->rig, number, worker->round, ++worker->number);
    } else if (what < 8 && job < JOBS) {
        rig_retry(&m->rig, number, worker->round, ++worker->number, job, delivery,
                  below(m, 3) * 500);
        worker->held[job].is_held = m->crashed;
    } else if (what < 9 && job < JOBS) {
        worker->held[job].is_held = false;
        rig_return(&m->rig, number, worker->round, ++worker->number, job, delivery);
    } else if (what == 9 && below(m, 4) == 0) {
        worker->open = false;
        memset(worker->held, 0, sizeof worker->held);
        rig_goodbye(&m->rig, number, worker->round, ++worker->number);
    } else if (what == 10) {
        worker->number++; /* lost on the way */
    } else if (job < JOBS) {
        worker->held[job].is_held = false;
        say_settled(m, job);
    }
    after(m);
}

static void settle(struct model *m)
{
    if (m->stream_count > 0 && below(m, 10) == 0) {
        say_settled(m, m->stream[below(m, m->stream_count)]); /* a later result of the same job */
    }
    uint64_t first = m->followed + 1;
    first = first > 3 ? first - below(m, 3) : first; /* repeated */
    first += below(m, 20) == 0 ? 2 : 0;              /* or with a gap */
    struct leat_item_job_id ids[16];
    size_t count = 0;
    while (count < 16 && first + count <= m->stream_count) {
        ids[count].id = rig_id('j', m->stream[first - 1 + count]);
        count++;
    }
    struct leat_msg msg = {.type = LEAT_MSG_SETTLED};
    msg.settled.stream = rig_id('t', 1);
    msg.settled.first = first;
    msg.settled.jobs.items = ids;
    msg.settled.jobs.count = count;
    before(m);
    rig_tell_from_sink(&m->rig, &msg);
    after(m);
}

/* One step at a time, so that everything that is said is heard. */
static void pass(struct model *m, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 10) {
        m->rig.now.mono_us += 10 * LEAT_US_PER_MS;
        m->rig.now.wall.us += 10 * LEAT_US_PER_MS;
        while (leat_ventilator_deadline_us(m->rig.ventilator) <= m->rig.now.mono_us) {
            before(m);
            rig_feed(&m->rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
            after(m);
        }
    }
}

static void anything(struct model *m)
{
    uint64_t what = below(m, 100);
    if (what < 12) {
        submit(m);
    } else if (what < 60) {
        work(m, 1 + (unsigned)below(m, WORKERS));
    } else if (what < 75) {
        settle(m);
    } else if (what < 97) {
        pass(m, 10 + (int64_t)below(m, 100));
    } else if (what < 98) {
        pass(m, 3100);
    } else if (what < 99) {
        m->rig.now.wall.us += ((int64_t)below(m, 20) - 10) * LEAT_US_PER_S;
    } else {
        before(m);
        rig_control(&m->rig, below(m, 2) == 0 ? "pause" : "resume", "b");
        after(m);
    }
}

/* In the end everything that was accepted can be brought to its end. */
static void finish(struct model *m)
{
    for (int i = 0; i < 50 && m->batch_count > 0; i++) {
        submit(m);
    }
    assert_int_equal(m->batch_count, 0);
    for (unsigned job = 0; job < JOBS; job++) {
        if (m->accepted[job] && !m->settled[job]) {
            say_settled(m, job);
        }
    }
    for (int i = 0; i < 2000 && m->followed < m->stream_count; i++) {
        settle(m);
    }
    assert_int_equal(rig_counts(&m->rig).jobs, 0);
    assert_int_equal(rig_counts(&m->rig).bytes, 0);
    assert_int_equal(rig_counts(&m->rig).leased, 0);
}

static void whatever_happens_no_job_is_lost_or_doubled_and_every_invariant_holds(void **state)
{
    struct leat_rng seeds = leat_seed_rng("ventilator");
    (void)state;
    for (int life = 0; life < LIVES; life++) {
        struct model *m = calloc(1, sizeof *m);
        leat_rng_init(&m->rng, leat_rng_next(&seeds));
        m->producer = 1;
        rig_begin(&m->rig);
        m->rig.config.recovery_grace_ms = 300;
        m->rig.config.dedupe_ms = 600000;
        m->rig.config.batch_items_max = 3;
        rig_boot(&m->rig);
        look(m);
        for (int step = 0; step < STEPS; step++) {
            anything(m);
        }
        finish(m);
        rig_close(&m->rig);
        free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_no_job_is_lost_or_doubled_and_every_invariant_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
