#include "io/socket.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/instant.h"
#include "core/limits.h"
#include "io/door.h"
#include "io/guard.h"
#include "io/log.h"
#include "io/random.h"
#include "io/zap.h"

void leat_socket_config_init(struct leat_socket_config *config, int type)
{
    *config = (struct leat_socket_config){
        .type = type,
        .immediate = type == ZMQ_DEALER,
        .send_hwm = type == ZMQ_XPUB ? 10000 : 1000,
        .receive_hwm = 1000,
        .message_bytes_max = type == ZMQ_REP ? LEAT_REQUEST_BYTES_MAX : LEAT_MESSAGE_BYTES_MAX,
        .handshake_ms = LEAT_SOCKET_HANDSHAKE_MS,
        .linger_ms = 500,
    };
}

/* ---- options ---- */

static void set_int(void *socket, int option, int value)
{
    int rc = zmq_setsockopt(socket, option, &value, sizeof value);
    assert(rc == 0); /* the options are constants and the library is ours to know */
    (void)rc;
}

static bool is_ipv6(const struct leat_socket_config *config)
{
    const char *endpoint = config->bind != NULL ? config->bind : config->connect;
    return strncmp(endpoint, "tcp://[", strlen("tcp://[")) == 0;
}

/* ZMQ_HEARTBEAT_* is left unset on purpose: with them libzmq 4.3.4 aborts when a reader stalls and
 * the peer dies (libzmq issue 4364). Liveness is PING in the protocol and keep-alive in TCP. */
static void set_options(void *socket, const struct leat_socket_config *config)
{
    int64_t max = config->message_bytes_max;
    int rc = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max, sizeof max);
    assert(rc == 0);
    (void)rc;
    set_int(socket, ZMQ_SNDHWM, config->send_hwm);
    set_int(socket, ZMQ_RCVHWM, config->receive_hwm);
    set_int(socket, ZMQ_LINGER, config->linger_ms);
    set_int(socket, ZMQ_HANDSHAKE_IVL, config->handshake_ms);
    set_int(socket, ZMQ_BACKLOG, LEAT_SOCKET_BACKLOG);
    set_int(socket, ZMQ_IPV6, is_ipv6(config));
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, LEAT_SOCKET_KEEPALIVE_IDLE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, LEAT_SOCKET_KEEPALIVE_INTERVAL_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, LEAT_SOCKET_KEEPALIVE_COUNT);
    set_int(socket, ZMQ_TCP_MAXRT, LEAT_SOCKET_TCP_GIVE_UP_MS);
    /* a base of its own for each socket, or all clients come back at the same moments: libzmq's
     * jitter is smaller than one base interval however long the back-off is */
    int base = LEAT_SOCKET_RECONNECT_MS_MIN +
               (int)(leat_random_seed() %
                     (LEAT_SOCKET_RECONNECT_MS_BASE_MAX - LEAT_SOCKET_RECONNECT_MS_MIN + 1));
    set_int(socket, ZMQ_RECONNECT_IVL, base);
    set_int(socket, ZMQ_RECONNECT_IVL_MAX, LEAT_SOCKET_RECONNECT_MS_MAX);
    set_int(socket, ZMQ_CONNECT_TIMEOUT, LEAT_SOCKET_CONNECT_MS);
    set_int(socket, ZMQ_IMMEDIATE, config->immediate);
    set_int(socket, ZMQ_SNDTIMEO, -1);
    set_int(socket, ZMQ_RCVTIMEO, -1);
    if (config->type == ZMQ_ROUTER) {
        set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
        set_int(socket, ZMQ_ROUTER_HANDOVER, 0);
    }
    if (config->type == ZMQ_XPUB) {
        /* So that a send tells when a subscriber is too slow; leat_socket_send goes on without it.
         */
        set_int(socket, ZMQ_XPUB_NODROP, 1);
    }
}

/* ---- keys ---- */

static bool is_inproc(const char *endpoint)
{
    return strncmp(endpoint, "inproc://", strlen("inproc://")) == 0;
}

static bool set_text(void *socket, int option, const char *value)
{
    return zmq_setsockopt(socket, option, value, strlen(value)) == 0;
}

/* CURVE alone admits everybody, and a domain without the option that enforces it lets everybody in
 * while no handler answers: all of it or nothing. */
static enum leat_err guard_bind(void *socket, const struct leat_socket_config *config,
                                struct leat_why *why)
{
    const struct leat_curve *curve = leat_guard_curve(config->guard);
    const int on = 1;
    assert(config->zap_domain != NULL && curve->on);
    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &on, sizeof on) != 0 ||
        !set_text(socket, ZMQ_CURVE_SECRETKEY, curve->own_secret) ||
        !set_text(socket, ZMQ_ZAP_DOMAIN, config->zap_domain) ||
        zmq_setsockopt(socket, LEAT_ZAP_ENFORCE_DOMAIN, &on, sizeof on) != 0) {
        return leat_fail(why, LEAT_ERR_STATE, "libzmq cannot guard a socket with keys: %s",
                         zmq_strerror(errno));
    }
    return LEAT_OK;
}

static enum leat_err encrypt_connect(void *socket, const struct leat_curve *curve,
                                     struct leat_why *why)
{
    if (!set_text(socket, ZMQ_CURVE_SERVERKEY, curve->server) ||
        !set_text(socket, ZMQ_CURVE_PUBLICKEY, curve->own_public) ||
        !set_text(socket, ZMQ_CURVE_SECRETKEY, curve->own_secret)) {
        return leat_fail(why, LEAT_ERR_STATE, "libzmq cannot encrypt a socket: %s",
                         zmq_strerror(errno));
    }
    return LEAT_OK;
}

static enum leat_err set_keys(void *socket, const struct leat_socket_config *config,
                              struct leat_why *why)
{
    if (config->bind != NULL && !is_inproc(config->bind) && leat_guard_has_keys(config->guard)) {
        return guard_bind(socket, config, why);
    }
    if (config->connect != NULL && !is_inproc(config->connect) && config->curve != NULL &&
        config->curve->on) {
        return encrypt_connect(socket, config->curve, why);
    }
    return LEAT_OK;
}

/* Lets the guard hear of the connections of a socket that is about to be bound. */
static enum leat_err add_door(void *socket, const struct leat_socket_config *config,
                              struct leat_why *why)
{
    if (config->guard == NULL || strncmp(config->bind, "tcp://", strlen("tcp://")) != 0) {
        return LEAT_OK;
    }
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://leat-door-%016" PRIx64, leat_random_seed());
    if (zmq_socket_monitor(socket, endpoint, LEAT_DOOR_EVENTS) != 0) {
        return leat_fail(why, LEAT_ERR_STATE, "libzmq cannot watch a socket: %s",
                         zmq_strerror(errno));
    }
    struct leat_socket_config monitor;
    leat_socket_config_init(&monitor, ZMQ_PAIR);
    monitor.connect = endpoint;
    monitor.receive_hwm = 0; /* libzmq's thread would wait for room, and serve nobody meanwhile */
    zsock_t *events = NULL;
    enum leat_err err = leat_socket_open(&monitor, &events, NULL, why);
    if (err == LEAT_OK) {
        leat_guard_add_door(config->guard, &events);
    }
    return err;
}

/* ---- opening ---- */

static enum leat_err fail_open(const char *verb, const char *endpoint, int error,
                               struct leat_why *why)
{
    switch (error) {
    case EADDRINUSE:
        return leat_fail(why, LEAT_ERR_LOCKED, "cannot %s %.160s: address in use", verb, endpoint);
    case EADDRNOTAVAIL:
    case ENODEV:
        return leat_fail(why, LEAT_ERR_UNREACHABLE,
                         "cannot %s %.160s: no such address on this host", verb, endpoint);
    case EINVAL:
    case ENAMETOOLONG:
    case EPROTONOSUPPORT:
        return leat_fail(why, LEAT_ERR_INVALID, "cannot %s %.160s: not a usable endpoint", verb,
                         endpoint);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return leat_fail(why, LEAT_ERR_MEMORY, "cannot %s %.160s: %s", verb, endpoint,
                         zmq_strerror(error));
    default:
        return leat_fail(why, LEAT_ERR_UNREACHABLE, "cannot %s %.160s: %s", verb, endpoint,
                         zmq_strerror(error));
    }
}

/* libzmq removes whatever lies at an ipc path before it binds, also the socket of a process that
 * lives. Somebody who answers there is left alone. */
static bool ipc_is_taken(const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = endpoint + strlen("ipc://");
    size_t size = strlen(path);
    if (path[0] == '@' || path[0] == '*' || size >= sizeof address.sun_path) {
        return false; /* an abstract name cannot be taken over; the others fail by themselves */
    }
    memcpy(address.sun_path, path, size + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool taken = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return taken;
}

/* What libzmq is to bind: it does not look up names, so localhost becomes its address. */
static void bindable(const char *endpoint, char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX])
{
    static const char prefix[] = "tcp://localhost:";
    if (strncmp(endpoint, prefix, sizeof prefix - 1) == 0) {
        snprintf(ret_endpoint, LEAT_ENDPOINT_BYTES_MAX, "tcp://127.0.0.1:%s",
                 endpoint + sizeof prefix - 1);
    } else {
        snprintf(ret_endpoint, LEAT_ENDPOINT_BYTES_MAX, "%s", endpoint);
    }
}

static enum leat_err bind_socket(void *socket, const struct leat_socket_config *config,
                                 char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX], struct leat_why *why)
{
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
    bindable(config->bind, endpoint);
    bool open_to_all = !leat_endpoint_is_local(endpoint) && !leat_guard_has_keys(config->guard);
    if (open_to_all && !config->allow_network) {
        return leat_fail(why, LEAT_ERR_REFUSED,
                         "refusing to bind %.40s: other hosts can reach it and nobody is "
                         "authenticated; make keys (leat keys new) and give --keys and --key, or "
                         "bind to 127.0.0.1, or trust the network: --allow-unauthenticated-network",
                         config->bind);
    }
    if (strncmp(endpoint, "ipc://", strlen("ipc://")) == 0 && ipc_is_taken(endpoint)) {
        return fail_open("bind", config->bind, EADDRINUSE, why);
    }
    enum leat_err err = add_door(socket, config, why);
    if (err != LEAT_OK) {
        return err;
    }
    if (zmq_bind(socket, endpoint) != 0) {
        return fail_open("bind", config->bind, errno, why);
    }
    char real[LEAT_ENDPOINT_BYTES_MAX] = "";
    size_t size = sizeof real;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, real, &size) != 0) {
        return fail_open("bind", config->bind, errno, why);
    }
    if (open_to_all) {
        struct leat_log line;
        leat_log_begin(&line, LEAT_LOG_WARN, "unauthenticated_network");
        leat_log_text(&line, "endpoint", real);
        leat_log_text(&line, "reason", "anybody who can reach this address can use it");
        leat_log_end(&line);
    }
    if (ret_endpoint != NULL) {
        memcpy(ret_endpoint, real, sizeof real);
    }
    return LEAT_OK;
}

static enum leat_err connect_socket(void *socket, const struct leat_socket_config *config,
                                    char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX],
                                    struct leat_why *why)
{
    if (zmq_connect(socket, config->connect) != 0) {
        return fail_open("connect to", config->connect, errno, why);
    }
    if (ret_endpoint != NULL) {
        snprintf(ret_endpoint, LEAT_ENDPOINT_BYTES_MAX, "%s", config->connect);
    }
    return LEAT_OK;
}

enum leat_err leat_socket_open(const struct leat_socket_config *config, zsock_t **ret_socket,
                               char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX], struct leat_why *why)
{
    assert((config->bind == NULL) != (config->connect == NULL));
    assert(config->type == ZMQ_PAIR || (config->send_hwm >= 1 && config->receive_hwm >= 1));
    assert(config->message_bytes_max >= 1 && config->linger_ms >= 0 && config->handshake_ms >= 1);
    bool binds = config->bind != NULL;
    enum leat_err err = leat_endpoint_check(binds ? config->bind : config->connect, why);
    if (err != LEAT_OK) {
        return err;
    }
    zsock_t *socket = zsock_new(config->type);
    if (socket == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "cannot make a socket: %s", zmq_strerror(errno));
    }
    void *raw = zsock_resolve(socket);
    set_options(raw, config);
    err = set_keys(raw, config, why);
    if (err == LEAT_OK) {
        err = binds ? bind_socket(raw, config, ret_endpoint, why)
                    : connect_socket(raw, config, ret_endpoint, why);
    }
    if (err != LEAT_OK) {
        zsock_destroy(&socket);
        return err;
    }
    *ret_socket = socket;
    return LEAT_OK;
}

enum leat_err leat_socket_bind(int type, const char *endpoint, bool allow_network,
                               zsock_t **ret_socket, char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX],
                               struct leat_why *why)
{
    struct leat_socket_config config;
    leat_socket_config_init(&config, type);
    config.bind = endpoint;
    config.allow_network = allow_network;
    return leat_socket_open(&config, ret_socket, ret_endpoint, why);
}

enum leat_err leat_socket_connect(int type, const char *endpoint, zsock_t **ret_socket,
                                  struct leat_why *why)
{
    return leat_socket_connect_curve(type, endpoint, NULL, ret_socket, why);
}

enum leat_err leat_socket_connect_curve(int type, const char *endpoint,
                                        const struct leat_curve *curve, zsock_t **ret_socket,
                                        struct leat_why *why)
{
    struct leat_socket_config config;
    leat_socket_config_init(&config, type);
    config.connect = endpoint;
    config.curve = curve;
    return leat_socket_open(&config, ret_socket, NULL, why);
}

void leat_socket_tend(zsock_t *socket, int64_t *since_us, int64_t now_us)
{
    void *raw = zsock_resolve(socket);
    char endpoint[LEAT_ENDPOINT_BYTES_MAX] = "";
    size_t size = sizeof endpoint;
    if ((zsock_events(socket) & ZMQ_POLLOUT) != 0) {
        *since_us = 0;
        return;
    }
    if (*since_us == 0) {
        *since_us = now_us;
    }
    if (now_us - *since_us < LEAT_SOCKET_STUCK_MS * LEAT_US_PER_MS ||
        zmq_getsockopt(raw, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0) {
        return;
    }
    *since_us = now_us;
    (void)zmq_disconnect(raw, endpoint); /* there may be nothing left of it */
    if (zmq_connect(raw, endpoint) == 0) {
        leat_log_reason(LEAT_LOG_DEBUG, "connected_anew", "no connection to %s for %d s", endpoint,
                        LEAT_SOCKET_STUCK_MS / 1000);
    }
}
