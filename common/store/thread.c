#include "store/thread.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "core/instant.h"

int leat_store_thread_start(pthread_t *thread, pthread_mutex_t *mutex, pthread_cond_t *wake,
                            const char *name, void *(*run)(void *argument), void *argument)
{
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(mutex, NULL);
    pthread_cond_init(wake, &clock);
    pthread_condattr_destroy(&clock);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0) {
        pthread_setname_np(*thread, name);
    } else {
        pthread_mutex_destroy(mutex);
        pthread_cond_destroy(wake);
    }
    return rc;
}

void leat_store_thread_join(pthread_t thread, pthread_mutex_t *mutex, pthread_cond_t *wake)
{
    pthread_join(thread, NULL);
    pthread_mutex_destroy(mutex);
    pthread_cond_destroy(wake);
}

void leat_store_tell(int event_fd)
{
    const uint64_t one = 1;
    ssize_t written = write(event_fd, &one, sizeof one);
    (void)written; /* EAGAIN: it is readable already */
}

void leat_store_hear(int event_fd)
{
    uint64_t news;
    ssize_t size = read(event_fd, &news, sizeof news);
    (void)size; /* EAGAIN: nothing new */
}

int64_t leat_store_mono_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * LEAT_US_PER_S + now.tv_nsec / 1000;
}
