#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/exit.h"
#include "io/signals.h"
#include "io_runner_world.h"

static struct world world;

static int fini(void **state)
{
    (void)state;
    world_fini(&world);
    return 0;
}

/* ---- links ---- */

static void a_flooded_link_does_not_starve_another(void **state)
{
    (void)state;
    world_init(&world, false);
    /* inproc: what was sent is there at once */
    const char *const endpoints[] = {"inproc://flooded", "inproc://quiet"};
    zsock_t *routers[2];
    zsock_t *clients[2];
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(leat_socket_bind(ZMQ_ROUTER, endpoints[i], false, &routers[i], NULL, NULL),
                         LEAT_OK);
        assert_int_equal(leat_socket_connect(ZMQ_DEALER, endpoints[i], &clients[i], NULL), LEAT_OK);
        world.links[1 + i] = (struct leat_runner_link){
            .link = i == 0 ? LEAT_LINK_VENTILATOR : LEAT_LINK_SINK, .socket = routers[i]};
    }
    world.config.link_count = 3;
    world.config.budget_us = LEAT_US_PER_S;
    world.config.connect_wait_us = 0;
    world_start(&world);
    for (uint64_t ref = 0; ref < 1000; ref++) {
        world_say(clients[0], "ping", ref);
    }
    world_say(clients[1], "ping", 5000);
    world_turn(&world);
    bool served = false;
    for (size_t i = 0; i < world.event_count; i++) {
        served = served || world.events[i].ref == 5000;
    }
    assert_true(served);
    assert_int_equal(world_count(&world, LEAT_EVENT_MESSAGE), LEAT_RUNNER_BUDGET_MESSAGES + 1);
    world_turn_until_messages(&world, 1001);
    leat_runner_destroy(&world.runner);
    for (size_t i = 0; i < 2; i++) {
        zsock_destroy(&clients[i]);
        zsock_destroy(&routers[i]);
    }
}

static void what_may_be_dropped_is_counted_and_not_told(void **state)
{
    (void)state;
    world_init(&world, false);
    zsock_t *pair = NULL; /* nobody at the other end: every send would block */
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
    assert_int_equal(leat_socket_bind(ZMQ_PAIR, "inproc://metrics", false, &pair, endpoint, NULL),
                     LEAT_OK);
    world.links[1] = (struct leat_runner_link){
        .link = LEAT_LINK_METRICS, .socket = pair, .send_only = true, .may_drop = true};
    world.config.link_count = 2;
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "drop", 1);
    world_say(client, "drop", 2);
    world_turn_until_messages(&world, 2);
    world_expect_answer(client, 1);
    world_expect_answer(client, 2);
    world_turn(&world);
    assert_int_equal(leat_runner_counts(world.runner).dropped, 2);
    assert_int_equal(world_count(&world, LEAT_EVENT_UNREACHABLE), 0);
    zsock_destroy(&client);
    leat_runner_destroy(&world.runner);
    zsock_destroy(&pair);
}

static void events_go_out_under_the_queue_as_topic(void **state)
{
    (void)state;
    world_init(&world, false);
    zsock_t *pub = NULL;
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
    assert_int_equal(leat_socket_bind(ZMQ_XPUB, "inproc://pub", false, &pub, endpoint, NULL),
                     LEAT_OK);
    zsock_t *sub = NULL;
    assert_int_equal(leat_socket_connect(ZMQ_SUB, endpoint, &sub, NULL), LEAT_OK);
    zsock_set_subscribe(sub, "mail");
    world.links[1] = (struct leat_runner_link){.link = LEAT_LINK_EVENTS, .socket = pub};
    world.links[1].send_only = true;
    world.config.link_count = 2;
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "event", 1);
    world_turn_until_messages(&world, 1);
    char topic[16] = "";
    assert_int_equal(zmq_recv(zsock_resolve(sub), topic, sizeof topic, 0), 4);
    assert_memory_equal(topic, "mail", 4);
    zsock_destroy(&client);
    leat_runner_destroy(&world.runner);
    zsock_destroy(&sub);
    zsock_destroy(&pub);
}

/* A custom link: what is sent comes back as a message, once. */
struct echo {
    int fd;
    uint8_t frame[256];
    size_t size;
    bool closed;
    size_t sent;
};

static int echo_poll(void *context, short *ret_events)
{
    *ret_events = ZMQ_POLLIN;
    return ((struct echo *)context)->fd;
}

static enum leat_received echo_recv(void *context, struct leat_bytes *ret_frame)
{
    struct echo *echo = context;
    if (echo->closed) {
        return LEAT_RECEIVED_CLOSED;
    }
    if (echo->size == 0) {
        return LEAT_RECEIVED_NOTHING;
    }
    *ret_frame = leat_bytes_of(echo->frame, echo->size);
    echo->size = 0;
    return LEAT_RECEIVED;
}

static enum leat_sent echo_send(void *context, struct leat_bytes frame)
{
    (void)frame;
    ((struct echo *)context)->sent++;
    return LEAT_SENT;
}

static void a_custom_link_is_read_written_and_its_end_ends_the_loop(void **state)
{
    (void)state;
    static const struct leat_link_ops ops = {
        .poll = echo_poll, .recv = echo_recv, .send = echo_send};
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    struct echo echo = {.fd = pipes[0]};
    const uint8_t control[] = {0x95, 0x01, 0x40, 0x07, 0xa4, 'p', 'i', 'n', 'g', 0xa0};
    memcpy(echo.frame, control, sizeof control);
    echo.size = sizeof control;
    world_init(&world, false);
    world.links[1] =
        (struct leat_runner_link){.link = LEAT_LINK_SPAWNER, .ops = &ops, .context = &echo};
    world.config.link_count = 2;
    world_start(&world);
    const struct world_event *event = world_turn_until(&world, LEAT_EVENT_MESSAGE, 1);
    assert_int_equal(event->link, LEAT_LINK_SPAWNER);
    assert_int_equal(event->ref, 7);
    assert_int_equal(echo.sent, 1);
    echo.closed = true;
    assert_int_equal(leat_runner_run(world.runner), LEAT_EXIT_INTERNAL);
    close(pipes[0]);
    close(pipes[1]);
}

static int ready_calls;

static void ready(void *context, short revents)
{
    (void)revents;
    char byte;
    assert_int_equal(read(*(int *)context, &byte, 1), 1);
    ready_calls++;
    struct leat_event event = {.kind = LEAT_EVENT_TICK};
    leat_runner_step(world.runner, &event);
}

static void turn(void *context, struct leat_now now)
{
    (void)now;
    *(int *)context += 1;
    if (ready_calls == 1) {
        leat_runner_exit(world.runner, 5);
    }
}

static void other_descriptors_and_the_turn_hook_are_called(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    int turns = 0;
    world_init(&world, false);
    struct leat_runner_fd fd = {
        .fd = pipes[0], .events = ZMQ_POLLIN, .ready = ready, .context = &pipes[0]};
    world.config.fds = &fd;
    world.config.fd_count = 1;
    world.config.turn = turn;
    world.config.turn_context = &turns;
    world_start(&world);
    ready_calls = 0;
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_int_equal(leat_runner_run(world.runner), 5);
    assert_int_equal(ready_calls, 1);
    assert_int_equal(world_count(&world, LEAT_EVENT_TICK), 2);
    assert_true(turns >= 1);
    close(pipes[0]);
    close(pipes[1]);
}

static void a_dealer_has_its_connection_before_the_first_tick(void **state)
{
    (void)state;
    world_init(&world, false);
    zsock_t *dealer = NULL;
    assert_int_equal(leat_socket_connect(ZMQ_DEALER, world.endpoint, &dealer, NULL), LEAT_OK);
    world.links[1] = (struct leat_runner_link){.link = LEAT_LINK_VENTILATOR, .socket = dealer};
    world.config.link_count = 2;
    world.config.connect_wait_us = 5 * LEAT_US_PER_S;
    world_start(&world);
    assert_true(leat_runner_turn(world.runner, 0, &world.status));
    assert_true(zsock_events(dealer) & ZMQ_POLLOUT);
    leat_runner_destroy(&world.runner);
    zsock_destroy(&dealer);
}

#define RUNNER_TEST(name) cmocka_unit_test_teardown(name, fini)

int main(void)
{
    leat_signals_start();
    const struct CMUnitTest tests[] = {
        RUNNER_TEST(a_flooded_link_does_not_starve_another),
        RUNNER_TEST(what_may_be_dropped_is_counted_and_not_told),
        RUNNER_TEST(events_go_out_under_the_queue_as_topic),
        RUNNER_TEST(a_custom_link_is_read_written_and_its_end_ends_the_loop),
        RUNNER_TEST(other_descriptors_and_the_turn_hook_are_called),
        RUNNER_TEST(a_dealer_has_its_connection_before_the_first_tick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
