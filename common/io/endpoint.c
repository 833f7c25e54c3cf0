#include "io/socket.h"

#include <arpa/inet.h>
#include <string.h>

/* tcp://HOST:PORT in its parts; HOST without brackets. */
struct tcp {
    char host[LEAT_ENDPOINT_BYTES_MAX];
    char port[8];
    bool bracketed;
};

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_port(const char *port)
{
    if (strcmp(port, "*") == 0) {
        return true;
    }
    size_t size = strlen(port);
    if (size == 0 || size > 5 || strspn(port, "0123456789") != size) {
        return false;
    }
    return strtol(port, NULL, 10) <= 65535;
}

static bool split_tcp(const char *endpoint, struct tcp *ret_tcp)
{
    const char *host = endpoint + strlen("tcp://");
    const char *colon = strrchr(host, ':');
    if (colon == NULL || strlen(colon + 1) >= sizeof ret_tcp->port || !is_port(colon + 1)) {
        return false;
    }
    size_t size = (size_t)(colon - host);
    ret_tcp->bracketed = size >= 2 && host[0] == '[' && host[size - 1] == ']';
    if (ret_tcp->bracketed) {
        host++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof ret_tcp->host) {
        return false;
    }
    memcpy(ret_tcp->host, host, size);
    ret_tcp->host[size] = '\0';
    /* libzmq's "source;destination" and bare IPv6 addresses are more than anybody needs here */
    if (strpbrk(ret_tcp->host, "[];/") != NULL ||
        (!ret_tcp->bracketed && strchr(ret_tcp->host, ':') != NULL)) {
        return false;
    }
    snprintf(ret_tcp->port, sizeof ret_tcp->port, "%s", colon + 1);
    return true;
}

enum leat_err leat_endpoint_check(const char *endpoint, struct leat_why *why)
{
    size_t size = strlen(endpoint);
    if (size >= LEAT_ENDPOINT_BYTES_MAX) {
        return leat_fail(why, LEAT_ERR_INVALID, "endpoint is %zu bytes, limit is %d", size,
                         LEAT_ENDPOINT_BYTES_MAX - 1);
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)endpoint[i] <= ' ' || endpoint[i] == 0x7f) {
            return leat_fail(why, LEAT_ERR_INVALID, "endpoint holds a space or control character");
        }
    }
    if (starts_with(endpoint, "tcp://")) {
        struct tcp tcp;
        if (split_tcp(endpoint, &tcp)) {
            return LEAT_OK;
        }
        return leat_fail(why, LEAT_ERR_INVALID, "'%.160s' is not tcp://HOST:PORT", endpoint);
    }
    if ((starts_with(endpoint, "ipc://") && size > strlen("ipc://")) ||
        (starts_with(endpoint, "inproc://") && size > strlen("inproc://"))) {
        return LEAT_OK;
    }
    return leat_fail(why, LEAT_ERR_INVALID,
                     "'%.120s' is not tcp://HOST:PORT, ipc://PATH or inproc://NAME", endpoint);
}

bool leat_endpoint_is_local(const char *endpoint)
{
    if (starts_with(endpoint, "ipc://") || starts_with(endpoint, "inproc://")) {
        return true;
    }
    struct tcp tcp;
    if (!starts_with(endpoint, "tcp://") || !split_tcp(endpoint, &tcp)) {
        return false;
    }
    struct in_addr v4;
    struct in6_addr v6;
    if (tcp.bracketed) {
        return inet_pton(AF_INET6, tcp.host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    }
    if (strcmp(tcp.host, "localhost") == 0) {
        return true;
    }
    return inet_pton(AF_INET, tcp.host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}
