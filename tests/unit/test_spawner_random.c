/* Commands of all sorts, killed and taken back at any moment: whatever was sent ahead, each attempt
 * is answered once, and run once or not at all. */
#include "spawner_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "seed.h"

#define SLOTS       3
#define ATTEMPTS    800
#define OUTSTANDING 60
#define TIMEOUT     60000
#define HANG_MS     50 /* the timeout of those that hang */

/* Each writes that it has begun before it does anything else. */
static const char *const handlers[] = {
    "quick=echo begun $LEAT_HEADER_N >>$NOTES; echo ended $LEAT_HEADER_N >>$NOTES",
    "slow=echo begun $LEAT_HEADER_N >>$NOTES; sleep 0.03; echo ended $LEAT_HEADER_N >>$NOTES",
    "litter=echo begun $LEAT_HEADER_N >>$NOTES; setsid sleep $MARK & exit 3",
    "hang=echo begun $LEAT_HEADER_N >>$NOTES; exec sleep $MARK",
    "wait=echo begun $LEAT_HEADER_N >>$NOTES; exec sleep $MARK", /* until it is killed */
    "murder=echo begun $LEAT_HEADER_N >>$NOTES; kill -9 $PPID; exec sleep $MARK",
};
enum kind {
    QUICK,
    SLOW,
    LITTER,
    HANG,
    WAIT,
    MURDER,
};

struct attempt {
    enum kind kind;
    bool killed;
    bool answered;
    bool recalled;
    enum leat_failure failure;
    unsigned begun;
};

struct world {
    struct rig rig;
    struct leat_rng rng;
    char notes[64];
    struct attempt attempts[ATTEMPTS];
    size_t sent;
    size_t answered;
    size_t waits; /* the one that waits to be killed; 0: none does */
};

static bool chance(struct world *w, unsigned percent)
{
    return leat_rng_below(&w->rng, 100) < percent;
}

static enum kind choose(struct world *w)
{
    static const struct {
        enum kind kind;
        unsigned weight;
    } kinds[] = {{QUICK, 168}, {SLOW, 15}, {LITTER, 9}, {HANG, 4}, {WAIT, 2}, {MURDER, 2}};
    uint64_t dice = leat_rng_below(&w->rng, 200);
    size_t i = 0;
    while (dice >= kinds[i].weight) {
        dice -= kinds[i++].weight;
    }
    return kinds[i].kind == WAIT && w->waits != 0 ? QUICK : kinds[i].kind;
}

static void send_some(struct world *w)
{
    struct leat_item_attempt runs[20];
    struct leat_item_header headers[20];
    char names[20][16];
    size_t count = 1 + leat_rng_below(&w->rng, 20);
    count = w->sent + count > ATTEMPTS ? ATTEMPTS - w->sent : count;
    for (size_t i = 0; i < count; i++) {
        static const char *const types[] = {"quick", "slow", "litter", "hang", "wait", "murder"};
        const enum kind kind = choose(w);
        const size_t n = w->sent++;
        w->waits = kind == WAIT ? n : w->waits;
        w->attempts[n].kind = kind;
        runs[i] = rig_run((unsigned)n, types[kind], "", kind == HANG ? HANG_MS : TIMEOUT);
        snprintf(names[i], sizeof names[i], "%zu", n);
        headers[i] = (struct leat_item_header){leat_str_of("n"), leat_str_of(names[i])};
        runs[i].headers.items = &headers[i];
        runs[i].headers.count = 1;
    }
    rig_give_all(&w->rig, runs, count);
}

static struct attempt *answer_to(struct world *w, const struct leat_id *id)
{
    unsigned n = rig_number(id);
    assert_true(n < w->sent);
    assert_false(w->attempts[n].answered);
    w->attempts[n].answered = true;
    w->answered++;
    return &w->attempts[n];
}

static void judge(const struct attempt *attempt, const struct leat_item_outcome *ran)
{
    static const enum leat_failure expected[] = {LEAT_FAILURE_NONE,   LEAT_FAILURE_NONE,
                                                 LEAT_FAILURE_EXIT,   LEAT_FAILURE_TIMEOUT,
                                                 LEAT_FAILURE_KILLED, LEAT_FAILURE_SPAWN};
    if (ran->failure == LEAT_FAILURE_KILLED) {
        assert_true(attempt->killed);
        return;
    }
    assert_true(attempt->kind != WAIT);
    assert_int_equal(ran->failure, expected[attempt->kind]);
    if (attempt->kind == HANG) { /* from its own start, however long it has stood behind others */
        assert_true(ran->run_us >= HANG_MS * LEAT_US_PER_MS);
    }
}

static void receive(struct world *w)
{
    const struct leat_msg *msg = rig_receive(&w->rig);
    if (msg->type == LEAT_MSG_RECALLED) {
        for (size_t i = 0; i < msg->recalled.jobs.count; i++) {
            answer_to(w, &msg->recalled.jobs.items[i].id)->recalled = true;
        }
        return;
    }
    assert_int_equal(msg->type, LEAT_MSG_RAN);
    for (; w->rig.taken < msg->ran.outcomes.count; w->rig.taken++) {
        const struct leat_item_outcome *ran = &msg->ran.outcomes.items[w->rig.taken];
        struct attempt *attempt = answer_to(w, &ran->id);
        attempt->failure = (enum leat_failure)ran->failure;
        judge(attempt, ran);
    }
}

static void kill_one(struct world *w, size_t n)
{
    if (!w->attempts[n].answered && n > 0) { /* number 0 would mean all */
        w->attempts[n].killed = true;
        rig_kill(&w->rig, (unsigned)n);
    }
}

static void kill_some(struct world *w)
{
    if (chance(w, 20)) {
        kill_one(w, w->sent - 1 - leat_rng_below(&w->rng, w->sent < 40 ? w->sent : 40));
    }
    if (w->waits != 0 && (chance(w, 30) || w->sent - w->answered < 10)) {
        kill_one(w, w->waits);
        w->waits = 0;
    }
}

/* What the commands have written, against what was answered. */
static void compare(struct world *w)
{
    FILE *file = fopen(w->notes, "r");
    assert_non_null(file);
    char word[16];
    size_t n;
    size_t running = 0;
    while (fscanf(file, "%15s %zu", word, &n) == 2) {
        assert_true(n < ATTEMPTS);
        struct attempt *attempt = &w->attempts[n];
        /* Those that were ended by force do not write when. */
        const bool counts = attempt->failure == LEAT_FAILURE_NONE && !attempt->recalled;
        if (strcmp(word, "begun") == 0) {
            attempt->begun++;
            running += counts;
            assert_true(running <= SLOTS);
        } else {
            running -= counts;
        }
    }
    fclose(file);
    for (size_t i = 0; i < w->sent; i++) {
        const struct attempt *attempt = &w->attempts[i];
        if (attempt->recalled) {
            assert_int_equal(attempt->begun, 0);
        } else if (attempt->failure == LEAT_FAILURE_KILLED ||
                   attempt->failure == LEAT_FAILURE_TIMEOUT) {
            assert_true(attempt->begun <= 1); /* it may have come no further than to its start */
        } else {
            assert_int_equal(attempt->begun, 1);
        }
    }
}

static void each_attempt_is_answered_once_and_run_once_or_never(void **state)
{
    (void)state;
    static struct world w;
    w = (struct world){.rng = leat_seed_rng("spawner"), .notes = "/tmp/leat-spawner-notes-XXXXXX"};
    int fd = mkstemp(w.notes);
    assert_true(fd >= 0);
    close(fd);
    setenv("NOTES", w.notes, 1);
    rig_init(&w.rig);
    w.rig.config.slots = SLOTS;
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        rig_add_shell(&w.rig, handlers[i]);
    }
    rig_start(&w.rig);
    while (w.answered < ATTEMPTS) {
        if (w.sent < ATTEMPTS && w.sent - w.answered < OUTSTANDING && chance(&w, 50)) {
            send_some(&w);
        } else if (w.sent > w.answered) {
            kill_some(&w);
            if (chance(&w, 2)) {
                rig_recall(&w.rig);
            }
            receive(&w);
        }
    }
    rig_fini(&w.rig);
    compare(&w);
    unlink(w.notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_attempt_is_answered_once_and_run_once_or_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
