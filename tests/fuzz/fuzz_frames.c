/* Any bytes on the spawner's stream socket, cut anywhere: the frames are those that a plain reading
 * of the same bytes gives, and what they hold can be decoded or is refused.
 * The first byte is how many bytes arrive at a time.
 *
 * There is no socket: recv is this file's (the linker's --wrap), as a system call for each piece
 * would be most of the time. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "core/limits.h"
#include "tests/fuzz/fuzz.h"
#include "wire/codec.h"
#include "worker/spawner/frames.h"

#define SOCKET 7

struct rig {
    struct leat_frames frames;
    struct leat_arena arena;
    const uint8_t *data; /* what was written, and where the plain reading stands */
    size_t written;
    size_t at;
    size_t received;
    bool closed; /* the other end */
};

static struct rig rig; /* its memory is kept from one execution to the next */

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags);

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
    if (fd != SOCKET || flags != MSG_DONTWAIT) {
        fuzz_fail("received from %d with flags %d", fd, flags);
    }
    size_t there = rig.written - rig.received;
    if (there == 0 && !rig.closed) {
        errno = EAGAIN;
        return -1;
    }
    size = size < there ? size : there;
    memcpy(buffer, rig.data + rig.received, size);
    rig.received += size;
    return (ssize_t)size;
}

/* False: the stream is of no use any more. */
static bool take(void)
{
    struct leat_bytes frame;
    enum leat_err err;
    while ((err = leat_frames_next(&rig.frames, &frame)) == LEAT_OK) {
        const uint8_t *head = rig.data + rig.at;
        if (rig.written - rig.at < 4 ||
            frame.size != (size_t)(head[0] | head[1] << 8 | head[2] << 16) || head[3] != 0 ||
            rig.written - rig.at - 4 < frame.size ||
            (frame.size > 0 && memcmp(frame.data, head + 4, frame.size) != 0)) {
            fuzz_fail("a frame that was not written");
        }
        rig.at += 4 + frame.size;
        struct leat_msg msg;
        struct leat_why why = {""};
        leat_arena_clear(&rig.arena);
        if (leat_wire_decode(frame, &rig.arena, &msg, &why) != LEAT_OK && why.text[0] == '\0') {
            fuzz_fail("refused without a reason");
        }
    }
    if (err == LEAT_ERR_LIMIT) {
        const uint8_t *head = rig.data + rig.at;
        if ((head[0] | head[1] << 8 | head[2] << 16 | (int64_t)head[3] << 24) <=
            LEAT_MESSAGE_BYTES_MAX) {
            fuzz_fail("a frame that is not too long is refused");
        }
        return false;
    }
    if (err != LEAT_ERR_NOT_FOUND) {
        fuzz_fail("frames end with %s", leat_err_name(err));
    }
    return true;
}

static void open_rig(const uint8_t *data)
{
    static bool is_made;
    if (!is_made) {
        leat_frames_init(&rig.frames, SOCKET, 0);
        leat_arena_init(&rig.arena, 16u << 20);
        is_made = true;
    }
    leat_wire_buffer_clear(&rig.frames.in);
    rig.frames.consumed = 0;
    rig.data = data;
    rig.written = 0;
    rig.at = 0;
    rig.received = 0;
    rig.closed = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536) {
        return -1;
    }
    open_rig(data + 1);
    size_t step = data[0] + 1u;
    if (step == 1) {
        leat_frames_fini(&rig.frames); /* how the buffer grows belongs to what is tried */
    }
    bool good = true;
    while (good && rig.written < size - 1) {
        size_t left = size - 1 - rig.written;
        rig.written += left < step ? left : step;
        if (leat_frames_fill(&rig.frames) != LEAT_OK || rig.received != rig.written) {
            fuzz_fail("nothing arrives, or not all");
        }
        good = take();
    }
    if (good && leat_frames_fill(&rig.frames) != LEAT_ERR_NOT_FOUND) {
        fuzz_fail("something arrives that was not written");
    }
    rig.closed = true;
    if (good && leat_frames_fill(&rig.frames) != LEAT_ERR_CLOSED) {
        fuzz_fail("the end is not seen");
    }
    return 0;
}
