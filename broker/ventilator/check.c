/* The invariants of README.md, checked against the whole store. For tests and the simulated
 * cluster. */
#include <stdlib.h>

#include "broker/ventilator/inside.h"

struct row {
    struct leat_id id;
    struct leat_ventilator_place place;
    bool damaged;
    struct leat_ventilator_job job; /* unless it is damaged */
};

struct check {
    struct leat_ventilator *v;
    struct row *rows; /* owned */
    size_t count, capacity;
    uint64_t bytes, expiring;
    int64_t first_due_ms;
    bool damaged;
    uint64_t *ready; /* ready jobs per lane; owned, up to lanes_end */
    uint64_t *known; /* those of them in windows; in the same block */
    uint32_t lanes_end;
};

#define HOLDS(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return leat_fail(why, LEAT_ERR_STATE, __VA_ARGS__);                                    \
        }                                                                                          \
    } while (0)
#define ALSO(call)                                                                                 \
    do {                                                                                           \
        enum leat_err also_err = (call);                                                           \
        if (also_err != LEAT_OK) {                                                                 \
            return also_err;                                                                       \
        }                                                                                          \
    } while (0)

static unsigned long long ull(uint64_t value)
{
    return value;
}

static bool visit_job(const struct leat_id *id, const struct leat_ventilator_place *place,
                      const struct leat_ventilator_job *job, void *context)
{
    struct check *check = context;
    if (check->count == check->capacity) {
        check->capacity = check->capacity == 0 ? 256 : 2 * check->capacity;
        check->rows =
            leat_ventilator_must(realloc(check->rows, check->capacity * sizeof *check->rows));
    }
    struct row *row = &check->rows[check->count++];
    *row = (struct row){.id = *id, .place = *place, .damaged = job == NULL};
    if (job != NULL) {
        row->job = *job;
    }
    check->damaged = check->damaged || job == NULL;
    check->bytes += job == NULL ? 0 : job->body_bytes;
    check->expiring += job != NULL && job->expires_at_ms != 0 ? 1 : 0;
    if (place->due_ms < check->first_due_ms) {
        check->first_due_ms = place->due_ms;
    }
    return true;
}

static enum leat_err read_rows(struct check *check, enum leat_ventilator_where where,
                               struct leat_why *why)
{
    check->count = 0;
    check->first_due_ms = INT64_MAX;
    enum leat_err err = leat_ventilator_store_each_job(check->v->store, where, visit_job, check);
    if (err != LEAT_OK) {
        return leat_fail(why, err, "%s", leat_ventilator_store_error(check->v->store));
    }
    for (size_t i = 0; i < check->count; i++) {
        const struct row *row = &check->rows[i];
        struct leat_ventilator_place place = {0};
        err = leat_ventilator_store_find(check->v->store, &row->id, &place);
        HOLDS(err == LEAT_OK && place.where == where && place.lane == row->place.lane &&
                  place.seq == row->place.seq && place.due_ms == row->place.due_ms,
              "a job is at place %d, seq %llu, but IDS says place %d, seq %llu", (int)where,
              ull(row->place.seq), (int)place.where, ull(place.seq));
        HOLDS(row->place.lane < check->lanes_end && check->v->lanes[row->place.lane] != NULL,
              "a job is in lane %u, which is not there", row->place.lane);
        HOLDS(row->place.seq < check->v->next_seq, "seq %llu would be given again",
              ull(row->place.seq));
    }
    return LEAT_OK;
}

/* ---- lanes ---- */

/* Most numbers are free: what is checked of each lane need not look beyond the last one in use. */
static enum leat_err find_lanes_end(struct check *check, struct leat_why *why)
{
    size_t left = check->v->lanes_used;
    while (left > 0 && check->lanes_end < LEAT_LANES_MAX) {
        left -= check->v->lanes[check->lanes_end++] != NULL ? 1 : 0;
    }
    HOLDS(left == 0, "%zu lanes are in use, %zu of them are not there", check->v->lanes_used, left);
    check->ready =
        leat_ventilator_must(calloc(2 * (size_t)check->lanes_end + 1, sizeof *check->ready));
    check->known = check->ready + check->lanes_end;
    return LEAT_OK;
}

/* What the window keeps of a row, if anything, is what the store has. */
static bool is_row_of(const struct leat_window_row *kept, const struct row *row)
{
    return kept == NULL || row->damaged ||
           (kept->job.attempt == row->job.attempt && kept->job.lost == row->job.lost &&
            kept->job.delivery == row->job.delivery && kept->job.ready_us == row->job.ready_us &&
            kept->job.accepted_us == row->job.accepted_us &&
            kept->job.expires_at_ms == row->job.expires_at_ms &&
            kept->job.body_bytes == row->job.body_bytes);
}

static enum leat_err check_ready(struct check *check, struct leat_why *why)
{
    const struct leat_ventilator *v = check->v;
    uint64_t *ready = check->ready, *known = check->known;
    size_t rows = 0;
    ALSO(read_rows(check, LEAT_VENTILATOR_READY, why));
    for (size_t i = 0; i < check->count; i++) {
        const struct row *row = &check->rows[i];
        const struct leat_lane *lane = v->lanes[row->place.lane];
        const struct leat_held_lease *lease = leat_lease_find(v, &row->id);
        HOLDS(lease == NULL || (lease->lane == lane && lease->seq == row->place.seq),
              "a lease is for seq %llu, its job has %llu", ull(lease->seq), ull(row->place.seq));
        if (lease == NULL) {
            size_t at = (size_t)known[lane->number];
            bool in_window = at < lane->window.count &&
                             lane->window.jobs[lane->window.first + at].seq == row->place.seq;
            HOLDS(in_window == (row->place.seq < lane->cursor),
                  "lane %u: ready job %llu is %s the window, cursor is %llu", lane->number,
                  ull(row->place.seq), in_window ? "in" : "not in", ull(lane->cursor));
            rows += in_window && lane->window.jobs[lane->window.first + at].row != NULL ? 1 : 0;
            HOLDS(!in_window || is_row_of(lane->window.jobs[lane->window.first + at].row, row),
                  "lane %u: the window has another row of job %llu than the store", lane->number,
                  ull(row->place.seq));
            ready[lane->number]++;
            known[lane->number] += in_window ? 1 : 0;
        }
    }
    HOLDS(check->count == v->counts.ready + v->counts.leased,
          "READY has %zu rows, but %llu jobs are ready and %llu leased", check->count,
          ull(v->counts.ready), ull(v->counts.leased));
    size_t windows = 0;
    for (uint32_t i = 0; i < check->lanes_end; i++) {
        const struct leat_lane *lane = v->lanes[i];
        HOLDS(lane == NULL || lane->ready == ready[i], "lane %u counts %llu ready jobs, has %llu",
              i, ull(lane->ready), ull(ready[i]));
        HOLDS(lane == NULL || lane->window.count == known[i],
              "lane %u: %zu jobs in the window, %llu of them are ready", i, lane->window.count,
              ull(known[i]));
        windows += lane == NULL ? 0 : lane->window.count;
    }
    HOLDS((rows == 0) == (v->rows.used_bytes == 0), "windows have %zu rows, which take %zu bytes",
          rows, v->rows.used_bytes);
    HOLDS(windows == v->windows_jobs, "%zu jobs in windows, counted %zu", windows, v->windows_jobs);
    return LEAT_OK;
}

static enum leat_err check_waiting(struct check *check, enum leat_ventilator_where where,
                                   uint64_t count, int64_t watched_ms, struct leat_why *why)
{
    ALSO(read_rows(check, where, why));
    HOLDS(check->count == count, "place %d has %zu jobs, counted %llu", (int)where, check->count,
          ull(count));
    HOLDS(watched_ms <= check->first_due_ms, "place %d: a job is due at %lld, watched is %lld",
          (int)where, (long long)check->first_due_ms, (long long)watched_ms);
    return LEAT_OK;
}

static enum leat_err check_lane_sums(const struct check *check, struct leat_why *why)
{
    const struct leat_ventilator *v = check->v;
    uint64_t ready = 0, leased = 0, scheduled = 0, retrying = 0, queues_ready = 0;
    for (size_t i = 0; i < check->lanes_end; i++) {
        const struct leat_lane *lane = v->lanes[i];
        if (lane != NULL) {
            ready += lane->ready;
            leased += lane->leased;
            scheduled += lane->scheduled;
            retrying += lane->retrying;
        }
    }
    size_t with_work = 0;
    for (size_t i = 0; i < v->queue_count; i++) {
        const struct leat_queue *queue = v->queues[i];
        queues_ready += queue->ready;
        with_work += queue->ready > 0 ? 1 : 0;
        HOLDS(leat_list_is_linked(&queue->work_link) == (queue->ready > 0),
              "a queue with %llu ready jobs does %s take its turn", ull(queue->ready),
              queue->ready > 0 ? "not" : "still");
    }
    HOLDS(with_work == v->work.count, "%zu queues have ready jobs, %zu take turns", with_work,
          v->work.count);
    HOLDS(ready == v->counts.ready && ready == queues_ready && leased == v->counts.leased &&
              scheduled == v->counts.scheduled && retrying == v->counts.retrying,
          "lanes count %llu ready, %llu leased, %llu scheduled, %llu retrying", ull(ready),
          ull(leased), ull(scheduled), ull(retrying));
    return LEAT_OK;
}

/* ---- sessions ---- */

static enum leat_err check_session(const struct leat_ventilator *v,
                                   const struct leat_session *session, size_t *leases,
                                   struct leat_why *why)
{
    const struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&session->leases, node, after)
    {
        const struct leat_held_lease *lease =
            LEAT_CONTAINER_OF(node, const struct leat_held_lease, link);
        HOLDS(lease->session == session, "a lease is in the list of another session");
        HOLDS(leat_lease_find(v, &lease->id) == lease, "a lease is not found by its job");
    }
    *leases += session->leases.count;
    HOLDS(session->pick_first == 0, "a pick was not sent");
    return LEAT_OK;
}

/* Whoever is hungry waits at each of its queues. */
static enum leat_err check_lines(const struct leat_session *session, size_t *in_line,
                                 struct leat_why *why)
{
    HOLDS(session->in_line || !leat_session_is_hungry(session),
          "a session may be given jobs, but does not stand in line");
    for (size_t i = 0; i < session->queue_count; i++) {
        const struct leat_session_queue *served = &session->queues[i];
        HOLDS(served->session == session, "a place in a line is of another session");
        HOLDS(leat_list_is_linked(&served->line_link) ==
                  (session->in_line && served->queue != NULL),
              "a session stands in line at some of its queues only");
        *in_line += leat_list_is_linked(&served->line_link) ? 1 : 0;
    }
    return LEAT_OK;
}

static enum leat_err check_fleet(const struct leat_ventilator *v, struct leat_why *why)
{
    size_t leases = 0;
    size_t in_line = 0;
    int64_t heard_us = INT64_MIN;
    const struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&v->heard, node, after)
    {
        const struct leat_session *session =
            LEAT_CONTAINER_OF(node, const struct leat_session, heard_link);
        HOLDS(session->heard_us >= heard_us, "sessions are not in the order of being heard");
        HOLDS(leat_map_get_pointer(&v->session_of, &session->id) == session,
              "a session is not found by its id");
        heard_us = session->heard_us;
        ALSO(check_lines(session, &in_line, why));
        ALSO(check_session(v, session, &leases, why));
    }
    LEAT_LIST_FOR_EACH(&v->losing, node, after)
    {
        ALSO(check_session(v, LEAT_CONTAINER_OF(node, const struct leat_session, heard_link),
                           &leases, why));
    }
    HOLDS(leases == v->lease_of.count && leases == v->counts.leased,
          "sessions hold %zu leases, the map has %zu, counted %llu", leases, v->lease_of.count,
          ull(v->counts.leased));
    HOLDS(v->heard.count == v->sessions.count && v->heard.count == v->session_of.count &&
              v->heard.count == v->counts.sessions,
          "%zu sessions are watched, %zu are known", v->heard.count, v->sessions.count);
    for (size_t i = 0; i < v->queue_count; i++) {
        in_line -= v->queues[i]->line.count;
    }
    HOLDS(in_line == 0 && v->served.count == 0, "somebody stands in line who is not known");
    HOLDS(v->session_at.count <= v->session_of.count, "a peer has no session");
    return LEAT_OK;
}

/* ---- the whole ---- */

static enum leat_err check_endings(struct check *check, struct leat_why *why)
{
    const struct leat_ventilator *v = check->v;
    struct leat_id after = {0};
    struct leat_id id;
    size_t count = 0;
    uint64_t endings = 0;
    enum leat_err err;
    while ((err = leat_ventilator_store_endings(v->store, &after, 1, &id, &count)) == LEAT_OK &&
           count == 1) {
        struct leat_ventilator_place place = {0};
        uint64_t bytes = 0;
        err = leat_ventilator_store_find(v->store, &id, &place);
        HOLDS(err == LEAT_OK && place.where == LEAT_VENTILATOR_ENDING,
              "a job is in ENDING, but IDS says place %d", (int)place.where);
        if (leat_ventilator_store_ending_bytes(v->store, &id, &bytes) != LEAT_OK) {
            check->damaged = true;
        }
        check->bytes += bytes;
        endings++;
        after = id;
    }
    HOLDS(endings == v->counts.ending, "ENDING has %llu results, counted %llu", ull(endings),
          ull(v->counts.ending));
    HOLDS(endings == 0 || v->report.at_us != LEAT_NEVER_US, "nobody will report what ended");
    return err;
}

/* What a start would take for true. */
static enum leat_err check_stored(const struct check *check, struct leat_why *why)
{
    const struct leat_ventilator *v = check->v;
    struct leat_ventilator_meta meta = {0};
    enum leat_err err = leat_ventilator_store_load(v->store, &meta, why);
    HOLDS(err == LEAT_OK || (err == LEAT_ERR_NOT_FOUND && v->lanes_used == 0), "META: %s",
          leat_err_name(err));
    HOLDS(meta.bytes == v->counts.bytes && meta.next_seq == v->next_seq,
          "META says %llu bytes, next seq %llu; counted %llu, %llu", ull(meta.bytes),
          ull(meta.next_seq), ull(v->counts.bytes), ull(v->next_seq));
    for (uint32_t i = 0; i < check->lanes_end; i++) {
        const struct leat_lane *lane = v->lanes[i];
        struct leat_ventilator_lane_counts counts = {0};
        if (lane == NULL) {
            continue;
        }
        err = leat_ventilator_store_counts(v->store, i, &counts);
        HOLDS(err == LEAT_OK && counts.ready == lane->ready + lane->leased &&
                  counts.scheduled == lane->scheduled && counts.retrying == lane->retrying,
              "lane %u: COUNTS says %llu ready, %llu scheduled, %llu retrying", i,
              ull(counts.ready), ull(counts.scheduled), ull(counts.retrying));
    }
    HOLDS(leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_COUNTS) == v->lanes_used,
          "COUNTS has other lanes than there are");
    return LEAT_OK;
}

static enum leat_err check_totals(struct check *check, struct leat_why *why)
{
    const struct leat_ventilator *v = check->v;
    const struct leat_ventilator_counts *counts = &v->counts;
    uint64_t jobs = leat_ventilator_jobs(v);
    HOLDS(check->damaged || check->bytes == counts->bytes, "bodies have %llu bytes, counted %llu",
          ull(check->bytes), ull(counts->bytes));
    uint64_t ids = leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_IDS);
    HOLDS(check->damaged || ids == jobs + counts->remembered,
          "%llu ids are known, but %llu jobs and %llu remembered", ull(ids), ull(jobs),
          ull(counts->remembered));
    HOLDS(leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_PRODUCERS) ==
              counts->producers,
          "producers are miscounted");
    HOLDS(leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_LANES) == v->lanes_used,
          "lanes are miscounted");
    return LEAT_OK;
}

static enum leat_err check_expiry(struct check *check, struct leat_why *why)
{
    struct leat_ventilator *v = check->v;
    struct leat_ventilator_expiry row = {0};
    uint64_t rows = 0;
    while (leat_ventilator_store_next_expiry(v->store, &row, &row) == LEAT_OK) {
        const struct leat_ventilator_expiry *at = &v->expiry_at;
        bool is_passed = row.expires_at_ms < at->expires_at_ms ||
                         (row.expires_at_ms == at->expires_at_ms &&
                          memcmp(row.id.bytes, at->id.bytes, LEAT_ID_BYTES) <= 0);
        HOLDS(!is_passed || leat_lease_find(v, &row.id) != NULL,
              "nobody watches a job that expires at %lld", (long long)row.expires_at_ms);
        HOLDS(is_passed || v->expiry_ms <= row.expires_at_ms,
              "a job expires at %lld, watched is %lld", (long long)row.expires_at_ms,
              (long long)v->expiry_ms);
        rows++;
    }
    HOLDS(check->damaged || rows == check->expiring, "%llu jobs can expire, %llu rows say so",
          ull(check->expiring), ull(rows));
    return LEAT_OK;
}

static enum leat_err check_all(struct check *check, struct leat_why *why)
{
    struct leat_ventilator *v = check->v;
    ALSO(find_lanes_end(check, why));
    ALSO(check_lane_sums(check, why));
    ALSO(check_fleet(v, why));
    ALSO(check_ready(check, why));
    ALSO(check_waiting(check, LEAT_VENTILATOR_SCHEDULED, v->counts.scheduled, v->due_ms, why));
    ALSO(check_waiting(check, LEAT_VENTILATOR_RETRYING, v->counts.retrying, v->retry_ms, why));
    ALSO(check_endings(check, why));
    ALSO(check_expiry(check, why));
    ALSO(check_stored(check, why));
    return check_totals(check, why);
}

enum leat_err leat_ventilator_check(struct leat_ventilator *v, struct leat_why *why)
{
    struct check *check = leat_ventilator_must(calloc(1, sizeof *check));
    check->v = v;
    check->damaged = v->counts.damaged_total > 0;
    enum leat_err err = v->broken ? LEAT_OK : check_all(check, why);
    free(check->rows);
    free(check->ready);
    free(check);
    return err;
}
