/* Who gets in: the traps of CURVE and ZAP in libzmq and czmq, each with a test that it cannot bite
 * leat. */
#include <arpa/inet.h>
#include <czmq.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/policy.h"
#include "io/clock.h"
#include "io/guard.h"
#include "io/options.h"
#include "io/signals.h"
#include "io/socket.h"
#include "io/zap.h"
#include "io_keys_rig.h"

#define WAIT_MS 10000

struct world {
    struct keys_rig *rig;
    struct leat_key_file broker;
    struct leat_guard *guard;
    zsock_t *router;
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
};

static struct leat_curve curve_of(const struct leat_key_file *file, const char *server)
{
    struct leat_curve curve = {.on = true, .own = file->public_key};
    memcpy(curve.own_public, file->public_text, sizeof curve.own_public);
    memcpy(curve.own_secret, file->secret_text, sizeof curve.own_secret);
    if (server != NULL) {
        memcpy(curve.server, server, sizeof curve.server);
    }
    return curve;
}

static zsock_t *bind_guarded(struct world *world, int type, const char *bind, const char *domain,
                             char endpoint[LEAT_ENDPOINT_BYTES_MAX])
{
    struct leat_socket_config config;
    zsock_t *socket = NULL;
    leat_socket_config_init(&config, type);
    config.bind = bind;
    config.guard = world->guard;
    config.zap_domain = domain;
    config.linger_ms = 0;
    config.handshake_ms = 1500; /* so long does one who is refused wait */
    assert_int_equal(leat_socket_open(&config, &socket, endpoint, NULL), LEAT_OK);
    return socket;
}

static void open_world(struct world *world, void **state)
{
    *world = (struct world){.rig = *state};
    world->broker = keys_new(world->rig, "broker", LEAT_ROLE_BROKER, "");
    struct leat_curve own = curve_of(&world->broker, NULL);
    struct leat_guard_config config = {
        .keys = world->rig->directory, .curve = &own, .doors = 2, .open_network = false};
    struct leat_why why = {""};
    if (leat_guard_start(&config, &world->guard, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    world->router =
        bind_guarded(world, ZMQ_ROUTER, "tcp://127.0.0.1:0", LEAT_ZAP_PEERS, world->endpoint);
}

static void close_world(struct world *world)
{
    zsock_destroy(&world->router);
    leat_guard_stop(&world->guard);
    assert_null(world->guard);
}

/* ---- peers ---- */

struct peer {
    zsock_t *socket, *monitor;
};

static struct peer connect_peer(int type, const char *endpoint, const struct leat_curve *curve)
{
    static unsigned serial;
    char name[64];
    struct peer peer = {.socket = zsock_new(type)};
    void *raw = zsock_resolve(peer.socket);
    snprintf(name, sizeof name, "inproc://peer-%u", serial++);
    zsock_set_linger(peer.socket, 0);
    zsock_set_reconnect_ivl(peer.socket, 100);
    if (curve != NULL && curve->on) {
        zsock_set_curve_serverkey(peer.socket, curve->server);
        zsock_set_curve_publickey(peer.socket, curve->own_public);
        zsock_set_curve_secretkey(peer.socket, curve->own_secret);
    }
    if (type == ZMQ_SUB) {
        zsock_set_subscribe(peer.socket, "");
    }
    assert_int_equal(zmq_socket_monitor(raw, name,
                                        ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                                            ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                                            ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                                            ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL),
                     0);
    peer.monitor = zsock_new(ZMQ_PAIR);
    assert_int_equal(zmq_connect(zsock_resolve(peer.monitor), name), 0);
    assert_int_equal(zmq_connect(raw, endpoint), 0);
    return peer;
}

static void close_peer(struct peer *peer)
{
    zsock_destroy(&peer->socket);
    zsock_destroy(&peer->monitor);
}

static struct peer connect_with(struct world *world, int type, const char *endpoint,
                                const struct leat_key_file *file)
{
    struct leat_curve curve = curve_of(file, world->broker.public_text);
    return connect_peer(type, endpoint, &curve);
}

/* Whether the next handshake succeeds. */
static bool gets_in(struct peer *peer)
{
    uint8_t head[6] = {0};
    uint16_t event;
    zmq_pollitem_t item = {.socket = zsock_resolve(peer->monitor), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, WAIT_MS), 1);
    assert_int_equal(zmq_recv(zsock_resolve(peer->monitor), head, sizeof head, 0), sizeof head);
    assert_true(zmq_recv(zsock_resolve(peer->monitor), NULL, 0, 0) >= 0);
    memcpy(&event, head, sizeof event);
    return event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
}

static bool may_enter(struct world *world, int type, const char *endpoint,
                      const struct leat_key_file *file)
{
    struct peer peer = connect_with(world, type, endpoint, file);
    bool in = gets_in(&peer);
    close_peer(&peer);
    return in;
}

static struct leat_key_file draw(void)
{
    struct leat_key_file file = {.has_role = true};
    assert_int_equal(leat_key_file_draw(&file, NULL), LEAT_OK);
    return file;
}

static void send_text(zsock_t *socket, const char *text)
{
    assert_int_equal(zmq_send(zsock_resolve(socket), text, strlen(text), 0), strlen(text));
}

static void wait_readable(zsock_t *socket)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(socket), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, WAIT_MS), 1);
}

/* The peer says something; its payload is left in `frame`, which the caller has made. */
static void hear(struct world *world, struct peer *peer, zmq_msg_t *frame)
{
    struct leat_peer from;
    send_text(peer->socket, "x");
    wait_readable(world->router); /* which prefetches the routing id, and loses its properties */
    assert_int_equal(leat_socket_recv(world->router, &from, frame), LEAT_RECEIVED);
}

static void wait_for_change(struct leat_guard_view *view)
{
    struct leat_keyring *before = NULL;
    struct leat_now start;
    struct leat_now now;
    leat_clock_now(&start);
    while (!leat_guard_view_refresh(view, &before)) {
        leat_clock_now(&now);
        assert_true(now.mono_us - start.mono_us < 5 * LEAT_US_PER_S); /* the promise */
        zmq_pollitem_t nothing = {.fd = -1};
        zmq_poll(&nothing, 0, 20);
    }
    leat_keyring_release(&before);
}

/* A world with a worker who has got in, and a view of the keyring. */
struct visit {
    struct world world;
    struct leat_key_file known;
    struct leat_guard_view view;
    struct peer peer;
};

static void open_visit(struct visit *visit, void **state)
{
    visit->known = keys_new(*state, "known", LEAT_ROLE_WORKER, "");
    open_world(&visit->world, state);
    leat_guard_view_open(&visit->view, visit->world.guard);
    visit->peer = connect_with(&visit->world, ZMQ_DEALER, visit->world.endpoint, &visit->known);
    assert_true(gets_in(&visit->peer));
}

static void close_visit(struct visit *visit)
{
    close_peer(&visit->peer);
    leat_guard_view_close(&visit->view);
    close_world(&visit->world);
}

/* ---- tests ---- */

static void only_known_keys_get_in(void **state)
{
    struct world world;
    struct keys_rig *rig = *state;
    struct leat_key_file known = keys_new(rig, "known", LEAT_ROLE_WORKER, "");
    struct leat_key_file stranger = draw();
    open_world(&world, state);
    assert_true(may_enter(&world, ZMQ_DEALER, world.endpoint, &known));
    assert_false(may_enter(&world, ZMQ_DEALER, world.endpoint, &stranger));
    struct leat_curve wrong_server = curve_of(&known, stranger.public_text);
    struct peer peer = connect_peer(ZMQ_DEALER, world.endpoint, &wrong_server);
    assert_false(gets_in(&peer));
    close_peer(&peer);
    close_world(&world);
}

/* With status 400 libzmq would never try again. */
static void who_was_refused_gets_in_when_his_key_is_added(void **state)
{
    struct world world;
    struct keys_rig *rig = *state;
    struct leat_key_file late = draw();
    late.role = LEAT_ROLE_WORKER;
    open_world(&world, state);
    struct peer peer = connect_with(&world, ZMQ_DEALER, world.endpoint, &late);
    assert_false(gets_in(&peer));
    assert_int_equal(leat_key_file_write(keys_path(rig, "late.pub"), &late, false, true, NULL),
                     LEAT_OK);
    bool in = false;
    for (int tries = 0; !in && tries < 10; tries++) {
        in = gets_in(&peer);
    }
    assert_true(in);
    close_peer(&peer);
    close_world(&world);
}

static void null_and_plain_mechanisms_are_refused(void **state)
{
    struct world world;
    open_world(&world, state);
    struct peer null = connect_peer(ZMQ_DEALER, world.endpoint, NULL);
    assert_false(gets_in(&null));
    close_peer(&null);
    struct peer plain = {.socket = NULL};
    plain.socket = zsock_new(ZMQ_DEALER);
    zsock_set_plain_username(plain.socket, "somebody");
    zsock_set_plain_password(plain.socket, "x");
    zsock_set_immediate(plain.socket, 1);
    zsock_set_linger(plain.socket, 0);
    assert_int_equal(zmq_connect(zsock_resolve(plain.socket), world.endpoint), 0);
    zmq_pollitem_t item = {.socket = zsock_resolve(plain.socket), .events = ZMQ_POLLOUT};
    assert_int_equal(zmq_poll(&item, 1, 500), 0);
    close_peer(&plain);
    close_world(&world);
}

/* What a peer of an old version sends first, up to and with a message. */
static void old_greetings_are_refused(void **state)
{
    struct world world;
    open_world(&world, state);
    static const struct {
        const char *bytes;
        size_t size;
    } greetings[] = {
        {"\x01\x00\x06\x00hello", 9},                                    /* ZMTP 1.0 */
        {"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05\x00\x00\x00\x05hello", 21}, /* ZMTP 2.0 */
    };
    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port =
                                          htons((uint16_t)atoi(strrchr(world.endpoint, ':') + 1)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct timeval patience = {.tv_sec = WAIT_MS / 1000};
        char byte[64];
        ssize_t got;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(write(fd, greetings[i].bytes, greetings[i].size), greetings[i].size);
        while ((got = read(fd, byte, sizeof byte)) > 0) {
        }
        assert_true(got == 0 || errno == ECONNRESET); /* cut off */
        close(fd);
    }
    zmq_pollitem_t item = {.socket = zsock_resolve(world.router), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, 100), 0); /* and nothing of it was taken */
    close_world(&world);
}

/* czmq's own authenticator ends then, and whoever comes later gets in. */
static void strangers_are_refused_after_sigterm_as_well(void **state)
{
    struct world world;
    struct keys_rig *rig = *state;
    struct leat_key_file known = keys_new(rig, "known", LEAT_ROLE_WORKER, "");
    struct leat_key_file stranger = draw();
    open_world(&world, state);
    int fd = -1;
    assert_int_equal(leat_signals_open(&fd, NULL), LEAT_OK);
    kill(getpid(), SIGTERM);
    zsys_interrupted = 1; /* what czmq's handler would do, were it there */
    for (int i = 0; i < 3; i++) {
        assert_false(may_enter(&world, ZMQ_DEALER, world.endpoint, &stranger));
        assert_true(may_enter(&world, ZMQ_DEALER, world.endpoint, &known));
    }
    zsys_interrupted = 0;
    assert_int_equal(leat_signals_read(fd), SIGTERM);
    close(fd);
    close_world(&world);
}

static void without_a_handler_nobody_gets_in(void **state)
{
    struct world world;
    struct keys_rig *rig = *state;
    struct leat_key_file known = keys_new(rig, "known", LEAT_ROLE_WORKER, "");
    open_world(&world, state);
    char path[KEYS_PATH_BYTES];
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
    snprintf(path, sizeof path, "ipc://%s", keys_path(rig, "peers"));
    zsock_t *router = bind_guarded(&world, ZMQ_ROUTER, path, LEAT_ZAP_PEERS, endpoint);
    assert_true(may_enter(&world, ZMQ_DEALER, endpoint, &known));
    zsock_destroy(&world.router);
    leat_guard_stop(&world.guard); /* against the rule, before the last socket */
    struct peer peer = connect_with(&world, ZMQ_DEALER, endpoint, &known);
    for (int i = 0; i < 2; i++) {
        assert_false(gets_in(&peer)); /* however often it tries */
    }
    close_peer(&peer);
    zsock_destroy(&router);
    close_world(&world);
}

/* The trap itself: the same socket with less. When this fails, libzmq has changed, and the tests
 * above have to be looked at. */
static void curve_alone_admits_anybody(void **state)
{
    (void)state;
    struct leat_key_file server = draw();
    struct leat_key_file stranger = draw();
    zsock_t *router = zsock_new(ZMQ_ROUTER);
    zsock_set_linger(router, 0);
    zsock_set_curve_server(router, 1);
    zsock_set_curve_secretkey(router, server.secret_text);
    zsock_set_zap_domain(router, "domain");
    assert_true(zsock_bind(router, "tcp://127.0.0.1:*") > 0);
    struct leat_curve curve = curve_of(&stranger, server.public_text);
    struct peer peer = connect_peer(ZMQ_DEALER, zsock_endpoint(router), &curve);
    assert_true(gets_in(&peer));
    close_peer(&peer);
    zsock_destroy(&router);
}

static void the_payload_frame_says_who_sent_it(void **state)
{
    struct visit visit;
    open_visit(&visit, state);
    for (int i = 0; i < 3; i++) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        hear(&visit.world, &visit.peer, &frame);
        const struct leat_principal *who = leat_guard_view_who(&visit.view, &frame);
        assert_non_null(who);
        assert_string_equal(who->name, "known");
        zmq_msg_close(&frame);
    }
    close_visit(&visit);
}

static void a_revoked_key_loses_its_rights_on_its_connection_too(void **state)
{
    struct visit visit;
    struct keys_rig *rig = *state;
    open_visit(&visit, state);
    zmq_msg_t frame;
    zmq_msg_init(&frame);

    keys_remove(rig, "known");
    wait_for_change(&visit.view);
    hear(&visit.world, &visit.peer, &frame);
    assert_null(leat_guard_view_who(&visit.view, &frame));
    assert_false(may_enter(&visit.world, ZMQ_DEALER, visit.world.endpoint, &visit.known));

    struct leat_key_file back = visit.known; /* the same key with another role */
    back.role = LEAT_ROLE_PRODUCER;
    assert_int_equal(leat_key_file_write(keys_path(rig, "back.pub"), &back, false, true, NULL),
                     LEAT_OK);
    wait_for_change(&visit.view);
    hear(&visit.world, &visit.peer, &frame);
    assert_int_equal(leat_guard_view_who(&visit.view, &frame)->role, LEAT_ROLE_PRODUCER);

    char moved[KEYS_PATH_BYTES + 8];
    snprintf(moved, sizeof moved, "%s.moved", rig->directory);
    assert_int_equal(rename(rig->directory, moved), 0);
    wait_for_change(
        &visit.view); /* a directory that is gone: nobody is known but the broker itself */
    assert_null(leat_guard_view_who(&visit.view, &frame));
    assert_int_equal(leat_keyring_count(visit.view.keyring), 1);
    assert_int_equal(rename(moved, rig->directory), 0);
    wait_for_change(&visit.view);
    assert_non_null(leat_guard_view_who(&visit.view, &frame));
    zmq_msg_close(&frame);
    close_visit(&visit);
}

static void events_are_for_those_who_may_read_all_of_them(void **state)
{
    struct world world;
    struct keys_rig *rig = *state;
    static const struct {
        const char *name;
        enum leat_role role;
        const char *queues;
        bool may;
    } cases[] = {{"o", LEAT_ROLE_OPERATOR, "", true},
                 {"p", LEAT_ROLE_PRODUCER, "", true},
                 {"q", LEAT_ROLE_PRODUCER, "a", false},
                 {"w", LEAT_ROLE_WORKER, "", false},
                 {"b", LEAT_ROLE_BROKER, "", false}};
    struct leat_key_file files[5];
    for (size_t i = 0; i < 5; i++) {
        files[i] = keys_new(rig, cases[i].name, cases[i].role, cases[i].queues);
    }
    open_world(&world, state);
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *pub = bind_guarded(&world, ZMQ_XPUB, "tcp://127.0.0.1:0", LEAT_ZAP_EVENTS, endpoint);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(may_enter(&world, ZMQ_SUB, endpoint, &files[i]), cases[i].may);
        assert_true(may_enter(&world, ZMQ_DEALER, world.endpoint, &files[i]));
    }
    zsock_destroy(&pub);
    close_world(&world);
}

static void a_directory_that_cannot_be_read_is_refused_at_the_start(void **state)
{
    (void)state;
    struct leat_key_file broker = draw();
    struct leat_curve own = curve_of(&broker, NULL);
    struct leat_guard_config config = {.keys = "/nowhere/at/all", .curve = &own, .doors = 1};
    struct leat_guard *guard = NULL;
    struct leat_why why = {""};
    assert_int_equal(leat_guard_start(&config, &guard, &why), LEAT_ERR_INVALID);
    assert_non_null(strstr(why.text, "/nowhere/at/all"));
    assert_null(guard);
}

/* libzmq gives up an endpoint for good where somebody speaks another mechanism. */
static void who_met_the_wrong_broker_finds_the_right_one_later(void **state)
{
    struct world world;
    struct keys_rig *rig = *state;
    struct leat_key_file known = keys_new(rig, "known", LEAT_ROLE_WORKER, "");
    open_world(&world, state);
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *wrong = NULL; /* a broker that was started without its keys */
    assert_int_equal(
        leat_socket_bind(ZMQ_ROUTER, "tcp://127.0.0.1:0", false, &wrong, endpoint, NULL), LEAT_OK);
    struct leat_curve curve = curve_of(&known, world.broker.public_text);
    struct peer witness = connect_peer(ZMQ_DEALER, endpoint, &curve);
    zsock_t *dealer = NULL;
    assert_int_equal(leat_socket_connect_curve(ZMQ_DEALER, endpoint, &curve, &dealer, NULL),
                     LEAT_OK);
    assert_false(gets_in(&witness));
    close_peer(&witness);
    zmq_pollitem_t item = {.socket = zsock_resolve(dealer), .events = ZMQ_POLLOUT};
    assert_int_equal(zmq_poll(&item, 1, 300), 0);
    zsock_destroy(&wrong);

    struct leat_socket_config config;
    zsock_t *right = NULL;
    leat_socket_config_init(&config, ZMQ_ROUTER);
    config.bind = endpoint;
    config.guard = world.guard;
    config.zap_domain = LEAT_ZAP_PEERS;
    for (int tries = 0; right == NULL && tries < 500; tries++) { /* until the address is free */
        if (leat_socket_open(&config, &right, NULL, NULL) != LEAT_OK) {
            zmq_pollitem_t nothing = {.fd = -1};
            zmq_poll(&nothing, 0, 20);
        }
    }
    assert_non_null(right);
    int64_t since_us = 0;
    leat_socket_tend(dealer, &since_us, 1);
    leat_socket_tend(dealer, &since_us, LEAT_SOCKET_STUCK_MS * LEAT_US_PER_MS);
    assert_int_equal(zmq_poll(&item, 1, 300), 0); /* not yet */
    leat_socket_tend(dealer, &since_us, 1 + LEAT_SOCKET_STUCK_MS * LEAT_US_PER_MS);
    assert_int_equal(zmq_poll(&item, 1, WAIT_MS), 1);
    leat_socket_tend(dealer, &since_us, 2 + LEAT_SOCKET_STUCK_MS * LEAT_US_PER_MS);
    assert_int_equal(since_us, 0);
    zsock_destroy(&dealer);
    zsock_destroy(&right);
    close_world(&world);
}

int main(void)
{
    leat_signals_start();
#define ON_KEYS(test) cmocka_unit_test_setup_teardown(test, keys_setup, keys_teardown)
    const struct CMUnitTest tests[] = {
        ON_KEYS(only_known_keys_get_in),
        ON_KEYS(who_was_refused_gets_in_when_his_key_is_added),
        ON_KEYS(who_met_the_wrong_broker_finds_the_right_one_later),
        ON_KEYS(null_and_plain_mechanisms_are_refused),
        ON_KEYS(old_greetings_are_refused),
        ON_KEYS(strangers_are_refused_after_sigterm_as_well),
        ON_KEYS(without_a_handler_nobody_gets_in),
        cmocka_unit_test(curve_alone_admits_anybody),
        ON_KEYS(the_payload_frame_says_who_sent_it),
        ON_KEYS(a_revoked_key_loses_its_rights_on_its_connection_too),
        ON_KEYS(events_are_for_those_who_may_read_all_of_them),
        cmocka_unit_test(a_directory_that_cannot_be_read_is_refused_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
