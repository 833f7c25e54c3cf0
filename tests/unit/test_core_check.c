/* Assertions hold in every build, and end the process with the place and the condition. */
#define NDEBUG 1
#include "core/check.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/list.h"
#include "core/map.h"

/* Runs `broken` in a child and returns what it wrote to stderr; it must end by SIGABRT. */
static const char *abort_text(void (*broken)(void))
{
    static char text[1024];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        broken();
        _exit(0);
    }
    close(ends[1]);
    size_t size = 0;
    ssize_t got;
    while ((got = read(ends[0], text + size, sizeof(text) - 1 - size)) > 0) {
        size += (size_t)got;
    }
    text[size] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    return text;
}

static void break_a_condition(void)
{
    volatile int leases = 3;
    LEAT_ASSERT(leases == 4);
}

static void come_to_the_unreachable(void)
{
    LEAT_UNREACHABLE("no such state");
}

static void link_twice(void)
{
    struct leat_list list;
    struct leat_list_node node = {0};
    leat_list_init(&list);
    leat_list_push_back(&list, &node);
    leat_list_push_back(&list, &node);
}

static void add_while_iterating(void)
{
    struct leat_map map;
    leat_map_init(&map, 4, 1);
    uint32_t key = 0;
    struct leat_map_cursor at = {0};
    if (leat_map_put(&map, &key, 1) != LEAT_OK) {
        return;
    }
    while (leat_map_next(&map, &at)) {
        key++;
        if (leat_map_put(&map, &key, 1) != LEAT_OK) {
            return;
        }
    }
}

static void a_broken_condition_ends_the_process_and_names_itself(void **state)
{
    (void)state;
    const char *text = abort_text(break_a_condition);
    assert_non_null(strstr(text, "test_core_check.c:"));
    assert_non_null(strstr(text, "leases == 4"));
    assert_non_null(strstr(text, "break_a_condition"));
    text = abort_text(come_to_the_unreachable);
    assert_non_null(strstr(text, "unreachable: no such state"));
}

static void misuse_of_containers_is_caught(void **state)
{
    (void)state;
    assert_non_null(strstr(abort_text(link_twice), "leat_list_is_linked"));
    assert_non_null(strstr(abort_text(add_while_iterating), "rebuilds"));
}

static void a_condition_that_holds_goes_on(void **state)
{
    (void)state;
    int evaluated = 0;
    LEAT_ASSERT(++evaluated == 1);
    assert_int_equal(evaluated, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_condition_ends_the_process_and_names_itself),
        cmocka_unit_test(misuse_of_containers_is_caught),
        cmocka_unit_test(a_condition_that_holds_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
