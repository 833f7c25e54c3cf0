/* Messages from few bytes, by the message table. A random frame is nearly never a message of the
 * right session; so ids, numbers and names are mostly single bytes that stand for a small set. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "wire/codec.h"
#include "wire/msgtable.h"

enum {
    /* numbers: 0 to 0xDF stand for themselves */
    NUMBER_POWER = 0xE0, /* to 0xEF: 16 to the power of the low digit */
    NUMBER_ROUND = 0xF0,
    NUMBER_NEXT = 0xF1,
    NUMBER_WORD = 0xF2, /* to 0xF7 */
    NUMBER_RAW = 0xF8,  /* 8 bytes follow */
    NUMBER_MOST = 0xF9, /* to 0xFF */
    /* ids: 0 all zero, 1 to 0xEF by number */
    ID_WORD = 0xF0, /* to 0xF3 */
    ID_RAW = 0xFF,  /* 16 bytes follow */
    /* texts: 0 to 0x0F from the list; then raw */
    TEXT_RAW = 0x10, /* to 0xEF: this many bytes follow, from 0 */
    TEXT_LONG = 0xF0,
    /* byte strings: 0 to 0x7F filler of that size */
    BYTES_RAW = 0x80, /* to 0xDF: this many bytes follow, from 0 */
    BYTES_BODY = 0xF0,
    BYTES_BODY_FIELDS = 0xF1,
    BYTES_LARGE = 0xF2, /* to 0xF4 */
    /* lists: 0 to 0x3F items; above, that many of the few sizes */
    LIST_SIZES = 0x40,
};

static const char *const texts[TEXT_RAW] = {
    "",         "default",
    "mail",     "q",
    "t",        "send",
    "echo",     "ping",
    "pause",    "resume",
    "shutdown", "host:1",
    "a b",      "*",
    "\xc3\xa9", "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg"};

/* What the walk through the table carries. */
struct maker {
    struct fuzz_input *in;
    struct fuzz_words *words;
    unsigned peer;
    struct leat_arena *arena;
    unsigned bodies; /* within one another */
};

#define BODIES_MAX    4
#define BYTES_LARGEST ((1u << 20) + 1)

struct leat_id fuzz_id(unsigned number)
{
    struct leat_id id = {{0}};
    if (number > 0) {
        id = (struct leat_id){{0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 0x70, 0, 0x80}};
        id.bytes[15] = (uint8_t)number;
    }
    return id;
}

static void *must(void *memory)
{
    if (memory == NULL) {
        fuzz_fail("the arena of the target is too small");
    }
    return memory;
}

static uint64_t raw_number(struct fuzz_input *in)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | fuzz_byte(in);
    }
    return value;
}

uint64_t fuzz_number(struct fuzz_input *in, struct fuzz_words *words, unsigned peer)
{
    static const uint64_t most[] = {
        UINT64_MAX, INT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 32, 65536, 4096, 1000000};
    uint8_t byte = fuzz_byte(in);
    if (byte < NUMBER_POWER) {
        return byte;
    }
    if (byte < NUMBER_ROUND) {
        return (uint64_t)1 << 4 * (byte - NUMBER_POWER);
    }
    switch (byte) {
    case NUMBER_ROUND:
        return words->round[peer];
    case NUMBER_NEXT:
        return ++words->next[peer];
    case NUMBER_RAW:
        return raw_number(in);
    default:
        return byte < NUMBER_RAW ? words->numbers[byte - NUMBER_WORD] : most[byte - NUMBER_MOST];
    }
}

static struct leat_id make_id(struct maker *maker)
{
    uint8_t byte = fuzz_byte(maker->in);
    if (byte == ID_RAW) {
        struct leat_id id = {{0}};
        struct leat_bytes bytes = fuzz_bytes(maker->in, LEAT_ID_BYTES);
        if (bytes.size > 0) {
            memcpy(id.bytes, bytes.data, bytes.size);
        }
        return id;
    }
    if (byte >= ID_WORD) {
        return maker->words->ids[byte % 4];
    }
    return fuzz_id(byte);
}

static struct leat_bytes filler(size_t size)
{
    static uint8_t bytes[BYTES_LARGEST];
    if (bytes[0] == 0) {
        memset(bytes, 'x', sizeof bytes);
    }
    if (size > sizeof bytes) {
        fuzz_fail("no filler of %zu bytes", size);
    }
    return leat_bytes_of(bytes, size);
}

static struct leat_str make_text(struct maker *maker, uint64_t max)
{
    uint8_t byte = fuzz_byte(maker->in);
    if (byte < TEXT_RAW) {
        return leat_str_of(texts[byte]);
    }
    struct leat_bytes bytes;
    if (byte < TEXT_LONG) {
        bytes = fuzz_bytes(maker->in, byte - TEXT_RAW);
    } else {
        bytes = filler((size_t)max + (byte == TEXT_LONG ? 0 : 1));
    }
    return (struct leat_str){(const char *)bytes.data, bytes.size};
}

static void make_fields(struct maker *maker, const struct leat_wire_field *fields, size_t count,
                        void *base);

static struct leat_bytes make_body(struct maker *maker, bool by_fields)
{
    by_fields = by_fields && maker->bodies < BODIES_MAX;
    struct leat_item_body body = {.payload = leat_bytes_of("p", 1),
                                  .timeout_ms = LEAT_TIMEOUT_MS_DEFAULT,
                                  .attempts_max = LEAT_ATTEMPTS_DEFAULT,
                                  .backoff_base_ms = LEAT_BACKOFF_BASE_MS,
                                  .backoff_factor_milli = LEAT_BACKOFF_FACTOR_MILLI,
                                  .backoff_cap_ms = LEAT_BACKOFF_CAP_MS};
    if (by_fields) {
        maker->bodies++;
        for (size_t i = 0; leat_wire_item_at(i) != NULL; i++) {
            const struct leat_wire_item *item = leat_wire_item_at(i);
            if (strcmp(item->name, "body") == 0) {
                make_fields(maker, item->fields, item->field_count, &body);
            }
        }
        maker->bodies--;
    }
    struct leat_wire_buffer buffer;
    leat_wire_buffer_init(&buffer, 0);
    struct leat_bytes bytes = leat_bytes_of("", 0);
    if (leat_wire_encode_item_body(&body, &buffer) == LEAT_OK) {
        bytes = leat_arena_copy(maker->arena, leat_wire_buffer_view(&buffer));
        must((void *)(uintptr_t)bytes.data);
    }
    leat_wire_buffer_fini(&buffer);
    return bytes;
}

static struct leat_bytes make_bytes(struct maker *maker, uint64_t max)
{
    static const size_t large[] = {1025, 65536, BYTES_LARGEST};
    uint8_t byte = fuzz_byte(maker->in);
    if (byte < BYTES_RAW) {
        return filler(byte);
    }
    if (byte < BYTES_BODY) {
        return fuzz_bytes(maker->in, byte - BYTES_RAW);
    }
    if (byte < BYTES_LARGE) {
        return make_body(maker, byte == BYTES_BODY_FIELDS);
    }
    size_t size = large[byte % 3];
    return filler(size < max ? size : (size_t)max);
}

static void make_list(struct maker *maker, const struct leat_wire_field *field, void *member)
{
    static const size_t sizes[] = {64, 65, 100, 300};
    const struct leat_wire_item *item = field->item();
    uint8_t byte = fuzz_byte(maker->in);
    struct leat_wire_list list = {NULL, byte < LIST_SIZES ? byte : sizes[byte % 4]};
    if (list.count > 0) {
        uint8_t *items = must(leat_arena_take(maker->arena, list.count * item->size));
        for (size_t i = 0; i < list.count; i++) {
            make_fields(maker, item->fields, item->field_count, items + i * item->size);
        }
        list.items = items;
    }
    memcpy(member, &list, sizeof list);
}

static void make_value(struct maker *maker, const struct leat_wire_field *field, void *member)
{
    switch (field->kind) {
    case LEAT_WIRE_FIELD_U64:
        *(uint64_t *)member = fuzz_number(maker->in, maker->words, maker->peer);
        break;
    case LEAT_WIRE_FIELD_I64:
        *(int64_t *)member = (int64_t)fuzz_number(maker->in, maker->words, maker->peer);
        break;
    case LEAT_WIRE_FIELD_BOOL:
        *(bool *)member = (fuzz_byte(maker->in) & 1) != 0;
        break;
    case LEAT_WIRE_FIELD_ID:
        *(struct leat_id *)member = make_id(maker);
        break;
    case LEAT_WIRE_FIELD_STR:
        *(struct leat_str *)member = make_text(maker, field->max);
        break;
    case LEAT_WIRE_FIELD_BIN:
        *(struct leat_bytes *)member = make_bytes(maker, field->max);
        break;
    case LEAT_WIRE_FIELD_LIST:
        make_list(maker, field, member);
        break;
    case LEAT_WIRE_FIELD_ITEM:
        make_fields(maker, field->item()->fields, field->item()->field_count, member);
        break;
    }
}

static void make_fields(struct maker *maker, const struct leat_wire_field *fields, size_t count,
                        void *base)
{
    for (size_t i = 0; i < count; i++) {
        make_value(maker, &fields[i], (uint8_t *)base + fields[i].offset);
    }
}

bool fuzz_message(struct fuzz_input *in, struct fuzz_words *words, unsigned peer,
                  struct leat_arena *arena, struct leat_wire_buffer *buffer,
                  struct leat_msg *ret_msg)
{
    const struct leat_wire_message *message = leat_wire_message_of(fuzz_byte(in));
    if (message == NULL) {
        return false;
    }
    struct maker maker = {in, words, peer, arena, 0};
    struct leat_msg msg = {.type = message->type};
    make_fields(&maker, message->fields, message->field_count, &msg.error);
    if (leat_wire_encode(&msg, buffer) != LEAT_OK) {
        return false;
    }
    struct leat_why why;
    enum leat_err err = leat_wire_decode(leat_wire_buffer_view(buffer), arena, ret_msg, &why);
    if (err != LEAT_OK) {
        fuzz_fail("what was encoded is not decoded: %s", why.text);
    }
    return true;
}

/* ---- and back, for seeds ---- */

static void put(struct leat_wire_buffer *out, const void *data, size_t size)
{
    if (leat_wire_buffer_append(out, data, size) != LEAT_OK) {
        abort();
    }
}

static void put_byte(struct leat_wire_buffer *out, uint64_t byte)
{
    uint8_t value = (uint8_t)byte;
    put(out, &value, 1);
}

static void write_number(struct leat_wire_buffer *out, uint64_t value)
{
    if (value < NUMBER_POWER) {
        put_byte(out, value);
        return;
    }
    put_byte(out, NUMBER_RAW);
    for (int shift = 56; shift >= 0; shift -= 8) {
        put_byte(out, value >> shift);
    }
}

static void write_id(struct leat_wire_buffer *out, const struct leat_id *id)
{
    struct leat_id short_form = fuzz_id(id->bytes[15]);
    if (leat_id_equal(&short_form, id) && id->bytes[15] < ID_WORD) {
        put_byte(out, id->bytes[15]);
    } else {
        put_byte(out, ID_RAW);
        put(out, id->bytes, LEAT_ID_BYTES);
    }
}

static void write_text(struct leat_wire_buffer *out, struct leat_str text)
{
    for (uint8_t i = 0; i < TEXT_RAW; i++) {
        if (leat_str_equal(leat_str_of(texts[i]), text)) {
            put_byte(out, i);
            return;
        }
    }
    size_t size = text.size < TEXT_LONG - TEXT_RAW ? text.size : TEXT_LONG - TEXT_RAW - 1;
    put_byte(out, TEXT_RAW + size);
    put(out, text.data, size);
}

static void write_bytes(struct leat_wire_buffer *out, struct leat_bytes bytes)
{
    size_t size = bytes.size < BYTES_BODY - BYTES_RAW ? bytes.size : BYTES_BODY - BYTES_RAW - 1;
    put_byte(out, BYTES_RAW + size);
    put(out, bytes.data, size);
}

static void write_fields(const struct leat_wire_field *fields, size_t count, const void *base,
                         struct leat_wire_buffer *out);

static void write_list(const struct leat_wire_field *field, const void *member,
                       struct leat_wire_buffer *out)
{
    const struct leat_wire_item *item = field->item();
    struct leat_wire_list list = leat_wire_list_at(member);
    size_t count = list.count < LIST_SIZES ? list.count : LIST_SIZES - 1;
    put_byte(out, count);
    for (size_t i = 0; i < count; i++) {
        write_fields(item->fields, item->field_count, (const uint8_t *)list.items + i * item->size,
                     out);
    }
}

static void write_fields(const struct leat_wire_field *fields, size_t count, const void *base,
                         struct leat_wire_buffer *out)
{
    for (size_t i = 0; i < count; i++) {
        const void *member = (const uint8_t *)base + fields[i].offset;
        switch (fields[i].kind) {
        case LEAT_WIRE_FIELD_U64:
        case LEAT_WIRE_FIELD_I64:
            write_number(out, *(const uint64_t *)member);
            break;
        case LEAT_WIRE_FIELD_BOOL:
            put_byte(out, *(const bool *)member ? 1 : 0);
            break;
        case LEAT_WIRE_FIELD_ID:
            write_id(out, member);
            break;
        case LEAT_WIRE_FIELD_STR:
            write_text(out, *(const struct leat_str *)member);
            break;
        case LEAT_WIRE_FIELD_BIN:
            write_bytes(out, *(const struct leat_bytes *)member);
            break;
        case LEAT_WIRE_FIELD_LIST:
            write_list(&fields[i], member, out);
            break;
        case LEAT_WIRE_FIELD_ITEM:
            write_fields(fields[i].item()->fields, fields[i].item()->field_count, member, out);
            break;
        }
    }
}

void fuzz_write_message(const struct leat_msg *msg, struct leat_wire_buffer *out)
{
    const struct leat_wire_message *message = leat_wire_message_of(msg->type);
    put_byte(out, msg->type);
    write_fields(message->fields, message->field_count, leat_wire_message_fields(msg), out);
}
