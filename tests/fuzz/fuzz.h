/* What the fuzz targets share: bytes of the fuzzer read as values, and messages made from them by
 * walking the run-time message table.
 *
 * Each target is one file with LLVMFuzzerTestOneInput. Under clang's preset `fuzz` it is linked
 * with libFuzzer; in every other build with replay.c, which runs the inputs of corpus/ once. A
 * target that finds something calls fuzz_fail, or a sanitizer or an assertion of the product does.
 */
#ifndef LEAT_TESTS_FUZZ_H
#define LEAT_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/step.h"
#include "wire/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Prints and aborts. */
void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- values ---- */

struct fuzz_input {
    const uint8_t *at;
    const uint8_t *end;
};

struct fuzz_input fuzz_input_of(const uint8_t *data, size_t size);
bool fuzz_is_done(const struct fuzz_input *in);
uint8_t fuzz_byte(struct fuzz_input *in); /* 0 at the end */
/* At most `size` bytes, fewer at the end; borrowed. */
struct leat_bytes fuzz_bytes(struct fuzz_input *in, size_t size);

/* ---- messages ---- */

#define FUZZ_PEERS 4

/* What a peer that listens would know, so that few bytes can say it. */
struct fuzz_words {
    struct leat_id ids[4];      /* id byte 0xF0 + n */
    uint64_t round[FUZZ_PEERS]; /* number byte 0xF0 */
    uint64_t next[FUZZ_PEERS];  /* number byte 0xF1: counts up with each use */
    uint64_t numbers[6];        /* number byte 0xF2 + n */
};

struct leat_id fuzz_id(unsigned number); /* shaped as a UUIDv7; 0: all zero */
uint64_t fuzz_number(struct fuzz_input *in, struct fuzz_words *words, unsigned peer);

/* A message as the decoder would deliver it, borrowed from arena and buffer; false when the codec
 * refuses it. The first byte is its type, then come the fields by the table. */
bool fuzz_message(struct fuzz_input *in, struct fuzz_words *words, unsigned peer,
                  struct leat_arena *arena, struct leat_wire_buffer *buffer,
                  struct leat_msg *ret_msg);
/* The bytes from which fuzz_message makes just this message: for seeds. */
void fuzz_write_message(const struct leat_msg *msg, struct leat_wire_buffer *out);

/* ---- cores ---- */

/* One core's surroundings: time, and what it said in its last step. */
struct fuzz_world {
    struct fuzz_input in;
    struct fuzz_words words;
    struct leat_now now;
    struct leat_out out;
    struct leat_arena arena;
    struct leat_wire_buffer buffer;
    struct leat_msg msg;
    struct leat_why why;
    bool keys_in_use; /* each peer has a key, with a role and perhaps queues */
};

void fuzz_world_open(struct fuzz_world *world, const uint8_t *data, size_t size);
void fuzz_world_close(struct fuzz_world *world);

enum fuzz_op {
    FUZZ_OP_MESSAGE = 0, /* and 1 to 7: peer = op % 4, link = op & 4 */
    FUZZ_OP_FRAME = 8,   /* raw bytes from a peer */
    FUZZ_OP_PASS = 9,    /* time */
    FUZZ_OP_WALL = 10,   /* the wall clock jumps */
    FUZZ_OP_COMMIT = 11,
    FUZZ_OP_RESTART = 12,
    FUZZ_OP_SPACE = 13,
    FUZZ_OP_UNREACHABLE = 14,
    FUZZ_OP_STOP = 15,
    FUZZ_OPS = 16,
};

struct leat_peer fuzz_peer(unsigned number); /* 0 to FUZZ_PEERS - 1 */
/* The event of MESSAGE, FRAME, UNREACHABLE, STOP and SPACE; with keys, also FORBIDDEN and REVOKED;
 * `links` is what the peer bit means. False: there is none. */
bool fuzz_event(struct fuzz_world *world, uint8_t op, const enum leat_link links[2],
                struct leat_event *ret_event);
/* How far FUZZ_OP_PASS moves the time: microseconds. -1: to the core's deadline. */
int64_t fuzz_duration_us(struct fuzz_world *world);
void fuzz_jump_wall(struct fuzz_world *world);
/* Everything that a core sends must be a message that the codec takes. Also learns from it what the
 * words are. */
void fuzz_check_out(struct fuzz_world *world);

#endif
