#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/name.h"
#include "worker/spawner/inside.h"

#define ARGUMENTS_MAX 1024

struct split {
    const char *at;
    char *word; /* room for the rest of the text */
    size_t size;
    bool open; /* a word has begun, if only with quotes */
};

/* Takes what is between quotes; `at` stands behind the opening one. False: it is never closed. */
static bool split_quoted(struct split *split, char quote)
{
    for (; *split->at != quote; split->at++) {
        if (*split->at == '\0') {
            return false;
        }
        if (quote == '"' && *split->at == '\\' && strchr("\\\"$`", split->at[1]) != NULL &&
            split->at[1] != '\0') {
            split->at++;
        }
        split->word[split->size++] = *split->at;
    }
    split->at++;
    return true;
}

/* The next word into split->word. False: bad quoting; split->open is false at the end of the text.
 */
static bool split_word(struct split *split)
{
    split->size = 0;
    split->open = false;
    while (isspace((unsigned char)*split->at)) {
        split->at++;
    }
    while (*split->at != '\0' && !isspace((unsigned char)*split->at)) {
        char c = *split->at++;
        split->open = true;
        if (c == '\'' || c == '"') {
            if (!split_quoted(split, c)) {
                return false;
            }
        } else if (c == '\\') {
            if (*split->at == '\0') {
                return false;
            }
            split->word[split->size++] = *split->at++;
        } else {
            split->word[split->size++] = c;
        }
    }
    split->word[split->size] = '\0';
    return true;
}

static void free_arguments(char **argv)
{
    for (size_t i = 0; argv != NULL && argv[i] != NULL; i++) {
        free(argv[i]);
    }
    free(argv);
}

enum leat_err leat_spawner_split(const char *text, char ***ret_argv, struct leat_why *why)
{
    char **argv = calloc(ARGUMENTS_MAX + 1, sizeof *argv);
    struct split split = {.at = text, .word = malloc(strlen(text) + 1)};
    enum leat_err err = argv == NULL || split.word == NULL ? LEAT_ERR_MEMORY : LEAT_OK;
    for (size_t count = 0; err == LEAT_OK; count++) {
        if (!split_word(&split)) {
            err = leat_fail(why, LEAT_ERR_INVALID, "unclosed quote in command: %s", text);
        } else if (!split.open) {
            err = count > 0 ? LEAT_OK : leat_fail(why, LEAT_ERR_INVALID, "the command is empty");
            break;
        } else if (count == ARGUMENTS_MAX) {
            err =
                leat_fail(why, LEAT_ERR_LIMIT, "the command has more than %d words", ARGUMENTS_MAX);
        } else if ((argv[count] = strdup(split.word)) == NULL) {
            err = LEAT_ERR_MEMORY;
        }
    }
    free(split.word);
    if (err != LEAT_OK) {
        free_arguments(argv);
        return err == LEAT_ERR_MEMORY ? leat_fail(why, err, "out of memory") : err;
    }
    *ret_argv = argv;
    return LEAT_OK;
}

static bool is_program(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

/* The file that `command` names: itself, or the first of that name in PATH. NULL: none. */
static char *find_program(const char *command)
{
    if (strchr(command, '/') != NULL) {
        return is_program(command) ? strdup(command) : NULL;
    }
    const char *at = getenv("PATH");
    if (at == NULL) {
        at = "/usr/local/bin:/usr/bin:/bin";
    }
    for (;;) {
        size_t size = strcspn(at, ":");
        char *path = NULL;
        if (asprintf(&path, "%.*s/%s", size == 0 ? 1 : (int)size, size == 0 ? "." : at, command) <
            0) {
            return NULL;
        }
        if (is_program(path)) {
            return path;
        }
        free(path);
        if (at[size] == '\0') {
            return NULL;
        }
        at += size + 1;
    }
}

struct leat_spawner_handler *leat_spawner_find(const struct leat_spawner_config *config,
                                               struct leat_str type)
{
    for (size_t i = 0; i < config->handlers_count; i++) {
        if (leat_str_equal(leat_str_of(config->handlers[i].type), type)) {
            /* The table is part of a struct that the caller owns. */
            return (struct leat_spawner_handler *)(uintptr_t)&config->handlers[i];
        }
    }
    return NULL;
}

enum leat_err leat_spawner_add(struct leat_spawner_config *config, struct leat_str type,
                               struct leat_spawner_handler **ret_handler, struct leat_why *why)
{
    enum leat_err err = leat_name_check_type(type, why);
    if (err != LEAT_OK) {
        return err;
    }
    if (leat_spawner_find(config, type) != NULL) {
        return leat_fail(why, LEAT_ERR_EXISTS, "type %.*s has more than one handler",
                         LEAT_STR_ARGS(type));
    }
    if (config->handlers_count == LEAT_HANDLERS_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "more than %d handlers", LEAT_HANDLERS_MAX);
    }
    struct leat_spawner_handler *handler = &config->handlers[config->handlers_count];
    *handler = (struct leat_spawner_handler){.type = strndup(type.data, type.size)};
    if (handler->type == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    config->handlers_count++;
    *ret_handler = handler;
    return LEAT_OK;
}

static enum leat_err set_command(struct leat_spawner_handler *handler, const char *command,
                                 bool shell, struct leat_why *why)
{
    handler->kind = LEAT_SPAWNER_EXEC;
    if (!shell) {
        enum leat_err err = leat_spawner_split(command, &handler->argv, why);
        if (err != LEAT_OK) {
            return err;
        }
        handler->path = find_program(handler->argv[0]);
        return handler->path != NULL
                   ? LEAT_OK
                   : leat_fail(why, LEAT_ERR_NOT_FOUND, "type %s: no such program: %s",
                               handler->type, handler->argv[0]);
    }
    if (command[strspn(command, " \t\n")] == '\0') {
        return leat_fail(why, LEAT_ERR_INVALID, "the command is empty");
    }
    handler->path = strdup("/bin/sh");
    handler->argv = calloc(4, sizeof *handler->argv);
    if (handler->path != NULL && handler->argv != NULL) {
        handler->argv[0] = strdup("sh");
        handler->argv[1] = handler->argv[0] != NULL ? strdup("-c") : NULL;
        handler->argv[2] = handler->argv[1] != NULL ? strdup(command) : NULL;
        if (handler->argv[2] != NULL) {
            return LEAT_OK;
        }
    }
    return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
}

static void free_handler(struct leat_spawner_handler *handler)
{
    free(handler->type);
    free_arguments(handler->argv);
    free(handler->path);
    *handler = (struct leat_spawner_handler){0};
}

void leat_spawner_cut(struct leat_spawner_config *config, size_t count)
{
    while (config->handlers_count > count) {
        free_handler(&config->handlers[--config->handlers_count]);
    }
}

enum leat_err leat_spawner_add_exec(struct leat_spawner_config *config, const char *text,
                                    bool shell, struct leat_why *why)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL) {
        return leat_fail(why, LEAT_ERR_INVALID, "not of the form TYPE=command: %s", text);
    }
    struct leat_spawner_handler *handler;
    enum leat_err err =
        leat_spawner_add(config, (struct leat_str){text, (size_t)(equals - text)}, &handler, why);
    if (err == LEAT_OK) {
        err = set_command(handler, equals + 1, shell, why);
        if (err != LEAT_OK) {
            leat_spawner_cut(config, config->handlers_count - 1);
        }
    }
    return err;
}

enum leat_err leat_spawner_set_permanent_exits(struct leat_spawner_config *config, const char *text,
                                               struct leat_why *why)
{
    uint32_t exits[8] = {0};
    const char *at = text;
    while (*at != '\0') {
        char *end = NULL;
        long code = isdigit((unsigned char)*at) ? strtol(at, &end, 10) : 0;
        if (code < 1 || code > 255 || (*end != '\0' && (*end != ',' || end[1] == '\0'))) {
            return leat_fail(why, LEAT_ERR_INVALID,
                             "exit statuses are numbers from 1 to 255 with commas between: %s",
                             text);
        }
        exits[code / 32] |= 1u << (code % 32);
        at = *end == ',' ? end + 1 : end;
    }
    memcpy(config->permanent_exits, exits, sizeof exits);
    return LEAT_OK;
}

void leat_spawner_config_fini(struct leat_spawner_config *config)
{
    leat_spawner_cut(config, 0);
    while (config->plugins_count > 0) {
        free(config->plugins[--config->plugins_count]);
    }
}
