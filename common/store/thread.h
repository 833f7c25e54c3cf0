/* What the store's own threads, the commit thread and the journal's, have in common. Only for the
 * files of this folder. */
#ifndef LEAT_STORE_THREAD_H
#define LEAT_STORE_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* Makes the mutex and the condition, whose times are CLOCK_MONOTONIC's, and starts the thread with
 * every signal blocked: they are the owner's. An errno, and then nothing is left of all that; or
 * 0. */
int leat_store_thread_start(pthread_t *thread, pthread_mutex_t *mutex, pthread_cond_t *wake,
                            const char *name, void *(*run)(void *argument), void *argument);
/* When the thread has been told to end: waits for it, drops mutex and condition. */
void leat_store_thread_join(pthread_t thread, pthread_mutex_t *mutex, pthread_cond_t *wake);

/* An eventfd through which a thread tells the owner that there is news, and the owner's taking note
 * of it; what the news is lies elsewhere. */
void leat_store_tell(int event_fd);
void leat_store_hear(int event_fd);

/* CLOCK_MONOTONIC. */
int64_t leat_store_mono_us(void);

#endif
