/* leat keys: makes, shows and takes away the keys of processes (docs/SECURITY.md). Works on files
 * alone: the brokers see what changes in their directory by themselves. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "core/name.h"
#include "io/exit.h"
#include "io/key_file.h"

#define PATH_BYTES 4096

static const struct leat_option keys_rows[] = {
    {.name = "role",
     .kind = LEAT_OPTION_STRING,
     .choices = "producer,worker,operator,broker",
     .value = "ROLE",
     .env = "",
     .help = "new: what the key is for; add: that it is for this and nothing else"},
    {.name = "queues",
     .kind = LEAT_OPTION_STRING,
     .value = "A,B",
     .env = "",
     .help = "new, add: only these queues (of a producer or a worker); default: all"},
    {.name = "directory",
     .kind = LEAT_OPTION_STRING,
     .initial = "leat-keys",
     .env = "LEAT_KEYS",
     .value = "DIR",
     .help = "where the files are; made when it is missing"},
    LEAT_OPTIONS_COMMON,
};

static const struct leat_program keys_program = {
    .name = "leat keys",
    .summary = "make, show and take away the keys of processes",
    .arguments = "new NAME | add FILE [NAME] | list | show NAME | revoke NAME",
    .arguments_min = 1,
    .arguments_max = 3,
    .rows = keys_rows,
    .row_count = LEAT_COUNT_OF(keys_rows),
    .more =
        "new NAME --role ROLE   makes DIR/NAME.key, the private half, which stays on this host,\n"
        "                       and DIR/NAME.pub, to be copied to the brokers' directories\n"
        "add FILE [NAME] --role ROLE\n"
        "                       puts somebody's public key into DIR, as a broker's operator; the\n"
        "                       role is what you say, not what the file says\n"
        "list                   the public keys in DIR, as a broker would see them\n"
        "show NAME              the public key, 40 characters, as for --server-key\n"
        "revoke NAME            removes DIR/NAME.pub; brokers that read DIR refuse the key within\n"
        "                       5 s, also where it is connected\n"
        "\nRoles:\n"
        "  producer   submits jobs, and reads their results\n"
        "  worker     takes jobs, and gives their results\n"
        "  operator   all that a producer may; pauses, resumes, runs again, shuts down\n"
        "  broker     the ventilator and the sink themselves\n",
};

static int fail(const struct leat_why *why)
{
    fprintf(stderr, "leat: %s\n", why->text);
    return LEAT_EXIT_FAILED;
}

static bool is_name(const char *name, struct leat_why *why)
{
    return leat_name_check("key name", leat_str_of(name), LEAT_KEY_NAME_BYTES_MAX, why) ==
               LEAT_OK &&
           (name[0] != '.' ||
            leat_fail(why, LEAT_ERR_INVALID, "key name '%s' begins with a dot", name) == LEAT_OK);
}

static bool make_path(const struct leat_options *options, const char *name, const char *suffix,
                      char path[PATH_BYTES], struct leat_why *why)
{
    int size = snprintf(path, PATH_BYTES, "%s/%s%s", leat_options_text(options, "directory"), name,
                        suffix);
    return size < PATH_BYTES || leat_fail(why, LEAT_ERR_LIMIT, "the path is too long") == LEAT_OK;
}

static bool make_directory(const struct leat_options *options, struct leat_why *why)
{
    const char *directory = leat_options_text(options, "directory");
    return mkdir(directory, 0755) == 0 || errno == EEXIST ||
           leat_fail(why, LEAT_ERR_IO, "cannot make the directory %s: %s", directory,
                     strerror(errno)) == LEAT_OK;
}

/* Role and queues, as the command line says them. */
static bool read_rights(const struct leat_options *options, struct leat_key_file *file,
                        struct leat_why *why)
{
    const char *role = leat_options_text(options, "role");
    const char *queues = leat_options_text(options, "queues");
    struct leat_str names[LEAT_SESSION_QUEUES_MAX];
    size_t count;
    if (role == NULL) {
        (void)leat_fail(why, LEAT_ERR_INVALID,
                        "--role is needed: producer, worker, operator or broker");
        return false;
    }
    file->has_role = true;
    if (leat_role_parse(leat_str_of(role), &file->role, why) != LEAT_OK) {
        return false;
    }
    file->queues[0] = '\0';
    if (queues == NULL) {
        return true;
    }
    if (file->role != LEAT_ROLE_PRODUCER && file->role != LEAT_ROLE_WORKER) {
        (void)leat_fail(why, LEAT_ERR_INVALID,
                        "--queues is for producers and workers; %s means all", role);
        return false;
    }
    if (strlen(queues) >= sizeof file->queues ||
        leat_key_split_queues(queues, names, &count, why) != LEAT_OK) {
        return false;
    }
    snprintf(file->queues, sizeof file->queues, "%s", queues);
    return true;
}

/* ---- new, add ---- */

static int run_new(const struct leat_options *options, const char *name)
{
    struct leat_why why = {""};
    struct leat_key_file file = {.public_text = ""};
    char private_path[PATH_BYTES];
    char public_path[PATH_BYTES];
    if (!is_name(name, &why) || !read_rights(options, &file, &why) ||
        !make_path(options, name, LEAT_KEY_PRIVATE_SUFFIX, private_path, &why) ||
        !make_path(options, name, LEAT_KEY_PUBLIC_SUFFIX, public_path, &why)) {
        return leat_options_refuse(&keys_program, "%s", why.text);
    }
    if (!make_directory(options, &why)) {
        return fail(&why);
    }
    enum leat_err err = leat_key_file_draw(&file, &why);
    if (err == LEAT_OK) {
        err = leat_key_file_write(private_path, &file, true, false, &why);
    }
    if (err == LEAT_OK) {
        err = leat_key_file_write(public_path, &file, false, false, &why);
        if (err != LEAT_OK) {
            unlink(private_path); /* half a pair is worse than none */
        }
    }
    leat_key_file_wipe(&file);
    if (err != LEAT_OK) {
        return fail(&why);
    }
    printf("%s\n%s\n", private_path, public_path);
    return LEAT_EXIT_OK;
}

/* The name of FILE without its folder and without .pub. */
static void name_from(const char *path, char name[PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    snprintf(name, PATH_BYTES, "%s", slash == NULL ? path : slash + 1);
    size_t size = strlen(name);
    size_t suffix = strlen(LEAT_KEY_PUBLIC_SUFFIX);
    if (size > suffix && strcmp(name + size - suffix, LEAT_KEY_PUBLIC_SUFFIX) == 0) {
        name[size - suffix] = '\0';
    }
}

static int run_add(const struct leat_options *options, const char *path, const char *given_name)
{
    struct leat_why why = {""};
    struct leat_key_file file;
    char name[PATH_BYTES];
    char public_path[PATH_BYTES];
    name_from(given_name != NULL ? given_name : path, name);
    if (!is_name(name, &why)) {
        return leat_options_refuse(&keys_program, "%s", why.text);
    }
    if (leat_key_file_read(path, &file, &why) != LEAT_OK) {
        return fail(&why);
    }
    leat_key_file_wipe(&file);
    if (!read_rights(options, &file, &why) ||
        !make_path(options, name, LEAT_KEY_PUBLIC_SUFFIX, public_path, &why)) {
        return leat_options_refuse(&keys_program, "%s", why.text);
    }
    if (!make_directory(options, &why) ||
        leat_key_file_write(public_path, &file, false, true, &why) != LEAT_OK) {
        return fail(&why);
    }
    printf("%s\n", public_path);
    return LEAT_EXIT_OK;
}

/* ---- list, show, revoke ---- */

static void add_row(const struct leat_options *options, struct leat_table *table, const char *name)
{
    struct leat_why why = {""};
    struct leat_key_file file;
    char path[PATH_BYTES];
    char fingerprint[LEAT_KEY_FINGERPRINT_BYTES + 1] = "-";
    char private_path[PATH_BYTES];
    if (!make_path(options, name, LEAT_KEY_PUBLIC_SUFFIX, path, &why) ||
        !make_path(options, name, LEAT_KEY_PRIVATE_SUFFIX, private_path, &why)) {
        return;
    }
    if (leat_key_file_read(path, &file, &why) != LEAT_OK) {
        fprintf(stderr, "leat: %s\n", why.text);
        leat_table_row(table, name, "unusable", "-", "-", "-");
        return;
    }
    memcpy(fingerprint, file.public_text, LEAT_KEY_FINGERPRINT_BYTES);
    bool is_unusable = file.has_secret || !file.has_role;
    leat_table_row(table, name, is_unusable ? "unusable" : leat_role_name(file.role),
                   file.queues[0] != '\0' ? file.queues : "all", fingerprint,
                   access(private_path, F_OK) == 0 ? "here" : "-");
    if (is_unusable) {
        fprintf(stderr, "leat: %s %s\n", path,
                file.has_secret ? "holds a secret key: only public files belong here"
                                : "names no role: leat keys add gives it one");
    }
    leat_key_file_wipe(&file);
}

static int run_list(const struct leat_options *options)
{
    const char *directory = leat_options_text(options, "directory");
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, NULL, alphasort);
    if (count < 0) {
        fprintf(stderr, "leat: cannot read the directory of keys %s: %s\n", directory,
                strerror(errno));
        return LEAT_EXIT_FAILED;
    }
    struct leat_table table;
    leat_table_init(&table, "lllll");
    leat_table_row(&table, "NAME", "ROLE", "QUEUES", "KEY", "PRIVATE");
    for (int i = 0; i < count; i++) {
        char name[PATH_BYTES];
        struct leat_why why;
        name_from(entries[i]->d_name, name);
        if (strcmp(name, entries[i]->d_name) != 0 && is_name(name, &why)) {
            add_row(options, &table, name);
        }
        free(entries[i]);
    }
    free(entries);
    leat_table_print(&table, stdout);
    leat_table_fini(&table);
    return LEAT_EXIT_OK;
}

static int run_show(const struct leat_options *options, const char *name)
{
    struct leat_why why = {""};
    struct leat_key_file file;
    char path[PATH_BYTES];
    if (!is_name(name, &why) || !make_path(options, name, LEAT_KEY_PUBLIC_SUFFIX, path, &why)) {
        return leat_options_refuse(&keys_program, "%s", why.text);
    }
    if (leat_key_file_read(path, &file, &why) != LEAT_OK) {
        return fail(&why);
    }
    puts(file.public_text);
    leat_key_file_wipe(&file);
    return LEAT_EXIT_OK;
}

static int run_revoke(const struct leat_options *options, const char *name)
{
    struct leat_why why = {""};
    char path[PATH_BYTES];
    if (!is_name(name, &why) || !make_path(options, name, LEAT_KEY_PUBLIC_SUFFIX, path, &why)) {
        return leat_options_refuse(&keys_program, "%s", why.text);
    }
    if (unlink(path) != 0) {
        fprintf(stderr, "leat: cannot remove %s: %s\n", path, strerror(errno));
        return LEAT_EXIT_FAILED;
    }
    printf("%s removed; brokers that read %s refuse the key within 5 s\n", path,
           leat_options_text(options, "directory"));
    return LEAT_EXIT_OK;
}

static int run_keys(const struct leat_options *options)
{
    size_t count = leat_options_argument_count(options);
    const char *verb = leat_options_argument(options, 0);
    const char *first = count > 1 ? leat_options_argument(options, 1) : NULL;
    const char *second = count > 2 ? leat_options_argument(options, 2) : NULL;
    if (strcmp(verb, "new") == 0 && count == 2) {
        return run_new(options, first);
    }
    if (strcmp(verb, "add") == 0 && count >= 2) {
        return run_add(options, first, second);
    }
    if (strcmp(verb, "list") == 0 && count == 1) {
        return run_list(options);
    }
    if (strcmp(verb, "show") == 0 && count == 2) {
        return run_show(options, first);
    }
    if (strcmp(verb, "revoke") == 0 && count == 2) {
        return run_revoke(options, first);
    }
    return leat_options_refuse(&keys_program, "one of: new NAME, add FILE [NAME], list, show NAME, "
                                              "revoke NAME");
}

const struct leat_command leat_command_keys = {&keys_program, run_keys, false};
