#include "broker/check_store.h"

#include <inttypes.h>
#include <stdio.h>

#include "io/exit.h"
#include "io/signals.h"

#define LINES_MAX 100

struct report {
    const char *directory;
    uint64_t lines;
};

static bool print_finding(void *context, const char *what)
{
    struct report *report = context;
    printf("%s: %s\n", report->directory, what);
    return ++report->lines < LINES_MAX;
}

static int cannot_check(const struct leat_program *program, enum leat_err err,
                        const struct leat_why *why)
{
    fprintf(stderr, "%s: cannot check: %s\n", program->name, why->text);
    return (int)leat_exit_for(err);
}

static int is_damaged(const struct report *report)
{
    printf("%s is damaged: %" PRIu64 " findings%s\n", report->directory, report->lines,
           report->lines < LINES_MAX ? "" : ", and maybe more");
    return LEAT_EXIT_STORE;
}

int leat_check_store(const struct leat_program *program, const char *directory,
                     const struct leat_store_options *options, leat_check_open_fn *open,
                     leat_check_examine_fn *examine)
{
    leat_signals_reset(); /* nobody waits for them: it ends as any command does */
    struct report report = {.directory = directory};
    struct leat_store_pages pages = {0, 0};
    struct leat_why why = {""};
    enum leat_err err =
        leat_store_check_lmdb(directory, options, print_finding, &report, &pages, &why);
    if (err == LEAT_ERR_CORRUPT && report.lines > 0) {
        return is_damaged(&report);
    }
    struct leat_store *store = NULL;
    if (err == LEAT_OK) {
        err = open(directory, options, &store, &why);
    }
    if (err != LEAT_OK) {
        return cannot_check(program, err, &why);
    }
    struct leat_examination examination = {.found = print_finding, .context = &report};
    err = examine(store, &examination);
    if (err != LEAT_OK) {
        (void)leat_fail(&why, err, "%s", leat_store_error(store));
    }
    leat_store_close(&store);
    if (err != LEAT_OK) {
        return cannot_check(program, err, &why);
    }
    if (report.lines > 0) {
        return is_damaged(&report);
    }
    printf("%s is in order: %" PRIu64 " rows, %" PRIu64 " pages in use, %" PRIu64 " free\n",
           directory, examination.rows, pages.used, pages.free);
    return LEAT_EXIT_OK;
}
