#include "tests/fuzz/fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void fuzz_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("fuzz: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

/* ---- values ---- */

struct fuzz_input fuzz_input_of(const uint8_t *data, size_t size)
{
    return (struct fuzz_input){data, size > 0 ? data + size : data};
}

bool fuzz_is_done(const struct fuzz_input *in)
{
    return in->at == in->end;
}

uint8_t fuzz_byte(struct fuzz_input *in)
{
    return fuzz_is_done(in) ? 0 : *in->at++;
}

struct leat_bytes fuzz_bytes(struct fuzz_input *in, size_t size)
{
    size_t left = (size_t)(in->end - in->at);
    size = size < left ? size : left;
    struct leat_bytes bytes = {in->at, size};
    if (size > 0) {
        in->at += size;
    }
    return bytes;
}

/* ---- files ---- */

const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size) {
        fuzz_fail("no memory for the file");
    }
    return path;
}
