#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "core/check.h"

void leat_table_init(struct leat_table *table, const char *alignment)
{
    *table = (struct leat_table){.columns = strlen(alignment), .right = alignment};
}

void leat_table_row(struct leat_table *table, ...)
{
    if ((table->count + 1) * table->columns > table->capacity) {
        table->capacity = 2 * table->capacity + 16 * table->columns;
        table->cells = realloc(table->cells, table->capacity * sizeof(*table->cells));
        if (table->cells == NULL) {
            abort();
        }
    }
    va_list args;
    va_start(args, table);
    for (size_t i = 0; i < table->columns; i++) {
        char *cell = strdup(va_arg(args, const char *));
        if (cell == NULL) {
            abort();
        }
        leat_cli_tame(cell, true);
        table->cells[table->count * table->columns + i] = cell;
    }
    va_end(args);
    table->count++;
}

void leat_cli_time(int64_t us, char text[32])
{
    time_t seconds = (time_t)(us / LEAT_US_PER_S);
    struct tm tm;
    if (us <= 0 || localtime_r(&seconds, &tm) == NULL || strftime(text, 32, "%F %T", &tm) == 0) {
        strcpy(text, "-");
    }
}

void leat_cli_tame(char *text, bool one_line)
{
    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++) {
        bool is_break = *at == '\n' || *at == '\t';
        if ((*at < ' ' && (one_line || !is_break)) || *at == 0x7f) {
            *at = '?';
        } else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) { /* U+0080 to U+009F */
            at[0] = at[1] = '?';
        }
    }
}

static size_t width_of(const struct leat_table *table, size_t column)
{
    size_t width = 0;
    for (size_t row = 0; row < table->count; row++) {
        size_t size = strlen(table->cells[row * table->columns + column]);
        width = size > width ? size : width;
    }
    return width;
}

void leat_table_print(const struct leat_table *table, FILE *file)
{
    for (size_t row = 0; row < table->count; row++) {
        for (size_t column = 0; column < table->columns; column++) {
            const char *cell = table->cells[row * table->columns + column];
            bool last = column + 1 == table->columns;
            int width = (int)width_of(table, column);
            if (table->right[column] == 'r') {
                fprintf(file, "%*s", width, cell);
            } else {
                fprintf(file, "%-*s", last ? 0 : width, cell);
            }
            fputs(last ? "\n" : "  ", file);
        }
    }
}

void leat_table_fini(struct leat_table *table)
{
    for (size_t i = 0; i < table->count * table->columns; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
}

void leat_cli_print_json(const json_t *tree)
{
    json_dumpf(tree, stdout, JSON_INDENT(2));
    putchar('\n');
}

const char *leat_cli_text(const json_t *object, const char *key, char buffer[64])
{
    const json_t *value = json_object_get(object, key);
    if (json_is_string(value)) {
        return json_string_value(value);
    }
    if (json_is_integer(value)) {
        snprintf(buffer, 64, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return buffer;
    }
    if (json_is_boolean(value)) {
        return json_is_true(value) ? "yes" : "no";
    }
    return "-";
}

int64_t leat_cli_number(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}
