#include "wire/dump.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/err.h"
#include "core/utf8.h"
#include "wire/msgtable.h"

enum { STR_SHOWN = 48, ITEMS_SHOWN = 3, SMALLEST_TEXT = 8 };

struct line {
    char *text;
    size_t size;
    size_t used;
    bool full;
};

static void add(struct line *line, const char *format, ...) LEAT_PRINTF(2, 3);

static void add(struct line *line, const char *format, ...)
{
    if (line->full) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line->text + line->used, line->size - line->used, format, arguments);
    va_end(arguments);
    if (more < 0 || (size_t)more >= line->size - line->used) {
        line->full = true;
        line->used = line->size - 1;
    } else {
        line->used += (size_t)more;
    }
}

static void add_str(struct line *line, struct leat_str text)
{
    char shown[STR_SHOWN];
    size_t size = leat_utf8_shorten(text.data, text.size, sizeof(shown));
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        shown[i] = c < 0x20 || c == 0x7f || c == '"' || c == '\\' ? '?' : text.data[i];
    }
    add(line, "\"%.*s\"", (int)size, shown);
    if (size < text.size) {
        add(line, "(%zu)", text.size);
    }
}

static void add_fields(struct line *line, const struct leat_wire_field *fields, size_t count,
                       const void *base, unsigned depth);

static void add_list(struct line *line, const struct leat_wire_item *item, const void *member,
                     unsigned depth)
{
    struct leat_wire_list list = leat_wire_list_at(member);
    add(line, "%zu[", list.count);
    for (size_t i = 0; i < list.count && !line->full; i++) {
        if (i == ITEMS_SHOWN) {
            add(line, " ...");
            break;
        }
        add(line, i == 0 ? "{" : " {");
        add_fields(line, item->fields, item->field_count,
                   (const uint8_t *)list.items + i * item->size, depth + 1);
        add(line, "}");
    }
    add(line, "]");
}

static void add_value(struct line *line, const struct leat_wire_field *field, const void *member,
                      unsigned depth)
{
    char id[LEAT_ID_TEXT_BYTES];
    switch (field->kind) {
    case LEAT_WIRE_FIELD_U64:
        add(line, "%" PRIu64, *(const uint64_t *)member);
        break;
    case LEAT_WIRE_FIELD_I64:
        add(line, "%" PRId64, *(const int64_t *)member);
        break;
    case LEAT_WIRE_FIELD_BOOL:
        add(line, "%s", *(const bool *)member ? "true" : "false");
        break;
    case LEAT_WIRE_FIELD_ID:
        add(line, "%s", leat_id_format(member, id));
        break;
    case LEAT_WIRE_FIELD_STR:
        add_str(line, *(const struct leat_str *)member);
        break;
    case LEAT_WIRE_FIELD_BIN:
        add(line, "%zuB", ((const struct leat_bytes *)member)->size);
        break;
    case LEAT_WIRE_FIELD_LIST:
        add_list(line, field->item(), member, depth);
        break;
    case LEAT_WIRE_FIELD_ITEM:
        add(line, "{");
        add_fields(line, field->item()->fields, field->item()->field_count, member, depth + 1);
        add(line, "}");
        break;
    }
}

/* Recursion follows the table, which is finite and not deeper than LEAT_NESTING_MAX. */
static void add_fields(struct line *line, const struct leat_wire_field *fields, size_t count,
                       const void *base, unsigned depth)
{
    assert(depth <= LEAT_NESTING_MAX);
    for (size_t i = 0; i < count && !line->full; i++) {
        add(line, "%s%s=", i == 0 ? "" : " ", fields[i].name);
        add_value(line, &fields[i], (const uint8_t *)base + fields[i].offset, depth);
    }
}

const char *leat_wire_dump(const struct leat_msg *msg, char *text, size_t size)
{
    assert(size >= SMALLEST_TEXT);
    struct line line = {text, size, 0, false};
    text[0] = '\0';
    const struct leat_wire_message *message = leat_wire_message_of(msg->type);
    if (message == NULL) {
        add(&line, "unknown type=%d", (int)msg->type);
        return text;
    }
    add(&line, "%s ", message->name);
    add_fields(&line, message->fields, message->field_count, leat_wire_message_fields(msg), 0);
    if (line.full) {
        size_t cut = leat_utf8_shorten(text, size - 1, size - SMALLEST_TEXT + 3);
        memcpy(text + cut, "...", 4);
    }
    return text;
}
