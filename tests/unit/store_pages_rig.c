#include "store_pages_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

uint64_t number_of(const char *name, uint64_t initial)
{
    const char *text = getenv(name);
    return text == NULL ? initial : strtoull(text, NULL, 0);
}

static bool note(void *context, const char *what)
{
    struct findings *findings = context;
    if (findings->count++ == 0) {
        snprintf(findings->first, sizeof findings->first, "%s", what);
    }
    return true;
}

struct leat_lmdb_pages check_bytes(struct leat_bytes file, struct findings *findings)
{
    struct leat_lmdb_pages pages;
    *findings = (struct findings){0};
    assert_int_equal(leat_lmdb_pages_check(file, UINT64_MAX, note, findings, &pages), LEAT_OK);
    assert_int_equal(pages.found, findings->count);
    return pages;
}

struct image read_image(const char *path)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    struct image image = {.size = (size_t)status.st_size};
    image.bytes = mmap(NULL, image.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_true(image.bytes != MAP_FAILED);
    close(fd);
    return image;
}

void drop_image(struct image *image)
{
    munmap(image->bytes, image->size);
}

struct leat_lmdb_pages assert_content(const char *path)
{
    struct image image = read_image(path);
    struct findings findings;
    struct leat_lmdb_pages pages = check_bytes(leat_bytes_of(image.bytes, image.size), &findings);
    if (findings.count != 0) {
        fail_msg("%s: %s", path, findings.first);
    }
    if (!pages.is_whole || pages.is_cut_short) {
        fail_msg("%s: pages of %llu bytes, the last one is %llu", path,
                 (unsigned long long)pages.page_bytes, (unsigned long long)pages.last_page);
    }
    assert_int_equal(pages.used + pages.free, pages.last_page + 1);
    drop_image(&image);
    return pages;
}

void path_in(const struct store_directory *directory, const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", directory->path, name);
}

void must(int rc)
{
    if (rc != 0) {
        fail_msg("LMDB: %s", mdb_strerror(rc));
    }
}

MDB_env *open_env(const char *path, unsigned flags)
{
    MDB_env *env;
    must(mdb_env_create(&env));
    must(mdb_env_set_maxdbs(env, 8));
    must(mdb_env_set_mapsize(env, 1 << 30));
    must(mdb_env_open(env, path, flags | MDB_NOTLS, 0600));
    return env;
}
