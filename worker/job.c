#include "worker/job.h"

#include <stddef.h>
#include <stdlib.h>

#include "core/check.h"

/* Jobs whose memory is kept for others to come: with as many results on their way, what is held
 * goes up and down by thousands many times a second. */
#if defined(__SANITIZE_ADDRESS__)
#define SPARE_MAX 0 /* it has to see what uses memory that was given back */
#else
#define SPARE_MAX LEAT_OUTBOX_RESULTS_MAX
#endif
#define SPARE_FIRST 256
/* Spares between a look at memory and its use. */
#define SPARES_AHEAD 4

#define INDEX_FIRST 64

/* Cache lines: of a job that is made, with a small body; of one that is looked for because its
 * attempt has ended, with the place of a small output. */
#define FETCH_NEW   9
#define FETCH_FOUND 7

struct key {
    struct leat_id id;
    uint8_t delivery[8];
};

_Static_assert(sizeof(struct key) == 24, "a key has no padding");

uint32_t leat_worker_table_hash(const struct leat_worker_table *table, const struct leat_id *id,
                                uint64_t delivery)
{
    struct key key = {.id = *id};
    memcpy(key.delivery, &delivery, sizeof(key.delivery));
    return leat_hash_words(&table->hash_key, &key, sizeof(key));
}

static struct leat_worker_job **place_of(const struct leat_worker_table *table, uint32_t hash)
{
    return &table->index[hash & (table->index_size - 1)];
}

struct leat_worker_job *leat_worker_job_find_hashed(const struct leat_worker_table *table,
                                                    uint32_t hash, const struct leat_id *id,
                                                    uint64_t delivery)
{
    struct leat_worker_job *job = table->index_size == 0 ? NULL : *place_of(table, hash);
    while (job != NULL &&
           (job->hash != hash || job->delivery != delivery || !leat_id_equal(&job->id, id))) {
        job = job->next;
    }
    return job;
}

static void link_job(struct leat_worker_table *table, struct leat_worker_job *job)
{
    struct leat_worker_job **place = place_of(table, job->hash);
    job->next = *place;
    *place = job;
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
    if (size <= sizeof(job->room) - used) {
        return job->room + used;
    }
    job->owning = true;
    return leat_worker_must(malloc(size));
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

void leat_worker_job_keep_body(struct leat_worker_job *job, struct leat_item_body body)
{
    job->body = body;
    job->owning = job->owning || body.headers.items != NULL;
}

void leat_worker_job_keep_error(struct leat_worker_job *job, char *error, size_t size)
{
    job->error = error;
    job->error_size = size;
    job->owning = job->owning || error != NULL;
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
    table->hash_key = leat_hash_words_key_of(seed);
    leat_list_init(&table->held);
    leat_list_init(&table->limbo);
}

/* An array, so that those that will be taken next are known without looking at those before them.
 */
static struct leat_worker_job *take_spare(struct leat_worker_table *table)
{
    if (table->spare_count > SPARES_AHEAD) {
        leat_worker_job_fetch(table->spare[table->spare_count - 1 - SPARES_AHEAD], FETCH_NEW);
    }
    return table->spare_count == 0 ? NULL : table->spare[--table->spare_count];
}

/* False: there are enough. */
static bool keep_spare(struct leat_worker_table *table, struct leat_worker_job *job)
{
    if (table->spare_count == SPARE_MAX) {
        return false;
    }
    if (table->spare_count == table->spare_room) {
        table->spare_room = table->spare_room == 0 ? SPARE_FIRST : 2 * table->spare_room;
        table->spare = leat_worker_must(
            realloc(table->spare, table->spare_room * sizeof(struct leat_worker_job *)));
    }
    table->spare[table->spare_count++] = job;
    return true;
}

static struct leat_worker_job *new_job(struct leat_worker_table *table)
{
    struct leat_worker_job *job = take_spare(table);
    if (job == NULL) {
        job = leat_worker_must(aligned_alloc(_Alignof(struct leat_worker_job), sizeof(*job)));
    }
    memset(job, 0, offsetof(struct leat_worker_job, room));
    return job;
}

/* Frees what the job owns, but not the job. */
static void empty_job(struct leat_worker_job *job)
{
    if (!job->owning) {
        return;
    }
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
    struct leat_list_node *node;
    while ((node = leat_list_pop_front(&table->held)) != NULL) {
        struct leat_worker_job *held = leat_worker_held_of(node);
        empty_job(held);
        free(held);
    }
    free(table->index);
    table->index = NULL;
    table->index_size = 0;
    leat_worker_table_sweep(table);
    while (table->spare_count > 0) {
        free(table->spare[--table->spare_count]);
    }
    free(table->spare);
    table->spare = NULL;
    table->spare_room = 0;
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
    job->owning = true;
    (void)copy_text(copy_text(job->names, queue, &job->queue), type, &job->type);
}

/* Links all that are held anew. */
static void grow_index(struct leat_worker_table *table)
{
    free(table->index);
    table->index_size = table->index_size == 0 ? INDEX_FIRST : 2 * table->index_size;
    table->index = leat_worker_must(calloc(table->index_size, sizeof(struct leat_worker_job *)));
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&table->held, node, after)
    {
        link_job(table, leat_worker_held_of(node));
    }
}

struct leat_worker_job *leat_worker_job_add(struct leat_worker_table *table, uint32_t hash,
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
    job->hash = hash;
    leat_list_push_back(&table->held, &job->held);
    if (2 * table->held.count > table->index_size) {
        grow_index(table);
    } else {
        link_job(table, job);
    }
    table->counts[place]++;
    return job;
}

struct leat_worker_job *leat_worker_job_find(const struct leat_worker_table *table,
                                             const struct leat_id *id, uint64_t delivery)
{
    return leat_worker_job_find_hashed(table, leat_worker_table_hash(table, id, delivery), id,
                                       delivery);
}

void leat_worker_table_fetch_place(const struct leat_worker_table *table, uint32_t hash)
{
    if (table->index_size > 0) {
        __builtin_prefetch(place_of(table, hash));
    }
}

void leat_worker_table_fetch_job(const struct leat_worker_table *table, uint32_t hash)
{
    if (table->index_size > 0) {
        leat_worker_job_fetch(*place_of(table, hash), FETCH_FOUND);
    }
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
    struct leat_worker_job **place = place_of(table, job->hash);
    while (*place != job) {
        LEAT_ASSERT(*place != NULL);
        place = &(*place)->next;
    }
    *place = job->next;
    leat_list_remove(&table->held, &job->held);
    leat_worker_job_move(table, job, LEAT_WORKER_LIMBO);
    leat_list_push_back(&table->limbo, &job->link);
}

void leat_worker_table_sweep(struct leat_worker_table *table)
{
    struct leat_worker_job *job;
    while ((job = leat_worker_job_of(leat_list_pop_front(&table->limbo))) != NULL) {
        table->counts[LEAT_WORKER_LIMBO]--;
        empty_job(job);
        if (!keep_spare(table, job)) {
            free(job);
        }
    }
}

size_t leat_worker_job_bytes(const struct leat_worker_job *job)
{
    return sizeof(*job) + job->bytes_size + job->error_size + job->output_size +
           job->body.headers.count * sizeof(*job->body.headers.items);
}
