/* The inside of libleat: one struct, its I/O (link.c), and the public calls (producer.c,
 * results.c). leat-producer uses the two calls at the end as well. */
#ifndef LEAT_PRODUCER_INSIDE_H
#define LEAT_PRODUCER_INSIDE_H

#include <czmq.h>

#include "core/arena.h"
#include "core/job.h"
#include "io/curve.h"
#include "leat/producer.h"
#include "producer/submitter.h"
#include "wire/buffer.h"

struct leat_producer {
    struct leat_submitter *submitter;
    struct leat_out out;
    zsock_t *ventilator;
    zsock_t *sink; /* NULL until a result is asked for */
    char *sink_endpoint;
    struct leat_curve curve, sink_curve; /* off: not encrypted */
    size_t payload_bytes_max;
    struct leat_wire_buffer body, frame; /* reused */
    struct leat_arena decoded;           /* of the last message received */
    zmq_msg_t answer;                    /* what *answers borrows from */
    struct leat_msg answers;             /* type ANSWERS when `has_answers` */
    bool has_answers;
    uint64_t query_ref;        /* of the last QUERY */
    int64_t turned_us;         /* monotonic: when the sockets were looked at last */
    int64_t unconnected_us[2]; /* of leat_socket_tend: ventilator, sink */
    bool is_refused;           /* the sink answered it with ERROR; its text is in `error` */
    uint64_t rejected_reported;
    struct leat_arena outcome; /* what the caller was given last */
    struct leat_why error;
};

/* LEAT_OK, or the error with its text in producer->error. */
enum leat_err leat_producer_open_links(struct leat_producer *producer, const char *ventilator,
                                       struct leat_why *why);
enum leat_err leat_producer_open_sink(struct leat_producer *producer);
void leat_producer_close_links(struct leat_producer *producer);

/* One round: gives the submitter its step, waits at most wait_us (LEAT_NEVER_US: as long as it
 * takes) for the sockets, the submitter's deadline or `fd` (-1: none), and takes what has come. */
void leat_producer_turn(struct leat_producer *producer, int64_t wait_us, int fd);
/* Sends a QUERY; its answer comes as producer->answers by later turns. False: not connected now. */
bool leat_producer_send_query(struct leat_producer *producer, const struct leat_item_job_id *ids,
                              size_t count, bool with_output);

/* As leat_producer_poll_results, for ids that are read already, and with the outputs if wanted. An
 * answer is waited for until timeout_ms (-1: as long as it takes). LEAT_OK, LEAT_ERR_UNREACHABLE,
 * LEAT_ERR_REFUSED (the key may not ask), or why the sink's endpoint cannot be used. */
LEAT_MUST_USE enum leat_err leat_producer_fetch(struct leat_producer *producer,
                                                const struct leat_item_job_id *ids, size_t count,
                                                bool with_output, int64_t timeout_ms,
                                                leat_producer_visit_fn *visit, void *context);

#endif
