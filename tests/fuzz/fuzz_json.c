/* The producer's JSON lines: any file is read to its end; each line is a job all of whose parts can
 * be read, or a refusal with a reason. (Whether the parts are valid is for leat_producer_submit to
 * say.) */
#include <string.h>

#include "producer/source.h"
#include "tests/fuzz/fuzz.h"

static void check_job(const struct leat_source_job *job)
{
    if (job->label == NULL || job->job.type == NULL) {
        fuzz_fail("a job without type or label");
    }
    uint64_t sum = strlen(job->job.type) + strlen(job->label);
    sum += job->job.id != NULL ? strlen(job->job.id) : 0;
    sum += job->job.queue != NULL ? strlen(job->job.queue) : 0;
    for (size_t i = 0; i < job->job.payload_bytes; i++) {
        sum += ((const uint8_t *)job->job.payload)[i];
    }
    for (size_t i = 0; i < job->job.headers_count; i++) {
        sum += strlen(job->job.headers[i].name) + strlen(job->job.headers[i].value);
    }
    volatile uint64_t read_all = sum;
    (void)read_all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    struct leat_producer_job template = LEAT_PRODUCER_JOB;
    template.type = "echo";
    struct leat_source *source = NULL;
    struct leat_why why = {""};
    if (leat_source_open_json(path, &template, &source, &why) != LEAT_OK) {
        fuzz_fail("%s", why.text);
    }
    struct leat_now now = {1000000, {INT64_C(1700000000) * LEAT_US_PER_S}};
    struct leat_source_job job;
    enum leat_err err;
    size_t lines = 0;
    do {
        why.text[0] = '\0';
        err = leat_source_next(source, now, &job, &why);
        if (err == LEAT_OK) {
            check_job(&job);
        } else if (err == LEAT_ERR_INVALID && why.text[0] == '\0') {
            fuzz_fail("refused without a reason");
        }
        if (++lines > size + 2) {
            fuzz_fail("more lines than bytes");
        }
    } while (err == LEAT_OK || err == LEAT_ERR_INVALID || err == LEAT_ERR_LIMIT);
    if (err != LEAT_ERR_NOT_FOUND) {
        fuzz_fail("ended with %s: %s", leat_err_name(err), why.text);
    }
    leat_source_close(&source);
    return 0;
}
