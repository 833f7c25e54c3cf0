#include "wire_messages.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t wire_test_seed(void)
{
    const char *text = getenv("LEAT_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("LEAT_SEED=%" PRIu64 "\n", seed);
    return seed;
}

/* ---- making ---- */

static uint64_t random_u64(struct leat_rng *rng)
{
    return leat_rng_next(rng) >> leat_rng_below(rng, 64);
}

/* Mostly short, now and then as long as it may be (but no megabytes). */
static size_t random_size(struct leat_rng *rng, uint64_t max)
{
    uint64_t bound = leat_rng_below(rng, 8) == 0 ? 300 : 12;
    uint64_t size = leat_rng_below(rng, bound);
    if (leat_rng_below(rng, 200) == 0) {
        size = max < 70000 ? max : 70000;
    }
    return (size_t)(size < max ? size : max);
}

static struct leat_str random_text(struct leat_rng *rng, struct leat_arena *arena, uint64_t max)
{
    static const char *const characters[] = {
        "a", "Z", "0", " ", "\n", "\"", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    size_t size = random_size(rng, max);
    char *text = leat_arena_take(arena, size);
    assert(text != NULL);
    for (size_t at = 0; at < size;) {
        const char *character = characters[leat_rng_below(rng, 9)];
        size_t step = strlen(character);
        if (step > size - at) {
            character = "x";
            step = 1;
        }
        memcpy(text + at, character, step);
        at += step;
    }
    return (struct leat_str){text, size};
}

static struct leat_bytes random_bytes(struct leat_rng *rng, struct leat_arena *arena, uint64_t max)
{
    size_t size = random_size(rng, max);
    uint8_t *bytes = leat_arena_take(arena, size);
    assert(bytes != NULL);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)leat_rng_next(rng);
    }
    return (struct leat_bytes){bytes, size};
}

static void random_list(const struct leat_wire_field *field, struct leat_rng *rng,
                        struct leat_arena *arena, void *member)
{
    const struct leat_wire_item *item = field->item();
    uint64_t count = leat_rng_below(rng, leat_rng_below(rng, 10) == 0 ? 40 : 5);
    count = count < field->max ? count : field->max;
    struct leat_wire_list list = {NULL, (size_t)count};
    if (count > 0) {
        uint8_t *items = leat_arena_take(arena, (size_t)count * item->size);
        assert(items != NULL);
        for (size_t i = 0; i < count; i++) {
            wire_random_fields(item->fields, item->field_count, rng, arena, items + i * item->size);
        }
        list.items = items;
    }
    memcpy(member, &list, sizeof(list));
}

static void random_value(const struct leat_wire_field *field, struct leat_rng *rng,
                         struct leat_arena *arena, void *member)
{
    switch (field->kind) {
    case LEAT_WIRE_FIELD_U64:
        *(uint64_t *)member = random_u64(rng);
        break;
    case LEAT_WIRE_FIELD_I64:
        *(int64_t *)member =
            (int64_t)(leat_rng_below(rng, 2) == 0 ? random_u64(rng) : ~random_u64(rng));
        break;
    case LEAT_WIRE_FIELD_BOOL:
        *(bool *)member = leat_rng_below(rng, 2) == 0;
        break;
    case LEAT_WIRE_FIELD_ID:
        for (size_t i = 0; i < LEAT_ID_BYTES; i++) {
            ((struct leat_id *)member)->bytes[i] = (uint8_t)leat_rng_next(rng);
        }
        break;
    case LEAT_WIRE_FIELD_STR:
        *(struct leat_str *)member = random_text(rng, arena, field->max);
        break;
    case LEAT_WIRE_FIELD_BIN:
        *(struct leat_bytes *)member = random_bytes(rng, arena, field->max);
        break;
    case LEAT_WIRE_FIELD_LIST:
        random_list(field, rng, arena, member);
        break;
    case LEAT_WIRE_FIELD_ITEM:
        wire_random_fields(field->item()->fields, field->item()->field_count, rng, arena, member);
        break;
    }
}

void wire_random_fields(const struct leat_wire_field *fields, size_t count, struct leat_rng *rng,
                        struct leat_arena *arena, void *base)
{
    for (size_t i = 0; i < count; i++) {
        random_value(&fields[i], rng, arena, (uint8_t *)base + fields[i].offset);
    }
}

void wire_random_message(const struct leat_wire_message *message, struct leat_rng *rng,
                         struct leat_arena *arena, struct leat_msg *ret_msg)
{
    memset(ret_msg, 0, sizeof(*ret_msg));
    ret_msg->type = message->type;
    wire_random_fields(message->fields, message->field_count, rng, arena, &ret_msg->error);
}

/* ---- comparing ---- */

static bool lists_equal(const struct leat_wire_item *item, const void *a, const void *b)
{
    struct leat_wire_list left = leat_wire_list_at(a);
    struct leat_wire_list right = leat_wire_list_at(b);
    if (left.count != right.count) {
        return false;
    }
    for (size_t i = 0; i < left.count; i++) {
        if (!wire_fields_equal(item->fields, item->field_count,
                               (const uint8_t *)left.items + i * item->size,
                               (const uint8_t *)right.items + i * item->size)) {
            return false;
        }
    }
    return true;
}

static bool bytes_equal(struct leat_bytes a, struct leat_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool value_equal(const struct leat_wire_field *field, const void *a, const void *b)
{
    switch (field->kind) {
    case LEAT_WIRE_FIELD_U64:
    case LEAT_WIRE_FIELD_I64:
        return memcmp(a, b, sizeof(uint64_t)) == 0;
    case LEAT_WIRE_FIELD_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case LEAT_WIRE_FIELD_ID:
        return leat_id_equal(a, b);
    case LEAT_WIRE_FIELD_STR:
        return leat_str_equal(*(const struct leat_str *)a, *(const struct leat_str *)b);
    case LEAT_WIRE_FIELD_BIN:
        return bytes_equal(*(const struct leat_bytes *)a, *(const struct leat_bytes *)b);
    case LEAT_WIRE_FIELD_LIST:
        return lists_equal(field->item(), a, b);
    case LEAT_WIRE_FIELD_ITEM:
        return wire_fields_equal(field->item()->fields, field->item()->field_count, a, b);
    }
    return false;
}

bool wire_fields_equal(const struct leat_wire_field *fields, size_t count, const void *a,
                       const void *b)
{
    for (size_t i = 0; i < count; i++) {
        size_t offset = fields[i].offset;
        if (!value_equal(&fields[i], (const uint8_t *)a + offset, (const uint8_t *)b + offset)) {
            printf("field %s differs\n", fields[i].name);
            return false;
        }
    }
    return true;
}

bool wire_message_equal(const struct leat_msg *a, const struct leat_msg *b)
{
    const struct leat_wire_message *message = leat_wire_message_of(a->type);
    return a->type == b->type &&
           wire_fields_equal(message->fields, message->field_count, leat_wire_message_fields(a),
                             leat_wire_message_fields(b));
}

/* ---- msgpack-c's view ---- */

static bool object_is_bytes(const msgpack_object *object, msgpack_object_type type,
                            struct leat_bytes bytes)
{
    /* str and bin have the same layout in msgpack_object. */
    return object->type == type &&
           bytes_equal(
               (struct leat_bytes){(const uint8_t *)object->via.bin.ptr, object->via.bin.size},
               bytes);
}

static bool list_matches(const struct leat_wire_item *item, const void *member,
                         const msgpack_object *object)
{
    struct leat_wire_list list = leat_wire_list_at(member);
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != list.count) {
        return false;
    }
    for (size_t i = 0; i < list.count; i++) {
        if (!wire_fields_match(item->fields, item->field_count,
                               (const uint8_t *)list.items + i * item->size,
                               &object->via.array.ptr[i], 0)) {
            return false;
        }
    }
    return true;
}

static bool value_matches(const struct leat_wire_field *field, const void *member,
                          const msgpack_object *object)
{
    switch (field->kind) {
    case LEAT_WIRE_FIELD_U64:
        return object->type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
               object->via.u64 == *(const uint64_t *)member;
    case LEAT_WIRE_FIELD_I64:
        return object->type == (*(const int64_t *)member < 0 ? MSGPACK_OBJECT_NEGATIVE_INTEGER
                                                             : MSGPACK_OBJECT_POSITIVE_INTEGER) &&
               object->via.i64 == *(const int64_t *)member;
    case LEAT_WIRE_FIELD_BOOL:
        return object->type == MSGPACK_OBJECT_BOOLEAN &&
               object->via.boolean == *(const bool *)member;
    case LEAT_WIRE_FIELD_ID:
        return object_is_bytes(object, MSGPACK_OBJECT_BIN, leat_bytes_of(member, LEAT_ID_BYTES));
    case LEAT_WIRE_FIELD_STR: {
        const struct leat_str *text = member;
        return object_is_bytes(object, MSGPACK_OBJECT_STR, leat_bytes_of(text->data, text->size));
    }
    case LEAT_WIRE_FIELD_BIN:
        return object_is_bytes(object, MSGPACK_OBJECT_BIN, *(const struct leat_bytes *)member);
    case LEAT_WIRE_FIELD_LIST:
        return list_matches(field->item(), member, object);
    case LEAT_WIRE_FIELD_ITEM:
        return wire_fields_match(field->item()->fields, field->item()->field_count, member, object,
                                 0);
    }
    return false;
}

bool wire_fields_match(const struct leat_wire_field *fields, size_t count, const void *base,
                       const msgpack_object *array, size_t first)
{
    if (array->type != MSGPACK_OBJECT_ARRAY || array->via.array.size != first + count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!value_matches(&fields[i], (const uint8_t *)base + fields[i].offset,
                           &array->via.array.ptr[first + i])) {
            printf("field %s differs\n", fields[i].name);
            return false;
        }
    }
    return true;
}

/* ---- packing loosely ---- */

struct packer {
    msgpack_packer packer;
    msgpack_sbuffer *out;
    struct leat_rng *rng;
    bool extra;
};

/* A head byte and a size of 1, 2 or 4 bytes, at least as wide as needed. */
static void pack_head(struct packer *to, const uint8_t heads[3], size_t size)
{
    unsigned least = size < 256 ? 0 : size < 65536 ? 1 : 2;
    unsigned power = least + (unsigned)leat_rng_below(to->rng, 3 - least);
    while (heads[power] == 0) {
        power++;
    }
    uint8_t bytes[5] = {heads[power]};
    unsigned width = 1u << power;
    for (unsigned i = 0; i < width; i++) {
        bytes[1 + i] = (uint8_t)(size >> (8 * (width - 1 - i)));
    }
    msgpack_sbuffer_write(to->out, (const char *)bytes, 1 + width);
}

static void pack_array_head(struct packer *to, size_t count)
{
    static const uint8_t heads[3] = {0, 0xdc, 0xdd};
    if (leat_rng_below(to->rng, 2) == 0) {
        msgpack_pack_array(&to->packer, count);
    } else {
        pack_head(to, heads, count);
    }
}

static void pack_str(struct packer *to, const char *data, size_t size)
{
    static const uint8_t heads[3] = {0xd9, 0xda, 0xdb};
    if (leat_rng_below(to->rng, 2) == 0) {
        msgpack_pack_str(&to->packer, size);
    } else {
        pack_head(to, heads, size);
    }
    msgpack_sbuffer_write(to->out, data, size);
}

static void pack_bin(struct packer *to, const void *data, size_t size)
{
    static const uint8_t heads[3] = {0xc4, 0xc5, 0xc6};
    pack_head(to, heads, size);
    msgpack_sbuffer_write(to->out, data, size);
}

static void pack_u64(struct packer *to, uint64_t value)
{
    msgpack_packer *packer = &to->packer;
    switch (leat_rng_below(to->rng, 9)) {
    case 0:
        (void)(value <= UINT8_MAX ? msgpack_pack_fix_uint8(packer, (uint8_t)value)
                                  : msgpack_pack_fix_uint64(packer, value));
        break;
    case 1:
        (void)(value <= UINT16_MAX ? msgpack_pack_fix_uint16(packer, (uint16_t)value)
                                   : msgpack_pack_fix_uint64(packer, value));
        break;
    case 2:
        (void)(value <= UINT32_MAX ? msgpack_pack_fix_uint32(packer, (uint32_t)value)
                                   : msgpack_pack_fix_uint64(packer, value));
        break;
    case 3:
        (void)(value <= INT8_MAX ? msgpack_pack_fix_int8(packer, (int8_t)value)
                                 : msgpack_pack_fix_uint64(packer, value));
        break;
    case 4:
        (void)(value <= INT16_MAX ? msgpack_pack_fix_int16(packer, (int16_t)value)
                                  : msgpack_pack_fix_uint64(packer, value));
        break;
    case 5:
        (void)(value <= INT32_MAX ? msgpack_pack_fix_int32(packer, (int32_t)value)
                                  : msgpack_pack_fix_uint64(packer, value));
        break;
    case 6:
        (void)(value <= INT64_MAX ? msgpack_pack_fix_int64(packer, (int64_t)value)
                                  : msgpack_pack_fix_uint64(packer, value));
        break;
    default:
        (void)msgpack_pack_uint64(packer, value);
        break;
    }
}

static void pack_i64(struct packer *to, int64_t value)
{
    msgpack_packer *packer = &to->packer;
    if (value >= 0) {
        pack_u64(to, (uint64_t)value);
    } else if (value >= INT32_MIN && leat_rng_below(to->rng, 3) == 0) {
        (void)msgpack_pack_fix_int32(packer, (int32_t)value);
    } else if (leat_rng_below(to->rng, 2) == 0) {
        (void)msgpack_pack_fix_int64(packer, value);
    } else {
        (void)msgpack_pack_int64(packer, value);
    }
}

/* Something that no table knows: one element of every kind. */
static void pack_unknown(struct packer *to)
{
    msgpack_packer *packer = &to->packer;
    switch (leat_rng_below(to->rng, 6)) {
    case 0:
        (void)msgpack_pack_nil(packer);
        break;
    case 1:
        (void)msgpack_pack_double(packer, 0.5);
        break;
    case 2:
        (void)msgpack_pack_float(packer, 0.25f);
        break;
    case 3:
        (void)msgpack_pack_ext(packer, 5, 7);
        (void)msgpack_pack_ext_body(packer, "12345", 5);
        break;
    case 4:
        (void)msgpack_pack_map(packer, 2);
        pack_str(to, "key", 3);
        (void)msgpack_pack_array(packer, 0);
        (void)msgpack_pack_nil(packer);
        (void)msgpack_pack_map(packer, 0);
        break;
    default:
        (void)msgpack_pack_array(packer, 3);
        pack_i64(to, -1);
        (void)msgpack_pack_true(packer);
        pack_bin(to, "ab", 2);
        break;
    }
}

static void pack_fields(struct packer *to, const struct leat_wire_field *fields, size_t count,
                        const void *base);

static void pack_item(struct packer *to, const struct leat_wire_item *item, const void *base)
{
    size_t extra = to->extra ? (size_t)leat_rng_below(to->rng, 3) : 0;
    pack_array_head(to, item->field_count + extra);
    pack_fields(to, item->fields, item->field_count, base);
    for (size_t i = 0; i < extra; i++) {
        pack_unknown(to);
    }
}

static void pack_value(struct packer *to, const struct leat_wire_field *field, const void *member)
{
    switch (field->kind) {
    case LEAT_WIRE_FIELD_U64:
        pack_u64(to, *(const uint64_t *)member);
        break;
    case LEAT_WIRE_FIELD_I64:
        pack_i64(to, *(const int64_t *)member);
        break;
    case LEAT_WIRE_FIELD_BOOL:
        (void)(*(const bool *)member ? msgpack_pack_true(&to->packer)
                                     : msgpack_pack_false(&to->packer));
        break;
    case LEAT_WIRE_FIELD_ID:
        pack_bin(to, member, LEAT_ID_BYTES);
        break;
    case LEAT_WIRE_FIELD_STR:
        pack_str(to, ((const struct leat_str *)member)->data,
                 ((const struct leat_str *)member)->size);
        break;
    case LEAT_WIRE_FIELD_BIN:
        pack_bin(to, ((const struct leat_bytes *)member)->data,
                 ((const struct leat_bytes *)member)->size);
        break;
    case LEAT_WIRE_FIELD_LIST: {
        struct leat_wire_list list = leat_wire_list_at(member);
        const struct leat_wire_item *item = field->item();
        pack_array_head(to, list.count);
        for (size_t i = 0; i < list.count; i++) {
            pack_item(to, item, (const uint8_t *)list.items + i * item->size);
        }
        break;
    }
    case LEAT_WIRE_FIELD_ITEM:
        pack_item(to, field->item(), member);
        break;
    }
}

static void pack_fields(struct packer *to, const struct leat_wire_field *fields, size_t count,
                        const void *base)
{
    for (size_t i = 0; i < count; i++) {
        pack_value(to, &fields[i], (const uint8_t *)base + fields[i].offset);
    }
}

void wire_pack_loosely(const struct leat_msg *msg, bool extra, struct leat_rng *rng,
                       msgpack_sbuffer *out)
{
    const struct leat_wire_message *message = leat_wire_message_of(msg->type);
    struct packer to = {.out = out, .rng = rng, .extra = extra};
    msgpack_packer_init(&to.packer, out, msgpack_sbuffer_write);
    size_t more = extra ? (size_t)leat_rng_below(rng, 3) : 0;
    pack_array_head(&to, 2 + message->field_count + more);
    pack_u64(&to, LEAT_PROTOCOL_VERSION);
    pack_u64(&to, (uint64_t)msg->type);
    pack_fields(&to, message->fields, message->field_count, leat_wire_message_fields(msg));
    for (size_t i = 0; i < more; i++) {
        pack_unknown(&to);
    }
}
