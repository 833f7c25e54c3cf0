/* An example plug-in: four handlers that show what include/leat/handler.h offers.
 *
 *      leat-worker --plugin ./example_handlers.so
 *      leat submit --type upper 'some text'
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/handler.h"

/* echo: the output is the payload. */
static int echo(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    leat_handler_output(result, job->payload, job->payload_bytes);
    return 0;
}

/* upper: the payload in capitals, with the value of the header "prefix" before it. */
static int upper(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    const char *prefix = leat_handler_header(job, "prefix");
    if (prefix != NULL) {
        leat_handler_append(result, prefix, strlen(prefix));
    }
    const unsigned char *text = job->payload;
    char piece[256];
    for (size_t done = 0; done < job->payload_bytes;) {
        size_t size = 0;
        while (size < sizeof piece && done < job->payload_bytes) {
            piece[size++] = (char)toupper(text[done++]);
        }
        if (leat_handler_append(result, piece, size) != 0) {
            return 1; /* the attempt is reported as too_large, whatever is returned */
        }
    }
    return 0;
}

/* words: counts the words of the payload. A payload without any is an error that no retry mends. */
static int words(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    const unsigned char *text = job->payload;
    size_t count = 0;
    int inside = 0;
    for (size_t i = 0; i < job->payload_bytes; i++) {
        int letter = !isspace(text[i]);
        count += (size_t)(letter && !inside);
        inside = letter;
    }
    if (count == 0) {
        return leat_handler_fail(result, LEAT_HANDLER_PERMANENT, 65, "no words in %zu bytes",
                                 job->payload_bytes);
    }
    char number[32];
    int size = snprintf(number, sizeof number, "%zu\n", count);
    leat_handler_output(result, number, (size_t)size);
    return 0;
}

/* flaky: fails twice and then succeeds, as services do on a bad day. */
static int flaky(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    if (job->attempt < 3) {
        return leat_handler_fail(result, LEAT_HANDLER_RETRY, 75,
                                 "the service is away (attempt %llu)",
                                 (unsigned long long)job->attempt);
    }
    leat_handler_output(result, "at last\n", 8);
    return 0;
}

static const struct leat_handler handlers[] = {
    {"echo", echo},
    {"upper", upper},
    {"words", words},
    {"flaky", flaky},
};

LEAT_HANDLERS(handlers);
