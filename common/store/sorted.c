#include "store/sorted_inside.h"

#include <assert.h>

int leat_sorted_compare(struct leat_bytes a, struct leat_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

/* ---- reading ---- */

static const struct leat_sorted_leaf *find_leaf(const struct leat_sorted *sorted,
                                                const struct probe *probe)
{
    const struct leat_sorted_node *node = sorted->root;
    for (unsigned level = 0; level < sorted->height; level++) {
        const struct inner *inner = (const struct inner *)node;
        node = inner->children[child_of(inner, probe)];
    }
    return (const struct leat_sorted_leaf *)node;
}

static void view(const struct entry *entry, struct leat_sorted_entry *ret_entry)
{
    ret_entry->key = leat_bytes_of(entry->data, entry->key_bytes);
    ret_entry->value = leat_bytes_of(entry->data + entry->key_bytes, entry->value_bytes);
    ret_entry->is_tombstone = entry->is_tombstone;
    ret_entry->is_new = false;
}

/* Whether the key lies beyond the last one, which many do that are looked for. */
static bool is_beyond(const struct leat_sorted *sorted, const struct probe *probe)
{
    const struct leat_sorted_leaf *leaf = sorted->last;
    return compare_entry(leaf, leaf->node.count - 1, probe) < 0;
}

bool leat_sorted_find(const struct leat_sorted *sorted, struct leat_bytes key,
                      struct leat_sorted_entry *ret_entry)
{
    if (sorted->root == NULL) {
        return false;
    }
    struct probe probe = probe_of(key);
    if (is_beyond(sorted, &probe)) {
        return false;
    }
    const struct leat_sorted_leaf *leaf = find_leaf(sorted, &probe);
    unsigned index = leaf_lower_bound(leaf, &probe);
    if (!leaf_has(leaf, index, &probe)) {
        return false;
    }
    view(leaf->entries[index], ret_entry);
    return true;
}

void *leat_sorted_piece(const struct leat_sorted *sorted, struct leat_bytes key,
                        struct leat_sorted_entry *ret_entry)
{
    bool is_there = leat_sorted_find(sorted, key, ret_entry);
    assert(is_there && ret_entry->value.size > LEAT_SLAB_SMALL_BYTES_MAX);
    return (void *)((uintptr_t)ret_entry->key.data - offsetof(struct entry, data));
}

bool leat_sorted_last(const struct leat_sorted *sorted, struct leat_sorted_entry *ret_entry)
{
    if (sorted->last == NULL) {
        return false;
    }
    view(sorted->last->entries[sorted->last->node.count - 1], ret_entry);
    return true;
}

struct leat_sorted_cursor leat_sorted_seek(const struct leat_sorted *sorted, struct leat_bytes from)
{
    if (sorted->root == NULL) {
        return (struct leat_sorted_cursor){NULL, 0};
    }
    struct probe probe = probe_of(from);
    const struct leat_sorted_leaf *leaf = find_leaf(sorted, &probe);
    struct leat_sorted_cursor cursor = {leaf, leaf_lower_bound(leaf, &probe)};
    if (cursor.index == leaf->node.count) {
        cursor = (struct leat_sorted_cursor){leaf->next, 0};
    }
    return cursor;
}

bool leat_sorted_at(const struct leat_sorted_cursor *cursor, struct leat_sorted_entry *ret_entry)
{
    if (cursor->leaf == NULL) {
        return false;
    }
    view(cursor->leaf->entries[cursor->index], ret_entry);
    return true;
}

/* Entries lie apart from each other, and whoever walks over them would wait for each: so the next
 * but one is asked for, with as much of its value as is common. */
static void fetch_ahead(const struct leat_sorted_cursor *cursor)
{
    const size_t index = cursor->index + 2;
    if (index < cursor->leaf->node.count) {
        const uint8_t *entry = (const uint8_t *)cursor->leaf->entries[index];
        __builtin_prefetch(entry);
        __builtin_prefetch(entry + 64);
        __builtin_prefetch(entry + 128);
    }
}

void leat_sorted_next(struct leat_sorted_cursor *cursor)
{
    assert(cursor->leaf != NULL);
    cursor->index++;
    fetch_ahead(cursor);
    if (cursor->index == cursor->leaf->node.count) {
        *cursor = (struct leat_sorted_cursor){cursor->leaf->next, 0};
    }
}

/* ---- writing ---- */

void leat_sorted_init(struct leat_sorted *sorted, struct leat_slab *slab)
{
    *sorted = (struct leat_sorted){.slab = slab};
}

static struct entry *make_entry(struct leat_slab *slab, const struct leat_sorted_entry *content)
{
    assert(content->key.size > 0 && content->key.size <= UINT8_MAX);
    assert(content->value.size <= UINT32_MAX);
    size_t size_bytes = sizeof(struct entry) + content->key.size + content->value.size;
    struct entry *entry = leat_slab_take(slab, size_bytes);
    entry->size_bytes = size_bytes;
    entry->key_bytes = (uint8_t)content->key.size;
    entry->value_bytes = (uint32_t)content->value.size;
    entry->is_tombstone = content->is_tombstone;
    entry->is_new = content->is_new;
    memcpy(entry->data, content->key.data, content->key.size);
    if (content->value.data != NULL) {
        memcpy(entry->data + content->key.size, content->value.data, content->value.size);
    }
    return entry;
}

/* In place when the value fits and not much would be left over, else in a new piece; a large piece
 * may be held by somebody. */
static void replace_entry(struct leat_sorted *sorted, struct entry **place,
                          const struct leat_sorted_entry *content)
{
    struct entry *entry = *place;
    bool is_new = entry->is_new && !content->is_tombstone;
    size_t need_bytes = sizeof *entry + content->key.size + content->value.size;
    if (need_bytes <= LEAT_SLAB_SMALL_BYTES_MAX &&
        leat_slab_capacity(need_bytes) == leat_slab_capacity(entry->size_bytes)) {
        entry->size_bytes = need_bytes;
        entry->value_bytes = (uint32_t)content->value.size;
        entry->is_tombstone = content->is_tombstone;
        entry->is_new = is_new;
        if (content->value.size > 0) {
            memmove(entry->data + entry->key_bytes, content->value.data, content->value.size);
        }
        return;
    }
    *place = make_entry(sorted->slab, content);
    (*place)->is_new = is_new;
    leat_slab_give(sorted->slab, entry, entry->size_bytes);
}

static struct leat_sorted_leaf *make_leaf(struct leat_sorted *sorted)
{
    struct leat_sorted_leaf *leaf = leat_slab_take(sorted->slab, sizeof *leaf);
    leaf->node.count = 0;
    leaf->next = NULL;
    leaf->previous = NULL;
    return leaf;
}

static struct inner *make_inner(struct leat_sorted *sorted)
{
    struct inner *inner = leat_slab_take(sorted->slab, sizeof *inner);
    inner->node.count = 0;
    return inner;
}

static struct separator *make_separator(struct leat_slab *slab, const struct entry *entry)
{
    struct separator *separator = leat_slab_take(slab, sizeof *separator + entry->key_bytes);
    separator->key_bytes = entry->key_bytes;
    memcpy(separator->data, entry->data, entry->key_bytes);
    return separator;
}

static void leaf_insert(struct leat_sorted_leaf *leaf, unsigned index, struct prefix prefix,
                        struct entry *entry)
{
    size_t above = leaf->node.count - index;
    memmove(leaf->prefixes + index + 1, leaf->prefixes + index, above * sizeof(struct prefix));
    memmove(leaf->entries + index + 1, leaf->entries + index, above * sizeof(struct entry *));
    leaf->prefixes[index] = prefix;
    leaf->entries[index] = entry;
    leaf->node.count++;
}

/* Puts `child` behind children[index], with the separator between the two. */
static void inner_insert(struct inner *inner, unsigned index, struct prefix prefix,
                         struct separator *separator, struct leat_sorted_node *child)
{
    size_t above = inner->node.count - 1 - index;
    memmove(inner->prefixes + index + 1, inner->prefixes + index, above * sizeof(struct prefix));
    memmove(inner->separators + index + 1, inner->separators + index,
            above * sizeof(struct separator *));
    memmove(inner->children + index + 2, inner->children + index + 1,
            above * sizeof(struct leat_sorted_node *));
    inner->prefixes[index] = prefix;
    inner->separators[index] = separator;
    inner->children[index + 1] = child;
    inner->node.count++;
}

/* Moves the upper half to a new leaf behind it; nothing when the write is at its end and the one
 * before was, too: ascending keys leave full leaves behind, also those that have others above them,
 * as a queue's deletes do. */
static struct leat_sorted_leaf *split_leaf(struct leat_sorted *sorted,
                                           struct leat_sorted_leaf *leaf, unsigned write_index)
{
    struct leat_sorted_leaf *right = make_leaf(sorted);
    bool is_ascending = write_index == FAN && (leaf->next == NULL || leaf == sorted->run);
    unsigned keep = is_ascending ? FAN : FAN / 2;
    right->node.count = FAN - keep;
    memcpy(right->prefixes, leaf->prefixes + keep, right->node.count * sizeof(struct prefix));
    memcpy(right->entries, leaf->entries + keep, right->node.count * sizeof(struct entry *));
    leaf->node.count = keep;
    right->previous = leaf;
    right->next = leaf->next;
    if (leaf->next != NULL) {
        leaf->next->previous = right;
    } else {
        sorted->last = right;
    }
    leaf->next = right;
    return right;
}

/* What a split hands to the level above: a child, and the separator before it. */
struct rising {
    struct prefix prefix;
    struct separator *separator;
    struct leat_sorted_node *child;
};

/* Inserts into a full inner node by splitting it; what is in `rising` goes in, what goes up comes
 * out. */
static void split_inner(struct leat_sorted *sorted, struct inner *inner, unsigned index,
                        struct rising *rising)
{
    struct inner *right = make_inner(sorted);
    if (index == FAN - 1) {
        right->node.count = 1;
        right->children[0] = rising->child;
        rising->child = &right->node;
        return; /* the separator goes up as it is */
    }
    unsigned keep = FAN / 2;
    right->node.count = FAN - keep;
    memcpy(right->children, inner->children + keep,
           right->node.count * sizeof(struct leat_sorted_node *));
    memcpy(right->prefixes, inner->prefixes + keep,
           (right->node.count - 1) * sizeof(struct prefix));
    memcpy(right->separators, inner->separators + keep,
           (right->node.count - 1) * sizeof(struct separator *));
    inner->node.count = keep;
    struct rising up = {inner->prefixes[keep - 1], inner->separators[keep - 1], &right->node};
    if (index < keep) {
        inner_insert(inner, index, rising->prefix, rising->separator, rising->child);
    } else {
        inner_insert(right, index - keep, rising->prefix, rising->separator, rising->child);
    }
    *rising = up;
}

static void grow_root(struct leat_sorted *sorted, const struct rising *rising)
{
    assert(sorted->height < HEIGHT_MAX);
    struct inner *root = make_inner(sorted);
    root->node.count = 1;
    root->children[0] = sorted->root;
    inner_insert(root, 0, rising->prefix, rising->separator, rising->child);
    sorted->root = &root->node;
    sorted->height++;
}

/* Returns the leaf that has the entry. */
static struct leat_sorted_leaf *insert_with_split(struct leat_sorted *sorted, struct path *path,
                                                  unsigned index, struct prefix prefix,
                                                  struct entry *entry)
{
    struct leat_sorted_leaf *leaf = path->leaf;
    struct leat_sorted_leaf *right = split_leaf(sorted, leaf, index);
    bool is_left = index < leaf->node.count || (index == leaf->node.count && right->node.count > 0);
    leaf_insert(is_left ? leaf : right, is_left ? index : index - leaf->node.count, prefix, entry);
    struct rising rising = {right->prefixes[0], make_separator(sorted->slab, right->entries[0]),
                            &right->node};
    for (unsigned level = sorted->height; level > 0; level--) {
        struct step *step = &path->steps[level - 1];
        if (step->inner->node.count < FAN) {
            inner_insert(step->inner, step->index, rising.prefix, rising.separator, rising.child);
            return is_left ? leaf : right;
        }
        split_inner(sorted, step->inner, step->index, &rising);
    }
    grow_root(sorted, &rising);
    return is_left ? leaf : right;
}

/* Whether there is room for a key beyond the last one in the last leaf. */
static bool can_append(const struct leat_sorted *sorted, const struct probe *probe)
{
    return sorted->last->node.count < FAN && is_beyond(sorted, probe);
}

/* Where a key that has no entry gets one. */
static void insert_at(struct leat_sorted *sorted, struct path *path, unsigned index,
                      const struct probe *probe, const struct leat_sorted_entry *content)
{
    struct entry *entry = make_entry(sorted->slab, content);
    struct leat_sorted_leaf *leaf = path->leaf;
    bool is_at_end = index == leaf->node.count;
    bool is_below = leaf->next != NULL;
    if (leaf->node.count < FAN) {
        leaf_insert(leaf, index, probe->prefix, entry);
    } else {
        leaf = insert_with_split(sorted, path, index, probe->prefix, entry);
    }
    if (is_below) {
        sorted->run = is_at_end ? leaf : NULL;
    }
    sorted->count++;
}

static void append(struct leat_sorted *sorted, const struct probe *probe,
                   const struct leat_sorted_entry *content)
{
    struct leat_sorted_leaf *leaf = sorted->last;
    leaf->prefixes[leaf->node.count] = probe->prefix;
    leaf->entries[leaf->node.count] = make_entry(sorted->slab, content);
    leaf->node.count++;
    sorted->count++;
}

static void grow_first(struct leat_sorted *sorted)
{
    sorted->last = make_leaf(sorted);
    sorted->root = &sorted->last->node;
    sorted->height = 0;
}

/* Apart from write_entry: most keys are appended, and what this needs would be set up for them. */
__attribute__((noinline)) static void write_within(struct leat_sorted *sorted,
                                                   const struct probe *probe,
                                                   const struct leat_sorted_entry *content)
{
    struct path path;
    descend(sorted, probe, &path);
    unsigned index = leaf_lower_bound(path.leaf, probe);
    if (leaf_has(path.leaf, index, probe)) {
        replace_entry(sorted, &path.leaf->entries[index], content);
    } else {
        insert_at(sorted, &path, index, probe, content);
    }
}

static void write_entry(struct leat_sorted *sorted, const struct leat_sorted_entry *content)
{
    struct probe probe = probe_of(content->key);
    if (sorted->root == NULL) {
        grow_first(sorted);
        append(sorted, &probe, content);
    } else if (can_append(sorted, &probe)) {
        append(sorted, &probe, content);
    } else {
        write_within(sorted, &probe, content);
    }
}

void leat_sorted_put(struct leat_sorted *sorted, struct leat_bytes key, struct leat_bytes value)
{
    struct leat_sorted_entry content = {.key = key, .value = value};
    write_entry(sorted, &content);
}

void leat_sorted_add(struct leat_sorted *sorted, struct leat_bytes key, struct leat_bytes value)
{
    struct leat_sorted_entry content = {.key = key, .value = value, .is_new = true};
    write_entry(sorted, &content);
}

void leat_sorted_put_tombstone(struct leat_sorted *sorted, struct leat_bytes key)
{
    struct leat_sorted_entry content = {.key = key, .is_tombstone = true};
    write_entry(sorted, &content);
}

void leat_sorted_del(struct leat_sorted *sorted, struct leat_bytes key)
{
    struct leat_sorted_entry tombstone = {.key = key, .is_tombstone = true};
    struct probe probe = probe_of(key);
    struct path path;
    if (sorted->root == NULL || can_append(sorted, &probe)) {
        write_entry(sorted, &tombstone);
        return;
    }
    descend(sorted, &probe, &path);
    unsigned index = leaf_lower_bound(path.leaf, &probe);
    if (!leaf_has(path.leaf, index, &probe)) {
        insert_at(sorted, &path, index, &probe, &tombstone);
    } else if (path.leaf->entries[index]->is_new) {
        leat_sorted_erase_at(sorted, &path, index);
    } else {
        replace_entry(sorted, &path.leaf->entries[index], &tombstone);
    }
}

void leat_sorted_forget_new(struct leat_sorted *sorted)
{
    struct leat_sorted_cursor cursor = leat_sorted_seek(sorted, (struct leat_bytes){NULL, 0});
    for (; cursor.leaf != NULL; leat_sorted_next(&cursor)) {
        cursor.leaf->entries[cursor.index]->is_new = false;
    }
}
