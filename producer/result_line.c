#include "producer/result_line.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "producer/base64.h"

static bool set(json_t *line, const char *key, json_t *value)
{
    return json_object_set_new(line, key, value) == 0; /* refuses NULL */
}

static bool set_output(json_t *line, const struct leat_producer_outcome *outcome)
{
    const char *bytes = outcome->output_bytes > 0 ? outcome->output : "";
    json_t *text = json_stringn(bytes, outcome->output_bytes);
    if (text != NULL) {
        return set(line, "output", text);
    }
    char *base64 = leat_base64_encode(leat_bytes_of(bytes, outcome->output_bytes));
    bool done = base64 != NULL && set(line, "output_base64", json_string(base64));
    free(base64);
    return done;
}

static bool set_source(json_t *line, const char *label)
{
    char *source = strdup(label); /* may be a path, which may be in any encoding */
    if (source == NULL) {
        return false;
    }
    leat_utf8_repair(source, strlen(source));
    bool done = set(line, "source", json_string(source));
    free(source);
    return done;
}

bool leat_result_line_write(FILE *file, const char *label,
                            const struct leat_producer_outcome *outcome)
{
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:b}", "id", outcome->id, "status", outcome->status,
                  "failure", outcome->failure, "error", outcome->error, "attempts",
                  (json_int_t)outcome->attempts, "truncated", outcome->truncated);
    char *text = NULL;
    if (line != NULL && set_source(line, label) && set_output(line, outcome)) {
        text = json_dumps(line, JSON_COMPACT);
    }
    if (text != NULL) {
        fprintf(file, "%s\n", text);
    }
    bool done = text != NULL;
    free(text);
    json_decref(line);
    return done;
}
