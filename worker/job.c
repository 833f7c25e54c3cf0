#include "worker/job.h"

#include <stddef.h>
#include <stdlib.h>

#include "core/check.h"

/* Memory that is kept for jobs to come. None where the sanitizer has to see what uses memory that
 * was given back. */
#if defined(__SANITIZE_ADDRESS__)
#define SPARE_MAX 0
#else
#define SPARE_MAX 4096
#endif

struct key {
    struct leat_id id;
    uint8_t delivery[8];
};

_Static_assert(sizeof(struct key) == 24, "a key has no padding");

static struct key key_of(const struct leat_id *id, uint64_t delivery)
{
    struct key key = {.id = *id};
    memcpy(key.delivery, &delivery, sizeof(key.delivery));
    return key;
}

void *leat_worker_must(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static bool is_in_room(const struct leat_worker_job *job, const uint8_t *bytes)
{
    return bytes >= job->room && bytes < job->room + sizeof(job->room);
}

/* A place for `size` bytes: behind the `used` ones in the room, or of its own. */
static uint8_t *place_for(struct leat_worker_job *job, size_t used, size_t size)
{
    return size <= sizeof(job->room) - used ? job->room + used : leat_worker_must(malloc(size));
}

void leat_worker_job_forget_body(struct leat_worker_job *job)
{
    if (!is_in_room(job, job->bytes)) {
        free(job->bytes);
    }
    job->bytes = NULL;
    job->bytes_size = 0;
    job->body.payload = (struct leat_bytes){0};
}

void leat_worker_job_keep_output(struct leat_worker_job *job, struct leat_bytes output)
{
    if (output.size > 0) {
        const size_t used = is_in_room(job, job->bytes) ? job->bytes_size : 0;
        job->output = place_for(job, used, output.size);
        memcpy(job->output, output.data, output.size);
        job->output_size = output.size;
    }
}

void leat_worker_table_init(struct leat_worker_table *table, uint64_t seed)
{
    *table = (struct leat_worker_table){0};
    leat_map_init(&table->map, sizeof(struct key), seed);
    leat_list_init(&table->limbo);
    leat_list_init(&table->spare);
}

static struct leat_worker_job *new_job(struct leat_worker_table *table)
{
    struct leat_worker_job *job = leat_worker_job_of(leat_list_pop_front(&table->spare));
    if (job == NULL) {
        job = leat_worker_must(malloc(sizeof(*job)));
    }
    memset(job, 0, offsetof(struct leat_worker_job, room));
    return job;
}

/* Frees what the job owns, but not the job. */
static void empty_job(struct leat_worker_job *job)
{
    free(job->names);
    free(job->body.headers.items);
    leat_worker_job_forget_body(job);
    free(job->error);
    if (!is_in_room(job, job->output)) {
        free(job->output);
    }
}

void leat_worker_table_fini(struct leat_worker_table *table)
{
    struct leat_map_cursor at = {0};
    while (leat_map_next(&table->map, &at)) {
        struct leat_worker_job *job = leat_map_pointer(&at);
        empty_job(job);
        free(job);
    }
    leat_map_fini(&table->map);
    leat_worker_table_sweep(table);
    struct leat_worker_job *job;
    while ((job = leat_worker_job_of(leat_list_pop_front(&table->spare))) != NULL) {
        free(job);
    }
}

static char *copy_text(char *to, struct leat_str text, struct leat_str *ret_copy)
{
    if (text.size > 0) {
        memcpy(to, text.data, text.size);
    }
    *ret_copy = (struct leat_str){to, text.size};
    return to + text.size;
}

void leat_worker_job_keep_names(struct leat_worker_job *job, struct leat_str queue,
                                struct leat_str type)
{
    job->names = leat_worker_must(malloc(queue.size + type.size + 1));
    (void)copy_text(copy_text(job->names, queue, &job->queue), type, &job->type);
}

struct leat_worker_job *leat_worker_job_add(struct leat_worker_table *table,
                                            const struct leat_item_delivery *delivery,
                                            enum leat_worker_place place)
{
    struct leat_worker_job *job = new_job(table);
    job->place = place;
    job->id = delivery->id;
    job->delivery = delivery->delivery;
    job->attempt = delivery->attempt;
    job->expires_at_ms = delivery->expires_at_ms;
    job->accepted_us = delivery->accepted_us;
    job->ready_us = delivery->ready_us;
    if (delivery->body.size > 0) {
        job->bytes = place_for(job, 0, delivery->body.size);
        memcpy(job->bytes, delivery->body.data, delivery->body.size);
        job->bytes_size = delivery->body.size;
    }
    struct key key = key_of(&job->id, job->delivery);
    const size_t held = leat_worker_table_held(table);
    if (leat_map_put_pointer(&table->map, &key, job) != LEAT_OK) {
        (void)leat_worker_must(NULL);
    }
    LEAT_ASSERT(leat_worker_table_held(table) == held + 1);
    table->counts[place]++;
    return job;
}

struct leat_worker_job *leat_worker_job_find(const struct leat_worker_table *table,
                                             const struct leat_id *id, uint64_t delivery)
{
    struct key key = key_of(id, delivery);
    return leat_map_get_pointer(&table->map, &key);
}

void leat_worker_job_move(struct leat_worker_table *table, struct leat_worker_job *job,
                          enum leat_worker_place place)
{
    LEAT_ASSERT(table->counts[job->place] > 0);
    table->counts[job->place]--;
    table->counts[place]++;
    job->place = place;
}

void leat_worker_job_drop(struct leat_worker_table *table, struct leat_worker_job *job)
{
    struct key key = key_of(&job->id, job->delivery);
    struct leat_worker_job *erased = leat_map_erase_pointer(&table->map, &key);
    LEAT_ASSERT(erased == job);
    leat_worker_job_move(table, job, LEAT_WORKER_LIMBO);
    leat_list_push_back(&table->limbo, &job->link);
}

void leat_worker_table_sweep(struct leat_worker_table *table)
{
    struct leat_worker_job *job;
    while ((job = leat_worker_job_of(leat_list_pop_front(&table->limbo))) != NULL) {
        table->counts[LEAT_WORKER_LIMBO]--;
        empty_job(job);
        if (table->spare.count + 1 <= SPARE_MAX) { /* "< 0" would be a warning */
            leat_list_push_front(&table->spare, &job->link);
        } else {
            free(job);
        }
    }
}

size_t leat_worker_job_bytes(const struct leat_worker_job *job)
{
    return sizeof(*job) + job->bytes_size + job->error_size + job->output_size +
           job->body.headers.count * sizeof(*job->body.headers.items);
}
