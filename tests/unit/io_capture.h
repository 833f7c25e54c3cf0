/* What a piece of code writes to stdout or stderr, for tests of the shells. */
#ifndef TESTS_UNIT_IO_CAPTURE_H
#define TESTS_UNIT_IO_CAPTURE_H

#include <stddef.h>

struct io_capture {
    int fd;    /* that is captured */
    int saved; /* a copy of it */
    int file;
    char text[16384];
};

/* From now on what is written to `fd` is kept. */
void io_capture_start(struct io_capture *capture, int fd);
/* Puts `fd` back; the text, terminated. */
const char *io_capture_end(struct io_capture *capture);
/* Lines of a text. */
size_t io_capture_lines(const char *text);

#endif
