/* Large payloads in shared memory: the ring alone against a list of what was put, and attempts
 * whose payloads lie there, under real processes. */
#include "spawner_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/rng.h"
#include "worker/spawner/bodies.h"

#define TIMEOUT   10000
#define RING      (1u << 20)
#define PIECES    64
#define ROUNDS    20000
#define LARGE     (1u << 20)
#define MANY      100 /* of LARGE: three times what there is room for */
#define UNIQUE_AT 8

static unsigned seed(void)
{
    const char *text = getenv("LEAT_SEED");
    unsigned value = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 20260101;
    print_message("LEAT_SEED=%u\n", value);
    return value;
}

/* ---- the ring ---- */

struct kept {
    size_t size;
    uint8_t fill;
    struct leat_bytes payload;
    _Atomic uint32_t *done; /* NULL: not in use */
};

static void assert_kept(const struct kept *kept)
{
    assert_int_equal(kept->payload.size, kept->size);
    for (size_t i = 0; i < kept->size; i++) {
        if (kept->payload.data[i] != kept->fill) {
            fail_msg("byte %zu of %zu has been written over", i, kept->size);
        }
    }
    assert_int_equal(kept->payload.data[kept->size], 0);
}

static void put(struct leat_bodies *bodies, struct leat_rng *rng, struct kept *ret)
{
    static uint8_t bytes[RING];
    uint64_t bound = leat_rng_below(rng, 10) == 0 ? RING : 100000;
    struct kept kept = {.size = (size_t)leat_rng_below(rng, bound),
                        .fill = (uint8_t)(1 + leat_rng_below(rng, 255))};
    struct leat_bytes place;
    memset(bytes, kept.fill, kept.size);
    if (leat_bodies_put(bodies, leat_bytes_of(bytes, kept.size), &place)) {
        assert_int_equal(leat_bodies_find(bodies, place, &kept.payload, &kept.done), LEAT_OK);
        assert_int_equal((uintptr_t)kept.payload.data % LEAT_BODIES_ALIGN, 0);
        *ret = kept;
    }
}

static void pieces_stay_as_they_are_until_they_are_done(void **state)
{
    (void)state;
    static struct kept all[PIECES];
    struct leat_bodies bodies;
    struct leat_rng rng;
    leat_rng_init(&rng, seed());
    assert_int_equal(leat_bodies_open(&bodies, RING), LEAT_OK);
    size_t put_count = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct kept *one = &all[leat_rng_below(&rng, PIECES)];
        if (one->done == NULL) {
            put(&bodies, &rng, one);
            put_count += one->done != NULL;
        } else if (leat_rng_below(&rng, 3) > 0) { /* in any order */
            assert_kept(one);
            leat_bodies_done(one->done);
            *one = (struct kept){0};
        }
    }
    assert_true(put_count > ROUNDS / 20);
    for (int i = 0; i < PIECES; i++) {
        if (all[i].done != NULL) {
            assert_kept(&all[i]);
            leat_bodies_done(all[i].done);
        }
    }
    /* Then all of it is free again. */
    static uint8_t whole[RING];
    struct leat_bytes place;
    size_t most = RING - LEAT_BODIES_ALIGN - 1;
    assert_false(leat_bodies_put(&bodies, leat_bytes_of(whole, most + 1), &place));
    assert_true(leat_bodies_put(&bodies, leat_bytes_of(whole, most), &place));
    assert_false(leat_bodies_put(&bodies, leat_bytes_of(whole, 0), &place));
    leat_bodies_drop(&bodies, &place, 1);
    assert_true(leat_bodies_put(&bodies, leat_bytes_of(whole, 0), &place));
    leat_bodies_close(&bodies);
}

static void places_that_are_none_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t at, size;
    } places[] = {{RING, 0},      {RING - 64, 0},   {1, 10},
                  {0, RING - 64}, {64, RING - 128}, {UINT64_MAX - 63, 0}};
    struct leat_bodies bodies;
    struct leat_bytes payload;
    _Atomic uint32_t *done;
    assert_int_equal(leat_bodies_open(&bodies, RING), LEAT_OK);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct leat_bytes place = leat_bytes_of(&places[i], sizeof places[i]);
        assert_int_equal(leat_bodies_find(&bodies, place, &payload, &done), LEAT_ERR_MALFORMED);
        place.size--;
        assert_int_equal(leat_bodies_find(&bodies, place, &payload, &done), LEAT_ERR_MALFORMED);
    }
    leat_bodies_close(&bodies);
    assert_false(leat_bodies_put(&bodies, leat_bytes_of("x", 1), &payload));
}

/* ---- attempts ---- */

static void start(struct rig *rig, size_t slots)
{
    rig_init(rig);
    rig_add_exec(rig, "cat=cat");
    rig->config.slots = slots;
    rig->config.result_bytes_max = 2 * LARGE;
    struct leat_why why = {""};
    if (leat_spawner_add_plugin(&rig->config, LEAT_TEST_PLUGIN, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    rig_start(rig);
}

/* A payload that tells its number at both ends. */
static struct leat_bytes payload_of(unsigned number, size_t size)
{
    static uint8_t bytes[LARGE];
    assert_true(size >= 2 * UNIQUE_AT && size <= sizeof bytes);
    memset(bytes, (int)(number % 200), size);
    memcpy(bytes, &number, sizeof number);
    memcpy(bytes + size - UNIQUE_AT, &number, sizeof number);
    return leat_bytes_of(bytes, size);
}

/* False: there is no room. */
static bool give_apart(struct rig *rig, unsigned number, const char *type, size_t size)
{
    struct leat_item_attempt run = rig_run(number, type, "", TIMEOUT);
    struct leat_msg msg = {.type = LEAT_MSG_RUN};
    if (!leat_bodies_put(&rig->spawner.bodies, payload_of(number, size), &run.payload)) {
        return false;
    }
    msg.run.attempts.items = &run;
    msg.run.attempts.count = 1;
    msg.run.apart = true;
    rig_send(rig, &msg);
    return true;
}

static void assert_room_for_all(struct rig *rig)
{
    struct leat_bytes place;
    static uint8_t whole[LEAT_BODIES_BYTES - LEAT_BODIES_ALIGN - 1];
    assert_true(leat_bodies_put(&rig->spawner.bodies, leat_bytes_of(whole, sizeof whole), &place));
    leat_bodies_drop(&rig->spawner.bodies, &place, 1);
}

static void plug_ins_and_commands_get_payloads_that_lie_apart(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 2);
    for (unsigned number = 1; number <= MANY; number++) {
        assert_true(give_apart(&rig, number, number % 10 == 0 ? "cat" : "echo", LARGE));
        const struct leat_item_outcome *ran = rig_ran(&rig);
        struct leat_bytes payload = payload_of(number, LARGE);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
        assert_int_equal(ran->output.size, payload.size);
        assert_memory_equal(ran->output.data, payload.data, payload.size);
    }
    assert_true(give_apart(&rig, 1, "place", 12345));
    rig_assert_output(rig_ran(&rig), "0 0 12345");
    assert_room_for_all(&rig);
    rig_fini(&rig);
}

static void room_comes_back_whatever_becomes_of_the_attempt(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        enum leat_failure failure;
    } cases[] = {
        {"echo", LEAT_FAILURE_NONE},     {"fail", LEAT_FAILURE_HANDLER},
        {"crash", LEAT_FAILURE_SIGNAL},  {"unknown", LEAT_FAILURE_NO_HANDLER},
        {"leave", LEAT_FAILURE_HANDLER}, {"cat", LEAT_FAILURE_NONE},
        {"spoil", LEAT_FAILURE_SIGNAL},
    };
    struct rig rig;
    start(&rig, 1);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(give_apart(&rig, i + 1, cases[i].type, LARGE));
        assert_int_equal(rig_ran(&rig)->failure, cases[i].failure);
        assert_room_for_all(&rig);
    }
    /* One that runs, if it was begun, is killed; the others are given back. */
    for (unsigned number = 1; number <= 5; number++) {
        assert_true(give_apart(&rig, number, "hang", LARGE));
    }
    rig_recall(&rig);
    const struct leat_msg *msg = rig_receive(&rig);
    assert_int_equal(msg->type, LEAT_MSG_RECALLED);
    assert_true(msg->recalled.jobs.count >= 4);
    if (msg->recalled.jobs.count == 4) {
        rig_kill(&rig, 1);
        assert_int_equal(rig_ran(&rig)->failure, LEAT_FAILURE_KILLED);
    }
    assert_room_for_all(&rig);
    rig_fini(&rig);
}

static void a_handler_cannot_write_over_the_payload_of_another(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1);
    for (unsigned number = 1; number <= 9; number++) {
        assert_true(give_apart(&rig, number, number % 2 == 0 ? "echo" : "spoil", 100000));
    }
    for (unsigned number = 1; number <= 9; number++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        if (number % 2 == 1) {
            assert_int_equal(ran->failure, LEAT_FAILURE_SIGNAL);
            assert_int_equal(ran->code, SIGSEGV);
        } else {
            struct leat_bytes payload = payload_of(number, 100000);
            assert_int_equal(ran->output.size, payload.size);
            assert_memory_equal(ran->output.data, payload.data, payload.size);
        }
    }
    rig_fini(&rig);
}

static uint64_t mapped_bytes(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu", &pages), 1);
    fclose(statm);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void what_is_shared_does_not_count_as_memory_of_a_plug_in(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.config.memory_bytes_max = mapped_bytes() + LEAT_BODIES_BYTES / 2;
    struct leat_why why = {""};
    assert_int_equal(leat_spawner_add_plugin(&rig.config, LEAT_TEST_PLUGIN, &why), LEAT_OK);
    rig_start(&rig);
    assert_true(give_apart(&rig, 1, "place", LARGE));
    rig_assert_output(rig_ran(&rig), "0 0 1048576");
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_stay_as_they_are_until_they_are_done),
        cmocka_unit_test(places_that_are_none_are_refused),
        cmocka_unit_test(plug_ins_and_commands_get_payloads_that_lie_apart),
        cmocka_unit_test(room_comes_back_whatever_becomes_of_the_attempt),
        cmocka_unit_test(a_handler_cannot_write_over_the_payload_of_another),
        cmocka_unit_test(what_is_shared_does_not_count_as_memory_of_a_plug_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
