/* The handler of the bench: does nothing, and returns the stamp of its payload (bench/peer.h), as
 * the peers' workers do. */
#include "leat/handler.h"

#define STAMP_BYTES 16

static int stamp(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    size_t size = job->payload_bytes < STAMP_BYTES ? job->payload_bytes : STAMP_BYTES;
    return leat_handler_output(result, job->payload, size);
}

static const struct leat_handler handlers[] = {{"stamp", stamp}};
LEAT_HANDLERS(handlers);
