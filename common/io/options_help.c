#include "io/options.h"

#include <string.h>

#include "io/options_inside.h"

#define INDENT_COLUMNS 6
#define WIDTH_COLUMNS  96

const char *leat_option_value_name(const struct leat_option *row)
{
    if (row->value != NULL) {
        return row->value;
    }
    switch (row->kind) {
    case LEAT_OPTION_FLAG:
        return "";
    case LEAT_OPTION_STRING:
    case LEAT_OPTION_LIST:
        return "TEXT";
    case LEAT_OPTION_COUNT:
        return "N";
    case LEAT_OPTION_DURATION:
        return "TIME";
    case LEAT_OPTION_SIZE:
        return "SIZE";
    case LEAT_OPTION_RATE:
        return "RATE";
    case LEAT_OPTION_ENDPOINT:
        return "ENDPOINT";
    default:
        return "VALUE";
    }
}

const char *leat_option_group(const struct leat_option *row)
{
    return row->group == NULL ? "Options" : row->group;
}

/* Words of `text`, broken at WIDTH_COLUMNS, indented. Returns with the column of the end. */
static size_t print_words(FILE *file, const char *text, size_t column)
{
    while (*text != '\0') {
        size_t size = strcspn(text, " \n");
        if (column > 0 && column + 1 + size > WIDTH_COLUMNS) {
            fputc('\n', file);
            column = 0;
        }
        column +=
            (size_t)fprintf(file, "%*s%.*s", column == 0 ? INDENT_COLUMNS : 1, "", (int)size, text);
        text += size;
        text += strspn(text, " \n");
    }
    return column;
}

static void print_row(FILE *file, const struct leat_option *row)
{
    const char *value = leat_option_value_name(row);
    fprintf(file, "  --%s%s%s%s\n", row->name, value[0] == '\0' ? "" : " ", value,
            row->kind == LEAT_OPTION_LIST ? " ..." : "");
    size_t column = print_words(file, row->help, 0);
    char more[256];
    if (row->choices != NULL) {
        snprintf(more, sizeof more, "(%s)", row->choices);
        column = print_words(file, more, column);
    }
    if (row->initial != NULL) {
        snprintf(more, sizeof more, "[default: %s]", row->initial);
        column = print_words(file, more, column);
    }
    char env[LEAT_OPTION_ENV_BYTES];
    leat_option_env_name(row, env);
    if (env[0] != '\0') {
        snprintf(more, sizeof more, "[env: %s]", env);
        print_words(file, more, column);
    }
    fputc('\n', file);
}

bool leat_option_group_was_printed(const struct leat_program *program, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(leat_option_group(&program->rows[i]),
                   leat_option_group(&program->rows[index])) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_kind(const struct leat_program *program, enum leat_option_kind kind)
{
    for (size_t i = 0; i < program->row_count; i++) {
        if (program->rows[i].kind == kind) {
            return true;
        }
    }
    return false;
}

const char *leat_option_unit_line(const struct leat_program *program, size_t index)
{
    static const struct {
        enum leat_option_kind kind; /* 0: always */
        const char *line;
    } units[LEAT_OPTION_UNITS_MAX] = {
        {0, "Every option is also an environment variable; the command line wins."},
        {LEAT_OPTION_DURATION, "TIME is a number with ms, s, m, h or d: 500ms, 1.5s, 5m."},
        {LEAT_OPTION_SIZE,
         "SIZE is bytes, or a number with KiB, MiB, GiB, TiB, kB, MB, GB or TB: 64MiB."},
        {LEAT_OPTION_RATE, "RATE is a number per s, m, h or d: 5/s, 100/m."},
        {LEAT_OPTION_ENDPOINT, "ENDPOINT is tcp://HOST:PORT, ipc://PATH or inproc://NAME."},
        {LEAT_OPTION_LIST,
         "Options marked ... may be repeated; their variable holds one value per line."},
    };
    bool applies = units[index].kind == 0 || has_kind(program, units[index].kind);
    return applies ? units[index].line : NULL;
}

void leat_options_help(const struct leat_program *program, FILE *file)
{
    fprintf(file, "Usage: %s [OPTION...]%s%s\n%s\n", program->name,
            program->arguments == NULL ? "" : " ",
            program->arguments == NULL ? "" : program->arguments,
            program->summary == NULL ? "" : program->summary);
    for (size_t i = 0; i < program->row_count; i++) {
        if (leat_option_group_was_printed(program, i)) {
            continue;
        }
        fprintf(file, "\n%s:\n", leat_option_group(&program->rows[i]));
        for (size_t k = i; k < program->row_count; k++) {
            if (strcmp(leat_option_group(&program->rows[k]),
                       leat_option_group(&program->rows[i])) == 0) {
                print_row(file, &program->rows[k]);
            }
        }
    }
    fputs("  --help, --help-man, --help-table\n      show this text, the manual page as troff, the "
          "options as a table\n  --version\n      show the version\n\n",
          file);
    for (size_t i = 0; i < LEAT_OPTION_UNITS_MAX; i++) {
        const char *line = leat_option_unit_line(program, i);
        if (line != NULL) {
            fprintf(file, "%s\n", line);
        }
    }
    if (program->more != NULL) {
        fprintf(file, "\n%s\n", program->more);
    }
}
