#include "io/options.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "io/exit.h"
#include "io/options_inside.h"

static void print_version(const struct leat_program *program, FILE *file)
{
    fprintf(file, "%s %s\n", program->name, LEAT_VERSION);
}

/* Options of every program: each prints something and ends it. */
#define PRINTERS 4
static const struct leat_option printer_rows[PRINTERS] = {
    {.name = "help", .kind = LEAT_OPTION_FLAG, .env = ""},
    {.name = "help-man", .kind = LEAT_OPTION_FLAG, .env = ""},
    {.name = "help-table", .kind = LEAT_OPTION_FLAG, .env = ""},
    {.name = "version", .kind = LEAT_OPTION_FLAG, .env = ""},
};
static void (*const printers[PRINTERS])(const struct leat_program *program, FILE *file) = {
    leat_options_help, leat_options_man, leat_options_table, print_version};

int leat_options_refuse(const struct leat_program *program, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *c = text; *c != '\0'; c++) {
        /* one line, whatever the arguments hold */
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
    fprintf(stderr, "%s: %s (see --help)\n", program->name, text);
    return LEAT_EXIT_USAGE;
}

static const struct leat_option *find_row(const struct leat_program *program, const char *name,
                                          size_t size)
{
    for (size_t i = 0; i < program->row_count; i++) {
        if (strlen(program->rows[i].name) == size &&
            memcmp(program->rows[i].name, name, size) == 0) {
            return &program->rows[i];
        }
    }
    for (size_t i = 0; i < PRINTERS; i++) {
        if (strlen(printer_rows[i].name) == size && memcmp(printer_rows[i].name, name, size) == 0) {
            return &printer_rows[i];
        }
    }
    return NULL;
}

static bool is_printer(const struct leat_option *row)
{
    return row >= printer_rows && row < printer_rows + PRINTERS;
}

/* Mistakes in a table are ours: found on the first run of the program, whatever its arguments. */
static void check_table(const struct leat_program *program)
{
    assert(program->row_count <= LEAT_OPTION_ROWS_MAX);
    for (size_t i = 0; i < program->row_count; i++) {
        const struct leat_option *row = &program->rows[i];
        assert(row->name != NULL && row->help != NULL);
        assert(find_row(program, row->name, strlen(row->name)) == row); /* each name once */
        assert(row->kind != LEAT_OPTION_FLAG || row->initial == NULL);
        assert(row->kind != LEAT_OPTION_LIST || row->initial == NULL);
    }
}

static void read_defaults(struct leat_options *options)
{
    for (size_t i = 0; i < options->program->row_count; i++) {
        const struct leat_option *row = &options->program->rows[i];
        if (row->initial != NULL) {
            struct leat_why why;
            enum leat_err err =
                leat_option_value_read(row, row->initial, &options->values[i], &why);
            assert(err == LEAT_OK);
            (void)err;
        }
    }
}

/* One value per line; empty lines are skipped. */
static enum leat_err read_env_list(const struct leat_option *row, const char *text,
                                   struct leat_option_value *value, struct leat_why *why)
{
    value->lines = strdup(text);
    if (value->lines == NULL) {
        abort();
    }
    char *rest = NULL;
    for (char *line = strtok_r(value->lines, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        enum leat_err err = leat_option_value_read(row, line, value, why);
        if (err != LEAT_OK) {
            return err;
        }
    }
    return LEAT_OK;
}

static bool read_environment(struct leat_options *options, int *ret_status)
{
    for (size_t i = 0; i < options->program->row_count; i++) {
        const struct leat_option *row = &options->program->rows[i];
        struct leat_option_value *value = &options->values[i];
        char name[LEAT_OPTION_ENV_BYTES];
        leat_option_env_name(row, name);
        const char *text = name[0] == '\0' ? NULL : getenv(name);
        if (text == NULL || text[0] == '\0' || value->given) {
            continue;
        }
        struct leat_why why;
        enum leat_err err = row->kind == LEAT_OPTION_LIST
                                ? read_env_list(row, text, value, &why)
                                : leat_option_value_read(row, text, value, &why);
        if (err != LEAT_OK) {
            *ret_status = leat_options_refuse(options->program, "%s: %s", name, why.text);
            return false;
        }
        value->given = true;
    }
    return true;
}

/* Takes the option at argv[*at]; moves *at to the last argument that it used. */
static bool read_option(struct leat_options *options, int argc, char *const argv[], int *at,
                        int *ret_status)
{
    const struct leat_program *program = options->program;
    const char *name = argv[*at] + 2;
    size_t size = strcspn(name, "=");
    const char *text = name[size] == '=' ? name + size + 1 : NULL;
    const struct leat_option *row = find_row(program, name, size);
    if (row == NULL) {
        *ret_status = leat_options_refuse(program, "unknown option --%.*s", (int)size, name);
        return false;
    }
    if (is_printer(row)) {
        printers[row - printer_rows](program, stdout);
        *ret_status = LEAT_EXIT_OK;
        return false;
    }
    if (text == NULL && row->kind == LEAT_OPTION_FLAG) {
        text = "yes";
    }
    if (text == NULL && *at + 1 < argc) {
        *at += 1;
        text = argv[*at];
    }
    if (text == NULL) {
        *ret_status = leat_options_refuse(program, "option --%s needs a value", row->name);
        return false;
    }
    struct leat_option_value *value = &options->values[row - program->rows];
    struct leat_why why;
    if (leat_option_value_read(row, text, value, &why) != LEAT_OK) {
        *ret_status = leat_options_refuse(program, "option --%s: %s", row->name, why.text);
        return false;
    }
    value->given = true;
    return true;
}

static bool read_command_line(struct leat_options *options, int argc, char *const argv[],
                              int *ret_status)
{
    const struct leat_program *program = options->program;
    bool options_end = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (options_end || word[0] != '-' || word[1] == '\0') {
            options->arguments[options->argument_count++] = word;
            options_end = options_end || program->stop_early;
        } else if (strcmp(word, "--") == 0) {
            options_end = true;
        } else if (strcmp(word, "-h") == 0) {
            leat_options_help(program, stdout);
            *ret_status = LEAT_EXIT_OK;
            return false;
        } else if (word[1] != '-') {
            *ret_status = leat_options_refuse(program, "unknown option %s", word);
            return false;
        } else if (!read_option(options, argc, argv, &i, ret_status)) {
            return false;
        }
    }
    if (options->argument_count < program->arguments_min) {
        *ret_status = leat_options_refuse(program, "missing argument: %s",
                                          program->arguments == NULL ? "" : program->arguments);
        return false;
    }
    if (options->argument_count > program->arguments_max) {
        *ret_status = leat_options_refuse(program, "unexpected argument '%s'",
                                          options->arguments[program->arguments_max]);
        return false;
    }
    return true;
}

struct leat_options *leat_options_parse(const struct leat_program *program, int argc,
                                        char *const argv[], int *ret_status)
{
    check_table(program);
    struct leat_options *options = calloc(1, sizeof *options);
    const char **arguments = calloc((size_t)argc + 1, sizeof *arguments);
    if (options == NULL || arguments == NULL) {
        abort();
    }
    options->program = program;
    options->arguments = arguments;
    read_defaults(options);
    if (!read_command_line(options, argc, argv, ret_status) ||
        !read_environment(options, ret_status)) {
        leat_options_destroy(&options);
        return NULL;
    }
    return options;
}

void leat_options_destroy(struct leat_options **options)
{
    if (*options == NULL) {
        return;
    }
    for (size_t i = 0; i < LEAT_OPTION_ROWS_MAX; i++) {
        leat_option_value_fini(&(*options)->values[i]);
    }
    free((*options)->arguments);
    free(*options);
    *options = NULL;
}

/* ---- values ---- */

static const struct leat_option_value *find_value(const struct leat_options *options,
                                                  const char *name, unsigned kinds)
{
    const struct leat_option *row = find_row(options->program, name, strlen(name));
    assert(row != NULL && !is_printer(row));
    assert((kinds & 1u << row->kind) != 0);
    (void)kinds;
    return &options->values[row - options->program->rows];
}

bool leat_options_given(const struct leat_options *options, const char *name)
{
    return find_value(options, name, ~0u)->given;
}

bool leat_options_flag(const struct leat_options *options, const char *name)
{
    return find_value(options, name, 1u << LEAT_OPTION_FLAG)->flag;
}

const char *leat_options_text(const struct leat_options *options, const char *name)
{
    return find_value(options, name, 1u << LEAT_OPTION_STRING | 1u << LEAT_OPTION_ENDPOINT)->text;
}

int64_t leat_options_number(const struct leat_options *options, const char *name)
{
    unsigned kinds = 1u << LEAT_OPTION_COUNT | 1u << LEAT_OPTION_DURATION | 1u << LEAT_OPTION_SIZE |
                     1u << LEAT_OPTION_RATE;
    return find_value(options, name, kinds)->number;
}

size_t leat_options_list_count(const struct leat_options *options, const char *name)
{
    return find_value(options, name, 1u << LEAT_OPTION_LIST)->list_count;
}

const char *leat_options_list_at(const struct leat_options *options, const char *name, size_t index)
{
    const struct leat_option_value *value = find_value(options, name, 1u << LEAT_OPTION_LIST);
    assert(index < value->list_count);
    return value->list[index];
}

size_t leat_options_argument_count(const struct leat_options *options)
{
    return options->argument_count;
}

const char *leat_options_argument(const struct leat_options *options, size_t index)
{
    assert(index < options->argument_count);
    return options->arguments[index];
}

const struct leat_program *leat_options_program(const struct leat_options *options)
{
    return options->program;
}
