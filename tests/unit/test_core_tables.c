/* The tables that other machines and stored records depend on. */
#include "core/messages.h"
#include "core/step.h"

#include <string.h>

#include "cmocka_all.h"

struct named {
    uint64_t number;
    const char *name;
};

static const struct named types[] = {
#define ROW(NAME, name, number, direction, doc) {number, #name},
    LEAT_MESSAGES(ROW)
#undef ROW
};

static const struct named golden_types[] = {
    {0x01, "error"},    {0x10, "submit"}, {0x11, "accepted"}, {0x12, "busy"},
    {0x13, "rejected"}, {0x14, "resend"}, {0x20, "hello"},    {0x21, "welcome"},
    {0x22, "jobs"},     {0x23, "credit"}, {0x24, "retry"},    {0x25, "handback"},
    {0x26, "ping"},     {0x27, "pong"},   {0x28, "goodbye"},  {0x29, "drain"},
    {0x30, "results"},  {0x31, "stored"}, {0x32, "follow"},   {0x33, "settled"},
    {0x34, "gauges"},   {0x35, "quit"},   {0x40, "control"},  {0x41, "done"},
    {0x42, "lookup"},   {0x43, "found"},  {0x50, "query"},    {0x51, "answers"},
    {0x52, "finished"}, {0x53, "rerun"},  {0x60, "run"},      {0x61, "ran"},
    {0x62, "kill"},     {0x63, "recall"}, {0x64, "recalled"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void assert_unique(const struct named *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].number, rows[j].number);
            assert_string_not_equal(rows[i].name, rows[j].name);
        }
    }
}

static void message_numbers_and_names_are_unique(void **state)
{
    (void)state;
    assert_unique(types, COUNT(types));
}

static void message_numbers_never_change(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(golden_types); i++) {
        bool found = false;
        for (size_t j = 0; j < COUNT(types); j++) {
            if (types[j].number == golden_types[i].number) {
                assert_string_equal(types[j].name, golden_types[i].name);
                found = true;
            }
        }
        assert_true(found);
    }
}

static void error_numbers_are_unique(void **state)
{
    (void)state;
    static const struct named rows[] = {
#define ERR(name, number, text) {number, #name},
#include "core/err.def"
#undef ERR
    };
    assert_unique(rows, COUNT(rows));
}

static void failures_keep_their_numbers_and_names(void **state)
{
    (void)state;
    static const struct {
        enum leat_failure failure;
        uint64_t number;
        const char *name;
        bool is_retried;
    } golden[] = {
        {LEAT_FAILURE_NONE, 0, "none", false},
        {LEAT_FAILURE_EXIT, 1, "exit", true},
        {LEAT_FAILURE_SIGNAL, 2, "signal", true},
        {LEAT_FAILURE_TIMEOUT, 3, "timeout", true},
        {LEAT_FAILURE_TOO_LARGE, 4, "too_large", false},
        {LEAT_FAILURE_NO_HANDLER, 5, "no_handler", true},
        {LEAT_FAILURE_HANDLER, 6, "handler", true},
        {LEAT_FAILURE_SPAWN, 7, "spawn", true},
        {LEAT_FAILURE_LOST, 8, "lost", false},
        {LEAT_FAILURE_EXPIRED, 9, "expired", false},
        {LEAT_FAILURE_MALFORMED, 10, "malformed", false},
        {LEAT_FAILURE_KILLED, 11, "killed", true},
    };
    for (size_t i = 0; i < COUNT(golden); i++) {
        enum leat_failure parsed;
        assert_int_equal(golden[i].failure, golden[i].number);
        assert_string_equal(leat_failure_name(golden[i].number), golden[i].name);
        assert_int_equal(leat_failure_is_retried(golden[i].failure), golden[i].is_retried);
        assert_int_equal(leat_failure_parse(leat_str_of(golden[i].name), &parsed), LEAT_OK);
        assert_int_equal(parsed, golden[i].failure);
    }
}

static void unknown_failures_are_refused_and_called_unknown(void **state)
{
    (void)state;
    enum leat_failure untouched = LEAT_FAILURE_SPAWN;
    assert_int_equal(leat_failure_parse(leat_str_of("exi"), &untouched), LEAT_ERR_NOT_FOUND);
    assert_int_equal(leat_failure_parse(leat_str_of(""), &untouched), LEAT_ERR_NOT_FOUND);
    assert_int_equal(untouched, LEAT_FAILURE_SPAWN);
    assert_string_equal(leat_failure_name(UINT64_MAX), "unknown");
    assert_false(leat_failure_is_retried((enum leat_failure)99));
}

/* Rows: from; columns: to, in the order of their numbers. */
static const char golden_steps[8][8] = {
    /*                -SRLsfec */
    [LEAT_STATE_NONE] = "........",      [LEAT_STATE_SCHEDULED] = "..x.xxxx",
    [LEAT_STATE_READY] = "...xxxxx",     [LEAT_STATE_LEASED] = ".xx.xxxx",
    [LEAT_STATE_SUCCEEDED] = "........", [LEAT_STATE_FAILED] = "........",
    [LEAT_STATE_EXPIRED] = "........",   [LEAT_STATE_CANCELLED] = "........",
};

static void exactly_the_allowed_steps_between_states_are_allowed(void **state)
{
    (void)state;
    for (unsigned from = 0; from < 8; from++) {
        for (unsigned to = 0; to < 8; to++) {
            bool allowed = leat_state_may_follow((enum leat_state)from, (enum leat_state)to);
            assert_int_equal(allowed, golden_steps[from][to] == 'x');
        }
    }
}

static void a_final_state_is_final(void **state)
{
    (void)state;
    for (unsigned from = LEAT_STATE_SUCCEEDED; from <= LEAT_STATE_CANCELLED; from++) {
        for (unsigned to = 0; to < 64; to++) {
            assert_false(leat_state_may_follow((enum leat_state)from, (enum leat_state)to));
        }
    }
}

static void states_from_outside_do_no_harm(void **state)
{
    (void)state;
    assert_string_equal(leat_state_name(3), "leased");
    assert_string_equal(leat_state_name(0), "unknown");
    assert_string_equal(leat_state_name(UINT64_MAX), "unknown");
    assert_false(leat_state_may_follow((enum leat_state)33, LEAT_STATE_READY));
    assert_false(leat_state_may_follow(LEAT_STATE_READY, (enum leat_state)35));
    assert_false(leat_state_may_follow(LEAT_STATE_READY, (enum leat_state)64));
}

static void every_note_has_a_unique_name_and_a_known_level(void **state)
{
    (void)state;
    for (int i = 0; i < LEAT_NOTE_COUNT; i++) {
        const char *name = leat_note_name((enum leat_note_id)i);
        const char *level = leat_note_level((enum leat_note_id)i);
        assert_non_null(name);
        assert_true(strcmp(level, "debug") == 0 || strcmp(level, "info") == 0 ||
                    strcmp(level, "warn") == 0 || strcmp(level, "error") == 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(name, leat_note_name((enum leat_note_id)j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_numbers_and_names_are_unique),
        cmocka_unit_test(message_numbers_never_change),
        cmocka_unit_test(error_numbers_are_unique),
        cmocka_unit_test(failures_keep_their_numbers_and_names),
        cmocka_unit_test(unknown_failures_are_refused_and_called_unknown),
        cmocka_unit_test(exactly_the_allowed_steps_between_states_are_allowed),
        cmocka_unit_test(a_final_state_is_final),
        cmocka_unit_test(states_from_outside_do_no_harm),
        cmocka_unit_test(every_note_has_a_unique_name_and_a_known_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
