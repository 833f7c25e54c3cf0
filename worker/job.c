#include "worker/job.h"

#include <stdlib.h>

#include "core/check.h"

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

void leat_worker_table_init(struct leat_worker_table *table, uint64_t seed)
{
    *table = (struct leat_worker_table){0};
    leat_map_init(&table->map, sizeof(struct key), seed);
    leat_list_init(&table->limbo);
}

static void free_job(struct leat_worker_job *job)
{
    free(job->body.headers.items);
    free(job->bytes);
    free(job->error);
    free(job->output);
    free(job);
}

void leat_worker_table_fini(struct leat_worker_table *table)
{
    struct leat_map_cursor at = {0};
    while (leat_map_next(&table->map, &at)) {
        free_job(leat_map_pointer(&at));
    }
    leat_map_fini(&table->map);
    leat_worker_table_sweep(table);
}

static size_t keep_text(char *field, size_t field_size, struct leat_str text)
{
    LEAT_ASSERT(text.size <= field_size); /* the codec has held the field's maximum */
    if (text.size > 0) {
        memcpy(field, text.data, text.size);
    }
    return text.size;
}

struct leat_worker_job *leat_worker_job_add(struct leat_worker_table *table,
                                            const struct leat_item_delivery *delivery,
                                            enum leat_worker_place place)
{
    LEAT_ASSERT(leat_worker_job_find(table, &delivery->id, delivery->delivery) == NULL);
    struct leat_worker_job *job = leat_worker_must(calloc(1, sizeof(*job)));
    job->place = place;
    job->id = delivery->id;
    job->delivery = delivery->delivery;
    job->attempt = delivery->attempt;
    job->queue_size = keep_text(job->queue, sizeof(job->queue), delivery->queue);
    job->type_size = keep_text(job->type, sizeof(job->type), delivery->type);
    job->expires_at_ms = delivery->expires_at_ms;
    job->accepted_us = delivery->accepted_us;
    job->ready_us = delivery->ready_us;
    if (delivery->body.size > 0) {
        job->bytes = leat_worker_must(malloc(delivery->body.size));
        memcpy(job->bytes, delivery->body.data, delivery->body.size);
        job->bytes_size = delivery->body.size;
    }
    struct key key = key_of(&job->id, job->delivery);
    if (leat_map_put_pointer(&table->map, &key, job) != LEAT_OK) {
        (void)leat_worker_must(NULL);
    }
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
        free_job(job);
    }
}

size_t leat_worker_job_bytes(const struct leat_worker_job *job)
{
    return sizeof(*job) + job->bytes_size + job->error_size + job->output_size +
           job->body.headers.count * sizeof(*job->body.headers.items);
}
