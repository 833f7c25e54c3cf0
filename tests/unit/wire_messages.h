/* Messages with random contents, made, compared and packed by walking the run-time table: what the
 * tests of the wire share. */
#ifndef LEAT_TESTS_WIRE_MESSAGES_H
#define LEAT_TESTS_WIRE_MESSAGES_H

#include <msgpack.h>
#include <stdbool.h>

#include "core/arena.h"
#include "core/messages.h"
#include "core/rng.h"
#include "wire/msgtable.h"

/* From LEAT_SEED, else from the clock; printed, so that a failure can be repeated. */
uint64_t wire_test_seed(void);

/* Valid contents; everything is taken from `arena`. */
void wire_random_message(const struct leat_wire_message *message, struct leat_rng *rng,
                         struct leat_arena *arena, struct leat_msg *ret_msg);
void wire_random_fields(const struct leat_wire_field *fields, size_t count, struct leat_rng *rng,
                        struct leat_arena *arena, void *base);

bool wire_fields_equal(const struct leat_wire_field *fields, size_t count, const void *a,
                       const void *b);
bool wire_message_equal(const struct leat_msg *a, const struct leat_msg *b);

/* Whether msgpack-c's view of an array, from element `first` on, holds just these fields. */
bool wire_fields_match(const struct leat_wire_field *fields, size_t count, const void *base,
                       const msgpack_object *array, size_t first);

/* Packs with every freedom that msgpack gives: integers and heads wider than needed, and, when
 * `extra`, elements that nobody knows at the end of the message and of items. */
void wire_pack_loosely(const struct leat_msg *msg, bool extra, struct leat_rng *rng,
                       msgpack_sbuffer *out);

#endif
