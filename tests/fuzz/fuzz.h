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
#include "core/messages.h"
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

/* The path of a file with these bytes, until the next call: one for all, in memory. */
const char *fuzz_file(const uint8_t *data, size_t size);

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

#endif
