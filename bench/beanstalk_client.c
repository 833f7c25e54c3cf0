/* Drives beanstalkd as well as it can be.
 *
 *   bench_beanstalk role=producer at=SOCKET jobs=N batch=B [rate=R]     put into tube jobs
 *   bench_beanstalk role=worker at=SOCKET batch=B                       until it gets SIGTERM
 *   bench_beanstalk role=sink at=SOCKET jobs=N batch=B                  reserve from results,
 * delete
 *
 * A job's life: put; reserve; (its handler, which does nothing); put into results, delete and the
 * next reserve in one go; reserve; delete and the next reserve in one go. The producer has one
 * connection and pipelines B puts. Worker and sink have B connections (CONNECTIONS_MAX at most),
 * each of which waits in a reserve of its own: so nothing is held up behind a reserve that waits.
 *
 * https://github.com/beanstalkd/beanstalkd/blob/master/doc/protocol.txt is what this speaks. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/peer.h"

#define CONNECTIONS_MAX 64

struct client {
    int fd;
    char *out; /* owned; what is to be sent */
    size_t out_size;
    size_t out_capacity;
    char *in; /* owned; [taken, in_size) is received and not yet taken */
    size_t taken;
    size_t in_size;
    size_t in_capacity;
};

static void *grown(void *memory, size_t size)
{
    memory = realloc(memory, size);
    if (memory == NULL) {
        peer_stop("no memory for %zu bytes", size);
    }
    return memory;
}

static void connect_to(struct client *client, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        peer_stop("beanstalkd at %s: the path is too long", path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        peer_stop("beanstalkd at %s: %s", path, strerror(errno));
    }
}

/* ---- bytes ---- */

static void say(struct client *client, const void *data, size_t size)
{
    if (client->out_size + size > client->out_capacity) {
        client->out_capacity = 2 * (client->out_size + size);
        client->out = grown(client->out, client->out_capacity);
    }
    memcpy(client->out + client->out_size, data, size);
    client->out_size += size;
}

static void say_text(struct client *client, const char *text)
{
    say(client, text, strlen(text));
}

static void fill(struct client *client)
{
    memmove(client->in, client->in + client->taken, client->in_size - client->taken);
    client->in_size -= client->taken;
    client->taken = 0;
    if (client->in_capacity - client->in_size < 65536) {
        client->in_capacity = 2 * client->in_capacity + 65536;
        client->in = grown(client->in, client->in_capacity);
    }
    ssize_t size =
        recv(client->fd, client->in + client->in_size, client->in_capacity - client->in_size, 0);
    if (size == 0 || (size < 0 && errno != EINTR)) {
        peer_stop("beanstalkd: recv: %s", size == 0 ? "closed" : strerror(errno));
    }
    client->in_size += size > 0 ? (size_t)size : 0;
}

/* Takes answers meanwhile: who does not is not answered any more by beanstalkd, and not read. */
static void flush(struct client *client)
{
    for (size_t sent = 0; sent < client->out_size;) {
        ssize_t size = send(client->fd, client->out + sent, client->out_size - sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size > 0) {
            sent += (size_t)size;
        } else if (errno == EAGAIN) {
            struct pollfd item = {.fd = client->fd, .events = POLLIN | POLLOUT};
            (void)poll(&item, 1, -1);
            if ((item.revents & POLLIN) != 0) {
                fill(client);
            }
        } else if (errno != EINTR) {
            peer_stop("beanstalkd: send: %s", strerror(errno));
        }
    }
    client->out_size = 0;
}

/* The next line without its end, if it is there; valid until the next fill. */
static const char *line_if_there(struct client *client)
{
    char *begin = client->in + client->taken;
    size_t left = client->in_size - client->taken;
    char *end = left == 0 ? NULL : memchr(begin, '\n', left);
    if (end == NULL) {
        return NULL;
    }
    end[-1] = '\0';
    client->taken += (size_t)(end - begin) + 1;
    return begin;
}

static const char *next_line(struct client *client)
{
    const char *line;
    while ((line = line_if_there(client)) == NULL) {
        fill(client);
    }
    return line;
}

static void expect(struct client *client, const char *begin)
{
    const char *line = next_line(client);
    if (strncmp(line, begin, strlen(begin)) != 0) {
        peer_stop("beanstalkd: %s instead of %s", line, begin);
    }
}

/* ---- commands ---- */

static void say_put(struct client *client, const void *payload, size_t size)
{
    char head[64];
    snprintf(head, sizeof head, "put 0 0 60 %zu\r\n", size);
    say_text(client, head);
    say(client, payload, size);
    say(client, "\r\n", 2);
}

static void say_delete(struct client *client, uint64_t id)
{
    char line[64];
    snprintf(line, sizeof line, "delete %llu\r\n", (unsigned long long)id);
    say_text(client, line);
}

/* The rest of the answer to a reserve that begins with `line`. */
static void take_reserved(struct client *client, const char *line, uint64_t *ret_id,
                          uint8_t ret_stamp[PEER_STAMP_BYTES])
{
    unsigned long long id;
    size_t size;
    if (sscanf(line, "RESERVED %llu %zu", &id, &size) != 2 || size < PEER_STAMP_BYTES) {
        peer_stop("beanstalkd: %s instead of RESERVED", line);
    }
    while (client->in_size - client->taken < size + 2) {
        fill(client);
    }
    memcpy(ret_stamp, client->in + client->taken, PEER_STAMP_BYTES);
    client->taken += size + 2;
    *ret_id = id;
}

/* ---- many connections ---- */

struct crew {
    struct client clients[CONNECTIONS_MAX];
    struct pollfd items[CONNECTIONS_MAX];
    nfds_t count;
};

/* `hello` is answered by `answers` lines; then each connection waits in a reserve. */
static void gather(struct crew *crew, const struct peer_settings *settings, const char *hello,
                   int answers)
{
    crew->count = settings->batch < CONNECTIONS_MAX ? settings->batch : CONNECTIONS_MAX;
    for (nfds_t i = 0; i < crew->count; i++) {
        struct client *client = &crew->clients[i];
        connect_to(client, settings->at);
        say_text(client, hello);
        flush(client);
        for (int line = 0; line < answers; line++) {
            (void)next_line(client);
        }
        say_text(client, "reserve\r\n");
        flush(client);
        crew->items[i] = (struct pollfd){.fd = client->fd, .events = POLLIN};
    }
}

static void dismiss(struct crew *crew)
{
    for (nfds_t i = 0; i < crew->count; i++) {
        close(crew->clients[i].fd);
        free(crew->clients[i].in);
        free(crew->clients[i].out);
    }
}

/* ---- roles ---- */

static void produce(const struct peer_settings *settings)
{
    struct client client = {0};
    connect_to(&client, settings->at);
    say_text(&client, "use jobs\r\n");
    flush(&client);
    expect(&client, "USING");
    uint8_t *payload = grown(NULL, settings->bytes);
    memset(payload, 'x', settings->bytes);
    struct peer_schedule schedule = peer_schedule_begin(settings);
    uint64_t sent = 0;
    uint64_t acked = 0;
    while (acked < settings->jobs) {
        uint64_t now_ns = peer_now_ns();
        uint64_t due = peer_schedule_due(&schedule, now_ns);
        uint64_t first = sent;
        while (sent < due && sent - acked < settings->window && sent - first < settings->batch) {
            peer_stamp(payload, sent, peer_schedule_at_ns(&schedule, sent, now_ns));
            say_put(&client, payload, settings->bytes);
            sent++;
        }
        flush(&client);
        uint64_t until_ns = 0;
        if (sent == first) {
            until_ns = sent < settings->jobs && sent - acked < settings->window
                           ? peer_schedule_at_ns(&schedule, sent, now_ns)
                           : PEER_FOREVER;
        }
        if (!peer_wait_readable(client.fd, until_ns)) {
            continue;
        }
        fill(&client);
        for (const char *line; (line = line_if_there(&client)) != NULL; acked++) {
            if (strncmp(line, "INSERTED", 8) != 0) {
                peer_stop("beanstalkd: %s instead of INSERTED", line);
            }
        }
    }
    peer_print_producer(schedule.begin_ns, peer_now_ns());
    close(client.fd);
    free(client.in);
    free(client.out);
    free(payload);
}

/* Takes each line that has come; a job that was reserved is done at once. */
static void serve(struct client *client)
{
    fill(client);
    for (const char *line; (line = line_if_there(client)) != NULL;) {
        if (strncmp(line, "RESERVED", 8) != 0) {
            if (strncmp(line, "INSERTED", 8) != 0 && strcmp(line, "DELETED") != 0) {
                peer_stop("beanstalkd: %s", line);
            }
            continue;
        }
        uint64_t id;
        uint8_t stamp[PEER_STAMP_BYTES];
        take_reserved(client, line, &id, stamp);
        say_put(client, stamp, sizeof stamp);
        say_delete(client, id);
        say_text(client, "reserve\r\n");
        flush(client);
    }
}

static void work(const struct peer_settings *settings)
{
    static struct crew crew;
    gather(&crew, settings, "watch jobs\r\nignore default\r\nuse results\r\n", 3);
    for (;;) {
        (void)poll(crew.items, crew.count, -1);
        for (nfds_t i = 0; i < crew.count; i++) {
            if (crew.items[i].revents != 0) {
                serve(&crew.clients[i]);
            }
        }
    }
}

/* The number of results that were deleted by the answers that have come. */
static uint64_t take_results(struct client *client, struct peer_recorder *recorder)
{
    uint64_t deleted = 0;
    fill(client);
    for (const char *line; (line = line_if_there(client)) != NULL;) {
        if (strcmp(line, "DELETED") == 0) {
            deleted++;
            continue;
        }
        uint64_t id;
        uint8_t stamp[PEER_STAMP_BYTES];
        take_reserved(client, line, &id, stamp);
        uint64_t index;
        uint64_t due_ns;
        peer_unstamp(stamp, sizeof stamp, &index, &due_ns);
        peer_recorder_add(recorder, index, due_ns, peer_now_ns());
        say_delete(client, id);
        say_text(client, "reserve\r\n");
        flush(client);
    }
    return deleted;
}

static void collect(const struct peer_settings *settings)
{
    static struct crew crew;
    gather(&crew, settings, "watch results\r\nignore default\r\n", 2);
    struct peer_recorder recorder;
    peer_recorder_init(&recorder, settings);
    for (uint64_t deleted = 0; deleted < settings->jobs;) {
        (void)poll(crew.items, crew.count, -1);
        for (nfds_t i = 0; i < crew.count; i++) {
            if (crew.items[i].revents != 0) {
                deleted += take_results(&crew.clients[i], &recorder);
            }
        }
    }
    recorder.last_ns = peer_now_ns();
    peer_print_sink(&recorder);
    dismiss(&crew);
}

int main(int argc, char **argv)
{
    struct peer_settings settings;
    peer_settings_read(&settings, argc, argv, NULL);
    peer_precise_timers();
    if (strcmp(settings.role, "producer") == 0) {
        produce(&settings);
    } else if (strcmp(settings.role, "worker") == 0) {
        work(&settings);
    } else if (strcmp(settings.role, "sink") == 0) {
        collect(&settings);
    } else {
        peer_stop("role=%s: producer, worker or sink", settings.role);
    }
    return 0;
}
