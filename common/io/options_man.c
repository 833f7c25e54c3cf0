/* The manual page, in man(7)'s macros, and the table for completion, from the same rows as --help.
 */
#include <ctype.h>
#include <string.h>

#include "io/options.h"
#include "io/options_inside.h"

/* Text for troff: no character of it is a request, an escape or a hyphen that may be broken. */
static void print_text(FILE *file, const char *text)
{
    bool line_begins = true;
    for (const char *c = text; *c != '\0'; c++) {
        if (line_begins && (*c == '.' || *c == '\'')) {
            fputs("\\&", file);
        }
        line_begins = *c == '\n';
        switch (*c) {
        case '\\':
            fputs("\\e", file);
            break;
        case '-':
            fputs("\\-", file);
            break;
        case '\'':
            fputs("\\(aq", file);
            break;
        case '"':
            fputs("\\(dq", file);
            break;
        case '^':
            fputs("\\(ha", file);
            break;
        case '~':
            fputs("\\(ti", file);
            break;
        default:
            fputc(*c, file);
        }
    }
}

/* "Runs jobs." as whatis wants it: "runs jobs". */
static void print_whatis(FILE *file, const char *summary)
{
    char text[256];
    size_t size = (size_t)snprintf(text, sizeof text, "%s", summary);
    if (size > 0 && size < sizeof text && text[size - 1] == '.') {
        text[size - 1] = '\0';
    }
    text[0] = (char)tolower((unsigned char)text[0]);
    print_text(file, text);
}

void leat_man_begin(const char *name, const char *summary, FILE *file)
{
    fputs(".TH \"", file);
    for (const char *c = name; *c != '\0'; c++) {
        fputc(*c == ' ' ? '-' : toupper((unsigned char)*c), file);
    }
    fputs("\" 1 \"\" \"leat " LEAT_VERSION "\" \"leat\"\n.SH NAME\n", file);
    for (const char *c = name; *c != '\0'; c++) {
        fputs(*c == ' ' || *c == '-' ? "\\-" : (const char[]){*c, '\0'}, file);
    }
    fputs(" \\- ", file);
    print_whatis(file, summary);
    fputc('\n', file);
}

void leat_man_text(const char *text, FILE *file)
{
    print_text(file, text);
}

void leat_man_end(FILE *file)
{
    fputs(".SH EXIT STATUS\n"
          ".TP\n0\ndone\n"
          ".TP\n1\nit ran, and something of what was asked for failed\n"
          ".TP\n2\nunknown option, bad value or missing argument\n"
          ".TP\n3\nthe deadline came first\n"
          ".TP\n70\na broken part of leat itself\n"
          ".TP\n74\na write or flush of the store failed: look at the disk\n"
          ".TP\n75\ncannot start for now (address or directory in use, no room); later may help\n"
          ".SH SEE ALSO\n"
          ".BR leat (1),\n.BR leat\\-ventilator (1),\n.BR leat\\-sink (1),\n"
          ".BR leat\\-worker (1),\n.BR leat\\-producer (1)\n",
          file);
}

static void print_row(FILE *file, const struct leat_option *row)
{
    fputs(".TP\n\\fB\\-\\-", file);
    print_text(file, row->name);
    fputs("\\fR", file);
    const char *value = leat_option_value_name(row);
    if (value[0] != '\0') {
        fputs(" \\fI", file);
        print_text(file, value);
        fputs("\\fR", file);
    }
    fputs(row->kind == LEAT_OPTION_LIST ? " ...\n" : "\n", file);
    print_text(file, row->help);
    fputs(".\n", file);
    if (row->choices != NULL) {
        fputs("One of ", file);
        print_text(file, row->choices);
        fputs(".\n", file);
    }
    if (row->initial != NULL) {
        fputs("Default: ", file);
        print_text(file, row->initial);
        fputs(".\n", file);
    }
    char env[LEAT_OPTION_ENV_BYTES];
    leat_option_env_name(row, env);
    if (env[0] != '\0') {
        fprintf(file, "Environment: %s.\n", env);
    }
}

void leat_options_man(const struct leat_program *program, FILE *file)
{
    leat_man_begin(program->name, program->summary, file);
    fputs(".SH SYNOPSIS\n\\fB", file);
    print_text(file, program->name);
    fputs("\\fR [\\fIOPTION\\fR...]", file);
    if (program->arguments != NULL) {
        fputc(' ', file);
        print_text(file, program->arguments);
    }
    fputs("\n.SH DESCRIPTION\n", file);
    print_text(file, program->summary);
    size_t size = strlen(program->summary);
    fputs(size > 0 && program->summary[size - 1] == '.' ? "\n" : ".\n", file);
    fputs(".SH OPTIONS\n", file);
    for (size_t i = 0; i < program->row_count; i++) {
        if (leat_option_group_was_printed(program, i)) {
            continue;
        }
        const char *group = leat_option_group(&program->rows[i]);
        if (strcmp(group, "Options") == 0) {
            fputs(".SS For this program\n", file);
        } else {
            fprintf(file, ".SS %s\n", group);
        }
        for (size_t k = i; k < program->row_count; k++) {
            if (strcmp(leat_option_group(&program->rows[k]), group) == 0) {
                print_row(file, &program->rows[k]);
            }
        }
    }
    fputs(".TP\n\\fB\\-\\-help\\fR, \\fB\\-\\-help\\-man\\fR, \\fB\\-\\-help\\-table\\fR\n"
          "show the options as text, as this page, as a table for programs.\n"
          ".TP\n\\fB\\-\\-version\\fR\nshow the version.\n.SH VALUES\n",
          file);
    for (size_t i = 0; i < LEAT_OPTION_UNITS_MAX; i++) {
        const char *line = leat_option_unit_line(program, i);
        if (line != NULL) {
            fputs(".PP\n", file);
            print_text(file, line);
            fputc('\n', file);
        }
    }
    if (program->more != NULL) {
        fputs(".SH NOTES\n.nf\n", file);
        print_text(file, program->more);
        fputs("\n.fi\n", file);
    }
    leat_man_end(file);
}

static const char *kind_word(enum leat_option_kind kind)
{
    static const char *const words[] = {
        [LEAT_OPTION_FLAG] = "flag",         [LEAT_OPTION_STRING] = "text",
        [LEAT_OPTION_LIST] = "list",         [LEAT_OPTION_COUNT] = "count",
        [LEAT_OPTION_DURATION] = "duration", [LEAT_OPTION_SIZE] = "size",
        [LEAT_OPTION_RATE] = "rate",         [LEAT_OPTION_ENDPOINT] = "endpoint",
    };
    return words[kind];
}

static void print_first_line(FILE *file, const char *text)
{
    fprintf(file, "%.*s\n", (int)strcspn(text, "\n"), text);
}

void leat_options_table(const struct leat_program *program, FILE *file)
{
    if (program->arguments != NULL) {
        fprintf(file, "-\targuments\t%s\t-\n", program->arguments);
    }
    for (size_t i = 0; i < program->row_count; i++) {
        const struct leat_option *row = &program->rows[i];
        fprintf(file, "--%s\t%s\t%s\t", row->name, kind_word(row->kind),
                row->choices != NULL            ? row->choices
                : row->kind == LEAT_OPTION_FLAG ? "-"
                                                : leat_option_value_name(row));
        print_first_line(file, row->help);
    }
    fputs("--help\tflag\t-\tshow this text\n--version\tflag\t-\tshow the version\n", file);
}
