/* What is still to happen: a binary heap, by time and, of equal times, in the order of making. */
#include <assert.h>
#include <stdlib.h>

#include "tests/simulation/world_inside.h"

static bool comes_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

void sim_push_event(struct sim_world *world, struct sim_event event)
{
    if (world->event_count == world->event_capacity) {
        world->event_capacity = world->event_capacity == 0 ? 256 : world->event_capacity * 2;
        world->events = realloc(world->events, world->event_capacity * sizeof(event));
        assert(world->events != NULL);
    }
    event.number = world->event_number++;
    size_t at = world->event_count++;
    while (at > 0 && comes_before(&event, &world->events[(at - 1) / 2])) {
        world->events[at] = world->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->events[at] = event;
}

struct sim_event sim_pop_event(struct sim_world *world)
{
    struct sim_event top = world->events[0];
    struct sim_event last = world->events[--world->event_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->event_count) {
            break;
        }
        if (child + 1 < world->event_count &&
            comes_before(&world->events[child + 1], &world->events[child])) {
            child++;
        }
        if (!comes_before(&world->events[child], &last)) {
            break;
        }
        world->events[at] = world->events[child];
        at = child;
    }
    world->events[at] = last;
    return top;
}
