#include "core/heap.h"

#include <string.h>

#include "cmocka_all.h"
#include "seed.h"

enum { NODES = 200 };

struct timer {
    int number;
    struct leat_heap_node node;
    uint64_t added; /* the model's order among equals; 0: not in */
};

struct model {
    struct timer timers[NODES];
    uint64_t clock;
    size_t count;
};

static void check_shape(const struct leat_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        assert_int_equal(heap->nodes[i]->place, i + 1);
        assert_true(i == 0 || heap->nodes[(i - 1) / 2]->key <= heap->nodes[i]->key);
    }
}

/* The naive way: look at all. */
static struct timer *model_first(struct model *model)
{
    struct timer *first = NULL;
    for (int i = 0; i < NODES; i++) {
        struct timer *timer = &model->timers[i];
        if (timer->added != 0 &&
            (first == NULL || timer->node.key < first->node.key ||
             (timer->node.key == first->node.key && timer->added < first->added))) {
            first = timer;
        }
    }
    return first;
}

static void change(struct leat_heap *heap, struct model *model, struct leat_rng *rng)
{
    struct timer *timer = &model->timers[leat_rng_below(rng, NODES)];
    int64_t key = (int64_t)leat_rng_below(rng, 50) - 25;
    assert_int_equal(leat_heap_is_in(&timer->node), timer->added != 0);
    if (timer->added == 0) {
        assert_int_equal(leat_heap_add(heap, &timer->node, key), LEAT_OK);
        timer->added = ++model->clock;
        model->count++;
    } else if (leat_rng_below(rng, 2) == 0) {
        leat_heap_move(heap, &timer->node, key);
        timer->added = ++model->clock;
    } else {
        leat_heap_remove(heap, &timer->node);
        timer->added = 0;
        model->count--;
    }
}

static void a_heap_does_what_the_naive_model_does(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("a_heap_does_what_the_naive_model_does");
    struct leat_heap heap;
    static struct model model;
    memset(&model, 0, sizeof(model));
    leat_heap_init(&heap);
    for (int i = 0; i < 50000; i++) {
        change(&heap, &model, &rng);
        struct timer *first = model_first(&model);
        assert_int_equal(heap.count, model.count);
        assert_ptr_equal(leat_heap_first(&heap), first == NULL ? NULL : &first->node);
        if (i % 100 == 0) {
            check_shape(&heap);
        }
        if (first != NULL && leat_rng_below(&rng, 10) == 0) {
            assert_null(leat_heap_take_until(&heap, first->node.key - 1));
            assert_ptr_equal(leat_heap_take_until(&heap, first->node.key), &first->node);
            first->added = 0;
            model.count--;
        }
    }
    leat_heap_fini(&heap);
}

static void equal_keys_come_out_in_the_order_of_adding(void **state)
{
    (void)state;
    struct leat_heap heap;
    struct timer timers[NODES];
    memset(timers, 0, sizeof(timers));
    leat_heap_init(&heap);
    for (int i = 0; i < NODES; i++) {
        timers[i].number = i;
        assert_int_equal(leat_heap_add(&heap, &timers[i].node, 5), LEAT_OK);
    }
    for (int i = 0; i < NODES; i++) {
        struct leat_heap_node *node = leat_heap_take_until(&heap, 5);
        assert_int_equal(LEAT_CONTAINER_OF(node, struct timer, node)->number, i);
        assert_false(leat_heap_is_in(node));
    }
    leat_heap_fini(&heap);
}

static void an_empty_heap_never_comes(void **state)
{
    (void)state;
    struct leat_heap heap;
    struct leat_heap_node node = {0};
    leat_heap_init(&heap);
    assert_null(leat_heap_first(&heap));
    assert_int_equal(leat_heap_first_key(&heap), LEAT_NEVER_US);
    assert_null(leat_heap_take_until(&heap, INT64_MAX));
    leat_heap_remove(&heap, &node);
    assert_int_equal(leat_heap_add(&heap, &node, INT64_MIN), LEAT_OK);
    assert_int_equal(leat_heap_first_key(&heap), INT64_MIN);
    leat_heap_remove(&heap, &node);
    leat_heap_remove(&heap, &node);
    assert_int_equal(heap.count, 0);
    leat_heap_fini(&heap);
}

static void reserved_room_is_there(void **state)
{
    (void)state;
    struct leat_heap heap;
    leat_heap_init(&heap);
    assert_int_equal(leat_heap_reserve(&heap, 1000), LEAT_OK);
    assert_true(heap.capacity >= 1000);
    assert_int_equal(leat_heap_reserve(&heap, SIZE_MAX / 4), LEAT_ERR_MEMORY);
    assert_true(heap.capacity >= 1000 && heap.capacity < 10000);
    leat_heap_fini(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap_does_what_the_naive_model_does),
        cmocka_unit_test(equal_keys_come_out_in_the_order_of_adding),
        cmocka_unit_test(an_empty_heap_never_comes),
        cmocka_unit_test(reserved_room_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
