#include "worker/spawner/report.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/utf8.h"

enum leat_err leat_tail_init(struct leat_tail *tail, size_t keep)
{
    char *data = malloc(2 * keep + 1);
    if (data == NULL) {
        return LEAT_ERR_MEMORY;
    }
    *tail = (struct leat_tail){.data = data, .keep = keep};
    return LEAT_OK;
}

void leat_tail_fini(struct leat_tail *tail)
{
    free(tail->data);
    *tail = (struct leat_tail){0};
}

void leat_tail_clear(struct leat_tail *tail)
{
    tail->size = 0;
    tail->cut = false;
}

void leat_tail_append(struct leat_tail *tail, const char *data, size_t size)
{
    if (size > tail->keep) {
        data += size - tail->keep;
        size = tail->keep;
        tail->size = 0;
        tail->cut = true;
    }
    if (tail->size + size > 2 * tail->keep) {
        memmove(tail->data, tail->data + tail->size - tail->keep, tail->keep);
        tail->size = tail->keep;
        tail->cut = true;
    }
    memcpy(tail->data + tail->size, data, size);
    tail->size += size;
}

struct leat_str leat_tail_view(const struct leat_tail *tail)
{
    size_t size = tail->size;
    while (size > 0 && isspace((unsigned char)tail->data[size - 1])) {
        size--;
    }
    size_t from = size > tail->keep ? size - tail->keep : 0;
    return (struct leat_str){tail->data + from, size - from};
}

struct leat_str leat_report_text(char text[LEAT_REPORT_BYTES], const char *reason,
                                 struct leat_str tail)
{
    size_t head = strlen(reason);
    if (head > LEAT_ERROR_BYTES_MAX) {
        head = LEAT_ERROR_BYTES_MAX;
    }
    memcpy(text, reason, head);
    size_t size = head;
    if (tail.size > 0 && head + 2 < LEAT_ERROR_BYTES_MAX) {
        memcpy(text + head, ": ", 2);
        size = head + 2;
        size_t room = LEAT_ERROR_BYTES_MAX - size;
        size_t take = tail.size < room ? tail.size : room;
        memcpy(text + size, tail.data + tail.size - take, take);
        size += take;
    }
    leat_utf8_repair(text, size);
    /* A zero byte is valid UTF-8 and of no use to anybody who reads the text as a C string. */
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0') {
            text[i] = '?';
        }
    }
    text[size] = '\0';
    return (struct leat_str){text, size};
}

void leat_report_timeout(char reason[LEAT_REPORT_REASON_BYTES], uint64_t timeout_ms)
{
    if (timeout_ms < 1000) {
        snprintf(reason, LEAT_REPORT_REASON_BYTES, "timeout after %" PRIu64 " ms", timeout_ms);
    } else if (timeout_ms % 1000 == 0) {
        snprintf(reason, LEAT_REPORT_REASON_BYTES, "timeout after %" PRIu64 " s",
                 timeout_ms / 1000);
    } else {
        snprintf(reason, LEAT_REPORT_REASON_BYTES, "timeout after %.6g s",
                 (double)timeout_ms / 1000.0);
    }
}

static void report_signal(struct leat_item_outcome *ran, int status,
                          char reason[LEAT_REPORT_REASON_BYTES])
{
    const int number = WTERMSIG(status);
    const char *name = sigabbrev_np(number);
    ran->failure = LEAT_FAILURE_SIGNAL;
    ran->code = number;
    const char *core = WCOREDUMP(status) ? " (core dumped)" : "";
    if (name != NULL) {
        snprintf(reason, LEAT_REPORT_REASON_BYTES, "killed by SIG%s%s", name, core);
    } else {
        snprintf(reason, LEAT_REPORT_REASON_BYTES, "killed by signal %d%s", number, core);
    }
}

void leat_report_status(struct leat_item_outcome *ran, int status,
                        const uint32_t permanent_exits[8], char reason[LEAT_REPORT_REASON_BYTES])
{
    ran->failure = LEAT_FAILURE_NONE;
    ran->permanent = false;
    ran->code = 0;
    reason[0] = '\0';
    if (WIFSIGNALED(status)) {
        report_signal(ran, status, reason);
    } else if (WEXITSTATUS(status) != 0) {
        const unsigned code = (unsigned)WEXITSTATUS(status);
        ran->failure = LEAT_FAILURE_EXIT;
        ran->code = code;
        ran->permanent = (permanent_exits[code / 32] >> (code % 32) & 1u) != 0;
        snprintf(reason, LEAT_REPORT_REASON_BYTES, "exit status %u", code);
    }
}
