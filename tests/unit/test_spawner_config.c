/* How commands are read, and what is refused with which words. */
#include "spawner_rig.h"

#include <stdio.h>
#include <string.h>

#include "worker/spawner/inside.h"
#include "worker/spawner/report.h"

static void commands_are_split_as_a_shell_does_it(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words[6];
    } cases[] = {
        {"true", {"true"}},
        {"  a  b\tc\n", {"a", "b", "c"}},
        {"a 'b c' d", {"a", "b c", "d"}},
        {"a \"b 'c'\" d", {"a", "b 'c'", "d"}},
        {"a'b'\"c\"d", {"abcd"}},
        {"a '' \"\"", {"a", "", ""}},
        {"a b\\ c \\'", {"a", "b c", "'"}},
        {"a \"\\\"\\\\\\$\\n\"", {"a", "\"\\$\\n"}},
        {"a '\\'", {"a", "\\"}},
        {"echo $HOME *.c; `ls` | cat > x", {"echo", "$HOME", "*.c;", "`ls`", "|", "cat"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct leat_spawner_config config = LEAT_SPAWNER_CONFIG;
        struct leat_spawner_handler handler = {.kind = LEAT_SPAWNER_EXEC};
        assert_int_equal(leat_spawner_split(cases[i].text, &handler.argv, NULL), LEAT_OK);
        for (size_t k = 0; k < 6; k++) {
            if (cases[i].words[k] == NULL) {
                assert_null(handler.argv[k]);
                break;
            }
            assert_non_null(handler.argv[k]);
            assert_string_equal(handler.argv[k], cases[i].words[k]);
        }
        config.handlers[config.handlers_count++] = handler;
        leat_spawner_config_fini(&config);
    }
}

static void bad_handlers_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool shell;
        enum leat_err err;
        const char *words;
    } cases[] = {
        {"sha256sum", false, LEAT_ERR_INVALID, "TYPE=command: sha256sum"},
        {"=true", false, LEAT_ERR_INVALID, "type"},
        {"a b=true", false, LEAT_ERR_INVALID, "type"},
        {"a=", false, LEAT_ERR_INVALID, "empty"},
        {"a= ", true, LEAT_ERR_INVALID, "empty"},
        {"a=echo 'x", false, LEAT_ERR_INVALID, "unclosed quote"},
        {"a=echo \"x", false, LEAT_ERR_INVALID, "unclosed quote"},
        {"a=echo \"x\\", false, LEAT_ERR_INVALID, "unclosed quote"},
        {"a=echo x\\", false, LEAT_ERR_INVALID, "unclosed quote"},
        {"a=no-such-program-here x", false, LEAT_ERR_NOT_FOUND, "no-such-program-here"},
        {"a=/etc/passwd", false, LEAT_ERR_NOT_FOUND, "/etc/passwd"},
        {"a=/tmp", false, LEAT_ERR_NOT_FOUND, "/tmp"},
        {"known=true", false, LEAT_ERR_EXISTS, "known"},
    };
    struct leat_spawner_config config = LEAT_SPAWNER_CONFIG;
    assert_int_equal(leat_spawner_add_exec(&config, "known=true", false, NULL), LEAT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct leat_why why = {""};
        assert_int_equal(leat_spawner_add_exec(&config, cases[i].text, cases[i].shell, &why),
                         cases[i].err);
        rig_assert_contains(leat_str_of(why.text), cases[i].words);
        assert_int_equal(config.handlers_count, 1);
    }
    leat_spawner_config_fini(&config);
}

static void there_is_a_limit_to_handlers(void **state)
{
    (void)state;
    struct leat_spawner_config config = LEAT_SPAWNER_CONFIG;
    struct leat_why why = {""};
    char text[32];
    for (int i = 0; i < LEAT_HANDLERS_MAX; i++) {
        snprintf(text, sizeof text, "t%d=true", i);
        assert_int_equal(leat_spawner_add_exec(&config, text, false, &why), LEAT_OK);
    }
    assert_int_equal(leat_spawner_add_exec(&config, "more=true", false, &why), LEAT_ERR_LIMIT);
    rig_assert_contains(leat_str_of(why.text), "128");
    leat_spawner_config_fini(&config);
}

static bool is_permanent(const struct leat_spawner_config *config, unsigned status)
{
    return (config->permanent_exits[status / 32] >> (status % 32) & 1u) != 0;
}

static void permanent_exits_are_read_and_bad_ones_refused(void **state)
{
    (void)state;
    struct leat_spawner_config config = LEAT_SPAWNER_CONFIG;
    for (unsigned status = 0; status < 256; status++) {
        assert_int_equal(is_permanent(&config, status), status == 64 || status == 65 ||
                                                            status == 77 || status == 78 ||
                                                            status == 126 || status == 127);
    }
    assert_int_equal(leat_spawner_set_permanent_exits(&config, "1,31,32,255", NULL), LEAT_OK);
    for (unsigned status = 0; status < 256; status++) {
        assert_int_equal(is_permanent(&config, status),
                         status == 1 || status == 31 || status == 32 || status == 255);
    }
    static const char *const bad[] = {"0", "256", "1,", ",1", "a", "1;2", "-1", "1, 2", " 1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct leat_why why = {""};
        assert_int_equal(leat_spawner_set_permanent_exits(&config, bad[i], &why), LEAT_ERR_INVALID);
        rig_assert_contains(leat_str_of(why.text), bad[i]);
        assert_true(is_permanent(&config, 255));
    }
    assert_int_equal(leat_spawner_set_permanent_exits(&config, "", NULL), LEAT_OK);
    assert_false(is_permanent(&config, 255));
}

static void settings_out_of_range_are_named(void **state)
{
    (void)state;
    struct leat_spawner_config config = LEAT_SPAWNER_CONFIG;
    struct leat_spawner spawner;
    struct leat_why why = {""};
    assert_int_equal(leat_spawner_start(&config, &spawner, &why), LEAT_ERR_INVALID);
    rig_assert_text(leat_str_of(why.text), "no handlers");
    assert_int_equal(leat_spawner_add_exec(&config, "a=true", false, &why), LEAT_OK);
    config.slots = 0;
    assert_int_equal(leat_spawner_start(&config, &spawner, &why), LEAT_ERR_INVALID);
    rig_assert_contains(leat_str_of(why.text), "slots is 0");
    config.slots = LEAT_SLOTS_MAX + 1;
    assert_int_equal(leat_spawner_start(&config, &spawner, &why), LEAT_ERR_INVALID);
    config.slots = 1;
    config.result_bytes_max = LEAT_RESULT_BYTES_CEILING + 1;
    assert_int_equal(leat_spawner_start(&config, &spawner, &why), LEAT_ERR_INVALID);
    rig_assert_contains(leat_str_of(why.text), "result limit");
    leat_spawner_config_fini(&config);
}

static void a_tail_keeps_the_end_whatever_the_pieces(void **state)
{
    (void)state;
    char text[1000];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + i % 26);
    }
    for (size_t keep = 1; keep < 40; keep += 3) {
        for (size_t piece = 1; piece < 100; piece += 7) {
            struct leat_tail tail;
            assert_int_equal(leat_tail_init(&tail, keep), LEAT_OK);
            size_t done = 0;
            while (done < sizeof text) {
                size_t size = sizeof text - done < piece ? sizeof text - done : piece;
                leat_tail_append(&tail, text + done, size);
                done += size;
                struct leat_str view = leat_tail_view(&tail);
                size_t expected = done < keep ? done : keep;
                assert_int_equal(view.size, expected);
                assert_memory_equal(view.data, text + done - expected, expected);
            }
            leat_tail_fini(&tail);
        }
    }
}

static void an_error_text_is_bounded_valid_and_keeps_reason_and_end(void **state)
{
    (void)state;
    static char long_tail[3 * LEAT_ERROR_BYTES_MAX];
    memset(long_tail, 'x', sizeof long_tail);
    memcpy(long_tail + sizeof long_tail - 4,
           "\0\xff"
           "ok",
           4);
    char text[LEAT_REPORT_BYTES];
    struct leat_str view =
        leat_report_text(text, "reason", (struct leat_str){long_tail, sizeof long_tail});
    assert_int_equal(view.size, LEAT_ERROR_BYTES_MAX);
    assert_memory_equal(view.data, "reason: xxx", 11);
    assert_memory_equal(view.data + view.size - 5, "x??ok", 5);
    rig_assert_text(leat_report_text(text, "reason", (struct leat_str){0}), "reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_split_as_a_shell_does_it),
        cmocka_unit_test(bad_handlers_are_refused_with_the_reason),
        cmocka_unit_test(there_is_a_limit_to_handlers),
        cmocka_unit_test(permanent_exits_are_read_and_bad_ones_refused),
        cmocka_unit_test(settings_out_of_range_are_named),
        cmocka_unit_test(a_tail_keeps_the_end_whatever_the_pieces),
        cmocka_unit_test(an_error_text_is_bounded_valid_and_keeps_reason_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
