/* A worker among a ventilator, a sink and a spawner that are as simple as their promises allow, on
 * links that lose and repeat. Whatever happens, the invariants hold after every step; and once the
 * links are good again, every job ends with exactly one result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/rng.h"
#include "worker_rig.h"

#define JOBS         60
#define STEPS        3000
#define HEALED_STEPS 200000
#define RUNS         60
#define QUEUE_MAX    4096
#define LEASES_MAX   256

enum where { READY, LEASED, DONE };

struct job {
    enum where where;
    uint64_t delivery;
    uint64_t attempt;
    uint64_t succeeds_at; /* attempt */
    uint64_t results;     /* that were the first */
    uint64_t succeeded_delivery;
};

struct lease {
    uint64_t n;
    uint64_t delivery;
    uint64_t attempt;
    uint64_t status;
};

/* What is on its way from the worker. */
struct parcel {
    enum leat_msg_type type;
    uint64_t round;
    uint64_t number; /* batch of RESULTS */
    uint64_t total;
    struct lease leases[LEASES_MAX];
    size_t count;
};

static struct {
    struct rig rig;
    struct leat_rng rng;
    bool healed;
    struct job jobs[JOBS];
    struct parcel queue[QUEUE_MAX]; /* a ring */
    size_t head;
    size_t tail;
    /* ventilator */
    bool known;
    uint64_t round;
    uint64_t received;
    uint64_t credit;
    uint64_t pushed;
    size_t goodbyes;
    /* spawner */
    struct lease running[LEASES_MAX];
    size_t running_count;
    bool recalled;
} w;

static bool chance(uint32_t percent)
{
    return leat_rng_below(&w.rng, 100) < percent;
}

static bool is_lost(void)
{
    return !w.healed && chance(8);
}

static uint64_t n_of(const struct leat_id *id)
{
    for (uint64_t n = 0; n < JOBS; n++) {
        struct leat_id other = rig_id(n + 1);
        if (leat_id_equal(id, &other)) {
            return n;
        }
    }
    return JOBS;
}

/* ---- from the worker ---- */

static void add_lease(struct parcel *parcel, const struct leat_id *id, uint64_t delivery,
                      uint64_t attempt, uint64_t status)
{
    assert_true(parcel->count < LEASES_MAX);
    parcel->leases[parcel->count++] = (struct lease){n_of(id), delivery, attempt, status};
}

static void pack(struct parcel *parcel, const struct leat_msg *msg)
{
    if (msg->type == LEAT_MSG_HELLO) {
        parcel->round = msg->hello.round;
        for (size_t i = 0; i < msg->hello.leases.count; i++) {
            const struct leat_item_lease *lease = &msg->hello.leases.items[i];
            add_lease(parcel, &lease->id, lease->delivery, 0, 0);
        }
    } else if (msg->type == LEAT_MSG_CREDIT) {
        parcel->round = msg->credit.round;
        parcel->number = msg->credit.number;
        parcel->total = msg->credit.total;
    } else if (msg->type == LEAT_MSG_RETRY) {
        parcel->round = msg->retry.round;
        parcel->number = msg->retry.number;
        for (size_t i = 0; i < msg->retry.jobs.count; i++) {
            const struct leat_item_repeat *job = &msg->retry.jobs.items[i];
            add_lease(parcel, &job->id, job->delivery, job->attempt, 0);
        }
    } else if (msg->type == LEAT_MSG_RETURN) {
        parcel->round = msg->handback.round;
        parcel->number = msg->handback.number;
        for (size_t i = 0; i < msg->handback.jobs.count; i++) {
            const struct leat_item_lease *lease = &msg->handback.jobs.items[i];
            add_lease(parcel, &lease->id, lease->delivery, 0, 0);
        }
    } else if (msg->type == LEAT_MSG_PING) {
        parcel->round = msg->ping.round;
        parcel->number = msg->ping.number;
    } else if (msg->type == LEAT_MSG_GOODBYE) {
        parcel->round = msg->goodbye.round;
        parcel->number = msg->goodbye.number;
    } else if (msg->type == LEAT_MSG_RESULTS) {
        parcel->number = msg->results.batch;
        for (size_t i = 0; i < msg->results.results.count; i++) {
            const struct leat_item_result *r = &msg->results.results.items[i];
            add_lease(parcel, &r->id, r->delivery, r->attempts, r->status);
        }
    }
}

static void to_spawner(const struct leat_msg *msg)
{
    if (msg->type == LEAT_MSG_RUN) {
        for (size_t i = 0; i < msg->run.attempts.count; i++) {
            const struct leat_item_attempt *attempt = &msg->run.attempts.items[i];
            assert_true(w.running_count < LEASES_MAX);
            w.running[w.running_count++] =
                (struct lease){n_of(&attempt->id), attempt->delivery, attempt->attempt, 0};
        }
    } else if (msg->type == LEAT_MSG_RECALL) {
        w.recalled = true;
    } else {
        assert_int_equal(msg->type, LEAT_MSG_KILL);
        for (size_t i = 0; i < w.running_count; i++) {
            if (leat_id_is_zero(&msg->kill.id) || (n_of(&msg->kill.id) == w.running[i].n &&
                                                   msg->kill.delivery == w.running[i].delivery)) {
                w.running[i].status = LEAT_FAILURE_KILLED;
            }
        }
    }
}

static void on_send(void *context, const struct leat_action *action)
{
    (void)context;
    if (action->link == LEAT_LINK_SPAWNER) {
        to_spawner(&action->msg);
        return;
    }
    for (int copies = is_lost() ? 0 : !w.healed && chance(3) ? 2 : 1; copies > 0; copies--) {
        assert_true(w.tail - w.head < QUEUE_MAX);
        struct parcel *parcel = &w.queue[w.tail++ % QUEUE_MAX];
        *parcel = (struct parcel){.type = action->msg.type};
        pack(parcel, &action->msg);
    }
}

/* ---- the ventilator ---- */

static void hello(const struct parcel *parcel)
{
    if (w.known && parcel->round <= w.round) {
        return; /* came twice or late */
    }
    w.known = true;
    w.round = parcel->round;
    w.received = 0;
    w.credit = 0;
    w.pushed = 0;
    bool named[JOBS] = {false};
    struct leat_item_lease refused[LEASES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < parcel->count; i++) {
        const struct lease *lease = &parcel->leases[i];
        struct job *job = &w.jobs[lease->n];
        if (!w.healed && chance(5) && job->where == LEASED) {
            job->where = READY; /* the worker was too long away */
        }
        if (job->where == LEASED && job->delivery == lease->delivery) {
            named[lease->n] = true;
        } else {
            refused[count++] = (struct leat_item_lease){rig_id(lease->n + 1), lease->delivery};
        }
    }
    for (size_t n = 0; n < JOBS; n++) {
        if (w.jobs[n].where == LEASED && !named[n]) {
            w.jobs[n].where = READY;
        }
    }
    if (!is_lost() && w.round == w.rig.round) {
        rig_welcome(&w.rig, refused, count < 64 ? count : 64);
    }
}

static void retry_or_return(const struct parcel *parcel)
{
    for (size_t i = 0; i < parcel->count; i++) {
        struct job *job = &w.jobs[parcel->leases[i].n];
        if (job->where == LEASED && job->delivery == parcel->leases[i].delivery) {
            job->where = READY;
            if (parcel->type == LEAT_MSG_RETRY) {
                assert_int_equal(parcel->leases[i].attempt, job->attempt);
                job->attempt++;
            }
        }
    }
}

static void numbered(const struct parcel *parcel)
{
    if (!w.known) {
        rig_error(&w.rig, LEAT_ERR_UNKNOWN_SESSION);
        return;
    }
    if (parcel->round != w.round || parcel->number <= w.received) {
        return;
    }
    if (parcel->number != w.received + 1) {
        rig_error(&w.rig, LEAT_ERR_OUT_OF_ORDER);
        return;
    }
    w.received++;
    if (parcel->type == LEAT_MSG_CREDIT) {
        w.credit = parcel->total;
    } else if (parcel->type == LEAT_MSG_RETRY || parcel->type == LEAT_MSG_RETURN) {
        retry_or_return(parcel);
    } else if (parcel->type == LEAT_MSG_GOODBYE) {
        w.goodbyes++;
    } else if (w.round == w.rig.round) {
        if (is_lost()) {
            w.rig.number++;
        } else {
            rig_pong(&w.rig);
        }
    }
}

static void push(void)
{
    if (!w.known || w.round != w.rig.round || w.pushed >= w.credit) {
        return;
    }
    uint64_t first = leat_rng_below(&w.rng, JOBS);
    for (uint64_t i = 0; i < JOBS; i++) {
        uint64_t n = (first + i) % JOBS;
        struct job *job = &w.jobs[n];
        if (job->where == READY) {
            job->where = LEASED;
            job->delivery++;
            w.pushed++;
            struct rig_job pushed = {.n = n + 1,
                                     .delivery = job->delivery,
                                     .attempt = job->attempt,
                                     .type = n % 7 == 0 ? "b" : "a"};
            if (is_lost()) {
                w.rig.number++;
            } else {
                rig_push(&w.rig, &pushed);
            }
            return;
        }
    }
}

/* ---- the sink ---- */

static void results(const struct parcel *parcel)
{
    if (!w.healed && chance(5)) {
        struct leat_msg msg = {.type = LEAT_MSG_BUSY};
        msg.busy.sender = rig_id(0xabcdef);
        msg.busy.batch = parcel->number;
        msg.busy.retry_after_ms = 200;
        rig_message(&w.rig, LEAT_LINK_SINK, &msg);
        return;
    }
    for (size_t i = 0; i < parcel->count; i++) {
        const struct lease *result = &parcel->leases[i];
        struct job *job = &w.jobs[result->n];
        if (result->status == LEAT_STATE_SUCCEEDED) { /* no phantoms */
            assert_int_equal(result->attempt, job->succeeds_at);
        } else {
            assert_int_equal(result->status, LEAT_STATE_FAILED);
            assert_int_equal(result->attempt, 3);
        }
        job->results += job->where != DONE;
        job->where = DONE;
    }
    if (!is_lost()) {
        rig_stored(&w.rig, parcel->number);
    }
}

/* ---- the spawner ---- */

static void end_one_run(void)
{
    if (w.running_count == 0) {
        return;
    }
    size_t i = leat_rng_below(&w.rng, w.running_count);
    struct lease lease = w.running[i];
    w.running[i] = w.running[--w.running_count];
    struct rig_run run = {rig_id(lease.n + 1), lease.delivery, lease.attempt, 0, 0, {0}};
    if (lease.status == LEAT_FAILURE_KILLED && chance(80)) {
        rig_ran(&w.rig, &run, LEAT_FAILURE_KILLED, false, "killed");
    } else if (lease.attempt == w.jobs[lease.n].succeeds_at) {
        rig_ran(&w.rig, &run, LEAT_FAILURE_NONE, false, "");
    } else {
        rig_ran(&w.rig, &run, LEAT_FAILURE_EXIT, false, "exit status 1");
    }
}

static void answer_recall(void)
{
    struct leat_item_lease leases[LEASES_MAX];
    size_t count = 0;
    for (size_t i = w.running_count; i-- > 0;) {
        if (chance(50)) {
            leases[count++] =
                (struct leat_item_lease){rig_id(w.running[i].n + 1), w.running[i].delivery};
            w.running[i] = w.running[--w.running_count];
        }
    }
    struct leat_msg msg = {.type = LEAT_MSG_RECALLED};
    msg.recalled.jobs.items = leases;
    msg.recalled.jobs.count = count;
    rig_message(&w.rig, LEAT_LINK_SPAWNER, &msg);
}

/* ---- the run ---- */

static void carry_one(void)
{
    if (w.head == w.tail) {
        return;
    }
    static struct parcel parcel;
    parcel = w.queue[w.head++ % QUEUE_MAX];
    if (parcel.type == LEAT_MSG_HELLO) {
        hello(&parcel);
    } else if (parcel.type == LEAT_MSG_RESULTS) {
        results(&parcel);
    } else {
        numbered(&parcel);
    }
}

static void one_step(void)
{
    w.rig.run_count = 0; /* the spawner keeps its own list */
    if (w.recalled) {
        w.recalled = false;
        answer_recall();
    }
    uint64_t dice = leat_rng_below(&w.rng, 100);
    if (dice < 45) {
        carry_one();
    } else if (dice < 65) {
        push();
    } else if (dice < 85) {
        end_one_run();
    } else if (dice < 97 || w.healed) {
        rig_pass(&w.rig, (int64_t)leat_rng_below(&w.rng, dice < 90 ? 1000 : 300000));
    } else if (dice < 98) {
        w.known = false; /* the ventilator has restarted */
    } else {
        rig_step(&w.rig,
                 (struct leat_event){.kind = LEAT_EVENT_UNREACHABLE,
                                     .link = chance(50) ? LEAT_LINK_VENTILATOR : LEAT_LINK_SINK});
    }
}

static bool all_done(void)
{
    for (size_t n = 0; n < JOBS; n++) {
        if (w.jobs[n].where != DONE) {
            return false;
        }
    }
    return true;
}

static void begin(uint64_t seed)
{
    static const struct leat_worker_handler handlers[] = {{{"a", 1}, LEAT_WORKER_EXEC},
                                                          {{"b", 1}, LEAT_WORKER_PLUGIN}};
    memset(&w, 0, sizeof(w));
    leat_rng_init(&w.rng, seed);
    struct leat_worker_config config;
    rig_config(&config, 1 + leat_rng_below(&w.rng, 4), leat_rng_below(&w.rng, 8));
    config.handlers = handlers;
    config.handler_count = 2;
    config.seed = seed;
    config.prefetch_max = config.prefetch + leat_rng_below(&w.rng, 8);
    config.outbox_results_max = config.slots + config.prefetch_max + leat_rng_below(&w.rng, 8);
    struct leat_worker_rate rates[] = {{{"", 0}, {50, 1000000}, 5}, {{"b", 1}, {20, 1000000}, 2}};
    config.rates = rates;
    config.rate_count = leat_rng_below(&w.rng, 3);
    rig_init(&w.rig, &config);
    w.rig.quiet = true;
    w.rig.on_send = on_send;
    for (size_t n = 0; n < JOBS; n++) {
        w.jobs[n].attempt = 1;
        w.jobs[n].succeeds_at = 1 + leat_rng_below(&w.rng, 4); /* 4: never */
    }
    rig_tick(&w.rig);
}

static void every_job_ends_with_one_result_once_the_links_are_good(void **state)
{
    (void)state;
    uint64_t seed = rig_seed();
    for (uint64_t run = 0; run < RUNS; run++) {
        begin(seed + run);
        for (int i = 0; i < STEPS; i++) {
            one_step();
        }
        w.healed = true;
        int left = HEALED_STEPS;
        while (left > 0 && !(all_done() && leat_worker_counts(w.rig.worker).finished == 0)) {
            one_step();
            left--;
        }
        if (left == 0) {
            fail_msg("seed %llu does not come to an end", (unsigned long long)(seed + run));
        }
        for (size_t n = 0; n < JOBS; n++) {
            assert_int_equal(w.jobs[n].results, 1);
        }
        rig_fini(&w.rig);
    }
}

static void a_stopped_worker_ends_in_time_and_keeps_no_lease(void **state)
{
    (void)state;
    uint64_t seed = rig_seed();
    for (uint64_t run = 0; run < RUNS; run++) {
        begin(seed + 1000 + run);
        uint64_t steps = leat_rng_below(&w.rng, STEPS);
        for (uint64_t i = 0; i < steps; i++) {
            one_step();
        }
        w.healed = chance(50);
        bool was_healed = w.healed;
        rig_stop(&w.rig);
        int64_t until_us = w.rig.now.mono_us + INT64_C(61000000);
        while (!leat_worker_is_ended(w.rig.worker) && w.rig.now.mono_us < until_us) {
            one_step();
        }
        assert_true(leat_worker_is_ended(w.rig.worker));
        if (was_healed) {
            assert_int_equal(w.rig.exit_status, 0);
            struct leat_worker_counts counts = leat_worker_counts(w.rig.worker);
            assert_int_equal(counts.queued + counts.started + counts.finished, 0);
        }
        rig_fini(&w.rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_ends_with_one_result_once_the_links_are_good),
        cmocka_unit_test(a_stopped_worker_ends_in_time_and_keeps_no_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
