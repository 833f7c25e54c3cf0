/* Any bytes on the spawner's stream socket, cut anywhere: the frames are those that a plain reading
 * of the same bytes gives, and what they hold can be decoded or is refused.
 * The first byte is how many bytes are written at a time. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/limits.h"
#include "tests/fuzz/fuzz.h"
#include "wire/codec.h"
#include "worker/spawner/frames.h"

struct rig {
    int fds[2];
    struct leat_frames frames;
    struct leat_arena arena;
    const uint8_t *data; /* what was written, and where the plain reading stands */
    size_t written;
    size_t at;
};

/* False: the stream is of no use any more. */
static bool take(struct rig *rig)
{
    struct leat_bytes frame;
    enum leat_err err;
    while ((err = leat_frames_next(&rig->frames, &frame)) == LEAT_OK) {
        const uint8_t *head = rig->data + rig->at;
        if (rig->written - rig->at < 4 ||
            frame.size != (size_t)(head[0] | head[1] << 8 | head[2] << 16) || head[3] != 0 ||
            rig->written - rig->at - 4 < frame.size ||
            (frame.size > 0 && memcmp(frame.data, head + 4, frame.size) != 0)) {
            fuzz_fail("a frame that was not written");
        }
        rig->at += 4 + frame.size;
        struct leat_msg msg;
        struct leat_why why = {""};
        leat_arena_clear(&rig->arena);
        if (leat_wire_decode(frame, &rig->arena, &msg, &why) != LEAT_OK && why.text[0] == '\0') {
            fuzz_fail("refused without a reason");
        }
    }
    if (err == LEAT_ERR_LIMIT) {
        const uint8_t *head = rig->data + rig->at;
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536) {
        return -1;
    }
    struct rig rig = {.data = data + 1};
    size_t step = data[0] + 1u;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, rig.fds) != 0) {
        fuzz_fail("no socket");
    }
    leat_frames_init(&rig.frames, rig.fds[0], 0);
    leat_arena_init(&rig.arena, 16u << 20);
    bool good = true;
    while (good && rig.written < size - 1) {
        size_t left = size - 1 - rig.written;
        ssize_t sent = write(rig.fds[1], rig.data + rig.written, left < step ? left : step);
        if (sent < 0 || leat_frames_fill(&rig.frames) != LEAT_OK) {
            fuzz_fail("nothing arrives");
        }
        rig.written += (size_t)sent;
        good = take(&rig);
    }
    shutdown(rig.fds[1], SHUT_RDWR);
    if (good && leat_frames_fill(&rig.frames) != LEAT_ERR_CLOSED) {
        fuzz_fail("the end is not seen");
    }
    leat_frames_fini(&rig.frames);
    leat_arena_fini(&rig.arena);
    close(rig.fds[0]);
    close(rig.fds[1]);
    return 0;
}
