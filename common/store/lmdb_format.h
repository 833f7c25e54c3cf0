/* How bytes lie in a file of LMDB 0.9 (data version 1), in the byte order of the machine and with
 * words of 64 bits. Only for lmdb_pages.c and its tests.
 *
 *   page    0 number (8)  8 unused (2)  10 flags (2)  12 lower (2), 14 upper (2), or 12 count (4);
 *           from 16: the places of its nodes (2 each) up to `lower`; nodes from `upper` to the end
 *   node    0 size of the value (4) and 4 flags (2) in a leaf, number of a page (6) in a branch;
 *           6 size of the key (2); 8 the key, and in a leaf the value, or the number of its page
 * (8); an even number of bytes record  4 flags (2)  6 depth (2)  8 branches (8)  16 leaves (8)  24
 * pages of large values (8) 32 entries (8)  40 root (8): of a table meta    in the first two pages,
 * from 16: 0 magic (4)  4 version (4)  24 record of the free list, which has the size of a page at
 * 0 (4)  72 record of the tree of tables 120 last page (8)  128 txn (8)  */
#ifndef LEAT_STORE_LMDB_FORMAT_H
#define LEAT_STORE_LMDB_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LEAT_LMDB_METAS          2
#define LEAT_LMDB_PAGE_BYTES_MAX 32768
#define LEAT_LMDB_HEAD_BYTES     16
#define LEAT_LMDB_NODE_BYTES     8 /* without key and value */
#define LEAT_LMDB_RECORD_BYTES   48
#define LEAT_LMDB_META_BYTES     136
#define LEAT_LMDB_KEY_BYTES_MAX  511
#define LEAT_LMDB_DEPTH_MAX      32
#define LEAT_LMDB_MAGIC          0xBEEFC0DEU
#define LEAT_LMDB_VERSION        1U
#define LEAT_LMDB_NO_PAGE        UINT64_MAX

enum leat_lmdb_page_flags {
    LEAT_LMDB_PAGE_BRANCH = 0x01,
    LEAT_LMDB_PAGE_LEAF = 0x02,
    LEAT_LMDB_PAGE_OVERFLOW = 0x04,
    LEAT_LMDB_PAGE_META = 0x08,
};

enum leat_lmdb_node_flags {
    LEAT_LMDB_NODE_LARGE = 0x01, /* the value has pages of its own */
    LEAT_LMDB_NODE_TABLE = 0x02, /* the value is the record of a table */
};

#define LEAT_LMDB_FREE_FLAGS 0x08 /* of the record of the free list: keys are numbers */

struct leat_lmdb_head {
    uint64_t page;
    unsigned flags, lower, upper;
    unsigned node_count;
    uint64_t count; /* pages of a large value */
    bool is_leaf;
};

struct leat_lmdb_node {
    const uint8_t *key, *data;
    unsigned key_bytes;
    unsigned flags;       /* of a leaf */
    uint32_t value_bytes; /* of a leaf */
    uint64_t child;       /* of a branch */
};

struct leat_lmdb_record {
    unsigned page_bytes; /* in that of the free list */
    unsigned flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};

struct leat_lmdb_meta {
    uint32_t magic, version;
    struct leat_lmdb_record free, tables;
    uint64_t last_page, txn;
};

static inline unsigned leat_lmdb_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t leat_lmdb_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t leat_lmdb_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline struct leat_lmdb_head leat_lmdb_head(const uint8_t *page)
{
    struct leat_lmdb_head head = {
        .page = leat_lmdb_u64(page),
        .flags = leat_lmdb_u16(page + 10),
        .lower = leat_lmdb_u16(page + 12),
        .upper = leat_lmdb_u16(page + 14),
        .count = leat_lmdb_u32(page + 12),
    };
    head.is_leaf = head.flags == LEAT_LMDB_PAGE_LEAF;
    head.node_count =
        head.lower < LEAT_LMDB_HEAD_BYTES ? 0 : (head.lower - LEAT_LMDB_HEAD_BYTES) / 2;
    return head;
}

static inline unsigned leat_lmdb_node_offset(const uint8_t *page, unsigned index)
{
    return leat_lmdb_u16(page + LEAT_LMDB_HEAD_BYTES + 2 * (size_t)index);
}

static inline struct leat_lmdb_node leat_lmdb_node(const uint8_t *page, unsigned index,
                                                   bool is_leaf)
{
    const uint8_t *at = page + leat_lmdb_node_offset(page, index);
    struct leat_lmdb_node node = {
        .key = at + LEAT_LMDB_NODE_BYTES,
        .key_bytes = leat_lmdb_u16(at + 6),
    };
    if (is_leaf) {
        node.value_bytes = leat_lmdb_u16(at) | (uint32_t)leat_lmdb_u16(at + 2) << 16;
        node.flags = leat_lmdb_u16(at + 4);
    } else {
        node.child = leat_lmdb_u16(at) | (uint64_t)leat_lmdb_u16(at + 2) << 16 |
                     (uint64_t)leat_lmdb_u16(at + 4) << 32;
    }
    node.data = node.key + node.key_bytes;
    return node;
}

/* What a node takes of its page. It may say more than a page has; its first bytes must be there. */
static inline uint64_t leat_lmdb_node_bytes(const uint8_t *page, unsigned offset, bool is_leaf)
{
    const uint8_t *at = page + offset;
    uint64_t bytes = LEAT_LMDB_NODE_BYTES + leat_lmdb_u16(at + 6);
    if (is_leaf) {
        bool is_large = (leat_lmdb_u16(at + 4) & LEAT_LMDB_NODE_LARGE) != 0;
        bytes += is_large ? 8 : leat_lmdb_u16(at) | (uint64_t)leat_lmdb_u16(at + 2) << 16;
    }
    return bytes + bytes % 2;
}

static inline struct leat_lmdb_record leat_lmdb_record(const uint8_t *at)
{
    return (struct leat_lmdb_record){
        .page_bytes = leat_lmdb_u32(at),
        .flags = leat_lmdb_u16(at + 4),
        .depth = leat_lmdb_u16(at + 6),
        .branches = leat_lmdb_u64(at + 8),
        .leaves = leat_lmdb_u64(at + 16),
        .overflows = leat_lmdb_u64(at + 24),
        .entries = leat_lmdb_u64(at + 32),
        .root = leat_lmdb_u64(at + 40),
    };
}

static inline struct leat_lmdb_meta leat_lmdb_meta(const uint8_t *page)
{
    const uint8_t *at = page + LEAT_LMDB_HEAD_BYTES;
    return (struct leat_lmdb_meta){
        .magic = leat_lmdb_u32(at),
        .version = leat_lmdb_u32(at + 4),
        .free = leat_lmdb_record(at + 24),
        .tables = leat_lmdb_record(at + 72),
        .last_page = leat_lmdb_u64(at + 120),
        .txn = leat_lmdb_u64(at + 128),
    };
}

#endif
