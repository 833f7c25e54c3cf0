#include "io/guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/check.h"
#include "io/clock.h"
#include "io/door.h"
#include "io/key_file.h"
#include "io/log.h"
#include "io/socket.h"
#include "io/zap.h"

#define ZAP_BUDGET    64   /* requests in one turn */
#define DOOR_BUDGET   4096 /* events of one monitor in one turn */
#define LAST_DOORS_US (5 * LEAT_US_PER_S)
#define WAIT_MS_MAX   (60 * 1000)

struct leat_guard {
    zactor_t *thread;
    struct leat_curve curve;
    char *directory; /* NULL: no keys */
    pthread_mutex_t mutex;
    struct leat_keyring *keyring; /* under the mutex */
    _Atomic uint64_t generation;
    uint64_t looked; /* of leat_keyring_look; the guard's thread alone, after the start */
    zsock_t *zap;    /* the guard's thread closes it */
    bool open_network;
    size_t connections_max;
    size_t half_open_max;
};

/* What the thread is told by its pipe: a door to watch. Not as long as "$TERM". */
struct order {
    zsock_t *monitor; /* the thread's from now on */
};

/* What the thread alone has. */
struct watch {
    struct leat_guard *guard;
    zsock_t *pipe;
    struct {
        zsock_t *monitor;
        struct leat_door door;
    } doors[LEAT_GUARD_DOORS_MAX];
    size_t door_count;
    int64_t look_us;
    int64_t warn_us;
    int64_t end_us; /* told to end: at the latest then */
    bool more;
};

static int64_t mono_us(void)
{
    struct leat_now now;
    leat_clock_now(&now);
    return now.mono_us;
}

/* ---- keys ---- */

static void publish(struct leat_guard *guard, struct leat_keyring *keyring)
{
    pthread_mutex_lock(&guard->mutex);
    struct leat_keyring *before = guard->keyring;
    guard->keyring = keyring;
    atomic_fetch_add(&guard->generation, 1);
    pthread_mutex_unlock(&guard->mutex);
    leat_keyring_release(&before);
}

static void log_change(const struct leat_principal *who, const char *event)
{
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_INFO, event);
    leat_log_text(&line, "name", who->name);
    leat_log_text(&line, "role", leat_role_name(who->role));
    leat_log_end(&line);
}

static void log_changes(const struct leat_keyring *before, const struct leat_keyring *after)
{
    for (size_t i = 0; i < leat_keyring_count(after); i++) {
        const struct leat_principal *who = leat_keyring_at(after, i);
        const struct leat_principal *was = leat_keyring_find(before, &who->key);
        if (was == NULL || !leat_principal_equal(was, who)) {
            log_change(who, was == NULL ? "key_known" : "key_changed");
        }
    }
    for (size_t i = 0; i < leat_keyring_count(before); i++) {
        const struct leat_principal *who = leat_keyring_at(before, i);
        if (leat_keyring_find(after, &who->key) == NULL) {
            log_change(who, "key_revoked");
        }
    }
}

/* What cannot be read is not known: else to remove a directory would revoke nothing. */
static void look_at_keys(struct leat_guard *guard)
{
    uint64_t looked = leat_keyring_look(guard->directory);
    if (looked == guard->looked) {
        return;
    }
    struct leat_keyring *keyring = NULL;
    struct leat_why why = {""};
    if (leat_keyring_load(guard->directory, &guard->curve.own, &keyring, &why) != LEAT_OK) {
        leat_log_reason(LEAT_LOG_ERROR, "keys_unreadable", "%s; nobody is known until it can",
                        why.text);
        keyring = leat_keyring_new_empty(&guard->curve.own);
        looked = 0;
    }
    guard->looked = looked;
    log_changes(guard->keyring, keyring); /* only this thread replaces it */
    publish(guard, keyring);
}

/* ---- ZAP ---- */

static void log_stranger(const struct leat_zap_request *request, const char *why)
{
    char key[LEAT_KEY_TEXT_BYTES] = "";
    if (request->is_curve) {
        zmq_z85_encode(key, request->key.bytes, LEAT_KEY_BYTES);
    }
    key[LEAT_KEY_FINGERPRINT_BYTES] = '\0';
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_WARN, "stranger_refused");
    leat_log_text(&line, "address", request->address);
    leat_log_text(&line, "domain", request->domain);
    leat_log_text(&line, "key", key);
    leat_log_text(&line, "reason", why);
    leat_log_end(&line);
}

static void decide(struct leat_guard *guard, const struct leat_zap_request *request)
{
    const struct leat_principal *who =
        request->is_curve ? leat_keyring_find(guard->keyring, &request->key) : NULL;
    if (who == NULL) {
        log_stranger(request, request->is_curve ? "this key is not known" : "no CURVE");
    } else if (strcmp(request->domain, LEAT_ZAP_EVENTS) == 0 && !leat_policy_may_subscribe(who)) {
        log_stranger(request, "this key may not read the events of all queues");
        who = NULL;
    }
    char user_id[LEAT_KEY_TEXT_BYTES];
    if (who != NULL) {
        zmq_z85_encode(user_id, who->key.bytes, LEAT_KEY_BYTES);
    }
    leat_zap_answer(guard->zap, request, who == NULL ? NULL : user_id);
}

/* As in every loop of ours: asked without waiting, whatever poll said. */
static void answer_zap(struct watch *watch)
{
    struct leat_zap_request request;
    for (int i = 0; i < ZAP_BUDGET; i++) {
        if ((zsock_events(watch->guard->zap) & ZMQ_POLLIN) == 0) {
            return;
        }
        if (leat_zap_receive(watch->guard->zap, &request)) {
            decide(watch->guard, &request);
        }
    }
    watch->more = true;
}

/* ---- doors ---- */

/* One event: two frames. False: there is none. */
static bool receive_event(zsock_t *monitor, uint16_t *ret_event, uint32_t *ret_value,
                          char endpoint[LEAT_ENDPOINT_BYTES_MAX])
{
    void *raw = zsock_resolve(monitor);
    uint8_t head[6];
    int rc = zmq_recv(raw, head, sizeof head, ZMQ_DONTWAIT);
    if (rc < 0) {
        return false;
    }
    LEAT_ASSERT(rc == (int)sizeof head); /* libzmq's own words, in our process */
    memcpy(ret_event, head, sizeof *ret_event);
    memcpy(ret_value, head + sizeof *ret_event, sizeof *ret_value);
    rc = zmq_recv(raw, endpoint, LEAT_ENDPOINT_BYTES_MAX - 1, ZMQ_DONTWAIT);
    size_t size = rc < 0 ? 0 : (size_t)rc;
    endpoint[size < LEAT_ENDPOINT_BYTES_MAX ? size : LEAT_ENDPOINT_BYTES_MAX - 1] = '\0';
    return true;
}

static void remove_door(struct watch *watch, size_t i)
{
    zsock_destroy(&watch->doors[i].monitor);
    leat_door_fini(&watch->doors[i].door);
    watch->doors[i] = watch->doors[--watch->door_count];
}

static void read_doors(struct watch *watch)
{
    const int64_t now_us = mono_us();
    for (size_t i = 0; i < watch->door_count;) {
        uint16_t event;
        uint32_t value;
        char endpoint[LEAT_ENDPOINT_BYTES_MAX];
        bool there = true;
        int taken = 0;
        while (there && taken < DOOR_BUDGET &&
               receive_event(watch->doors[i].monitor, &event, &value, endpoint)) {
            there = leat_door_event(&watch->doors[i].door, event, value, endpoint, now_us);
            taken++;
        }
        watch->more = watch->more || taken == DOOR_BUDGET;
        if (there) {
            i++;
        } else {
            remove_door(watch, i);
        }
    }
    size_t connections = 0;
    for (size_t i = 0; i < watch->door_count; i++) {
        connections += watch->doors[i].door.inside + watch->doors[i].door.half_open;
    }
    for (size_t i = 0; i < watch->door_count; i++) {
        leat_door_tend(&watch->doors[i].door, connections >= watch->guard->connections_max, now_us);
    }
}

/* ---- the thread ---- */

/* $TERM ends the guard; anything else is an order. */
static void obey(struct watch *watch)
{
    for (;;) {
        struct order order;
        char word[2 * sizeof order] = "";
        int rc = zmq_recv(zsock_resolve(watch->pipe), word, sizeof word, ZMQ_DONTWAIT);
        if (rc < 0) {
            return;
        }
        if (rc != (int)sizeof order) {
            watch->end_us = mono_us() + LAST_DOORS_US;
            continue;
        }
        memcpy(&order, word, sizeof order);
        LEAT_ASSERT(watch->door_count < LEAT_GUARD_DOORS_MAX);
        watch->doors[watch->door_count].monitor = order.monitor;
        leat_door_init(&watch->doors[watch->door_count].door, watch->guard->half_open_max);
        watch->door_count++;
    }
}

static void warn_of_network(struct watch *watch)
{
    leat_log_reason(LEAT_LOG_WARN, "unauthenticated_network",
                    "--allow-unauthenticated-network: anybody who can reach this process can use "
                    "it; leat keys makes keys");
    watch->warn_us = mono_us() + LEAT_GUARD_WARN_MS * LEAT_US_PER_MS;
}

static long wait_ms(const struct watch *watch)
{
    if (watch->more) {
        return 0;
    }
    int64_t until_us = leat_min_us(leat_min_us(watch->look_us, watch->warn_us), watch->end_us);
    int64_t left_us = until_us == LEAT_NEVER_US ? LEAT_NEVER_US : until_us - mono_us();
    if (left_us <= 0) {
        return 0;
    }
    int64_t ms = left_us / LEAT_US_PER_MS + 1;
    return ms > WAIT_MS_MAX ? WAIT_MS_MAX : (long)ms;
}

static void tend(struct watch *watch)
{
    int64_t now_us = mono_us();
    if (now_us >= watch->look_us) {
        look_at_keys(watch->guard);
        watch->look_us = now_us + LEAT_GUARD_LOOK_MS * LEAT_US_PER_MS;
    }
    if (now_us >= watch->warn_us) {
        warn_of_network(watch);
    }
}

/* Sockets that were closed are taken down by libzmq's threads in their own time. Until a monitor
 * says that its socket is gone, it must be read: with nobody at its other end libzmq's thread would
 * wait for ever in the middle of telling of an event. */
static bool is_done(const struct watch *watch)
{
    return watch->end_us != LEAT_NEVER_US && (watch->door_count == 0 || mono_us() >= watch->end_us);
}

static void loop(struct watch *watch)
{
    while (!is_done(watch)) {
        zmq_pollitem_t items[LEAT_GUARD_DOORS_MAX + 2];
        int count = 0;
        items[count++] =
            (zmq_pollitem_t){.socket = zsock_resolve(watch->pipe), .events = ZMQ_POLLIN};
        if (watch->guard->zap != NULL) {
            items[count++] =
                (zmq_pollitem_t){.socket = zsock_resolve(watch->guard->zap), .events = ZMQ_POLLIN};
        }
        for (size_t i = 0; i < watch->door_count; i++) {
            items[count++] = (zmq_pollitem_t){.socket = zsock_resolve(watch->doors[i].monitor),
                                              .events = ZMQ_POLLIN};
        }
        int rc = zmq_poll(items, count, wait_ms(watch));
        LEAT_ASSERT(rc >= 0 || errno == EINTR); /* without a guard nobody may go on */
        obey(watch);
        watch->more = false;
        if (watch->guard->zap != NULL) {
            answer_zap(watch);
        }
        read_doors(watch);
        tend(watch);
    }
}

static void run(zsock_t *pipe, void *argument)
{
    pthread_setname_np(pthread_self(), "leat-guard");
    struct watch watch = {.guard = argument,
                          .pipe = pipe,
                          .look_us = LEAT_NEVER_US,
                          .warn_us = LEAT_NEVER_US,
                          .end_us = LEAT_NEVER_US};
    if (watch.guard->directory != NULL) {
        watch.look_us = mono_us() + LEAT_GUARD_LOOK_MS * LEAT_US_PER_MS;
    }
    if (watch.guard->open_network) {
        watch.warn_us = mono_us() + LEAT_GUARD_WARN_MS * LEAT_US_PER_MS;
    }
    zsock_signal(pipe, 0);
    loop(&watch);
    for (size_t i = 0; i < watch.door_count; i++) { /* whose sockets are not gone: left open */
        leat_door_fini(&watch.doors[i].door);
    }
    zsock_destroy(&watch.guard->zap);
}

/* ---- the broker's side ---- */

/* As many descriptors as this process may have; that is what the doors reckon with. */
static size_t raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    rlim_t wanted = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
    if (limit.rlim_cur < wanted) {
        struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            return (size_t)wanted;
        }
    }
    return limit.rlim_cur > 1 << 20 ? 1 << 20 : (size_t)limit.rlim_cur;
}

static enum leat_err open_keys(struct leat_guard *guard, const struct leat_guard_config *config,
                               struct leat_why *why)
{
    guard->directory = strdup(config->keys);
    LEAT_ASSERT(guard->directory != NULL);
    guard->looked = leat_keyring_look(guard->directory);
    if (leat_keyring_load(config->keys, &guard->curve.own, &guard->keyring, why) != LEAT_OK) {
        return LEAT_ERR_INVALID;
    }
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_INFO, "keys_read");
    leat_log_text(&line, "directory", config->keys);
    leat_log_number(&line, "keys", (int64_t)leat_keyring_count(guard->keyring));
    leat_log_end(&line);
    return leat_socket_bind(ZMQ_REP, LEAT_ZAP_ENDPOINT, false, &guard->zap, NULL, why);
}

enum leat_err leat_guard_start(const struct leat_guard_config *config,
                               struct leat_guard **ret_guard, struct leat_why *why)
{
    struct leat_guard *guard = calloc(1, sizeof *guard);
    LEAT_ASSERT(guard != NULL);
    pthread_mutex_init(&guard->mutex, NULL);
    guard->open_network = config->open_network && config->keys == NULL;
    leat_door_limits(raise_descriptors(), config->doors, &guard->connections_max,
                     &guard->half_open_max);
    enum leat_err err = LEAT_OK;
    if (config->keys != NULL) {
        guard->curve = *config->curve;
        err = open_keys(guard, config, why);
    }
    if (err == LEAT_OK) {
        guard->thread = zactor_new(run, guard);
        if (guard->thread == NULL) {
            err = leat_fail(why, LEAT_ERR_MEMORY, "no thread for the guard");
        }
    }
    if (err != LEAT_OK) {
        zsock_destroy(&guard->zap);
        leat_guard_stop(&guard);
        return err;
    }
    *ret_guard = guard;
    return LEAT_OK;
}

void leat_guard_stop(struct leat_guard **guard_address)
{
    struct leat_guard *guard = *guard_address;
    if (guard == NULL) {
        return;
    }
    zactor_destroy(&guard->thread);
    leat_keyring_release(&guard->keyring);
    leat_curve_wipe(&guard->curve);
    pthread_mutex_destroy(&guard->mutex);
    free(guard->directory);
    free(guard);
    *guard_address = NULL;
}

bool leat_guard_has_keys(const struct leat_guard *guard)
{
    return guard != NULL && guard->directory != NULL;
}

const struct leat_curve *leat_guard_curve(const struct leat_guard *guard)
{
    return &guard->curve;
}

void leat_guard_add_door(struct leat_guard *guard, zsock_t **monitor)
{
    struct order order = {.monitor = *monitor};
    int rc = zmq_send(zactor_resolve(guard->thread), &order, sizeof order, 0);
    LEAT_ASSERT(rc == (int)sizeof order);
    *monitor = NULL;
}

/* ---- views ---- */

static struct leat_keyring *current(struct leat_guard *guard, uint64_t *ret_generation)
{
    pthread_mutex_lock(&guard->mutex);
    struct leat_keyring *keyring = leat_keyring_hold(guard->keyring);
    *ret_generation = atomic_load(&guard->generation);
    pthread_mutex_unlock(&guard->mutex);
    return keyring;
}

void leat_guard_view_open(struct leat_guard_view *view, struct leat_guard *guard)
{
    *view = (struct leat_guard_view){.guard = leat_guard_has_keys(guard) ? guard : NULL};
    if (view->guard != NULL) {
        view->keyring = current(guard, &view->generation);
    }
}

void leat_guard_view_close(struct leat_guard_view *view)
{
    leat_keyring_release(&view->keyring);
    view->guard = NULL;
}

bool leat_guard_view_refresh(struct leat_guard_view *view, struct leat_keyring **ret_before)
{
    if (view->guard == NULL ||
        atomic_load_explicit(&view->guard->generation, memory_order_relaxed) == view->generation) {
        return false;
    }
    *ret_before = view->keyring;
    view->keyring = current(view->guard, &view->generation);
    return true;
}

const struct leat_principal *leat_guard_view_who(const struct leat_guard_view *view,
                                                 zmq_msg_t *frame)
{
    const char *user_id = zmq_msg_gets(frame, "User-Id");
    return user_id == NULL ? NULL : leat_keyring_find_text(view->keyring, user_id);
}
