/* Many workers and producers of leat in one process, all mostly idle, speaking the protocol over
 * bench/zmtp.h.
 *
 *   bench_crowd role=crowd at=VENTILATOR sink=SINK workers=N producers=N every=SECONDS
 *       Each worker has its connections and its session, says PING as often as an idle worker of
 *       leat does, and runs what it gets from the queue "crowd" by handing in a result; each
 *       producer submits a job to it every so many seconds. Prints "ready" when every worker was
 *       welcomed, and a JSON object at SIGTERM.
 *   bench_crowd role=first at=VENTILATOR
 *       One worker of the queue "default": tries until a ventilator is there, and prints when the
 *       first job was pushed to it; hands it back and goes. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "bench/peer.h"
#include "bench/zmtp.h"
#include "wire/codec.h"

#define TURN_MS 10

enum kind {
    WORKER,
    RESULTS, /* a worker's connection to the sink */
    PRODUCER,
};

struct member {
    struct zmtp peer;
    enum kind kind;
    size_t place; /* among those of its kind */
    struct leat_id id;
    uint64_t round;
    uint64_t number; /* of its last message in the round, or of its last batch */
    uint64_t received;
    bool is_open;
    uint64_t next_ns; /* PING, HELLO or SUBMIT */
};

struct crowd {
    const char *ventilator;
    const char *sink;
    const char *queue;
    uint64_t every_ns;
    struct member *members;
    size_t count;
    size_t workers;
    int epoll;
    uint64_t ping_ns;  /* as leat's worker does when it holds nothing */
    uint64_t begun_ns; /* in the ids of jobs: those of another crowd are others */
    struct leat_wire_buffer frame;
    struct leat_arena arena;
    uint64_t welcomed, pings, submitted, accepted, run, stored, errors;
    uint64_t first_ns; /* role=first */
};

static volatile sig_atomic_t is_stopping;

static void on_signal(int number)
{
    (void)number;
    is_stopping = 1;
}

static struct leat_id id_of(uint8_t kind, uint64_t place, uint64_t number)
{
    struct leat_id id = {
        {0x01, 0x9b, kind, (uint8_t)(place >> 8), (uint8_t)place, 0, 0x70, 0, 0x80}};
    for (int i = 0; i < 7; i++) {
        id.bytes[15 - i] = (uint8_t)(number >> (8 * i));
    }
    return id;
}

static void say(struct crowd *crowd, struct member *member, const struct leat_msg *msg)
{
    leat_wire_buffer_clear(&crowd->frame);
    if (leat_wire_encode(msg, &crowd->frame) != LEAT_OK) {
        peer_stop("a message of type %d cannot be encoded", (int)msg->type);
    }
    zmtp_send(&member->peer, leat_wire_buffer_view(&crowd->frame));
}

/* ---- workers ---- */

static void say_hello(struct crowd *crowd, struct member *member, uint64_t now_ns)
{
    struct leat_item_name queue = {leat_str_of(crowd->queue)};
    struct leat_msg msg = {.type = LEAT_MSG_HELLO};
    msg.hello.session = member->id;
    msg.hello.round = ++member->round;
    msg.hello.name = leat_str_of("crowd");
    msg.hello.queues.items = &queue;
    msg.hello.queues.count = 1;
    msg.hello.slots = 1;
    member->number = 0;
    member->received = 0;
    member->next_ns = now_ns + PEER_NS_PER_S;
    say(crowd, member, &msg);
}

static void say_credit(struct crowd *crowd, struct member *member)
{
    struct leat_msg msg = {.type = LEAT_MSG_CREDIT};
    msg.credit.round = member->round;
    msg.credit.number = ++member->number;
    msg.credit.total = member->received + 1;
    say(crowd, member, &msg);
}

static void say_ping(struct crowd *crowd, struct member *member)
{
    struct leat_msg msg = {.type = LEAT_MSG_PING};
    msg.ping.round = member->round;
    msg.ping.number = ++member->number;
    say(crowd, member, &msg);
    crowd->pings++;
}

static void say_result(struct crowd *crowd, struct member *worker,
                       const struct leat_item_delivery *job)
{
    struct leat_item_result result = {.id = job->id,
                                      .queue = job->queue,
                                      .type = job->type,
                                      .status = LEAT_STATE_SUCCEEDED,
                                      .attempts = job->attempt,
                                      .delivery = job->delivery,
                                      .accepted_us = job->accepted_us,
                                      .finished_us = job->ready_us,
                                      .worker = leat_str_of("crowd")};
    struct member *sink = worker + 1;
    struct leat_msg msg = {.type = LEAT_MSG_RESULTS};
    msg.results.sender = worker->id;
    msg.results.batch = ++sink->number;
    msg.results.results.items = &result;
    msg.results.results.count = 1;
    say(crowd, sink, &msg);
    crowd->run++;
}

/* role=first: the job goes back, as if nothing had been. */
static void hand_back(struct crowd *crowd, struct member *member, const struct leat_msg_jobs *jobs)
{
    struct leat_item_lease lease = {jobs->jobs.items[0].id, jobs->jobs.items[0].delivery};
    struct leat_msg msg = {.type = LEAT_MSG_RETURN};
    crowd->first_ns = peer_now_ns();
    msg.handback.round = member->round;
    msg.handback.number = ++member->number;
    msg.handback.jobs.items = &lease;
    msg.handback.jobs.count = 1;
    say(crowd, member, &msg);
    struct leat_msg bye = {.type = LEAT_MSG_GOODBYE};
    bye.goodbye.round = member->round;
    bye.goodbye.number = ++member->number;
    bye.goodbye.reason = leat_str_of("it was the first");
    say(crowd, member, &bye);
    is_stopping = 1;
}

static void take_jobs(struct crowd *crowd, struct member *member, const struct leat_msg_jobs *jobs)
{
    member->received += jobs->jobs.count;
    if (crowd->sink == NULL) {
        hand_back(crowd, member, jobs);
        return;
    }
    for (size_t i = 0; i < jobs->jobs.count; i++) {
        say_result(crowd, member, &jobs->jobs.items[i]);
    }
    say_credit(crowd, member);
}

/* ---- producers ---- */

static void say_submit(struct crowd *crowd, struct member *member)
{
    static const uint8_t payload[128];
    struct leat_item_body body = {.payload = leat_bytes_of(payload, sizeof payload),
                                  .timeout_ms = 60000,
                                  .attempts_max = 3,
                                  .backoff_base_ms = 1000,
                                  .backoff_factor_milli = 2000,
                                  .backoff_cap_ms = 300000};
    struct leat_wire_buffer bytes = {0};
    if (leat_wire_encode_item_body(&body, &bytes) != LEAT_OK) {
        peer_stop("a body cannot be encoded");
    }
    struct leat_item_submission job = {
        .id = id_of('j', member->place, crowd->begun_ns >> 24 << 24 | ++member->number),
        .queue = leat_str_of(crowd->queue),
        .type = leat_str_of("stamp"),
        .body = leat_wire_buffer_view(&bytes)};
    struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
    msg.submit.producer = member->id;
    msg.submit.batch = member->number;
    msg.submit.jobs.items = &job;
    msg.submit.jobs.count = 1;
    say(crowd, member, &msg);
    leat_wire_buffer_fini(&bytes);
    crowd->submitted++;
}

/* ---- all of them ---- */

static void take_welcome(struct crowd *crowd, struct member *member,
                         const struct leat_msg_welcome *welcome)
{
    if (welcome->round != member->round || member->is_open) {
        return;
    }
    member->is_open = true;
    crowd->welcomed++;
    crowd->ping_ns = 2 * welcome->ping_ms * 1000000;
    /* Spread, as those of real workers are that started at different times. */
    member->next_ns = peer_now_ns() + crowd->ping_ns * (member->place + 1) / (crowd->workers + 1);
    say_credit(crowd, member);
}

static void take_message(struct crowd *crowd, struct member *member, struct leat_bytes frame)
{
    struct leat_msg msg;
    struct leat_why why;
    leat_arena_clear(&crowd->arena);
    if (leat_wire_decode(frame, &crowd->arena, &msg, &why) != LEAT_OK) {
        peer_stop("%s", why.text);
    }
    if (msg.type == LEAT_MSG_WELCOME) {
        take_welcome(crowd, member, &msg.welcome);
    } else if (msg.type == LEAT_MSG_JOBS) {
        take_jobs(crowd, member, &msg.jobs);
    } else if (msg.type == LEAT_MSG_ACCEPTED) {
        crowd->accepted++;
    } else if (msg.type == LEAT_MSG_STORED) {
        crowd->stored++;
    } else if (msg.type != LEAT_MSG_PONG) {
        crowd->errors++;
    }
}

static void act(struct crowd *crowd, struct member *member, uint64_t now_ns)
{
    if (now_ns < member->next_ns || member->peer.fd < 0) {
        return;
    }
    if (member->kind == WORKER && !member->is_open) {
        say_hello(crowd, member, now_ns);
    } else if (member->kind == WORKER) {
        say_ping(crowd, member);
        member->next_ns += crowd->ping_ns;
    } else if (member->kind == PRODUCER) {
        say_submit(crowd, member);
        member->next_ns += crowd->every_ns;
    }
}

static bool join(struct crowd *crowd, struct member *member)
{
    const char *to = member->kind == RESULTS ? crowd->sink : crowd->ventilator;
    if (!zmtp_connect(&member->peer, to)) {
        return false;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};
    if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, member->peer.fd, &event) != 0) {
        peer_stop("epoll: %s", strerror(errno));
    }
    return true;
}

static void leave(struct member *member)
{
    zmtp_close(&member->peer);
    member->is_open = false;
}

static void turn(struct crowd *crowd)
{
    struct epoll_event events[256];
    int count = epoll_wait(crowd->epoll, events, 256, TURN_MS);
    for (int i = 0; i < count; i++) {
        struct member *member = events[i].data.ptr;
        struct leat_bytes frame;
        bool is_there = zmtp_fill(&member->peer) && zmtp_flush(&member->peer);
        while (zmtp_next(&member->peer, &frame)) {
            take_message(crowd, member, frame);
        }
        if (!is_there) {
            leave(member);
        }
    }
    uint64_t now_ns = peer_now_ns();
    for (size_t i = 0; i < crowd->count; i++) {
        act(crowd, &crowd->members[i], now_ns);
    }
}

static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void gather(struct crowd *crowd, size_t producers)
{
    uint64_t now_ns = peer_now_ns();
    crowd->count = 2 * crowd->workers + producers;
    crowd->begun_ns = now_ns;
    crowd->members = calloc(crowd->count, sizeof *crowd->members);
    for (size_t i = 0; i < crowd->count; i++) {
        struct member *member = &crowd->members[i];
        bool is_producer = i >= 2 * crowd->workers;
        member->kind = is_producer ? PRODUCER : i % 2 == 0 ? WORKER : RESULTS;
        member->place = is_producer ? i - 2 * crowd->workers : i / 2;
        member->id = id_of((uint8_t)(member->kind + 1), member->place, now_ns >> 8);
        member->next_ns =
            is_producer ? now_ns + crowd->every_ns * (member->place + 1) / producers : 0;
        if (!join(crowd, member)) {
            peer_stop("nobody listens at %s",
                      member->kind == RESULTS ? crowd->sink : crowd->ventilator);
        }
    }
}

static void run_crowd(struct crowd *crowd, const struct peer_settings *settings)
{
    const char *workers = peer_setting(settings, "workers");
    const char *producers = peer_setting(settings, "producers");
    const char *every = peer_setting(settings, "every");
    crowd->queue = "crowd";
    crowd->workers = workers == NULL ? 1000 : strtoul(workers, NULL, 10);
    crowd->every_ns = (every == NULL ? 30 : strtoull(every, NULL, 10)) * PEER_NS_PER_S;
    gather(crowd, producers == NULL ? 1000 : strtoul(producers, NULL, 10));
    uint64_t begin_ns = peer_now_ns();
    while (crowd->welcomed < crowd->workers && is_stopping == 0) {
        turn(crowd);
        if (peer_now_ns() - begin_ns > 30 * PEER_NS_PER_S) {
            peer_stop("%llu of %zu workers were welcomed", (unsigned long long)crowd->welcomed,
                      crowd->workers);
        }
    }
    printf("ready\n");
    fflush(stdout);
    while (is_stopping == 0) {
        turn(crowd);
    }
    size_t left = 0;
    for (size_t i = 0; i < crowd->count; i++) {
        left += crowd->members[i].peer.fd < 0 ? 1 : 0;
        leave(&crowd->members[i]);
    }
    printf("{\"welcomed\": %llu, \"pings\": %llu, \"submitted\": %llu, \"accepted\": %llu, "
           "\"run\": %llu, \"stored\": %llu, \"errors\": %llu, \"lost\": %zu}\n",
           (unsigned long long)crowd->welcomed, (unsigned long long)crowd->pings,
           (unsigned long long)crowd->submitted, (unsigned long long)crowd->accepted,
           (unsigned long long)crowd->run, (unsigned long long)crowd->stored,
           (unsigned long long)crowd->errors, left);
    free(crowd->members);
}

static void run_first(struct crowd *crowd)
{
    struct member member = {.peer.fd = -1, .kind = WORKER, .id = id_of('f', 1, peer_now_ns())};
    crowd->queue = "default";
    crowd->sink = NULL;
    crowd->members = &member;
    crowd->count = 1;
    crowd->workers = 1;
    while (is_stopping == 0) {
        if (member.peer.fd < 0) {
            member.next_ns = 0;
            (void)join(crowd, &member);
        }
        turn(crowd);
    }
    /* What was said last is to arrive. */
    for (int turns = 0; turns < 100 && member.peer.out.size > 0; turns++) {
        turn(crowd);
    }
    leave(&member);
    printf("{\"first_ns\": %llu}\n", (unsigned long long)crowd->first_ns);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"sink", "workers", "producers", "every", NULL};
    struct peer_settings settings;
    struct crowd crowd = {0};
    struct sigaction action = {.sa_handler = on_signal};
    peer_settings_read(&settings, argc, argv, names);
    (void)sigaction(SIGTERM, &action, NULL);
    raise_limit();
    crowd.ventilator = settings.at;
    crowd.sink = peer_setting(&settings, "sink");
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    crowd.ping_ns = PEER_NS_PER_S;
    leat_arena_init(&crowd.arena, 16 << 20);
    if (strcmp(settings.role, "crowd") == 0 && crowd.sink != NULL) {
        run_crowd(&crowd, &settings);
    } else if (strcmp(settings.role, "first") == 0) {
        run_first(&crowd);
    } else {
        peer_stop("role=%s: crowd with sink=, or first", settings.role);
    }
    leat_arena_fini(&crowd.arena);
    leat_wire_buffer_fini(&crowd.frame);
    return 0;
}
