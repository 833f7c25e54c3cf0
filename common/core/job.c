#include "core/job.h"

#include "core/limits.h"
#include "core/name.h"
#include "core/utf8.h"

void leat_job_body_defaults(struct leat_item_body *ret_body)
{
    *ret_body = (struct leat_item_body){
        .timeout_ms = LEAT_TIMEOUT_MS_DEFAULT,
        .attempts_max = LEAT_ATTEMPTS_DEFAULT,
        .backoff_base_ms = LEAT_BACKOFF_BASE_MS,
        .backoff_factor_milli = LEAT_BACKOFF_FACTOR_MILLI,
        .backoff_cap_ms = LEAT_BACKOFF_CAP_MS,
        .backoff_jitter = true,
    };
}

static enum leat_err check_range(const char *what, uint64_t value, uint64_t min, uint64_t max,
                                 const char *unit, struct leat_why *why)
{
    if (value >= min && value <= max) {
        return LEAT_OK;
    }
    return leat_fail(why, LEAT_ERR_LIMIT, "%s is %llu%s, allowed are %llu to %llu%s", what,
                     (unsigned long long)value, unit, (unsigned long long)min,
                     (unsigned long long)max, unit);
}

static enum leat_err check_times(const struct leat_item_submission *job, struct leat_why *why)
{
    if (job->not_before_ms < 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "not before is %lld ms, it must not be negative",
                         (long long)job->not_before_ms);
    }
    if (job->expires_at_ms < 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "expires at is %lld ms, it must not be negative",
                         (long long)job->expires_at_ms);
    }
    if (job->expires_at_ms > LEAT_WALL_MS_MAX || job->not_before_ms > LEAT_WALL_MS_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT,
                         "not before is %lld ms and expires at is %lld ms, the limit is %lld",
                         (long long)job->not_before_ms, (long long)job->expires_at_ms,
                         (long long)LEAT_WALL_MS_MAX);
    }
    if (job->expires_at_ms != 0 && job->expires_at_ms <= job->not_before_ms) {
        return leat_fail(why, LEAT_ERR_INVALID,
                         "expires at is %lld ms, it must be after not before, which is %lld ms",
                         (long long)job->expires_at_ms, (long long)job->not_before_ms);
    }
    return LEAT_OK;
}

static bool has_names_of(const struct leat_item_submission *job,
                         const struct leat_item_submission *other)
{
    return leat_str_equal(job->queue, other->queue) && leat_str_equal(job->type, other->type);
}

enum leat_err leat_job_check_submission(const struct leat_item_submission *job,
                                        const struct leat_item_submission *checked,
                                        size_t payload_bytes_max, struct leat_why *why)
{
    if (leat_id_is_zero(&job->id)) {
        return leat_fail(why, LEAT_ERR_INVALID, "job id is all zero");
    }
    enum leat_err err = LEAT_OK;
    if (checked == NULL || !has_names_of(job, checked)) {
        err = leat_name_check_queue(job->queue, why);
        err = err == LEAT_OK ? leat_name_check_type(job->type, why) : err;
    }
    if (err == LEAT_OK) {
        err = check_times(job, why);
    }
    if (err == LEAT_OK && job->body.size > payload_bytes_max + LEAT_BODY_OVERHEAD_BYTES) {
        err = leat_fail(why, LEAT_ERR_LIMIT,
                        "body is %zu bytes, the limit is %zu (payload %zu, all else %d)",
                        job->body.size, payload_bytes_max + LEAT_BODY_OVERHEAD_BYTES,
                        payload_bytes_max, LEAT_BODY_OVERHEAD_BYTES);
    }
    return err;
}

static enum leat_err check_policy(const struct leat_item_body *body, struct leat_why *why)
{
    enum leat_err err = check_range("timeout", body->timeout_ms, LEAT_TIMEOUT_MS_MIN,
                                    LEAT_TIMEOUT_MS_MAX, " ms", why);
    if (err == LEAT_OK) {
        err = check_range("max attempts", body->attempts_max, 1, LEAT_ATTEMPTS_MAX, "", why);
    }
    if (err == LEAT_OK) {
        err =
            check_range("backoff base", body->backoff_base_ms, 0, LEAT_BACKOFF_MS_MAX, " ms", why);
    }
    if (err == LEAT_OK) {
        err = check_range("backoff factor", body->backoff_factor_milli, LEAT_BACKOFF_FACTOR_MIN,
                          LEAT_BACKOFF_FACTOR_MAX, " thousandths", why);
    }
    if (err == LEAT_OK) {
        err = check_range("backoff cap", body->backoff_cap_ms, 0, LEAT_BACKOFF_MS_MAX, " ms", why);
    }
    return err;
}

static enum leat_err check_header(const struct leat_item_header *header, struct leat_why *why)
{
    enum leat_err err =
        leat_name_check("header name", header->name, LEAT_HEADER_NAME_BYTES_MAX, why);
    if (err != LEAT_OK) {
        return err;
    }
    if (header->value.size > LEAT_HEADER_VALUE_BYTES_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "header %.*s is %zu bytes, the limit is %d",
                         LEAT_STR_ARGS(header->name), header->value.size,
                         LEAT_HEADER_VALUE_BYTES_MAX);
    }
    if (header->value.size > 0 && memchr(header->value.data, '\0', header->value.size) != NULL) {
        return leat_fail(why, LEAT_ERR_INVALID, "header %.*s holds a zero byte",
                         LEAT_STR_ARGS(header->name));
    }
    if (!leat_utf8_valid(header->value.data, header->value.size)) {
        return leat_fail(why, LEAT_ERR_INVALID, "header %.*s is not UTF-8",
                         LEAT_STR_ARGS(header->name));
    }
    return LEAT_OK;
}

static enum leat_err check_headers(const struct leat_item_body *body, struct leat_why *why)
{
    if (body->headers.count > LEAT_HEADERS_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "%zu headers, the limit is %d", body->headers.count,
                         LEAT_HEADERS_MAX);
    }
    size_t bytes = 0;
    for (size_t i = 0; i < body->headers.count; i++) {
        const struct leat_item_header *header = &body->headers.items[i];
        enum leat_err err = check_header(header, why);
        if (err != LEAT_OK) {
            return err;
        }
        for (size_t j = 0; j < i; j++) {
            if (leat_str_equal(header->name, body->headers.items[j].name)) {
                return leat_fail(why, LEAT_ERR_INVALID, "header %.*s is there twice",
                                 LEAT_STR_ARGS(header->name));
            }
        }
        bytes += header->name.size + header->value.size;
    }
    if (bytes > LEAT_HEADERS_BYTES_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "headers are %zu bytes in all, the limit is %d",
                         bytes, LEAT_HEADERS_BYTES_MAX);
    }
    return LEAT_OK;
}

enum leat_err leat_job_check_body(const struct leat_item_body *body, size_t payload_bytes_max,
                                  struct leat_why *why)
{
    if (body->payload.size > payload_bytes_max) {
        return leat_fail(why, LEAT_ERR_LIMIT, "payload is %zu bytes, the limit is %zu",
                         body->payload.size, payload_bytes_max);
    }
    enum leat_err err = check_policy(body, why);
    return err == LEAT_OK ? check_headers(body, why) : err;
}
