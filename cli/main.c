/* leat: the command for people. `leat NAME` runs a command of its own, or the executable leat-NAME
 * as git does: `leat worker` is leat-worker. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "io/exit.h"
#include "io/serve.h"
#include "io/signals.h"

static const struct leat_command *const commands[] = {
    &leat_command_submit, &leat_command_stats,    &leat_command_queues,   &leat_command_workers,
    &leat_command_result, &leat_command_failures, &leat_command_retry,    &leat_command_ping,
    &leat_command_pause,  &leat_command_resume,   &leat_command_shutdown, &leat_command_keys,
};

static const char *const programs[][2] = {
    {"ventilator", "owns the jobs and pushes them to workers"},
    {"sink", "keeps results and answers stats"},
    {"worker", "runs jobs"},
    {"producer", "submits jobs from lines, files or a ticker"},
};

static const char *short_name(const struct leat_command *command)
{
    return command->program->name + strlen("leat ");
}

static void help(FILE *file)
{
    fputs("usage: leat COMMAND [OPTION...]\n\nleat moves jobs to workers and results to a sink.\n\n"
          "Commands:\n",
          file);
    for (size_t i = 0; i < LEAT_COUNT_OF(commands); i++) {
        fprintf(file, "  %-10s %s\n", short_name(commands[i]), commands[i]->program->summary);
    }
    fputs("\nPrograms (leat NAME runs leat-NAME):\n", file);
    for (size_t i = 0; i < LEAT_COUNT_OF(programs); i++) {
        fprintf(file, "  %-10s %s\n", programs[i][0], programs[i][1]);
    }
    fputs(
        "\nleat COMMAND --help explains each. Exit status: 0 done, 1 failed or cannot be reached, "
        "2 usage.\n",
        file);
}

/* The manual page of leat itself: the commands have pages of their own. */
static void manual(FILE *file)
{
    leat_man_begin("leat", "moves jobs to workers and results to a sink", file);
    fputs(".SH SYNOPSIS\n\\fBleat\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR...]\n"
          ".SH DESCRIPTION\nleat is a durable, distributed job queue. This is its command for "
          "people.\n.SH COMMANDS\nEach has a page of its own, leat\\-\\fICOMMAND\\fR(1).\n",
          file);
    for (size_t i = 0; i < LEAT_COUNT_OF(commands); i++) {
        fprintf(file, ".TP\n\\fB%s\\fR\n", short_name(commands[i]));
        leat_man_text(commands[i]->program->summary, file);
        fputc('\n', file);
    }
    fputs(".SH PROGRAMS\n\\fBleat\\fR \\fINAME\\fR runs leat\\-\\fINAME\\fR.\n", file);
    for (size_t i = 0; i < LEAT_COUNT_OF(programs); i++) {
        fprintf(file, ".TP\n\\fB%s\\fR\n", programs[i][0]);
        leat_man_text(programs[i][1], file);
        fputc('\n', file);
    }
    leat_man_end(file);
}

static void table(FILE *file)
{
    for (size_t i = 0; i < LEAT_COUNT_OF(commands); i++) {
        fprintf(file, "%s\tcommand\t-\t%s\n", short_name(commands[i]),
                commands[i]->program->summary);
    }
    for (size_t i = 0; i < LEAT_COUNT_OF(programs); i++) {
        fprintf(file, "%s\tprogram\t-\t%s\n", programs[i][0], programs[i][1]);
    }
}

/* Looks beside this executable first, so that a build tree works without being in the PATH. */
static int run_program(const char *name, char **argv)
{
    char own[3000];
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (strchr(name, '/') == NULL) {
        if (size > 0) {
            own[size] = '\0';
            char *slash = strrchr(own, '/');
            snprintf(path, sizeof(path), "%.*s/leat-%s", (int)(slash - own), own, name);
            argv[0] = path;
            execv(path, argv);
        }
        snprintf(path, sizeof(path), "leat-%s", name);
        argv[0] = path;
        execvp(path, argv);
    }
    if (errno != ENOENT) {
        fprintf(stderr, "leat: cannot run leat-%s: %s\n", name, strerror(errno));
        return LEAT_EXIT_FAILED;
    }
    fprintf(stderr, "leat: unknown command %s (see leat --help)\n", name);
    return LEAT_EXIT_USAGE;
}

static int run_command(const struct leat_command *command, int argc, char **argv)
{
    int status = LEAT_EXIT_OK;
    struct leat_options *options = leat_serve_start(command->program, "leat", argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    leat_signals_reset(); /* Ctrl-C ends a command as usual */
    struct leat_why why = {""};
    if (command->connects && leat_cli_use_keys(options, &why) != LEAT_OK) {
        status = leat_options_refuse(command->program, "%s", why.text);
        leat_options_destroy(&options);
        return status;
    }
    status = command->run(options);
    leat_options_destroy(&options);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "leat: cannot write: %s\n", strerror(errno));
        return LEAT_EXIT_FAILED;
    }
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("leat: a command is needed (see leat --help)\n", stderr);
        return LEAT_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return LEAT_EXIT_OK;
    }
    if (strcmp(name, "--help-man") == 0) {
        manual(stdout);
        return LEAT_EXIT_OK;
    }
    if (strcmp(name, "--help-table") == 0) {
        table(stdout);
        return LEAT_EXIT_OK;
    }
    if (strcmp(name, "--version") == 0) {
        puts("leat " LEAT_VERSION);
        return LEAT_EXIT_OK;
    }
    if (name[0] == '-') {
        fprintf(stderr, "leat: unknown option %s (see leat --help)\n", name);
        return LEAT_EXIT_USAGE;
    }
    for (size_t i = 0; i < LEAT_COUNT_OF(commands); i++) {
        if (strcmp(name, short_name(commands[i])) == 0) {
            return run_command(commands[i], argc - 1, argv + 1);
        }
    }
    return run_program(name, argv + 1);
}
