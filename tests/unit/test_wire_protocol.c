/* docs/PROTOCOL.md holds exactly the tables that follow from core/messages.def and its neighbours.
 *
 *   test_wire_protocol            the tests
 *   test_wire_protocol --print    the tables
 *   test_wire_protocol --write    puts them into the document */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/err.h"
#include "core/limits.h"
#include "wire/msgtable.h"

#ifndef LEAT_PROTOCOL_FILE
#error "LEAT_PROTOCOL_FILE must be the path of docs/PROTOCOL.md"
#endif

enum { DOCUMENT_BYTES_MAX = 1 << 20 };

static void print_kind(FILE *to, const struct leat_wire_field *field)
{
    const char *kind = leat_wire_field_kind_name(field->kind);
    switch (field->kind) {
    case LEAT_WIRE_FIELD_LIST:
        fprintf(to, "%s of [%s](#item-%s), at most %" PRIu64, kind, field->item()->name,
                field->item()->name, field->max);
        break;
    case LEAT_WIRE_FIELD_ITEM:
        fprintf(to, "[%s](#item-%s)", field->item()->name, field->item()->name);
        break;
    case LEAT_WIRE_FIELD_STR:
    case LEAT_WIRE_FIELD_BIN:
        fprintf(to, "%s, at most %" PRIu64 " bytes", kind, field->max);
        break;
    case LEAT_WIRE_FIELD_U64:
    case LEAT_WIRE_FIELD_I64:
    case LEAT_WIRE_FIELD_BOOL:
    case LEAT_WIRE_FIELD_ID:
        fprintf(to, "%s", kind);
        break;
    }
}

static void print_fields(FILE *to, const struct leat_wire_field *fields, size_t count, size_t first)
{
    fprintf(to, "| # | field | kind | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        fprintf(to, "| %zu | `%s` | ", first + i, fields[i].name);
        print_kind(to, &fields[i]);
        fprintf(to, " | %s |\n", fields[i].doc);
    }
}

static void print_messages(FILE *to)
{
    const struct leat_wire_message *message;
    fprintf(to, "| type | name | from and to | what for |\n|---|---|---|---|\n");
    for (size_t i = 0; (message = leat_wire_message_at(i)) != NULL; i++) {
        fprintf(to, "| %d (0x%02x) | [%s](#message-%s) | %s | %s |\n", (int)message->type,
                (unsigned)message->type, message->name, message->name, message->direction,
                message->doc);
    }
    for (size_t i = 0; (message = leat_wire_message_at(i)) != NULL; i++) {
        fprintf(to, "\n<a id=\"message-%s\"></a>**%s** (%d, %s): %s\n\n", message->name,
                message->name, (int)message->type, message->direction, message->doc);
        print_fields(to, message->fields, message->field_count, 2);
    }
}

static void print_items(FILE *to)
{
    const struct leat_wire_item *item;
    for (size_t i = 0; (item = leat_wire_item_at(i)) != NULL; i++) {
        fprintf(to, "%s<a id=\"item-%s\"></a>**%s**\n\n", i > 0 ? "\n" : "", item->name,
                item->name);
        print_fields(to, item->fields, item->field_count, 0);
    }
}

static void print_errors(FILE *to)
{
    fprintf(to, "| code | name | meaning |\n|---|---|---|\n");
#define ERR(name, number, text) fprintf(to, "| %d | %s | %s |\n", number, #name, text);
#include "core/err.def"
#undef ERR
}

static void print_failures(FILE *to)
{
    fprintf(to, "| number | name | retried by default |\n|---|---|---|\n");
#define FAILURE(NAME, number, text, retried)                                                       \
    fprintf(to, "| %d | %s | %s |\n", number, text, (retried) ? "yes" : "no");
#include "core/failure.def"
#undef FAILURE
}

static void print_states(FILE *to)
{
    fprintf(to, "| number | name | final |\n|---|---|---|\n");
#define TO(state) 1u
#define STATE(NAME, number, text, next)                                                            \
    fprintf(to, "| %d | %s | %s |\n", number, text, (next) == 0 ? "yes" : "no");
#include "core/state.def"
#undef STATE
#undef TO
}

static void print_limits(FILE *to)
{
    static const struct {
        const char *what;
        int64_t value;
    } limits[] = {
        {"protocol version", LEAT_PROTOCOL_VERSION},
        {"record version", LEAT_RECORD_VERSION},
        {"bytes of one message", LEAT_MESSAGE_BYTES_MAX},
        {"bytes at which a sender should close a batch", LEAT_BATCH_BYTES_TARGET},
        {"the same, of a batch of fewer than 16 items", LEAT_BATCH_FEW_BYTES},
        {"items in a batch", LEAT_BATCH_ITEMS_MAX},
        {"nesting of an element that is skipped", LEAT_NESTING_MAX},
        {"bytes of a queue's name", LEAT_QUEUE_BYTES_MAX},
        {"bytes of a type's name", LEAT_TYPE_BYTES_MAX},
        {"bytes of a payload, by default", LEAT_PAYLOAD_BYTES_DEFAULT},
        {"bytes of a payload, at most", LEAT_PAYLOAD_BYTES_CEILING},
        {"headers of a job", LEAT_HEADERS_MAX},
        {"bytes of all headers of a job", LEAT_HEADERS_BYTES_MAX},
        {"timeout in ms, at most", LEAT_TIMEOUT_MS_MAX},
        {"attempts, at most", LEAT_ATTEMPTS_MAX},
        {"backoff in ms, at most", LEAT_BACKOFF_MS_MAX},
        {"bytes of a result's output, by default", LEAT_RESULT_BYTES_DEFAULT},
        {"bytes of a result's output, at most", LEAT_RESULT_BYTES_CEILING},
        {"ms between two PINGs, by default", LEAT_PING_MS},
        {"ms of silence until a worker is lost, by default", LEAT_LOST_AFTER_MS},
        {"deliveries until a job fails as lost, by default", LEAT_DELIVERIES_DEFAULT},
        {"ms for which the id of an ended job is remembered, by default", LEAT_DEDUPE_MS},
        {"bytes of a request to the stats socket", LEAT_REQUEST_BYTES_MAX},
    };
    fprintf(to, "| limit | value |\n|---|---|\n");
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        fprintf(to, "| %s | %" PRId64 " |\n", limits[i].what, limits[i].value);
    }
}

static const struct {
    const char *name;
    void (*print)(FILE *to);
} tables[] = {
    {"limits", print_limits}, {"messages", print_messages}, {"items", print_items},
    {"states", print_states}, {"failures", print_failures}, {"errors", print_errors},
};

enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

/* What belongs between the marks, malloced. */
static char *table_text(size_t index)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    tables[index].print(to);
    fclose(to);
    return text;
}

static char *read_document(void)
{
    FILE *from = fopen(LEAT_PROTOCOL_FILE, "r");
    if (from == NULL) {
        fail_msg("cannot read %s", LEAT_PROTOCOL_FILE);
        return NULL;
    }
    char *text = calloc(1, DOCUMENT_BYTES_MAX + 1);
    assert_non_null(text);
    size_t size = fread(text, 1, DOCUMENT_BYTES_MAX, from);
    assert_true(size < DOCUMENT_BYTES_MAX);
    fclose(from);
    return text;
}

/* The place after the opening mark of a table, and that of its closing mark. */
static void find_marks(const char *document, const char *name, const char **ret_begin,
                       const char **ret_end)
{
    char begin[80];
    char end[80];
    snprintf(begin, sizeof(begin), "<!-- generated: %s -->\n", name);
    snprintf(end, sizeof(end), "<!-- end: %s -->\n", name);
    const char *at = strstr(document, begin);
    if (at == NULL || strstr(at + 1, begin) != NULL || strstr(at, end) == NULL) {
        fail_msg("the document must have the marks of table %s once", name);
        return;
    }
    *ret_begin = at + strlen(begin);
    *ret_end = strstr(at, end);
}

static void the_document_holds_exactly_the_generated_tables(void **state)
{
    (void)state;
    char *document = read_document();
    for (size_t i = 0; i < TABLES; i++) {
        char *wanted = table_text(i);
        const char *begin = NULL;
        const char *end = NULL;
        find_marks(document, tables[i].name, &begin, &end);
        if ((size_t)(end - begin) != strlen(wanted) || memcmp(begin, wanted, strlen(wanted)) != 0) {
            fail_msg("table %s is not up to date: run test_wire_protocol --write", tables[i].name);
        }
        free(wanted);
    }
    free(document);
}

static void every_message_is_spoken_of_outside_the_tables(void **state)
{
    (void)state;
    char *document = read_document();
    const char *begin = NULL;
    const char *end = NULL;
    find_marks(document, "messages", &begin, &end);
    const struct leat_wire_message *message;
    for (size_t i = 0; (message = leat_wire_message_at(i)) != NULL; i++) {
        const char *at = strstr(document, message->name);
        if (at >= begin && at < end) {
            at = strstr(end, message->name);
        }
        if (at == NULL) {
            fail_msg("no word on how %s is used", message->name);
        }
    }
    free(document);
}

static void write_document(void)
{
    char *document = read_document();
    for (size_t i = 0; i < TABLES; i++) {
        char *wanted = table_text(i);
        const char *begin = NULL;
        const char *end = NULL;
        find_marks(document, tables[i].name, &begin, &end);
        char *next = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&next, &size);
        assert_non_null(to);
        fprintf(to, "%.*s%s%s", (int)(begin - document), document, wanted, end);
        fclose(to);
        free(document);
        free(wanted);
        document = next;
    }
    FILE *to = fopen(LEAT_PROTOCOL_FILE, "w");
    assert_non_null(to);
    fputs(document, to);
    fclose(to);
    free(document);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_holds_exactly_the_generated_tables),
        cmocka_unit_test(every_message_is_spoken_of_outside_the_tables),
    };
    if (argc > 1 && strcmp(argv[1], "--print") == 0) {
        for (size_t i = 0; i < TABLES; i++) {
            printf("<!-- generated: %s -->\n", tables[i].name);
            tables[i].print(stdout);
            printf("<!-- end: %s -->\n\n", tables[i].name);
        }
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--write") == 0) {
        write_document();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
