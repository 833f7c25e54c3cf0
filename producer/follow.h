/* The jobs whose results leat-producer waits for: asks the sink in turn for all that are out, hands
 * each result on once. */
#ifndef LEAT_PRODUCER_FOLLOW_H
#define LEAT_PRODUCER_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/id.h"
#include "core/instant.h"
#include "leat/producer.h"

struct leat_follow;

/* Called once per job with its result. `label` is where the job came from. */
typedef void leat_follow_fn(const char *label, const struct leat_producer_outcome *outcome,
                            void *context);

/* `producer` is borrowed. NULL when out of memory. */
struct leat_follow *leat_follow_new(struct leat_producer *producer, bool with_output,
                                    leat_follow_fn *visit, void *context);
void leat_follow_destroy(struct leat_follow **follow);

/* From now on the job is waited for; id and label are copied. False when out of memory. */
bool leat_follow_add(struct leat_follow *follow, const char *id, const char *label);
/* These jobs are waited for no longer; ids that are not are of no account. Sorts `ids`. Not to be
 * called from `visit` or during a question. */
void leat_follow_forget(struct leat_follow *follow, struct leat_id *ids, size_t count);
/* Jobs without a result. */
size_t leat_follow_count(const struct leat_follow *follow);
/* Asks for the next LEAT_QUERY_IDS_MAX of them if it is time to; blocks at most wait_ms for the
 * answer. False when the sink did not answer. */
bool leat_follow_ask(struct leat_follow *follow, struct leat_now now, int64_t wait_ms);
/* Monotonic time of the next question; LEAT_NEVER_US while nothing is waited for. */
int64_t leat_follow_due_us(const struct leat_follow *follow);

#endif
