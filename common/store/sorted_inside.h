/* What the files of the ordered map share: its nodes, and how a key is looked for among them.
 * Nobody else includes this.
 *
 *   sorted.c   reading, writing      sorted_erase.c   taking entries and empty nodes away */
#ifndef LEAT_STORE_SORTED_INSIDE_H
#define LEAT_STORE_SORTED_INSIDE_H

#include "store/sorted.h"

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

/* The first sixteen bytes of a key, or as many as it has and zeros, as numbers that sort as the
 * bytes do. Eight would not tell the jobs of one lane apart. */
struct prefix {
    uint64_t high, low;
};

struct leat_sorted_leaf {
    struct leat_sorted_node node;
    struct leat_sorted_leaf *next;
    struct leat_sorted_leaf *previous;
    struct prefix prefixes[FAN];
    struct entry *entries[FAN];
};

/* separators[i] is above every key of children[i] and not above any key of children[i + 1]. It need
 * not be a key that still exists. */
struct inner {
    struct leat_sorted_node node;
    struct prefix prefixes[FAN - 1];
    struct separator *separators[FAN - 1];
    struct leat_sorted_node *children[FAN];
};

struct probe {
    struct prefix prefix;
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

static inline uint64_t word_at(struct leat_bytes key, size_t at)
{
    uint64_t word = 0;
    if (key.size >= at + sizeof word) {
        memcpy(&word, key.data + at, sizeof word);
    } else if (key.size > at) {
        memcpy(&word, key.data + at, key.size - at);
    }
    return __builtin_bswap64(word);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "word_at swaps bytes");

static inline struct probe probe_of(struct leat_bytes key)
{
    return (struct probe){{word_at(key, 0), word_at(key, sizeof(uint64_t))}, key};
}

static inline int compare_prefixes(const struct prefix *a, const struct prefix *b)
{
    if (a->high != b->high) {
        return a->high < b->high ? -1 : 1;
    }
    return a->low < b->low ? -1 : a->low > b->low;
}

/* Of an entry and of a separator with the probe. What they point to is looked at only when the
 * prefixes are equal: it is memory that nothing else has touched for long. */
static inline int compare_entry(const struct leat_sorted_leaf *leaf, unsigned index,
                                const struct probe *probe)
{
    int order = compare_prefixes(&leaf->prefixes[index], &probe->prefix);
    if (order != 0) {
        return order;
    }
    const struct entry *entry = leaf->entries[index];
    return leat_sorted_compare(leat_bytes_of(entry->data, entry->key_bytes), probe->key);
}

static inline int compare_separator(const struct inner *inner, unsigned index,
                                    const struct probe *probe)
{
    int order = compare_prefixes(&inner->prefixes[index], &probe->prefix);
    if (order != 0) {
        return order;
    }
    const struct separator *separator = inner->separators[index];
    return leat_sorted_compare(leat_bytes_of(separator->data, separator->key_bytes), probe->key);
}

/* The first entry that is not below the probe. */
static inline unsigned leaf_lower_bound(const struct leat_sorted_leaf *leaf,
                                        const struct probe *probe)
{
    unsigned low = 0;
    unsigned high = leaf->node.count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (compare_entry(leaf, middle, probe) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The child in whose range the probe is: as many as there are separators not above it. */
static inline unsigned child_of(const struct inner *inner, const struct probe *probe)
{
    unsigned low = 0;
    unsigned high = inner->node.count - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (compare_separator(inner, middle, probe) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static inline void descend(const struct leat_sorted *sorted, const struct probe *probe,
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

static inline bool leaf_has(const struct leat_sorted_leaf *leaf, unsigned index,
                            const struct probe *probe)
{
    return index < leaf->node.count && compare_entry(leaf, index, probe) == 0;
}

/* Removes the entry at a place of the leaf that the path leads to. */
void leat_sorted_erase_at(struct leat_sorted *sorted, struct path *path, unsigned index);

#endif
