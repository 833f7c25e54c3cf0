/* What the kinds of sources share; see source.h. */
#ifndef LEAT_PRODUCER_SOURCE_INSIDE_H
#define LEAT_PRODUCER_SOURCE_INSIDE_H

#include "producer/source.h"

struct leat_source {
    const struct leat_producer_job *template;
    enum leat_err (*next)(struct leat_source *source, struct leat_now now,
                          struct leat_source_job *ret_job, struct leat_why *why);
    void (*close)(struct leat_source *source); /* frees what the kind owns and the source */
    int fd;                                    /* -1: none */
    int64_t due_us;
    uint64_t total;
    char label[4200];
};

/* Reads delimited records from a descriptor without ever blocking on it. */
struct leat_records {
    int fd;
    char delimiter;
    char *data; /* owned */
    size_t begin, end, capacity;
    size_t limit; /* longest record */
    bool at_end;  /* of the input */
    uint64_t number;
};

/* `path` "-" is the standard input. LEAT_ERR_IO names the path. */
LEAT_MUST_USE enum leat_err leat_records_open(struct leat_records *records, const char *path,
                                              char delimiter, struct leat_why *why);
void leat_records_close(struct leat_records *records);
/* LEAT_OK: a record without its delimiter, followed by a zero byte, borrowed until the next call.
 * LEAT_ERR_BUSY: nothing now. LEAT_ERR_NOT_FOUND: the end. LEAT_ERR_LIMIT: too long, skipped.
 * LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_records_next(struct leat_records *records,
                                              struct leat_bytes *ret_record, struct leat_why *why);

#endif
