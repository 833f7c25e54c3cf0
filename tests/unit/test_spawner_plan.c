/* Which attempt goes to which slot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/spawner/plan.h"

#define EXEC   LEAT_SPAWNER_EXEC
#define PLUGIN LEAT_SPAWNER_PLUGIN

static void add(struct leat_plan *plan, uint64_t number, enum leat_spawner_kind kind)
{
    const struct leat_item_attempt run = {.delivery = number, .timeout_ms = 1};
    assert_non_null(leat_plan_add(plan, &run, 5, kind, 0));
}

/* "number:slot" of each attempt that can be given out now. */
static const char *give_out(struct leat_plan *plan, char text[512])
{
    size_t slot;
    text[0] = '\0';
    for (struct leat_attempt *attempt = leat_plan_next(plan, &slot); attempt != NULL;
         attempt = leat_plan_next(plan, &slot)) {
        size_t size = strlen(text);
        snprintf(text + size, 512 - size, "%s%llu:%zu", size == 0 ? "" : " ",
                 (unsigned long long)attempt->delivery, slot);
    }
    return text;
}

static void finish(struct leat_plan *plan, size_t slot)
{
    leat_plan_drop(plan, slot, leat_plan_head(plan, slot));
}

static void clear(struct leat_plan *plan)
{
    for (size_t i = 0; i < plan->slots_count; i++) {
        leat_plan_give_back(plan, i, 0);
    }
    while (!leat_list_is_empty(&plan->waiting)) {
        leat_plan_drop(plan, LEAT_PLAN_WAITING, leat_attempt_of(leat_list_first(&plan->waiting)));
    }
    assert_int_equal(plan->held_bytes, 0);
    leat_plan_fini(plan);
}

static void commands_fill_empty_slots_first_and_then_follow_each_other(void **state)
{
    (void)state;
    struct leat_plan plan;
    char text[512];
    assert_int_equal(leat_plan_init(&plan, 2, 64), LEAT_OK);
    for (uint64_t i = 1; i <= 4; i++) {
        add(&plan, i, EXEC);
    }
    assert_string_equal(give_out(&plan, text), "1:0 2:1");
    finish(&plan, 1);
    assert_string_equal(give_out(&plan, text), "3:1");
    finish(&plan, 1);
    finish(&plan, 0);
    assert_string_equal(give_out(&plan, text), "4:0");
    for (int i = 0; i < 10; i++) {
        leat_plan_note_quick(&plan, 0, 0);
    }
    for (uint64_t i = 5; i <= LEAT_PIPELINE_COMMANDS + 10; i++) {
        add(&plan, i, EXEC);
    }
    char rest[512];
    (void)give_out(&plan, rest);
    assert_memory_equal(rest, "5:1 6:0 7:0 8:0", 15);
    assert_int_equal(plan.slots[1].flight.count, 1);
    assert_int_equal(plan.slots[0].flight.count, LEAT_PIPELINE_COMMANDS);
    clear(&plan);
}

static void a_slot_forgets_how_quick_it_was_when_the_other_kind_comes(void **state)
{
    (void)state;
    struct leat_plan plan;
    char text[512];
    assert_int_equal(leat_plan_init(&plan, 1, 64), LEAT_OK);
    add(&plan, 1, PLUGIN);
    assert_string_equal(give_out(&plan, text), "1:0");
    leat_plan_note_quick(&plan, 0, 0);
    leat_plan_note_quick(&plan, 0, 0);
    add(&plan, 2, EXEC);
    add(&plan, 3, EXEC);
    assert_string_equal(give_out(&plan, text), "");
    finish(&plan, 0);
    assert_string_equal(give_out(&plan, text), "2:0");
    finish(&plan, 0);
    assert_string_equal(give_out(&plan, text), "3:0");
    clear(&plan);
}

static void a_slot_is_crowded_only_while_another_has_nothing_to_do(void **state)
{
    (void)state;
    struct leat_plan plan;
    char text[512];
    assert_int_equal(leat_plan_init(&plan, 3, 64), LEAT_OK);
    for (uint64_t i = 1; i <= 3; i++) {
        add(&plan, i, EXEC);
    }
    assert_string_equal(give_out(&plan, text), "1:0 2:1 3:2");
    for (size_t i = 0; i < 3; i++) {
        leat_plan_note_quick(&plan, i, 0);
    }
    leat_plan_note_quick(&plan, 1, 0);
    for (uint64_t i = 4; i <= 8; i++) {
        add(&plan, i, EXEC);
    }
    assert_string_equal(give_out(&plan, text), "4:0 5:1 6:2 7:1 8:1");
    assert_int_equal(leat_plan_crowded(&plan), LEAT_PLAN_NONE);
    finish(&plan, 0);
    assert_int_equal(leat_plan_crowded(&plan), LEAT_PLAN_NONE);
    finish(&plan, 0);
    assert_int_equal(leat_plan_crowded(&plan), 1);
    plan.slots[0].closed = true;
    assert_int_equal(leat_plan_crowded(&plan), LEAT_PLAN_NONE);
    plan.slots[0].closed = false;
    leat_plan_give_back(&plan, 1, 2);
    assert_int_equal(leat_plan_crowded(&plan), LEAT_PLAN_NONE); /* somebody waits for it */
    assert_string_equal(give_out(&plan, text), "7:0 8:0");
    finish(&plan, 2);
    finish(&plan, 2);
    assert_int_equal(leat_plan_crowded(&plan), 0);
    finish(&plan, 0);
    finish(&plan, 1);
    assert_int_equal(leat_plan_crowded(&plan), LEAT_PLAN_NONE); /* each has one, which runs */
    add(&plan, 9, PLUGIN);
    assert_string_equal(give_out(&plan, text), "9:2");
    leat_plan_note_quick(&plan, 2, 0);
    add(&plan, 10, PLUGIN);
    assert_string_equal(give_out(&plan, text), "10:2");
    finish(&plan, 0);
    assert_int_equal(leat_plan_crowded(&plan), LEAT_PLAN_NONE); /* what plug-ins have stays */
    clear(&plan);
}

static void plug_in_attempts_fill_empty_slots_first_and_then_follow_each_other(void **state)
{
    (void)state;
    struct leat_plan plan;
    char text[512];
    assert_int_equal(leat_plan_init(&plan, 2, 4), LEAT_OK);
    for (uint64_t i = 1; i <= 12; i++) {
        add(&plan, i, PLUGIN);
    }
    assert_string_equal(give_out(&plan, text), "1:0 2:1");
    leat_plan_note_quick(&plan, 0, 0);
    assert_string_equal(give_out(&plan, text), "3:0");
    leat_plan_note_quick(&plan, 0, 0);
    leat_plan_note_quick(&plan, 0, 0);
    leat_plan_note_quick(&plan, 1, 0);
    assert_string_equal(give_out(&plan, text), "4:1 5:0 6:0");
    leat_plan_note_slow(&plan, 0);
    finish(&plan, 0);
    assert_string_equal(give_out(&plan, text), "");
    leat_plan_give_back(&plan, 0, 1);
    finish(&plan, 1);
    assert_string_equal(give_out(&plan, text), "5:1");
    finish(&plan, 0);
    assert_string_equal(give_out(&plan, text), "6:0");
    clear(&plan);
}

static void run_many(struct leat_plan *plan, uint64_t run_us)
{
    for (int i = 0; i < 100; i++) {
        leat_plan_note_quick(plan, 0, run_us);
    }
}

static void a_flight_is_no_longer_than_ends_in_half_a_second(void **state)
{
    (void)state;
    struct leat_plan plan;
    size_t slot;
    enum { MOST = 1024 };
    assert_int_equal(leat_plan_init(&plan, 1, MOST), LEAT_OK);
    const struct {
        uint64_t run_us;
        size_t depth;
    } paces[] = {{1, MOST}, {488, MOST}, {489, 1022}, {2000, 250}, {4999, 100}, {488, MOST}};
    add(&plan, 1, PLUGIN);
    assert_non_null(leat_plan_next(&plan, &slot));
    for (size_t i = 0; i < sizeof paces / sizeof paces[0]; i++) {
        run_many(&plan, paces[i].run_us);
        run_many(&plan, paces[i].run_us);
        assert_in_range(plan.slots[0].depth, paces[i].depth - paces[i].depth / 50, paces[i].depth);
    }
    run_many(&plan, 0);
    for (uint64_t i = 2; i <= MOST + 10; i++) {
        add(&plan, i, PLUGIN);
    }
    while (leat_plan_next(&plan, &slot) != NULL) {
    }
    assert_int_equal(plan.slots[0].flight.count, MOST);
    leat_plan_note_quick(&plan, 0, 4999); /* one among many */
    assert_false(leat_plan_is_too_long(&plan, 0));
    run_many(&plan, 970);
    assert_false(leat_plan_is_too_long(&plan, 0));
    run_many(&plan, 980);
    assert_true(leat_plan_is_too_long(&plan, 0));
    leat_plan_give_back(&plan, 0, 200);
    run_many(&plan, 4990);
    assert_false(leat_plan_is_too_long(&plan, 0));
    clear(&plan);
}

/* Attempts of 1 to 5 ms, and always enough that wait. */
static void a_pace_that_wavers_takes_nothing_back(void **state)
{
    (void)state;
    struct leat_plan plan;
    size_t slot;
    uint64_t random = 1;
    uint64_t number = 0;
    size_t long_ones = 0;
    assert_int_equal(leat_plan_init(&plan, 1, 1024), LEAT_OK);
    for (int i = 0; i < 20000; i++) {
        while (plan.waiting.count < 10) {
            add(&plan, ++number, PLUGIN);
        }
        while (leat_plan_next(&plan, &slot) != NULL) {
            add(&plan, ++number, PLUGIN);
        }
        leat_plan_drop(&plan, 0, leat_plan_head(&plan, 0));
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
        leat_plan_note_quick(&plan, 0, 1000 + (random >> 33) % 4000);
        long_ones += leat_plan_is_too_long(&plan, 0) ? 1 : 0;
    }
    assert_in_range(plan.slots[0].flight.count, 100, 300);
    assert_int_equal(long_ones, 0);
    clear(&plan);
}

static void commands_and_plugins_have_paces_of_their_own(void **state)
{
    (void)state;
    struct leat_plan plan;
    size_t slot;
    assert_int_equal(leat_plan_init(&plan, 1, 1024), LEAT_OK);
    add(&plan, 1, EXEC);
    assert_non_null(leat_plan_next(&plan, &slot));
    run_many(&plan, 9000);
    leat_plan_drop(&plan, 0, leat_plan_head(&plan, 0));
    add(&plan, 2, PLUGIN);
    assert_non_null(leat_plan_next(&plan, &slot));
    for (int i = 0; i < 10; i++) {
        leat_plan_note_quick(&plan, 0, 5);
    }
    assert_int_equal(plan.slots[0].depth, 1024);
    clear(&plan);
}

static void what_is_given_back_goes_to_its_old_place(void **state)
{
    (void)state;
    struct leat_plan plan;
    char text[512];
    assert_int_equal(leat_plan_init(&plan, 2, 64), LEAT_OK);
    add(&plan, 1, EXEC);
    add(&plan, 2, EXEC);
    assert_string_equal(give_out(&plan, text), "1:0 2:1");
    for (size_t i = 0; i < 6; i++) {
        leat_plan_note_quick(&plan, i % 2, 0);
    }
    for (uint64_t i = 3; i <= 8; i++) {
        add(&plan, i, EXEC);
    }
    assert_string_equal(give_out(&plan, text), "3:0 4:1 5:0 6:1 7:0 8:1");
    add(&plan, 9, EXEC);
    for (size_t i = 0; i < 2; i++) { /* the slot with the later ones last */
        leat_plan_note_slow(&plan, i);
        leat_plan_give_back(&plan, i, 1);
    }
    finish(&plan, 1);
    assert_string_equal(give_out(&plan, text), "3:1");
    for (uint64_t i = 4; i <= 9; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, "%d:0", (int)i);
        finish(&plan, 0);
        assert_string_equal(give_out(&plan, text), expected);
    }
    clear(&plan);
}

static void a_command_waits_for_an_empty_slot_and_nothing_passes_it(void **state)
{
    (void)state;
    struct leat_plan plan;
    char text[512];
    assert_int_equal(leat_plan_init(&plan, 1, 4), LEAT_OK);
    add(&plan, 1, PLUGIN);
    assert_string_equal(give_out(&plan, text), "1:0");
    leat_plan_note_quick(&plan, 0, 0);
    leat_plan_note_quick(&plan, 0, 0);
    add(&plan, 2, EXEC);
    add(&plan, 3, PLUGIN);
    assert_string_equal(give_out(&plan, text), "");
    finish(&plan, 0);
    assert_string_equal(give_out(&plan, text), "2:0");
    finish(&plan, 0);
    assert_string_equal(give_out(&plan, text), "3:0");
    clear(&plan);
}

static void a_closed_slot_gets_nothing_and_a_warm_one_is_for_plug_ins(void **state)
{
    (void)state;
    struct leat_plan plan;
    char text[512];
    assert_int_equal(leat_plan_init(&plan, 3, 4), LEAT_OK);
    plan.slots[0].closed = true;
    plan.slots[2].warm = true;
    add(&plan, 1, PLUGIN);
    add(&plan, 2, EXEC);
    add(&plan, 3, EXEC);
    assert_string_equal(give_out(&plan, text), "1:2 2:1");
    plan.slots[0].closed = false;
    assert_string_equal(give_out(&plan, text), "3:0");
    clear(&plan);
}

static void large_orders_are_not_sent_ahead(void **state)
{
    (void)state;
    struct leat_plan plan;
    char text[512];
    assert_int_equal(leat_plan_init(&plan, 1, 4), LEAT_OK);
    for (uint64_t i = 1; i <= 3; i++) {
        const struct leat_item_attempt run = {.delivery = i};
        assert_non_null(leat_plan_add(&plan, &run, 200 << 10, PLUGIN, 0));
    }
    assert_string_equal(give_out(&plan, text), "1:0");
    leat_plan_note_quick(&plan, 0, 0);
    leat_plan_note_quick(&plan, 0, 0);
    assert_string_equal(give_out(&plan, text), "");
    finish(&plan, 0);
    assert_string_equal(give_out(&plan, text), "2:0");
    clear(&plan);
}

/* Whatever happens: every attempt is in one place; those that wait do so in their order; a flight
 * is of one kind; no slot has more than its depth; a closed slot gets nothing. */
static void no_attempt_is_lost_or_doubled_in_random_runs(void **state)
{
    (void)state;
    const char *text = getenv("LEAT_SEED");
    unsigned seed = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 20260101;
    print_message("LEAT_SEED=%u\n", seed);
    srand(seed);
    for (int round = 0; round < 200; round++) {
        struct leat_plan plan;
        const size_t slots = 1 + (size_t)rand() % 5;
        assert_int_equal(leat_plan_init(&plan, slots, 16), LEAT_OK);
        uint64_t added = 0;
        uint64_t finished = 0;
        uint64_t given = 0;
        for (int step = 0; step < 300; step++) {
            size_t slot = (size_t)rand() % slots;
            switch (rand() % 7) {
            case 0:
            case 1:
                add(&plan, ++added, rand() % 4 == 0 ? EXEC : PLUGIN);
                break;
            case 2:
                if (leat_plan_head(&plan, slot) != NULL) {
                    finish(&plan, slot);
                    finished++;
                }
                break;
            case 3:
                leat_plan_note_quick(&plan, slot, 0);
                break;
            case 4:
                if (rand() % 4 == 0) {
                    leat_plan_note_slow(&plan, slot);
                    leat_plan_give_back(&plan, slot, 1);
                }
                break;
            case 5:
                plan.slots[slot].closed = rand() % 2 == 0;
                break;
            default:
                for (struct leat_attempt *attempt = leat_plan_next(&plan, &slot); attempt != NULL;
                     attempt = leat_plan_next(&plan, &slot)) {
                    const struct leat_plan_slot *to = &plan.slots[slot];
                    given++;
                    assert_false(to->closed);
                    assert_true(to->flight.count == 1 ||
                                (to->flight.count <= to->depth &&
                                 leat_plan_head(&plan, slot)->kind == attempt->kind));
                    assert_true(attempt->kind == PLUGIN || to->depth <= LEAT_PIPELINE_COMMANDS);
                }
            }
            uint64_t last = 0;
            for (struct leat_list_node *node = leat_list_first(&plan.waiting); node != NULL;
                 node = leat_list_next(&plan.waiting, node)) {
                assert_true(leat_attempt_of(node)->number > last);
                last = leat_attempt_of(node)->number;
            }
            size_t held = plan.waiting.count;
            for (size_t i = 0; i < slots; i++) {
                held += plan.slots[i].flight.count;
                assert_int_equal(plan.slots[i].bytes, 5 * plan.slots[i].flight.count);
            }
            assert_int_equal(held, added - finished);
            assert_int_equal(plan.held_bytes, 5 * held);
        }
        assert_true(given >= finished);
        clear(&plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_fill_empty_slots_first_and_then_follow_each_other),
        cmocka_unit_test(a_slot_forgets_how_quick_it_was_when_the_other_kind_comes),
        cmocka_unit_test(a_slot_is_crowded_only_while_another_has_nothing_to_do),
        cmocka_unit_test(plug_in_attempts_fill_empty_slots_first_and_then_follow_each_other),
        cmocka_unit_test(a_flight_is_no_longer_than_ends_in_half_a_second),
        cmocka_unit_test(a_pace_that_wavers_takes_nothing_back),
        cmocka_unit_test(commands_and_plugins_have_paces_of_their_own),
        cmocka_unit_test(what_is_given_back_goes_to_its_old_place),
        cmocka_unit_test(a_command_waits_for_an_empty_slot_and_nothing_passes_it),
        cmocka_unit_test(a_closed_slot_gets_nothing_and_a_warm_one_is_for_plug_ins),
        cmocka_unit_test(large_orders_are_not_sent_ahead),
        cmocka_unit_test(no_attempt_is_lost_or_doubled_in_random_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
