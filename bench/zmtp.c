#include "bench/zmtp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/peer.h"

#define GREETING_BYTES 64
#define FLAG_LONG      0x02
#define FLAG_COMMAND   0x04
#define READ_BYTES     65536

static void append(struct leat_wire_buffer *buffer, const void *data, size_t size)
{
    if (leat_wire_buffer_append(buffer, data, size) != LEAT_OK) {
        peer_stop("no memory for %zu bytes", size);
    }
}

static void greet(struct zmtp *peer)
{
    static const uint8_t ready[] = "\x05READY\x0bSocket-Type\x00\x00\x00\x06"
                                   "DEALER";
    uint8_t greeting[GREETING_BYTES] = {0xff, [9] = 0x7f, [10] = 3, [11] = 0};
    memcpy(greeting + 12, "NULL", 4);
    uint8_t head[] = {FLAG_COMMAND, sizeof ready - 1};
    append(&peer->out, greeting, sizeof greeting);
    append(&peer->out, head, sizeof head);
    append(&peer->out, ready, sizeof ready - 1);
    peer->handshake = GREETING_BYTES;
    peer->may_send = peer->out.size; /* a message before both are READY ends the connection */
}

bool zmtp_connect(struct zmtp *peer, const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strncmp(endpoint, "ipc://", 6) != 0 || strlen(endpoint + 6) >= sizeof address.sun_path) {
        peer_stop("%s: not ipc://PATH, or too long", endpoint);
    }
    memcpy(address.sun_path, endpoint + 6, strlen(endpoint + 6) + 1);
    *peer = (struct zmtp){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (peer->fd < 0) {
        peer_stop("socket: %s", strerror(errno));
    }
    if (connect(peer->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(peer->fd);
        peer->fd = -1;
        return false;
    }
    greet(peer);
    return zmtp_flush(peer);
}

void zmtp_close(struct zmtp *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
    }
    leat_wire_buffer_fini(&peer->in);
    leat_wire_buffer_fini(&peer->out);
    *peer = (struct zmtp){.fd = -1};
}

void zmtp_send(struct zmtp *peer, struct leat_bytes message)
{
    uint8_t head[9] = {0};
    if (message.size < 256) {
        head[1] = (uint8_t)message.size;
        append(&peer->out, head, 2);
    } else {
        head[0] = FLAG_LONG;
        for (int i = 0; i < 8; i++) {
            head[1 + i] = (uint8_t)((uint64_t)message.size >> (56 - 8 * i));
        }
        append(&peer->out, head, 9);
    }
    append(&peer->out, message.data, message.size);
    (void)zmtp_flush(peer); /* an end is seen by the next fill */
}

bool zmtp_flush(struct zmtp *peer)
{
    size_t end = peer->may_send < peer->out.size ? peer->may_send : peer->out.size;
    while (peer->fd >= 0 && peer->sent < end) {
        ssize_t size = send(peer->fd, peer->out.data + peer->sent, end - peer->sent,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        peer->sent += (size_t)size;
    }
    if (peer->may_send == SIZE_MAX) {
        leat_wire_buffer_clear(&peer->out);
        peer->sent = 0;
    }
    return peer->fd >= 0;
}

bool zmtp_fill(struct zmtp *peer)
{
    static uint8_t bytes[READ_BYTES];
    if (peer->taken == peer->in.size) {
        leat_wire_buffer_clear(&peer->in);
        peer->taken = 0;
    }
    for (;;) {
        ssize_t size = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (size <= 0) {
            return size < 0 && (errno == EAGAIN || errno == EINTR);
        }
        append(&peer->in, bytes, (size_t)size);
        if ((size_t)size < sizeof bytes) {
            return true;
        }
    }
}

/* The frame at the beginning of what was not taken; false: not all of it is there. */
static bool next_frame(struct zmtp *peer, uint8_t *ret_flags, struct leat_bytes *ret_body)
{
    const uint8_t *bytes = peer->in.data + peer->taken;
    size_t left = peer->in.size - peer->taken;
    size_t head = left > 0 && (bytes[0] & FLAG_LONG) != 0 ? 9 : 2;
    if (left < head) {
        return false;
    }
    uint64_t size = 0;
    for (size_t i = 1; i < head; i++) {
        size = size << 8 | bytes[i];
    }
    if (left - head < size) {
        return false;
    }
    *ret_flags = bytes[0];
    *ret_body = leat_bytes_of(bytes + head, (size_t)size);
    peer->taken += head + (size_t)size;
    return true;
}

bool zmtp_next(struct zmtp *peer, struct leat_bytes *ret_message)
{
    if (peer->handshake > 0) {
        if (peer->in.size < peer->handshake) {
            return false;
        }
        peer->taken = peer->handshake;
        peer->handshake = 0;
    }
    uint8_t flags;
    while (next_frame(peer, &flags, ret_message)) {
        if ((flags & FLAG_COMMAND) == 0) {
            return true;
        }
        peer->may_send = SIZE_MAX; /* READY is the only command without heartbeats */
        (void)zmtp_flush(peer);
    }
    return false;
}
