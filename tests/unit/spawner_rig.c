#include "spawner_rig.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wire/codec.h"
#include "worker/spawner/inside.h"

void rig_init(struct rig *rig)
{
    *rig = (struct rig){.config = LEAT_SPAWNER_CONFIG};
    rig->config.grace_ms = 200;
    static int serial;
    snprintf(rig->mark, sizeof rig->mark, "7%07d%03d", (int)getpid(), ++serial % 1000);
    setenv("MARK", rig->mark, 1);
    leat_arena_init(&rig->arena, LEAT_MESSAGE_BYTES_MAX);
}

static void add(struct rig *rig, const char *text, bool shell)
{
    struct leat_why why = {""};
    enum leat_err err = leat_spawner_add_exec(&rig->config, text, shell, &why);
    if (err != LEAT_OK) {
        fail_msg("%s", why.text);
    }
}

void rig_add_exec(struct rig *rig, const char *text)
{
    add(rig, text, false);
}

void rig_add_shell(struct rig *rig, const char *text)
{
    add(rig, text, true);
}

void rig_start(struct rig *rig)
{
    struct leat_why why = {""};
    enum leat_err err = leat_spawner_start(&rig->config, &rig->spawner, &why);
    if (err != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    leat_frames_init(&rig->frames, rig->spawner.fd, 0);
}

void rig_fini(struct rig *rig)
{
    leat_spawner_stop(&rig->spawner);
    leat_frames_fini(&rig->frames);
    leat_arena_fini(&rig->arena);
    leat_spawner_config_fini(&rig->config);
    assert_int_equal(rig_count_processes(rig->mark), 0);
}

struct leat_id rig_id(unsigned number)
{
    struct leat_id id = {{0x01, 0x93}};
    memcpy(id.bytes + 12, &number, sizeof number);
    return id;
}

unsigned rig_number(const struct leat_id *id)
{
    unsigned number;
    memcpy(&number, id->bytes + 12, sizeof number);
    return number;
}

struct leat_item_attempt rig_run(unsigned number, const char *type, const char *payload,
                                 uint64_t timeout_ms)
{
    return (struct leat_item_attempt){
        .id = rig_id(number),
        .delivery = 1,
        .attempt = 1,
        .queue = leat_str_of("default"),
        .type = leat_str_of(type),
        .timeout_ms = timeout_ms,
        .payload = leat_bytes_of(payload, strlen(payload)),
    };
}

int64_t rig_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * LEAT_MS_PER_S + now.tv_nsec / 1000000;
}

static void wait_for(struct rig *rig, short events)
{
    struct pollfd wait = {.fd = rig->spawner.fd, .events = events};
    if (poll(&wait, 1, 20000) != 1) {
        fail_msg("nothing from the spawner for 10 s");
    }
}

void rig_send(struct rig *rig, const struct leat_msg *msg)
{
    assert_int_equal(leat_frames_send_msg(&rig->frames, msg), LEAT_OK);
    for (;;) {
        assert_int_equal(leat_frames_flush(&rig->frames), LEAT_OK);
        if (leat_frames_queued_bytes(&rig->frames) == 0) {
            return;
        }
        wait_for(rig, POLLOUT);
    }
}

void rig_give_all(struct rig *rig, struct leat_item_attempt *attempts, size_t count)
{
    struct leat_msg msg = {.type = LEAT_MSG_RUN};
    msg.run.attempts.items = attempts;
    msg.run.attempts.count = count;
    rig_send(rig, &msg);
}

void rig_give(struct rig *rig, const struct leat_item_attempt *attempt)
{
    struct leat_item_attempt copy = *attempt;
    rig_give_all(rig, &copy, 1);
}

void rig_kill(struct rig *rig, unsigned number)
{
    struct leat_msg msg = {.type = LEAT_MSG_KILL};
    msg.kill.id = number == 0 ? (struct leat_id){{0}} : rig_id(number);
    msg.kill.delivery = number == 0 ? 0 : 1;
    rig_send(rig, &msg);
}

void rig_recall(struct rig *rig)
{
    const struct leat_msg msg = {.type = LEAT_MSG_RECALL};
    rig_send(rig, &msg);
}

const struct leat_msg *rig_receive(struct rig *rig)
{
    struct leat_bytes frame;
    assert_true(rig->msg.type != LEAT_MSG_RAN || rig->taken == rig->msg.ran.outcomes.count);
    rig->taken = 0;
    for (;;) {
        enum leat_err err = leat_frames_next(&rig->frames, &frame);
        if (err == LEAT_OK) {
            break;
        }
        assert_int_equal(err, LEAT_ERR_NOT_FOUND);
        wait_for(rig, POLLIN);
        err = leat_frames_fill(&rig->frames);
        if (err == LEAT_ERR_CLOSED) {
            fail_msg("the spawner has ended");
        }
    }
    leat_arena_clear(&rig->arena);
    struct leat_why why = {""};
    if (leat_wire_decode(frame, &rig->arena, &rig->msg, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    return &rig->msg;
}

const struct leat_item_outcome *rig_ran(struct rig *rig)
{
    if (rig->msg.type != LEAT_MSG_RAN || rig->taken == rig->msg.ran.outcomes.count) {
        assert_int_equal(rig_receive(rig)->type, LEAT_MSG_RAN);
        assert_true(rig->msg.ran.outcomes.count > 0);
    }
    return &rig->msg.ran.outcomes.items[rig->taken++];
}

const struct leat_item_outcome *rig_once(struct rig *rig, const char *type, const char *payload,
                                         uint64_t timeout_ms)
{
    const struct leat_item_attempt run = rig_run(1, type, payload, timeout_ms);
    rig_give(rig, &run);
    const struct leat_item_outcome *ran = rig_ran(rig);
    const struct leat_id id = rig_id(1);
    assert_true(leat_id_equal(&ran->id, &id));
    assert_int_equal(ran->delivery, 1);
    return ran;
}

/* Calls `visit` with the number of every process; the sum of what it returns. */
static size_t sum_processes(size_t (*visit)(const char *pid, const void *context),
                            const void *context)
{
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    size_t sum = 0;
    for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
        if (isdigit((unsigned char)entry->d_name[0])) {
            sum += visit(entry->d_name, context);
        }
    }
    closedir(proc);
    return sum;
}

static ssize_t read_proc(const char *pid, const char *name, char *text, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%.20s/%s", pid, name);
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        return -1;
    }
    ssize_t got = read(fd, text, size - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got;
}

static size_t has_text(const char *pid, const void *context)
{
    static const char *const places[] = {"cmdline", "environ"};
    static char text[64 << 10];
    for (size_t i = 0; i < 2; i++) {
        ssize_t got = read_proc(pid, places[i], text, sizeof text);
        if (got > 0 && memmem(text, (size_t)got, context, strlen(context)) != NULL) {
            return 1;
        }
    }
    return 0;
}

size_t rig_count_processes(const char *text)
{
    return sum_processes(has_text, text);
}

bool rig_wait_processes(const char *text, size_t count)
{
    const int64_t until_us = leat_spawner_now_us() + LEAT_US_PER_S;
    while (rig_count_processes(text) != count) {
        if (leat_spawner_now_us() > until_us) {
            return false;
        }
        poll(NULL, 0, 5); /* there is no event for the end of a process that is not ours */
    }
    return true;
}

bool rig_wait_file(const char *path)
{
    const int64_t until_us = leat_spawner_now_us() + 5 * LEAT_US_PER_S;
    while (access(path, F_OK) != 0) {
        if (leat_spawner_now_us() > until_us) {
            return false;
        }
        poll(NULL, 0, 5);
    }
    return true;
}

static size_t is_zombie_of(const char *pid, const void *context)
{
    char text[1024];
    if (read_proc(pid, "stat", text, sizeof text) <= 0 || strrchr(text, ')') == NULL) {
        return 0;
    }
    char state = 0;
    int session = 0;
    sscanf(strrchr(text, ')') + 1, " %c %*d %*d %d", &state, &session);
    return state == 'Z' && session == *(const int *)context;
}

size_t rig_count_zombies(pid_t session)
{
    const int number = (int)session;
    return sum_processes(is_zombie_of, &number);
}

size_t rig_count_files(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    size_t count = 0;
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count - 2;
}

void rig_assert_text(struct leat_str text, const char *expected)
{
    if (!leat_str_equal(text, leat_str_of(expected))) {
        fail_msg("\"%.*s\" instead of \"%s\"", LEAT_STR_ARGS(text), expected);
    }
}

void rig_assert_contains(struct leat_str text, const char *expected)
{
    if (text.size == 0 || memmem(text.data, text.size, expected, strlen(expected)) == NULL) {
        fail_msg("\"%.*s\" does not contain \"%s\"", LEAT_STR_ARGS(text), expected);
    }
}

void rig_assert_output(const struct leat_item_outcome *ran, const char *expected)
{
    rig_assert_text((struct leat_str){(const char *)ran->output.data, ran->output.size}, expected);
}
