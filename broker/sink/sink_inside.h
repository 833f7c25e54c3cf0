/* What the files of the sink's core share; nobody else includes this. */
#ifndef LEAT_SINK_SINK_INSIDE_H
#define LEAT_SINK_SINK_INSIDE_H

#include "broker/sink/sink.h"

/* What is known of the oldest failure, so that a step need not look. */
struct leat_sink_oldest {
    bool known; /* `any` and `failure` are right */
    bool any;
    struct leat_sink_failure failure;
};

struct leat_sink {
    struct leat_sink_config config;
    struct leat_sink_store *store; /* borrowed */
    struct leat_rng rng;
    struct leat_sink_meta meta; /* as in the store once the step has ended */
    bool meta_changed;
    /* The steady clock at mono 0: wall time at the start, or where it stood if that is later, and
     * monotonic from there. */
    int64_t steady_base_us;

    /* the stream */
    bool followed;
    struct leat_peer follower;
    bool follower_has_key;
    struct leat_key follower_key;
    uint64_t sent; /* numbers up to this one are with the follower, or were lost on the way */
    int64_t quiet_since_us; /* last time that something was sent or confirmed */
    int64_t repeat_after_us;

    /* retention */
    struct leat_sink_oldest oldest_failure;
    struct leat_sink_block first_block; /* right while it holds the number after meta.trimmed */
    int64_t retire_at_us;
    uint64_t recorded_now; /* results recorded by this step */

    bool store_full;
    bool ended;
    uint64_t duplicate_total;
    uint64_t removed_total;
    uint64_t busy_total;
    uint64_t refused_total;
};

/* The time that ages are counted by. */
struct leat_wall leat_sink_steady(const struct leat_sink *sink, struct leat_now now);
/* The store is broken: nothing that is still waiting may be believed, the process ends. */
void leat_sink_break(struct leat_sink *sink, struct leat_out *out);
/* Answers with ERROR. `ref` is the batch or ref of the message, 0 when it has none. */
void leat_sink_refuse(struct leat_sink *sink, const struct leat_event *event, struct leat_out *out,
                      enum leat_err code, const char *text, uint64_t ref);

/* sink_results.c */
void leat_sink_on_results(struct leat_sink *sink, const struct leat_event *event,
                          struct leat_out *out);
/* sink_answers.c */
void leat_sink_on_query(struct leat_sink *sink, const struct leat_event *event,
                        struct leat_out *out);
void leat_sink_on_rerun(struct leat_sink *sink, const struct leat_event *event,
                        struct leat_out *out);
void leat_sink_on_gauges(const struct leat_event *event, struct leat_out *out);

/* sink_stream.c */
void leat_sink_on_follow(struct leat_sink *sink, const struct leat_event *event,
                         struct leat_out *out);
/* Sends what the window allows; returns whether anything was sent. */
bool leat_sink_push(struct leat_sink *sink, int64_t mono_us, struct leat_out *out);
/* Repeats what was not confirmed in time. */
void leat_sink_tend_stream(struct leat_sink *sink, int64_t mono_us, struct leat_out *out);
/* Makes the log whole again; notes what it does. LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_sink_mend_log(struct leat_sink *sink, struct leat_out *out);
int64_t leat_sink_stream_deadline_us(const struct leat_sink *sink);
void leat_sink_forget_follower(struct leat_sink *sink);

/* sink_retention.c */
/* A failure was recorded: it may be the oldest one. */
void leat_sink_retention_added(struct leat_sink *sink, struct leat_wall stored);
/* Removes what is due, a bounded part of it, and computes retire_at_us. */
void leat_sink_retire(struct leat_sink *sink, struct leat_now now, struct leat_out *out);

#endif
