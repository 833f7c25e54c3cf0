#include "io/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void leat_random_fill(void *bytes, size_t size)
{
    uint8_t *at = bytes;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort();
        }
        at += got;
        size -= (size_t)got;
    }
}

uint64_t leat_random_seed(void)
{
    uint64_t seed;
    leat_random_fill(&seed, sizeof seed);
    return seed;
}
