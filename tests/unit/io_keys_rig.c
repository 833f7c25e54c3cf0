#include "io_keys_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int keys_setup(void **state)
{
    struct keys_rig *rig = calloc(1, sizeof *rig);
    const char *base = getenv("TMPDIR");
    snprintf(rig->directory, sizeof rig->directory, "%s/leat-keys.XXXXXX",
             base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(rig->directory) == NULL) {
        free(rig);
        return -1;
    }
    *state = rig;
    return 0;
}

int keys_teardown(void **state)
{
    struct keys_rig *rig = *state;
    DIR *stream = opendir(rig->directory);
    const struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        unlinkat(dirfd(stream), entry->d_name, 0);
    }
    if (stream != NULL) {
        closedir(stream);
    }
    rmdir(rig->directory);
    free(rig);
    return 0;
}

const char *keys_path(const struct keys_rig *rig, const char *file)
{
    static char paths[16][2 * KEYS_PATH_BYTES];
    static unsigned turn;
    char *path = paths[turn++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", rig->directory, file);
    return path;
}

void keys_write(const struct keys_rig *rig, const char *file, const char *text, unsigned mode)
{
    int fd = open(keys_path(rig, file), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

struct leat_key_file keys_new(const struct keys_rig *rig, const char *name, enum leat_role role,
                              const char *queues)
{
    struct leat_key_file file = {.has_role = true, .role = role};
    char public_file[KEYS_PATH_BYTES];
    snprintf(file.queues, sizeof file.queues, "%s", queues);
    snprintf(public_file, sizeof public_file, "%s.pub", name);
    assert_int_equal(leat_key_file_draw(&file, NULL), LEAT_OK);
    assert_int_equal(leat_key_file_write(keys_path(rig, public_file), &file, false, true, NULL),
                     LEAT_OK);
    return file;
}

void keys_remove(const struct keys_rig *rig, const char *name)
{
    char public_file[KEYS_PATH_BYTES];
    snprintf(public_file, sizeof public_file, "%s.pub", name);
    assert_int_equal(unlink(keys_path(rig, public_file)), 0);
}
