#include "io/log.h"

#include <stdio.h>

#include "wire/dump.h"

static const char *link_name(enum leat_link link)
{
    switch (link) {
    case LEAT_LINK_PEERS:
        return "peers";
    case LEAT_LINK_VENTILATOR:
        return "ventilator";
    case LEAT_LINK_SINK:
        return "sink";
    case LEAT_LINK_SPAWNER:
        return "spawner";
    case LEAT_LINK_METRICS:
        return "metrics";
    case LEAT_LINK_EVENTS:
        return "events";
    default:
        return "unknown";
    }
}

void leat_log_message(const char *direction, enum leat_link link, const struct leat_peer *peer,
                      const struct leat_msg *msg)
{
    if (!leat_log_enabled(LEAT_LOG_TRACE)) {
        return;
    }
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_TRACE, "message");
    leat_log_text(&line, "direction", direction);
    leat_log_text(&line, "link", link_name(link));
    if (peer != NULL && peer->size > 0) {
        char hex[2 * LEAT_PEER_BYTES_MAX + 1];
        for (size_t i = 0; i < peer->size; i++) {
            snprintf(hex + 2 * i, 3, "%02x", peer->bytes[i]);
        }
        leat_log_text(&line, "peer", hex);
    }
    char text[LEAT_WIRE_DUMP_BYTES];
    leat_log_text(&line, "message", leat_wire_dump(msg, text, sizeof text));
    leat_log_end(&line);
}
