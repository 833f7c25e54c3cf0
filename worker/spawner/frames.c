#include "worker/spawner/frames.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "core/limits.h"
#include "wire/codec.h"

#define LENGTH_BYTES 4
#define FILL_BYTES   (256u << 10)
/* A buffer that has grown beyond this is given back once it is empty. */
#define KEPT_BYTES (1u << 20)

static size_t read_length(const uint8_t *bytes)
{
    return (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 |
           (size_t)bytes[3] << 24;
}

static void write_length(uint8_t *bytes, size_t length)
{
    for (int i = 0; i < LENGTH_BYTES; i++) {
        bytes[i] = (uint8_t)(length >> (8 * i));
    }
}

void leat_frames_init(struct leat_frames *frames, int fd, size_t queue_bytes_max)
{
    *frames = (struct leat_frames){.fd = fd};
    frames->queue_bytes_max = queue_bytes_max == 0 ? LEAT_MESSAGE_BYTES_MAX : queue_bytes_max;
    leat_wire_buffer_init(&frames->in, 2 * (size_t)LEAT_MESSAGE_BYTES_MAX);
    leat_wire_buffer_init(&frames->out,
                          frames->queue_bytes_max + 2 * (size_t)LEAT_MESSAGE_BYTES_MAX);
}

void leat_frames_fini(struct leat_frames *frames)
{
    leat_wire_buffer_fini(&frames->in);
    leat_wire_buffer_fini(&frames->out);
    frames->consumed = 0;
    frames->sent = 0;
}

/* Moves what is left to the front of the buffer. */
static void compact(struct leat_wire_buffer *buffer, size_t *done)
{
    if (*done == 0) {
        return;
    }
    size_t rest = buffer->size - *done;
    if (rest == 0 && buffer->capacity > KEPT_BYTES) {
        leat_wire_buffer_fini(buffer);
    } else {
        if (rest > 0) {
            memmove(buffer->data, buffer->data + *done, rest);
        }
        buffer->size = rest;
    }
    *done = 0;
}

enum leat_err leat_frames_fill(struct leat_frames *frames)
{
    struct leat_wire_buffer *in = &frames->in;
    compact(in, &frames->consumed);
    size_t want = FILL_BYTES;
    if (in->size >= LENGTH_BYTES) {
        size_t length = read_length(in->data);
        if (length > LEAT_MESSAGE_BYTES_MAX) {
            return LEAT_ERR_LIMIT;
        }
        if (LENGTH_BYTES + length > in->size + want) {
            /* Room for as much again as has come: saying that much will come takes no memory. */
            size_t missing = LENGTH_BYTES + length - in->size;
            want = in->size > want ? in->size : want;
            want = missing < want ? missing : want;
        }
    }
    enum leat_err err = leat_wire_buffer_reserve(in, want);
    if (err != LEAT_OK) {
        return err;
    }
    ssize_t got;
    do {
        got = recv(frames->fd, in->data + in->size, want, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        in->size += (size_t)got;
        return LEAT_OK;
    }
    if (got == 0 || errno == ECONNRESET) {
        return LEAT_ERR_CLOSED;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? LEAT_ERR_NOT_FOUND : LEAT_ERR_IO;
}

enum leat_err leat_frames_next(struct leat_frames *frames, struct leat_bytes *ret_frame)
{
    const struct leat_wire_buffer *in = &frames->in;
    size_t there = in->size - frames->consumed;
    if (there < LENGTH_BYTES) {
        return LEAT_ERR_NOT_FOUND;
    }
    const uint8_t *start = in->data + frames->consumed;
    size_t length = read_length(start);
    if (length > LEAT_MESSAGE_BYTES_MAX) {
        return LEAT_ERR_LIMIT;
    }
    if (there - LENGTH_BYTES < length) {
        return LEAT_ERR_NOT_FOUND;
    }
    frames->consumed += LENGTH_BYTES + length;
    *ret_frame = leat_bytes_of(start + LENGTH_BYTES, length);
    return LEAT_OK;
}

/* Appends an empty length and gives its place. */
static enum leat_err begin_frame(struct leat_frames *frames, size_t *ret_start)
{
    struct leat_wire_buffer *out = &frames->out;
    /* Moving is paid for by at least as many bytes that were sent. */
    if (frames->sent == out->size || frames->sent > out->size / 2) {
        compact(out, &frames->sent);
    }
    *ret_start = out->size;
    return leat_wire_buffer_append(out, (const uint8_t[LENGTH_BYTES]){0}, LENGTH_BYTES);
}

/* Fills the length in, or takes the frame back. */
static enum leat_err end_frame(struct leat_frames *frames, size_t start, enum leat_err err)
{
    struct leat_wire_buffer *out = &frames->out;
    size_t length = out->size - start - LENGTH_BYTES;
    if (err == LEAT_OK && length > LEAT_MESSAGE_BYTES_MAX) {
        err = LEAT_ERR_LIMIT;
    }
    if (err == LEAT_OK && start > frames->sent &&
        out->size - frames->sent > frames->queue_bytes_max) {
        err = LEAT_ERR_BUSY;
    }
    if (err != LEAT_OK) {
        out->size = start;
        return err;
    }
    write_length(out->data + start, length);
    return LEAT_OK;
}

enum leat_err leat_frames_send_msg(struct leat_frames *frames, const struct leat_msg *msg)
{
    size_t start;
    enum leat_err err = begin_frame(frames, &start);
    if (err != LEAT_OK) {
        return err;
    }
    return end_frame(frames, start, leat_wire_encode(msg, &frames->out));
}

enum leat_err leat_frames_send(struct leat_frames *frames, struct leat_bytes head,
                               struct leat_bytes body)
{
    size_t start;
    enum leat_err err = begin_frame(frames, &start);
    if (err != LEAT_OK) {
        return err;
    }
    err = leat_wire_buffer_append(&frames->out, head.data, head.size);
    if (err == LEAT_OK) {
        err = leat_wire_buffer_append(&frames->out, body.data, body.size);
    }
    return end_frame(frames, start, err);
}

enum leat_err leat_frames_flush(struct leat_frames *frames)
{
    while (frames->sent < frames->out.size) {
        ssize_t put = send(frames->fd, frames->out.data + frames->sent,
                           frames->out.size - frames->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put >= 0) {
            frames->sent += (size_t)put;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return LEAT_OK;
        } else if (errno != EINTR) {
            return errno == EPIPE || errno == ECONNRESET ? LEAT_ERR_CLOSED : LEAT_ERR_IO;
        }
    }
    compact(&frames->out, &frames->sent);
    return LEAT_OK;
}
