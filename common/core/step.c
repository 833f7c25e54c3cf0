#include "core/step.h"

#include <stdlib.h>

#include "core/check.h"

#define CAPACITY_FIRST 64
#define CAPACITY_KEPT  4096 /* a burst does not hold its memory for ever */

struct note_row {
    const char *name;
    const char *level;
};

static const struct note_row notes[LEAT_NOTE_COUNT] = {
#define NOTE(NAME, level, text, help) [LEAT_NOTE_##NAME] = {text, level},
#include "core/notes.def"
#undef NOTE
};

void leat_out_init(struct leat_out *out)
{
    *out = (struct leat_out){0};
    leat_arena_init(&out->arena, LEAT_OUT_BYTES_MAX);
}

void leat_out_fini(struct leat_out *out)
{
    leat_arena_fini(&out->arena);
    free(out->actions);
    *out = (struct leat_out){0};
}

void leat_out_clear(struct leat_out *out)
{
    leat_arena_clear(&out->arena);
    out->count = 0;
    if (out->capacity > CAPACITY_KEPT) {
        free(out->actions);
        out->actions = NULL;
        out->capacity = 0;
    }
}

static struct leat_action *append(struct leat_out *out, enum leat_action_kind kind)
{
    if (out->count == out->capacity) {
        size_t capacity = out->capacity == 0 ? CAPACITY_FIRST : out->capacity * 2;
        struct leat_action *actions = realloc(out->actions, capacity * sizeof(*actions));
        /* A step that lost an action halfway could not be undone: better to end and recover. */
        LEAT_ASSERT(actions != NULL);
        out->actions = actions;
        out->capacity = capacity;
    }
    struct leat_action *action = &out->actions[out->count++];
    *action = (struct leat_action){.kind = kind};
    return action;
}

struct leat_msg *leat_out_send(struct leat_out *out, enum leat_link link, struct leat_peer peer,
                               enum leat_msg_type type)
{
    struct leat_action *action = append(out, LEAT_ACTION_SEND);
    action->link = link;
    action->peer = peer;
    action->msg.type = type;
    return &action->msg;
}

struct leat_msg *leat_out_send_patiently(struct leat_out *out, enum leat_link link,
                                         struct leat_peer peer, enum leat_msg_type type)
{
    struct leat_msg *msg = leat_out_send(out, link, peer, type);
    out->actions[out->count - 1].is_patient = true;
    return msg;
}

void leat_out_note(struct leat_out *out, enum leat_note_id id, const struct leat_id *subject,
                   struct leat_str name, int64_t value)
{
    struct leat_str copy = leat_arena_copy_str(&out->arena, name);
    struct leat_action *action = append(out, LEAT_ACTION_NOTE);
    action->note.id = id;
    action->note.value = value;
    if (subject != NULL) {
        action->note.subject = *subject;
    }
    if (copy.data != NULL) {
        action->note.name = copy;
    }
}

void leat_out_exit(struct leat_out *out, int exit_status)
{
    append(out, LEAT_ACTION_EXIT)->exit_status = exit_status;
}

const char *leat_note_name(enum leat_note_id id)
{
    return (unsigned)id < LEAT_NOTE_COUNT ? notes[id].name : "unknown";
}

const char *leat_note_level(enum leat_note_id id)
{
    return (unsigned)id < LEAT_NOTE_COUNT ? notes[id].level : "info";
}
