/* Who may say what: the whole table once more, written down by hand. */
#include "cmocka_all.h"
#include "core/policy.h"

static const struct leat_str two_queues[] = {{"a", 1}, {"b", 1}};

static struct leat_principal somebody(enum leat_role role, size_t queue_count)
{
    return (struct leat_principal){.key = {{1, 2, 3}},
                                   .role = role,
                                   .name = "somebody",
                                   .queues = two_queues,
                                   .queue_count = queue_count};
}

/* p producer, w worker, o operator, b broker. Every type that is not here: nobody. */
static const struct {
    enum leat_msg_type type;
    const char *roles;
} allowed[] = {
    {LEAT_MSG_ERROR, "pwob"}, {LEAT_MSG_SUBMIT, "po"}, {LEAT_MSG_HELLO, "w"},
    {LEAT_MSG_CREDIT, "w"},   {LEAT_MSG_RETRY, "w"},   {LEAT_MSG_RETURN, "w"},
    {LEAT_MSG_PING, "w"},     {LEAT_MSG_GOODBYE, "w"}, {LEAT_MSG_RESULTS, "wb"},
    {LEAT_MSG_FOLLOW, "b"},   {LEAT_MSG_GAUGES, "b"},  {LEAT_MSG_QUIT, "b"},
    {LEAT_MSG_LOOKUP, "po"},  {LEAT_MSG_QUERY, "po"},  {LEAT_MSG_RERUN, "o"},
};

static const struct {
    char letter;
    enum leat_role role;
} roles[] = {
    {'p', LEAT_ROLE_PRODUCER},
    {'w', LEAT_ROLE_WORKER},
    {'o', LEAT_ROLE_OPERATOR},
    {'b', LEAT_ROLE_BROKER},
};

static const char *roles_of(enum leat_msg_type type)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        if (allowed[i].type == type) {
            return allowed[i].roles;
        }
    }
    return "";
}

static void each_role_may_send_its_messages_and_no_others(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        if (type == LEAT_MSG_CONTROL) {
            continue;
        }
        for (size_t r = 0; r < 4; r++) {
            struct leat_principal who = somebody(roles[r].role, 0);
            struct leat_msg msg = {.type = (enum leat_msg_type)type};
            struct leat_why why = {""};
            bool may = strchr(roles_of(msg.type), roles[r].letter) != NULL;
            enum leat_err err = leat_policy_check(&who, &msg, &why);
            if (err != (may ? LEAT_OK : LEAT_ERR_FORBIDDEN)) {
                fail_msg("type %u by '%c': %s", type, roles[r].letter, why.text);
            }
            assert_true(may || strstr(why.text, "somebody") != NULL);
        }
    }
}

static void everybody_may_ping_and_only_operators_control(void **state)
{
    (void)state;
    static const char *const verbs[] = {"ping", "pause", "resume", "shutdown", "", "pingx"};
    for (size_t v = 0; v < 6; v++) {
        for (size_t r = 0; r < 4; r++) {
            struct leat_principal who = somebody(roles[r].role, 0);
            struct leat_msg msg = {.type = LEAT_MSG_CONTROL};
            msg.control.verb = leat_str_of(verbs[v]);
            bool may = v == 0 || roles[r].role == LEAT_ROLE_OPERATOR;
            assert_int_equal(leat_policy_check(&who, &msg, NULL),
                             may ? LEAT_OK : LEAT_ERR_FORBIDDEN);
        }
    }
}

static void whose_key_is_not_known_may_say_nothing(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        struct leat_msg msg = {.type = (enum leat_msg_type)type};
        msg.control.verb = leat_str_of("ping");
        assert_int_equal(leat_policy_check(NULL, &msg, NULL), LEAT_ERR_FORBIDDEN);
    }
    assert_int_equal(leat_policy_check_request(NULL, "ping", "", NULL), LEAT_ERR_FORBIDDEN);
    assert_false(leat_policy_may_subscribe(NULL));
}

/* The message with a job, queue or result of this queue; until the next call. */
static struct leat_msg about(enum leat_msg_type type, const char *queue)
{
    static struct leat_item_submission job[2];
    static struct leat_item_name name[2];
    static struct leat_item_result result[2];
    struct leat_msg msg = {.type = type};
    job[0].queue = name[0].name = result[0].queue = leat_str_of("a");
    job[1].queue = name[1].name = result[1].queue = leat_str_of(queue);
    if (type == LEAT_MSG_SUBMIT) {
        msg.submit.jobs.items = job;
        msg.submit.jobs.count = 2;
    } else if (type == LEAT_MSG_HELLO) {
        msg.hello.queues.items = name;
        msg.hello.queues.count = 2;
    } else {
        msg.results.results.items = result;
        msg.results.results.count = 2;
    }
    return msg;
}

static void a_list_of_queues_bounds_producers_and_workers(void **state)
{
    (void)state;
    static const struct {
        enum leat_msg_type type;
        enum leat_role role;
    } cases[] = {{LEAT_MSG_SUBMIT, LEAT_ROLE_PRODUCER},
                 {LEAT_MSG_HELLO, LEAT_ROLE_WORKER},
                 {LEAT_MSG_RESULTS, LEAT_ROLE_WORKER}};
    for (size_t i = 0; i < 3; i++) {
        struct leat_principal bound = somebody(cases[i].role, 2);
        struct leat_principal free = somebody(cases[i].role, 0);
        struct leat_msg own = about(cases[i].type, "b");
        struct leat_why why = {""};
        assert_int_equal(leat_policy_check(&bound, &own, NULL), LEAT_OK);
        struct leat_msg foreign = about(cases[i].type, "c");
        assert_int_equal(leat_policy_check(&bound, &foreign, &why), LEAT_ERR_FORBIDDEN);
        assert_non_null(strstr(why.text, "'c'"));
        assert_int_equal(leat_policy_check(&free, &foreign, NULL), LEAT_OK);
    }
    struct leat_principal producer = somebody(LEAT_ROLE_PRODUCER, 1);
    assert_true(leat_policy_serves(&producer, leat_str_of("a")));
    assert_false(leat_policy_serves(&producer, leat_str_of("b")));
    assert_false(leat_policy_serves(&producer, leat_str_of("")));
    struct leat_principal operator= somebody(LEAT_ROLE_OPERATOR, 1);
    assert_true(leat_policy_serves(&operator, leat_str_of("b")));
    assert_true(leat_policy_serves(NULL, leat_str_of("b")));
}

static void results_are_for_producers_and_operators(void **state)
{
    (void)state;
    static const char *const figures[] = {"ping", "version", "stats", "queues", "workers"};
    static const char *const results[] = {"job", "failures"};
    for (size_t r = 0; r < 4; r++) {
        struct leat_principal who = somebody(roles[r].role, 0);
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(leat_policy_check_request(&who, figures[i], "", NULL), LEAT_OK);
        }
        bool may = strchr("po", roles[r].letter) != NULL;
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(leat_policy_check_request(&who, results[i], "", NULL),
                             may ? LEAT_OK : LEAT_ERR_FORBIDDEN);
        }
        assert_int_equal(leat_policy_check_request(&who, "unknown", "", NULL), LEAT_ERR_FORBIDDEN);
        assert_int_equal(leat_policy_may_subscribe(&who), may);
    }
    struct leat_principal bound = somebody(LEAT_ROLE_PRODUCER, 2);
    assert_int_equal(leat_policy_check_request(&bound, "failures", "b", NULL), LEAT_OK);
    assert_int_equal(leat_policy_check_request(&bound, "failures", "c", NULL), LEAT_ERR_FORBIDDEN);
    assert_int_equal(leat_policy_check_request(&bound, "failures", "", NULL), LEAT_ERR_FORBIDDEN);
    assert_false(leat_policy_may_subscribe(&bound)); /* PUB cannot tell queues apart */
}

static void roles_have_names(void **state)
{
    (void)state;
    const char *name = NULL;
    const char *what = NULL;
    for (size_t i = 0; i < 4; i++) {
        enum leat_role role;
        assert_true(leat_role_at(i, &name, &what));
        assert_int_equal(leat_role_parse(leat_str_of(name), &role, NULL), LEAT_OK);
        assert_int_equal(role, roles[i].role);
        assert_string_equal(leat_role_name(role), name);
    }
    assert_false(leat_role_at(4, &name, &what));
    enum leat_role role;
    struct leat_why why;
    assert_int_equal(leat_role_parse(leat_str_of("root"), &role, &why), LEAT_ERR_INVALID);
    assert_non_null(strstr(why.text, "root"));
}

static void rights_differ_by_role_and_queues(void **state)
{
    (void)state;
    struct leat_principal one = somebody(LEAT_ROLE_WORKER, 1);
    struct leat_principal same = somebody(LEAT_ROLE_WORKER, 1);
    struct leat_principal more = somebody(LEAT_ROLE_WORKER, 2);
    struct leat_principal other = somebody(LEAT_ROLE_PRODUCER, 1);
    struct leat_principal another = somebody(LEAT_ROLE_WORKER, 1);
    another.key.bytes[31] = 1;
    assert_true(leat_principal_equal(&one, &same));
    assert_false(leat_principal_equal(&one, &more));
    assert_false(leat_principal_equal(&one, &other));
    assert_false(leat_principal_equal(&one, &another));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_role_may_send_its_messages_and_no_others),
        cmocka_unit_test(everybody_may_ping_and_only_operators_control),
        cmocka_unit_test(whose_key_is_not_known_may_say_nothing),
        cmocka_unit_test(a_list_of_queues_bounds_producers_and_workers),
        cmocka_unit_test(results_are_for_producers_and_operators),
        cmocka_unit_test(roles_have_names),
        cmocka_unit_test(rights_differ_by_role_and_queues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
