#include "core/list.h"

#include <string.h>

#include "cmocka_all.h"
#include "seed.h"

enum { ITEMS = 30 };

struct item {
    int number;
    struct leat_list_node link;
};

static int number_of(const struct leat_list_node *node)
{
    return LEAT_CONTAINER_OF(node, const struct item, link)->number;
}

static void check_all(const struct leat_list *list, const int *model, size_t count)
{
    assert_int_equal(list->count, count);
    assert_int_equal(leat_list_is_empty(list), count == 0);
    size_t i = 0;
    for (const struct leat_list_node *at = leat_list_first(list); at != NULL;
         at = leat_list_next(list, at)) {
        assert_true(i < count);
        assert_int_equal(number_of(at), model[i++]);
    }
    assert_int_equal(i, count);
    if (count > 0) {
        assert_int_equal(number_of(leat_list_last(list)), model[count - 1]);
    } else {
        assert_null(leat_list_last(list));
    }
    const struct leat_list_node *back = &list->ring;
    for (size_t j = count; j > 0; j--) {
        back = back->prev;
        assert_int_equal(number_of(back), model[j - 1]);
    }
}

static size_t position_of(const int *model, size_t count, int number)
{
    size_t at = 0;
    while (at < count && model[at] != number) {
        at++;
    }
    return at;
}

static void a_list_does_what_an_array_does(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("a_list_does_what_an_array_does");
    struct item items[ITEMS];
    memset(items, 0, sizeof(items));
    struct leat_list list;
    leat_list_init(&list);
    int model[ITEMS + 1];
    size_t count = 0;
    for (int i = 0; i < ITEMS; i++) {
        items[i].number = i;
    }
    for (int round = 0; round < 20000; round++) {
        int number = (int)leat_rng_below(&rng, ITEMS);
        struct leat_list_node *node = &items[number].link;
        size_t at = position_of(model, count, number);
        assert_int_equal(leat_list_is_linked(node), at < count);
        if (at < count && leat_rng_below(&rng, 4) == 0) {
            leat_list_move_to_back(&list, node);
            memmove(model + at, model + at + 1, (count - at - 1) * sizeof(model[0]));
            model[count - 1] = number;
        } else if (at < count) {
            leat_list_remove(&list, node);
            count--;
            memmove(model + at, model + at + 1, (count - at) * sizeof(model[0]));
        } else if (leat_rng_below(&rng, 3) == 0) {
            leat_list_push_back(&list, node);
            model[count++] = number;
        } else if (count > 0 && leat_rng_below(&rng, 2) == 0) {
            at = leat_rng_below(&rng, count);
            leat_list_insert_before(&list, &items[model[at]].link, node);
            memmove(model + at + 1, model + at, (count - at) * sizeof(model[0]));
            model[at] = number;
            count++;
        } else {
            leat_list_push_front(&list, node);
            memmove(model + 1, model, count * sizeof(model[0]));
            model[0] = number;
            count++;
        }
        check_all(&list, model, count);
    }
}

static void elements_may_leave_while_all_are_visited(void **state)
{
    (void)state;
    struct item items[10];
    memset(items, 0, sizeof(items));
    struct leat_list list;
    leat_list_init(&list);
    for (int i = 0; i < 10; i++) {
        items[i].number = i;
        leat_list_push_back(&list, &items[i].link);
    }
    int visited = 0;
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&list, node, after)
    {
        assert_int_equal(number_of(node), visited);
        if (visited++ % 2 == 0) {
            leat_list_remove(&list, node);
        }
    }
    assert_int_equal(visited, 10);
    check_all(&list, (const int[]){1, 3, 5, 7, 9}, 5);
}

static void popping_takes_from_the_front_until_empty(void **state)
{
    (void)state;
    struct item items[3];
    memset(items, 0, sizeof(items));
    struct leat_list list;
    leat_list_init(&list);
    for (int i = 0; i < 3; i++) {
        items[i].number = i;
        leat_list_push_back(&list, &items[i].link);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(number_of(leat_list_pop_front(&list)), i);
    }
    assert_null(leat_list_pop_front(&list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_does_what_an_array_does),
        cmocka_unit_test(elements_may_leave_while_all_are_visited),
        cmocka_unit_test(popping_takes_from_the_front_until_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
