/* Submits one job and prints what its handler returned.
 *
 *   usage: example-submit TYPE PAYLOAD
 *
 * Endpoints come from $LEAT_VENTILATOR and $LEAT_SINK, else from the defaults. */
#include <leat/producer.h>
#include <stdio.h>
#include <string.h>

static int run(struct leat_producer *producer, const char *type, const char *payload)
{
    struct leat_producer_job job = LEAT_PRODUCER_JOB;
    char id[LEAT_PRODUCER_ID_TEXT_BYTES];
    job.type = type;
    job.payload = payload;
    job.payload_bytes = strlen(payload);
    job.timeout_ms = 10000;

    /* Asynchronous: the job is held in the window, and sent again until it is acknowledged. */
    int result = leat_producer_submit(producer, &job, -1, id);
    if (result == LEAT_PRODUCER_OK) {
        /* Now it is on the ventilator's disk. */
        result = leat_producer_flush(producer, 5000);
    }
    struct leat_producer_outcome outcome;
    if (result == LEAT_PRODUCER_OK) {
        result = leat_producer_wait(producer, id, 60000, &outcome);
    }
    if (result != LEAT_PRODUCER_OK) {
        fprintf(stderr, "%s\n", leat_producer_error(producer));
        return 1;
    }
    if (!outcome.succeeded) {
        fprintf(stderr, "%s: %s\n", outcome.status, outcome.error);
        return 1;
    }
    fwrite(outcome.output, 1, outcome.output_bytes, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s TYPE PAYLOAD\n", argv[0]);
        return 2;
    }
    struct leat_producer_options options = LEAT_PRODUCER_OPTIONS;
    struct leat_producer *producer = NULL;
    char error[LEAT_PRODUCER_ERROR_BYTES];
    if (leat_producer_connect(&options, &producer, error) != LEAT_PRODUCER_OK) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    int status = run(producer, argv[1], argv[2]);
    leat_producer_close(&producer);
    return status;
}
