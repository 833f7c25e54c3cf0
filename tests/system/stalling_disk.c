/* A disk that stalls when a test says so: preloaded into a process, it holds back fdatasync for as
 * long as the file $STALL_FILE exists, and says in $STALL_FILE.seen that it did. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void say(const char *file)
{
    char seen[4096];
    snprintf(seen, sizeof seen, "%s.seen", file);
    int fd = open(seen, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ssize_t size = write(fd, "stalled\n", 8);
        (void)size;
        close(fd);
    }
}

int fdatasync(int fd)
{
    static int (*real)(int);
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    }
    const char *file = getenv("STALL_FILE");
    for (bool said = false; file != NULL && access(file, F_OK) == 0; said = true) {
        if (!said) {
            say(file);
        }
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return real(fd);
}
