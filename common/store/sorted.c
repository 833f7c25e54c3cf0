#include "store/sorted.h"

#include <assert.h>

#define FAN        32
#define HEIGHT_MAX 16

/* One piece of memory: the header, the key, the value. */
struct entry {
    size_t size_bytes; /* as asked of the slab */
    uint32_t value_bytes;
    uint8_t key_bytes;
    bool is_tombstone;
    bool is_new;
    uint8_t data[];
};

struct separator {
    uint8_t key_bytes;
    uint8_t data[];
};

struct leat_sorted_node {
    unsigned count; /* entries of a leaf, children of an inner node; at least 1 */
};

struct leat_sorted_leaf {
    struct leat_sorted_node node;
    struct leat_sorted_leaf *next;
    struct leat_sorted_leaf *previous;
    uint64_t prefixes[FAN];
    struct entry *entries[FAN];
};

/* separators[i] is above every key of children[i] and not above any key of children[i + 1]. It need
 * not be a key that still exists. */
struct inner {
    struct leat_sorted_node node;
    uint64_t prefixes[FAN - 1];
    struct separator *separators[FAN - 1];
    struct leat_sorted_node *children[FAN];
};

struct probe {
    uint64_t prefix;
    struct leat_bytes key;
};

/* The way from the root to a leaf: steps[0] is the root. */
struct path {
    struct step {
        struct inner *inner;
        unsigned index;
    } steps[HEIGHT_MAX];
    struct leat_sorted_leaf *leaf;
};

static uint64_t prefix_of(struct leat_bytes key)
{
    uint64_t prefix = 0;
    if (key.size > 0) {
        memcpy(&prefix, key.data, key.size < sizeof prefix ? key.size : sizeof prefix);
    }
    return __builtin_bswap64(prefix);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "prefix_of swaps bytes");

static struct probe probe_of(struct leat_bytes key)
{
    return (struct probe){prefix_of(key), key};
}

int leat_sorted_compare(struct leat_bytes a, struct leat_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

static int compare(uint64_t prefix, const uint8_t *data, size_t size, const struct probe *probe)
{
    if (prefix != probe->prefix) {
        return prefix < probe->prefix ? -1 : 1;
    }
    return leat_sorted_compare(leat_bytes_of(data, size), probe->key);
}

/* The first entry that is not below the probe. */
static unsigned leaf_lower_bound(const struct leat_sorted_leaf *leaf, const struct probe *probe)
{
    unsigned low = 0;
    unsigned high = leaf->node.count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct entry *entry = leaf->entries[middle];
        if (compare(leaf->prefixes[middle], entry->data, entry->key_bytes, probe) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The child in whose range the probe is: as many as there are separators not above it. */
static unsigned child_of(const struct inner *inner, const struct probe *probe)
{
    unsigned low = 0;
    unsigned high = inner->node.count - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct separator *separator = inner->separators[middle];
        if (compare(inner->prefixes[middle], separator->data, separator->key_bytes, probe) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void descend(const struct leat_sorted *sorted, const struct probe *probe,
                    struct path *ret_path)
{
    struct leat_sorted_node *node = sorted->root;
    for (unsigned level = 0; level < sorted->height; level++) {
        struct inner *inner = (struct inner *)node;
        unsigned index = child_of(inner, probe);
        ret_path->steps[level] = (struct step){inner, index};
        node = inner->children[index];
    }
    ret_path->leaf = (struct leat_sorted_leaf *)node;
}

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

static bool leaf_has(const struct leat_sorted_leaf *leaf, unsigned index, const struct probe *probe)
{
    return index < leaf->node.count && leaf->prefixes[index] == probe->prefix &&
           compare(leaf->prefixes[index], leaf->entries[index]->data,
                   leaf->entries[index]->key_bytes, probe) == 0;
}

/* ---- reading ---- */

static struct leat_sorted_entry view_of(const struct entry *entry)
{
    return (struct leat_sorted_entry){
        .key = {entry->data, entry->key_bytes},
        .value = {entry->data + entry->key_bytes, entry->value_bytes},
        .is_tombstone = entry->is_tombstone,
    };
}

bool leat_sorted_find(const struct leat_sorted *sorted, struct leat_bytes key,
                      struct leat_sorted_entry *ret_entry)
{
    if (sorted->root == NULL) {
        return false;
    }
    struct probe probe = probe_of(key);
    const struct leat_sorted_leaf *leaf = find_leaf(sorted, &probe);
    unsigned index = leaf_lower_bound(leaf, &probe);
    if (!leaf_has(leaf, index, &probe)) {
        return false;
    }
    *ret_entry = view_of(leaf->entries[index]);
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
    *ret_entry = view_of(sorted->last->entries[sorted->last->node.count - 1]);
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
    *ret_entry = view_of(cursor->leaf->entries[cursor->index]);
    return true;
}

void leat_sorted_next(struct leat_sorted_cursor *cursor)
{
    assert(cursor->leaf != NULL);
    cursor->index++;
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

static void leaf_insert(struct leat_sorted_leaf *leaf, unsigned index, uint64_t prefix,
                        struct entry *entry)
{
    size_t above = leaf->node.count - index;
    memmove(leaf->prefixes + index + 1, leaf->prefixes + index, above * sizeof(uint64_t));
    memmove(leaf->entries + index + 1, leaf->entries + index, above * sizeof(struct entry *));
    leaf->prefixes[index] = prefix;
    leaf->entries[index] = entry;
    leaf->node.count++;
}

/* Puts `child` behind children[index], with the separator between the two. */
static void inner_insert(struct inner *inner, unsigned index, uint64_t prefix,
                         struct separator *separator, struct leat_sorted_node *child)
{
    size_t above = inner->node.count - 1 - index;
    memmove(inner->prefixes + index + 1, inner->prefixes + index, above * sizeof(uint64_t));
    memmove(inner->separators + index + 1, inner->separators + index,
            above * sizeof(struct separator *));
    memmove(inner->children + index + 2, inner->children + index + 1,
            above * sizeof(struct leat_sorted_node *));
    inner->prefixes[index] = prefix;
    inner->separators[index] = separator;
    inner->children[index + 1] = child;
    inner->node.count++;
}

/* Moves the upper half to a new leaf behind it; of the last leaf, when the write is at its end,
 * nothing: ascending keys leave full leaves behind. */
static struct leat_sorted_leaf *split_leaf(struct leat_sorted *sorted,
                                           struct leat_sorted_leaf *leaf, unsigned write_index)
{
    struct leat_sorted_leaf *right = make_leaf(sorted);
    unsigned keep = leaf->next == NULL && write_index == FAN ? FAN : FAN / 2;
    right->node.count = FAN - keep;
    memcpy(right->prefixes, leaf->prefixes + keep, right->node.count * sizeof(uint64_t));
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
    uint64_t prefix;
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
    memcpy(right->prefixes, inner->prefixes + keep, (right->node.count - 1) * sizeof(uint64_t));
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

static void insert_with_split(struct leat_sorted *sorted, struct path *path, unsigned index,
                              uint64_t prefix, struct entry *entry)
{
    struct leat_sorted_leaf *leaf = path->leaf;
    struct leat_sorted_leaf *right = split_leaf(sorted, leaf, index);
    if (index < leaf->node.count || (index == leaf->node.count && right->node.count > 0)) {
        leaf_insert(leaf, index, prefix, entry);
    } else {
        leaf_insert(right, index - leaf->node.count, prefix, entry);
    }
    struct rising rising = {right->prefixes[0], make_separator(sorted->slab, right->entries[0]),
                            &right->node};
    for (unsigned level = sorted->height; level > 0; level--) {
        struct step *step = &path->steps[level - 1];
        if (step->inner->node.count < FAN) {
            inner_insert(step->inner, step->index, rising.prefix, rising.separator, rising.child);
            return;
        }
        split_inner(sorted, step->inner, step->index, &rising);
    }
    grow_root(sorted, &rising);
}

/* Whether the key lies beyond the last one and there is room for it in the last leaf. */
static bool can_append(const struct leat_sorted *sorted, const struct probe *probe)
{
    const struct leat_sorted_leaf *leaf = sorted->last;
    unsigned count = leaf->node.count;
    return count < FAN && compare(leaf->prefixes[count - 1], leaf->entries[count - 1]->data,
                                  leaf->entries[count - 1]->key_bytes, probe) < 0;
}

static void write_entry(struct leat_sorted *sorted, const struct leat_sorted_entry *content)
{
    struct probe probe = probe_of(content->key);
    if (sorted->root == NULL) {
        sorted->last = make_leaf(sorted);
        sorted->root = &sorted->last->node;
        sorted->height = 0;
    } else if (!can_append(sorted, &probe)) {
        struct path path;
        descend(sorted, &probe, &path);
        unsigned index = leaf_lower_bound(path.leaf, &probe);
        if (leaf_has(path.leaf, index, &probe)) {
            replace_entry(sorted, &path.leaf->entries[index], content);
            return;
        }
        struct entry *entry = make_entry(sorted->slab, content);
        if (path.leaf->node.count < FAN) {
            leaf_insert(path.leaf, index, probe.prefix, entry);
        } else {
            insert_with_split(sorted, &path, index, probe.prefix, entry);
        }
        sorted->count++;
        return;
    }
    leaf_insert(sorted->last, sorted->last->node.count, probe.prefix,
                make_entry(sorted->slab, content));
    sorted->count++;
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

void leat_sorted_forget_new(struct leat_sorted *sorted)
{
    struct leat_sorted_cursor cursor = leat_sorted_seek(sorted, (struct leat_bytes){NULL, 0});
    for (; cursor.leaf != NULL; leat_sorted_next(&cursor)) {
        cursor.leaf->entries[cursor.index]->is_new = false;
    }
}

/* ---- erasing ---- */

static void free_leaf(struct leat_sorted *sorted, struct leat_sorted_leaf *leaf)
{
    if (leaf->previous != NULL) {
        leaf->previous->next = leaf->next;
    }
    if (leaf->next != NULL) {
        leaf->next->previous = leaf->previous;
    } else {
        sorted->last = leaf->previous;
    }
    leat_slab_give(sorted->slab, leaf, sizeof *leaf);
}

static void inner_remove(struct leat_sorted *sorted, struct inner *inner, unsigned index)
{
    unsigned count = inner->node.count;
    memmove(inner->children + index, inner->children + index + 1,
            (count - 1 - index) * sizeof(struct leat_sorted_node *));
    if (count > 1) {
        unsigned gone = index == 0 ? 0 : index - 1;
        struct separator *separator = inner->separators[gone];
        leat_slab_give(sorted->slab, separator, sizeof *separator + separator->key_bytes);
        size_t above = count - 2 - gone;
        memmove(inner->prefixes + gone, inner->prefixes + gone + 1, above * sizeof(uint64_t));
        memmove(inner->separators + gone, inner->separators + gone + 1,
                above * sizeof(struct separator *));
    }
    inner->node.count--;
}

/* Takes the emptied leaf out of the tree, and what becomes empty above it. */
static void remove_leaf(struct leat_sorted *sorted, struct path *path)
{
    free_leaf(sorted, path->leaf);
    unsigned level = sorted->height;
    while (level > 0) {
        struct step *step = &path->steps[level - 1];
        inner_remove(sorted, step->inner, step->index);
        if (step->inner->node.count > 0) {
            break;
        }
        leat_slab_give(sorted->slab, step->inner, sizeof *step->inner);
        level--;
    }
    if (level == 0) {
        sorted->root = NULL;
        sorted->height = 0;
        return;
    }
    while (sorted->height > 0 && sorted->root->count == 1) {
        struct inner *root = (struct inner *)sorted->root;
        sorted->root = root->children[0];
        sorted->height--;
        leat_slab_give(sorted->slab, root, sizeof *root);
    }
}

/* The place of a key's entry; NULL: it has none. */
static struct entry **place_of(const struct leat_sorted *sorted, struct leat_bytes key,
                               struct path *ret_path)
{
    if (sorted->root == NULL) {
        return NULL;
    }
    struct probe probe = probe_of(key);
    descend(sorted, &probe, ret_path);
    unsigned index = leaf_lower_bound(ret_path->leaf, &probe);
    return leaf_has(ret_path->leaf, index, &probe) ? &ret_path->leaf->entries[index] : NULL;
}

static void erase_at(struct leat_sorted *sorted, struct path *path, struct entry **place)
{
    struct leat_sorted_leaf *leaf = path->leaf;
    struct entry *entry = *place;
    size_t index = (size_t)(place - leaf->entries);
    size_t above = leaf->node.count - 1 - index;
    memmove(leaf->prefixes + index, leaf->prefixes + index + 1, above * sizeof(uint64_t));
    memmove(leaf->entries + index, leaf->entries + index + 1, above * sizeof(struct entry *));
    leaf->node.count--;
    leat_slab_give(sorted->slab, entry, entry->size_bytes);
    sorted->count--;
    if (leaf->node.count == 0) {
        remove_leaf(sorted, path);
    }
}

bool leat_sorted_erase(struct leat_sorted *sorted, struct leat_bytes key)
{
    struct path path;
    struct entry **place = place_of(sorted, key, &path);
    if (place == NULL) {
        return false;
    }
    erase_at(sorted, &path, place);
    return true;
}

void leat_sorted_del(struct leat_sorted *sorted, struct leat_bytes key)
{
    struct path path;
    struct entry **place = place_of(sorted, key, &path);
    struct leat_sorted_entry tombstone = {.key = key, .is_tombstone = true};
    if (place == NULL) {
        write_entry(sorted, &tombstone);
    } else if ((*place)->is_new) {
        erase_at(sorted, &path, place);
    } else {
        replace_entry(sorted, place, &tombstone);
    }
}
