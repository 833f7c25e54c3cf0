/* Queues and lanes. A lane is one type of job within one queue: jobs of a queue run in the order of
 * acceptance, but a worker that may take no more of one type must find the others without a search.
 */
#include <stdlib.h>

#include "broker/ventilator/inside.h"
#include "core/check.h"

/* Jobs in all windows together; past this a lane reads ahead just a little. */
#define WINDOWS_JOBS_MAX  ((size_t)1 << 18)
#define WINDOW_JOBS_LEAST 64
/* Rows in all windows together; past this they are read from the store when their turn comes. */
#define ROWS_BYTES_MAX ((size_t)32 << 20)
/* Jobs that one look ahead reads. They are pushed soon, and their rows are in the processor's cache
 * until then; with a window full of them they would not be. */
#define LOOK_JOBS 1024
/* Leased jobs that one look ahead may step over. */
#define SKIPS_PER_LOOK 8192

struct lane_key {
    char queue[LEAT_QUEUE_BYTES_MAX];
    char type[LEAT_TYPE_BYTES_MAX];
};

struct queue_key {
    char name[LEAT_QUEUE_BYTES_MAX];
};

/* Names hold no zero byte, so padding with zeros keeps different ones different. */
static struct queue_key queue_key_of(struct leat_str name)
{
    struct queue_key key = {{0}};
    LEAT_ASSERT(name.size > 0 && name.size <= sizeof key.name);
    memcpy(key.name, name.data, name.size);
    return key;
}

static struct lane_key lane_key_of(struct leat_str queue, struct leat_str type)
{
    struct lane_key key = {{0}, {0}};
    LEAT_ASSERT(queue.size > 0 && queue.size <= sizeof key.queue);
    LEAT_ASSERT(type.size > 0 && type.size <= sizeof key.type);
    memcpy(key.queue, queue.data, queue.size);
    memcpy(key.type, type.data, type.size);
    return key;
}

_Static_assert(sizeof(struct lane_key) <= LEAT_MAP_KEY_BYTES_MAX, "a lane's name is a key");

struct leat_str leat_queue_name(const struct leat_queue *queue)
{
    return (struct leat_str){queue->name, queue->name_size};
}

struct leat_str leat_lane_type(const struct leat_lane *lane)
{
    return (struct leat_str){lane->type, lane->type_size};
}

/* ---- queues ---- */

struct leat_queue *leat_queue_find(const struct leat_ventilator *v, struct leat_str name)
{
    struct queue_key key = queue_key_of(name);
    return leat_map_get_pointer(&v->queue_of, &key);
}

struct leat_queue *leat_queue_make(struct leat_ventilator *v, struct leat_str name)
{
    struct leat_queue *queue = leat_queue_find(v, name);
    if (queue != NULL) {
        return queue;
    }
    if (v->queue_count == LEAT_LANES_MAX) {
        return NULL;
    }
    queue = leat_ventilator_must(calloc(1, sizeof *queue));
    memcpy(queue->name, name.data, name.size);
    queue->name_size = name.size;
    leat_list_init(&queue->line);
    struct queue_key key = queue_key_of(name);
    leat_ventilator_must_ok(leat_map_put_pointer(&v->queue_of, &key, queue));
    if (v->queue_count == v->queue_capacity) {
        v->queue_capacity = v->queue_capacity == 0 ? 8 : 2 * v->queue_capacity;
        v->queues = leat_ventilator_must(
            realloc(v->queues, v->queue_capacity * sizeof(struct leat_queue *)));
    }
    v->queues[v->queue_count++] = queue;
    leat_fleet_learn_queue(v, name, queue);
    return queue;
}

static void free_queue(struct leat_queue *queue)
{
    free(queue->lanes);
    free(queue);
}

static void drop_queue(struct leat_ventilator *v, struct leat_queue *queue)
{
    struct queue_key key = queue_key_of(leat_queue_name(queue));
    (void)leat_map_erase_pointer(&v->queue_of, &key);
    size_t i = 0;
    while (v->queues[i] != queue) {
        i++;
    }
    v->queues[i] = v->queues[--v->queue_count];
    leat_fleet_learn_queue(v, leat_queue_name(queue), NULL);
    free_queue(queue);
}

void leat_queue_drop_empty(struct leat_ventilator *v, struct leat_queue *queue)
{
    if (queue->lane_count == 0 && !queue->paused) {
        drop_queue(v, queue);
    }
}

static void add_to_queue(struct leat_queue *queue, struct leat_lane *lane)
{
    if (queue->lane_count == queue->lane_capacity) {
        queue->lane_capacity = queue->lane_capacity == 0 ? 4 : 2 * queue->lane_capacity;
        queue->lanes = leat_ventilator_must(
            realloc(queue->lanes, queue->lane_capacity * sizeof(struct leat_lane *)));
    }
    queue->lanes[queue->lane_count++] = lane;
}

/* ---- types ---- */

static uint32_t take_type(struct leat_ventilator *v, struct leat_str name)
{
    uint32_t free_number = v->type_count;
    for (uint32_t i = 0; i < v->type_count; i++) {
        struct leat_lane_type *type = &v->types[i];
        if (type->lanes == 0) {
            free_number = i;
        } else if (leat_str_equal((struct leat_str){type->name, type->name_size}, name)) {
            type->lanes++;
            return i;
        }
    }
    LEAT_ASSERT(free_number < LEAT_LANES_MAX);
    if (free_number == v->type_count) {
        v->type_count++;
    } else {
        leat_fleet_forget_type(v, free_number);
    }
    struct leat_lane_type *type = &v->types[free_number];
    memcpy(type->name, name.data, name.size);
    type->name_size = name.size;
    type->lanes = 1;
    return free_number;
}

/* ---- lanes ---- */

struct leat_lane *leat_lane_find(const struct leat_ventilator *v, struct leat_str queue,
                                 struct leat_str type)
{
    const struct leat_lane *last = v->last_lane;
    if (last != NULL && leat_str_equal(leat_lane_type(last), type) &&
        leat_str_equal(leat_queue_name(last->queue), queue)) {
        return v->last_lane;
    }
    struct lane_key key = lane_key_of(queue, type);
    return leat_map_get_pointer(&v->lane_of, &key);
}

static struct leat_lane *add_lane(struct leat_ventilator *v, uint32_t number,
                                  struct leat_str queue_name, struct leat_str type)
{
    struct leat_queue *queue = leat_queue_make(v, queue_name);
    if (queue == NULL) {
        return NULL;
    }
    struct leat_lane *lane = leat_ventilator_must(calloc(1, sizeof *lane));
    lane->number = number;
    lane->queue = queue;
    memcpy(lane->type, type.data, type.size);
    lane->type_size = type.size;
    lane->type_number = take_type(v, type);
    struct lane_key key = lane_key_of(queue_name, type);
    leat_ventilator_must_ok(leat_map_put_pointer(&v->lane_of, &key, lane));
    v->lanes[number] = lane;
    v->lanes_used++;
    leat_lane_touch(v, lane);
    add_to_queue(queue, lane);
    return lane;
}

static bool has_jobs(const struct leat_lane *lane)
{
    return lane->ready + lane->leased + lane->scheduled + lane->retrying > 0;
}

/* A free number, if need be that of a lane without jobs. LEAT_LANES_MAX: none. */
static uint32_t free_number(struct leat_ventilator *v)
{
    for (uint32_t i = 0; v->lanes_used < LEAT_LANES_MAX && i < LEAT_LANES_MAX; i++) {
        if (v->lanes[i] == NULL) {
            return i;
        }
    }
    for (uint32_t i = 0; i < LEAT_LANES_MAX; i++) {
        if (!has_jobs(v->lanes[i]) && v->lanes[i]->pin != v->pin) {
            leat_lane_drop(v, v->lanes[i]);
            return i;
        }
    }
    return LEAT_LANES_MAX;
}

struct leat_lane *leat_lane_make(struct leat_ventilator *v, struct leat_str queue,
                                 struct leat_str type)
{
    struct leat_lane *lane = leat_lane_find(v, queue, type);
    if (lane == NULL) {
        uint32_t number = free_number(v);
        if (number == LEAT_LANES_MAX) {
            return NULL;
        }
        lane = add_lane(v, number, queue, type);
        if (lane == NULL) {
            return NULL;
        }
        leat_ventilator_store_put_lane(v->store, number, queue, type);
    }
    lane->pin = v->pin;
    v->last_lane = lane;
    return lane;
}

bool leat_lane_restore(struct leat_ventilator *v, uint32_t number, struct leat_str queue,
                       struct leat_str type)
{
    return number < LEAT_LANES_MAX && v->lanes[number] == NULL &&
           leat_lane_find(v, queue, type) == NULL && add_lane(v, number, queue, type) != NULL;
}

static void free_lane(struct leat_lane *lane)
{
    leat_window_fini(&lane->window);
    free(lane);
}

void leat_lane_drop(struct leat_ventilator *v, struct leat_lane *lane)
{
    LEAT_ASSERT(!has_jobs(lane) && lane->window.count == 0);
    struct leat_queue *queue = lane->queue;
    struct lane_key key = lane_key_of(leat_queue_name(queue), leat_lane_type(lane));
    (void)leat_map_erase_pointer(&v->lane_of, &key);
    size_t i = 0;
    while (queue->lanes[i] != lane) {
        i++;
    }
    queue->lanes[i] = queue->lanes[--queue->lane_count];
    v->types[lane->type_number].lanes--;
    v->lanes[lane->number] = NULL;
    v->lanes_used--;
    v->last_lane = NULL;
    if (leat_list_is_linked(&lane->changed_link)) {
        leat_list_remove(&v->changed, &lane->changed_link);
    }
    leat_ventilator_store_del_lane(v->store, lane->number);
    free_lane(lane);
    leat_queue_drop_empty(v, queue);
}

void leat_lanes_free(struct leat_ventilator *v)
{
    for (size_t i = 0; i < LEAT_LANES_MAX; i++) {
        if (v->lanes[i] != NULL) {
            free_lane(v->lanes[i]);
        }
    }
    for (size_t i = 0; i < v->queue_count; i++) {
        free_queue(v->queues[i]);
    }
    free(v->queues);
    leat_map_fini(&v->lane_of);
    leat_map_fini(&v->queue_of);
}

/* ---- ready jobs ---- */

static size_t window_max(const struct leat_ventilator *v)
{
    return v->windows_jobs < WINDOWS_JOBS_MAX ? LEAT_WINDOW_JOBS : WINDOW_JOBS_LEAST;
}

static size_t look_max(const struct leat_ventilator *v)
{
    size_t max = window_max(v);
    return max < LOOK_JOBS ? max : LOOK_JOBS;
}

/* NULL: there is no room for it. */
static struct leat_window_row *
make_row(struct leat_ventilator *v, const struct leat_ventilator_job *job, struct leat_bytes body)
{
    bool has_room =
        body.size <= LEAT_VENTILATOR_INLINE_BYTES && v->rows.used_bytes < ROWS_BYTES_MAX;
    return has_room ? leat_window_row_take(&v->rows, job, body) : NULL;
}

static void insert(struct leat_ventilator *v, struct leat_lane *lane,
                   const struct leat_window_job *job)
{
    if (leat_window_insert(&lane->window, job)) {
        v->windows_jobs++;
    } else {
        leat_window_row_give(&v->rows, job->row); /* two with one number, see visit_ready */
    }
}

/* False: it is not there. */
static bool remove_from_window(struct leat_ventilator *v, struct leat_lane *lane, uint64_t seq)
{
    struct leat_window_job job;
    if (!leat_window_remove(&lane->window, seq, &job)) {
        return false;
    }
    v->windows_jobs--;
    leat_window_row_give(&v->rows, job.row);
    return true;
}

void leat_lane_enter_row(struct leat_ventilator *v, struct leat_lane *lane, uint64_t seq,
                         const struct leat_id *id, const struct leat_ventilator_job *job,
                         struct leat_bytes body)
{
    struct leat_window_job entering = {seq, *id, NULL};
    bool all_known = lane->ready == lane->window.count;
    lane->ready++;
    leat_queue_set_ready(v, lane->queue, lane->queue->ready + 1);
    v->counts.ready++;
    leat_lane_touch(v, lane);
    if (seq < lane->cursor) {
        insert(v, lane, &entering);
        if (lane->window.count > LEAT_WINDOW_JOBS) {
            lane->cursor = leat_window_last(&lane->window)->seq;
            (void)remove_from_window(v, lane, lane->cursor);
        }
    } else if (all_known && lane->window.count < window_max(v)) {
        entering.row = job == NULL ? NULL : make_row(v, job, body);
        insert(v, lane, &entering);
        lane->cursor = seq + 1;
    }
}

void leat_lane_enter(struct leat_ventilator *v, struct leat_lane *lane, uint64_t seq,
                     const struct leat_id *id)
{
    leat_lane_enter_row(v, lane, seq, id, NULL, (struct leat_bytes){0});
}

/* A job that the store has damaged may not have been counted, as its place says something else than
 * its row. Better one too many is counted then: that is found when the lane runs dry. */
void leat_lane_leave(struct leat_ventilator *v, struct leat_lane *lane, uint64_t seq)
{
    bool was_counted =
        seq < lane->cursor ? remove_from_window(v, lane, seq) : lane->ready > lane->window.count;
    if (was_counted) {
        lane->ready--;
        leat_queue_set_ready(v, lane->queue, lane->queue->ready - 1);
        v->counts.ready--;
        leat_lane_touch(v, lane);
    }
}

struct look {
    struct leat_ventilator *v;
    struct leat_lane *lane;
    size_t max;
    size_t skips;
    bool stopped;
};

static bool visit_ready(const struct leat_id *id, uint64_t seq,
                        const struct leat_ventilator_store_row *row, void *context)
{
    struct look *look = context;
    struct leat_lane *lane = look->lane;
    if (lane->window.count >= look->max || look->skips == SKIPS_PER_LOOK) {
        look->stopped = true;
        return false;
    }
    if (seq < lane->cursor) {
        return true; /* two with one number: a key is damaged; its turn comes when the other is gone
                      */
    }
    if (seq < lane->leased_end && leat_lease_find(look->v, id) != NULL) {
        look->skips++;
    } else {
        struct leat_window_job entering = {seq, *id, NULL};
        struct leat_ventilator_job job;
        struct leat_bytes body;
        if (leat_ventilator_store_read_row(row, &job, &body) == LEAT_OK) {
            entering.row = make_row(look->v, &job, body);
        }
        insert(look->v, lane, &entering);
    }
    lane->cursor = seq + 1;
    return true;
}

/* What a look to the end of the lane has found is all there is, but for what a damaged key has put
 * behind the cursor: so before fewer are believed in than were counted, everything is looked at. */
static void mend(struct leat_ventilator *v, struct leat_lane *lane, bool whole)
{
    if (lane->window.count > lane->ready) {
        leat_lane_mend_ready(v, lane, lane->window.count);
    }
    if (lane->window.count > 0) {
        lane->is_dry = false;
    } else if (!whole) {
        v->more = true;
    } else if (lane->ready > 0 && !lane->is_dry) {
        lane->is_dry = true;
        lane->cursor = 0;
        v->more = true;
    } else {
        lane->is_dry = false;
        leat_lane_mend_ready(v, lane, 0);
    }
}

const struct leat_window_job *leat_lane_head(struct leat_ventilator *v, struct leat_lane *lane)
{
    if (lane->window.count == 0 && lane->ready > 0) {
        struct look look = {.v = v, .lane = lane, .max = look_max(v)};
        enum leat_err err = leat_ventilator_store_each_ready(v->store, lane->number, lane->cursor,
                                                             visit_ready, &look);
        if (leat_ventilator_broke(v, err)) {
            return NULL;
        }
        mend(v, lane, !look.stopped);
    }
    return leat_window_first(&lane->window);
}
