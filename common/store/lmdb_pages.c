#include "store/lmdb_pages.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/lmdb_format.h"

enum kind {
    TREE_OF_TABLES = 1,
    FREE_LIST = 2, /* its keys are numbers of the machine */
    TABLE = 3,
};

struct tree {
    enum kind kind;
    char name[LEAT_LMDB_NAME_BYTES_MAX + 8];
    struct leat_lmdb_record record;
    uint64_t branches, leaves, overflows, entries;
};

struct check {
    struct leat_bytes file;
    uint64_t page_bytes, last_page, txn;
    uint64_t *reached; /* a bit per page */
    leat_lmdb_pages_found_fn *found;
    void *context;
    bool is_stopped;
    struct leat_lmdb_pages *pages;
    struct leat_lmdb_record records[LEAT_LMDB_TABLES_MAX]; /* of pages->tables */
    uint64_t last_free_key;
    uint64_t
        starts[LEAT_LMDB_PAGE_BYTES_MAX / 2 / 64]; /* of nodes of one page, a bit per 2 bytes */
};

/* What the keys of a page must lie between: from <= key < to; no data: no bound. */
struct bounds {
    struct leat_bytes from, to;
};

static void LEAT_PRINTF(2, 3) tell(struct check *check, const char *format, ...)
{
    char text[LEAT_WHY_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    check->pages->found++;
    check->is_stopped = check->is_stopped || !check->found(check->context, text);
}

/* For the return of a check that has found something. */
#define wrong(...) (tell(__VA_ARGS__), false)
#define wrong_page(check, tree, page, what)                                                        \
    wrong(check, "%s, page %llu: %s", (tree)->name, (unsigned long long)(page), what)

/* ---- pages ---- */

static bool is_reached(const struct check *check, uint64_t page)
{
    return (check->reached[page / 64] >> (page % 64) & 1) != 0;
}

/* Whether `count` pages from `page` exist and belong to nobody so far; they are `tree`'s now. */
static bool take(struct check *check, const struct tree *tree, uint64_t page, uint64_t count)
{
    if (page < LEAT_LMDB_METAS || page > check->last_page || count > check->last_page - page + 1) {
        return wrong(check, "%s refers to page %llu, the last one is %llu", tree->name,
                     (unsigned long long)(page + count - 1), (unsigned long long)check->last_page);
    }
    for (uint64_t i = page; i < page + count; i++) {
        if (is_reached(check, i)) {
            return wrong_page(check, tree, i, "it is in use twice");
        }
        check->reached[i / 64] |= UINT64_C(1) << (i % 64);
    }
    return true;
}

static const uint8_t *page_at(const struct check *check, uint64_t page)
{
    return check->file.data + page * check->page_bytes;
}

/* ---- nodes ---- */

static struct leat_bytes key_of(const struct leat_lmdb_node *node)
{
    return leat_bytes_of(node->key, node->key_bytes);
}

static int compare(const struct tree *tree, struct leat_bytes a, struct leat_bytes b)
{
    if (tree->kind == FREE_LIST) {
        uint64_t left = leat_lmdb_u64(a.data);
        uint64_t right = leat_lmdb_u64(b.data);
        return left < right ? -1 : left > right;
    }
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : a.size < b.size ? -1 : a.size > b.size;
}

/* Nodes lie one behind the other from `upper` to the end of the page, in any order. */
static bool check_tiling(struct check *check, const struct tree *tree, uint64_t page,
                         const struct leat_lmdb_head *head)
{
    const uint8_t *bytes = page_at(check, page);
    memset(check->starts, 0, check->page_bytes / 16);
    for (unsigned i = 0; i < head->node_count; i++) {
        unsigned at = leat_lmdb_node_offset(bytes, i);
        if (at % 2 != 0 || at < head->upper || at + LEAT_LMDB_NODE_BYTES > check->page_bytes) {
            return wrong_page(check, tree, page, "an entry lies outside of it");
        }
        check->starts[at / 128] |= UINT64_C(1) << (at / 2 % 64);
    }
    uint64_t at = head->upper;
    unsigned count = 0;
    while (at + LEAT_LMDB_NODE_BYTES <= check->page_bytes &&
           (check->starts[at / 128] >> (at / 2 % 64) & 1) != 0) {
        at += leat_lmdb_node_bytes(bytes, (unsigned)at, head->is_leaf);
        count++;
    }
    if (at != check->page_bytes || count != head->node_count) {
        return wrong_page(check, tree, page, "its entries do not fit together");
    }
    return true;
}

static bool check_key_size(struct check *check, const struct tree *tree, uint64_t page,
                           struct leat_bytes key)
{
    bool is_good = tree->kind == FREE_LIST ? key.size == sizeof(uint64_t)
                                           : key.size > 0 && key.size <= LEAT_LMDB_KEY_BYTES_MAX;
    return is_good || wrong_page(check, tree, page, "a key has an impossible size");
}

/* The first key of a branch says nothing: nobody compares with it. */
static bool check_order(struct check *check, const struct tree *tree, uint64_t page,
                        const struct leat_lmdb_head *head, struct bounds bounds)
{
    struct leat_bytes before = bounds.from;
    bool may_equal = true;
    for (unsigned i = head->is_leaf ? 0 : 1; i < head->node_count; i++) {
        struct leat_lmdb_node node = leat_lmdb_node(page_at(check, page), i, head->is_leaf);
        if (!check_key_size(check, tree, page, key_of(&node))) {
            return false;
        }
        int order = before.data == NULL ? -1 : compare(tree, before, key_of(&node));
        if (order > 0 || (order == 0 && !may_equal)) {
            return wrong_page(check, tree, page, "its keys are not in order");
        }
        before = key_of(&node);
        may_equal = false;
    }
    if (bounds.to.data != NULL && before.data != NULL && compare(tree, before, bounds.to) >= 0) {
        return wrong_page(check, tree, page, "its keys are beyond those of the page above");
    }
    return true;
}

static bool check_head(struct check *check, struct tree *tree, uint64_t page, unsigned level,
                       struct leat_lmdb_head *ret_head)
{
    struct leat_lmdb_head head = leat_lmdb_head(page_at(check, page));
    const unsigned flags =
        level == tree->record.depth ? LEAT_LMDB_PAGE_LEAF : LEAT_LMDB_PAGE_BRANCH;
    if (head.page != page) {
        return wrong(check, "%s, page %llu: it says that it is page %llu", tree->name,
                     (unsigned long long)page, (unsigned long long)head.page);
    }
    if (head.flags != flags) {
        return wrong_page(check, tree, page, "it is of another kind than its place demands");
    }
    if (head.lower % 2 != 0 || head.upper % 2 != 0 || head.lower <= LEAT_LMDB_HEAD_BYTES ||
        head.lower > head.upper || head.upper > check->page_bytes) {
        return wrong_page(check, tree, page, "its head is damaged");
    }
    *ret_head = head;
    return true;
}

/* ---- what leaves hold ---- */

/* Where the value of a leaf's node lies; takes the pages of a large one. */
static bool find_value(struct check *check, struct tree *tree, uint64_t page,
                       const struct leat_lmdb_node *node, struct leat_bytes *ret_value)
{
    if (node->flags == 0 || node->flags == LEAT_LMDB_NODE_TABLE) {
        *ret_value = leat_bytes_of(node->data, node->value_bytes);
        return true;
    }
    if (node->flags != LEAT_LMDB_NODE_LARGE) {
        return wrong_page(check, tree, page, "an entry is of no known kind");
    }
    uint64_t first = leat_lmdb_u64(node->data);
    uint64_t need =
        (LEAT_LMDB_HEAD_BYTES - 1 + (uint64_t)node->value_bytes) / check->page_bytes + 1;
    if (!take(check, tree, first, 1)) {
        return false;
    }
    const uint8_t *bytes = page_at(check, first);
    struct leat_lmdb_head head = leat_lmdb_head(bytes);
    if (head.page != first || head.flags != LEAT_LMDB_PAGE_OVERFLOW || head.count < need) {
        return wrong_page(check, tree, first, "it is not the begin of a large value of that size");
    }
    if (head.count > 1 && !take(check, tree, first + 1, head.count - 1)) {
        return false;
    }
    tree->overflows += head.count;
    *ret_value = leat_bytes_of(bytes + LEAT_LMDB_HEAD_BYTES, node->value_bytes);
    return true;
}

static void note_table(struct check *check, const struct leat_lmdb_node *node,
                       struct leat_bytes value)
{
    struct leat_lmdb_pages *pages = check->pages;
    if (node->key_bytes > LEAT_LMDB_NAME_BYTES_MAX || pages->table_count == LEAT_LMDB_TABLES_MAX) {
        return; /* not one of ours */
    }
    memcpy(pages->tables[pages->table_count], node->key, node->key_bytes);
    pages->tables[pages->table_count][node->key_bytes] = '\0';
    check->records[pages->table_count++] = leat_lmdb_record(value.data);
}

/* A record of the free list: the txn that freed them, how many, and the pages in falling order. */
static bool check_free(struct check *check, const struct tree *tree, uint64_t page,
                       const struct leat_lmdb_node *node, struct leat_bytes value)
{
    uint64_t count = value.size < 8 ? UINT64_MAX : leat_lmdb_u64(value.data);
    uint64_t before = check->last_page + 1;
    check->last_free_key = leat_lmdb_u64(node->key);
    if (value.size % 8 != 0 || count > value.size / 8 - 1) {
        return wrong_page(check, tree, page, "a list of pages is longer than its place");
    }
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t free = leat_lmdb_u64(value.data + 8 * i);
        if (free >= before || free < LEAT_LMDB_METAS) {
            return wrong(check, "%s, page %llu: page %llu cannot be there", tree->name,
                         (unsigned long long)page, (unsigned long long)free);
        }
        before = free;
        if (!take(check, tree, free, 1)) {
            return false;
        }
    }
    check->pages->free += count;
    return true;
}

static bool check_leaf(struct check *check, struct tree *tree, uint64_t page,
                       const struct leat_lmdb_head *head)
{
    for (unsigned i = 0; i < head->node_count; i++) {
        struct leat_lmdb_node node = leat_lmdb_node(page_at(check, page), i, true);
        struct leat_bytes value;
        if (!find_value(check, tree, page, &node, &value)) {
            return false;
        }
        bool is_table = node.flags == LEAT_LMDB_NODE_TABLE;
        if (is_table && (tree->kind != TREE_OF_TABLES || value.size != LEAT_LMDB_RECORD_BYTES)) {
            return wrong_page(check, tree, page, "a table is where none can be");
        }
        if (is_table) {
            note_table(check, &node, value);
        }
        if (tree->kind == FREE_LIST && !check_free(check, tree, page, &node, value)) {
            return false;
        }
    }
    return true;
}

/* ---- trees ---- */

static bool walk(struct check *check, struct tree *tree, uint64_t page, unsigned level,
                 struct bounds bounds);

static bool walk_children(struct check *check, struct tree *tree, uint64_t page, unsigned level,
                          struct bounds bounds, unsigned count)
{
    bool is_good = true;
    for (unsigned i = 0; i < count && !check->is_stopped; i++) {
        struct leat_lmdb_node node = leat_lmdb_node(page_at(check, page), i, false);
        struct bounds within = bounds;
        if (i > 0) {
            within.from = key_of(&node);
        }
        if (i + 1 < count) {
            struct leat_lmdb_node next = leat_lmdb_node(page_at(check, page), i + 1, false);
            within.to = key_of(&next);
        }
        is_good = walk(check, tree, node.child, level + 1, within) && is_good;
    }
    return is_good;
}

/* Recurses as deep as the tree's record says, at most LEAT_LMDB_DEPTH_MAX. */
static bool walk(struct check *check, struct tree *tree, uint64_t page, unsigned level,
                 struct bounds bounds)
{
    struct leat_lmdb_head head;
    if (!take(check, tree, page, 1) || !check_head(check, tree, page, level, &head) ||
        !check_tiling(check, tree, page, &head) || !check_order(check, tree, page, &head, bounds)) {
        return false;
    }
    if (head.is_leaf) {
        tree->leaves++;
        tree->entries += head.node_count;
        return check_leaf(check, tree, page, &head);
    }
    tree->branches++;
    return walk_children(check, tree, page, level, bounds, head.node_count);
}

static bool check_counts(struct check *check, const struct tree *tree)
{
    const struct {
        const char *what;
        uint64_t said, found;
    } counts[] = {
        {"entries", tree->record.entries, tree->entries},
        {"branch pages", tree->record.branches, tree->branches},
        {"leaf pages", tree->record.leaves, tree->leaves},
        {"pages of large values", tree->record.overflows, tree->overflows},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (counts[i].said != counts[i].found) {
            return wrong(check, "%s: %llu %s are there, its record says %llu", tree->name,
                         (unsigned long long)counts[i].found, counts[i].what,
                         (unsigned long long)counts[i].said);
        }
    }
    return true;
}

static bool check_tree(struct check *check, struct tree *tree)
{
    const struct leat_lmdb_record *record = &tree->record;
    const unsigned flags = tree->kind == FREE_LIST ? LEAT_LMDB_FREE_FLAGS : 0;
    bool is_empty = record->root == LEAT_LMDB_NO_PAGE;
    if (record->flags != flags) {
        return wrong(check, "%s: its record has the flags 0x%x, not 0x%x", tree->name,
                     record->flags, flags);
    }
    if (record->depth > LEAT_LMDB_DEPTH_MAX || (record->depth == 0) != is_empty) {
        return wrong(check, "%s: its record says that it is %u pages deep", tree->name,
                     record->depth);
    }
    const struct bounds none = {{NULL, 0}, {NULL, 0}};
    if (!is_empty && !walk(check, tree, record->root, 1, none)) {
        return false;
    }
    check->pages->used += tree->branches + tree->leaves + tree->overflows;
    return check_counts(check, tree);
}

/* ---- the metas ---- */

static bool is_size(uint64_t bytes)
{
    return bytes >= 512 && bytes <= LEAT_LMDB_PAGE_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

/* Two commits in a row, each in the page of its number; or none yet. */
static bool follow(const struct leat_lmdb_meta metas[LEAT_LMDB_METAS])
{
    uint64_t first = metas[0].txn;
    uint64_t second = metas[1].txn;
    return (first == 0 && second == 0) ||
           (first % 2 == 0 && second % 2 == 1 && (first == second + 1 || second == first + 1));
}

static bool check_metas(struct check *check, const struct leat_lmdb_meta metas[LEAT_LMDB_METAS])
{
    if (metas[0].free.page_bytes != metas[1].free.page_bytes) {
        return wrong(check, "its first pages differ in the size of a page: %u and %u bytes",
                     metas[0].free.page_bytes, metas[1].free.page_bytes);
    }
    for (unsigned i = 0; i < LEAT_LMDB_METAS; i++) {
        if (metas[i].free.flags != LEAT_LMDB_FREE_FLAGS || metas[i].tables.flags != 0) {
            return wrong(check, "page %u: the flags are 0x%x and 0x%x, not 0x%x and 0x0", i,
                         metas[i].free.flags, metas[i].tables.flags, LEAT_LMDB_FREE_FLAGS);
        }
    }
    return follow(metas) ||
           wrong(check, "its first pages tell of commits %llu and %llu, which do not follow",
                 (unsigned long long)metas[0].txn, (unsigned long long)metas[1].txn);
}

static bool is_meta(const uint8_t *page, struct leat_lmdb_meta *ret_meta)
{
    *ret_meta = leat_lmdb_meta(page);
    return (leat_lmdb_head(page).flags & LEAT_LMDB_PAGE_META) != 0 &&
           ret_meta->magic == LEAT_LMDB_MAGIC && ret_meta->version == LEAT_LMDB_VERSION;
}

/* Whether LMDB will take it for one of its files, and have something better to say if it will not.
 */
static bool read_metas(struct check *check, struct leat_lmdb_meta metas[LEAT_LMDB_METAS])
{
    if (check->file.size < LEAT_LMDB_HEAD_BYTES + LEAT_LMDB_META_BYTES ||
        !is_meta(check->file.data, &metas[0])) {
        return false;
    }
    uint64_t page_bytes = metas[0].free.page_bytes;
    if (!is_size(page_bytes)) {
        return wrong(check, "page 0: pages cannot be of %u bytes", metas[0].free.page_bytes);
    }
    if (check->file.size < 2 * page_bytes) {
        return false;
    }
    check->page_bytes = page_bytes;
    return is_meta(check->file.data + page_bytes, &metas[1]);
}

/* ---- the whole ---- */

static bool check_tables(struct check *check, uint64_t pages_max,
                         const struct leat_lmdb_record *list)
{
    struct leat_lmdb_pages *pages = check->pages;
    uint64_t sum = list->branches + list->leaves + list->overflows;
    for (unsigned i = 0; i < pages->table_count; i++) {
        sum += check->records[i].branches + check->records[i].leaves;
    }
    if (sum > pages_max) {
        return true;
    }
    for (unsigned i = 0; i < pages->table_count && !check->is_stopped; i++) {
        struct tree table = {.kind = TABLE, .record = check->records[i]};
        snprintf(table.name, sizeof table.name, "table %s", pages->tables[i]);
        (void)check_tree(check, &table);
    }
    struct tree list_tree = {.kind = FREE_LIST, .name = "the free list", .record = *list};
    if (check->is_stopped || !check_tree(check, &list_tree)) {
        return false;
    }
    /* Each commit but the very first frees pages: the root that it writes anew, at least. */
    if (check->txn > 1 && check->last_free_key != check->txn) {
        return wrong(check, "the free list ends with commit %llu, the last one was %llu",
                     (unsigned long long)check->last_free_key, (unsigned long long)check->txn);
    }
    pages->is_whole = true;
    return true;
}

static void check_all(struct check *check, uint64_t pages_max,
                      const struct leat_lmdb_meta metas[LEAT_LMDB_METAS])
{
    const struct leat_lmdb_meta *meta = &metas[metas[1].txn > metas[0].txn];
    struct tree tables = {
        .kind = TREE_OF_TABLES, .name = "the tree of tables", .record = meta->tables};
    check->txn = meta->txn;
    check->pages->used = LEAT_LMDB_METAS;
    if (check_tree(check, &tables)) {
        (void)check_tables(check, pages_max, &meta->free);
    }
}

enum leat_err leat_lmdb_pages_check(struct leat_bytes file, uint64_t pages_max,
                                    leat_lmdb_pages_found_fn *found, void *context,
                                    struct leat_lmdb_pages *ret_pages)
{
    struct leat_lmdb_meta metas[LEAT_LMDB_METAS];
    struct leat_lmdb_pages pages = {0};
    struct check check = {.file = file, .found = found, .context = context, .pages = &pages};
    if (sizeof(size_t) != sizeof(uint64_t) || !read_metas(&check, metas) ||
        !check_metas(&check, metas)) {
        *ret_pages = pages;
        return LEAT_OK;
    }
    pages.page_bytes = check.page_bytes;
    pages.last_page = check.last_page = metas[metas[1].txn > metas[0].txn].last_page;
    pages.is_cut_short = check.last_page >= file.size / check.page_bytes;
    if (!pages.is_cut_short) {
        check.reached = calloc(check.last_page / 64 + 1, sizeof *check.reached);
        if (check.reached == NULL) {
            return LEAT_ERR_MEMORY;
        }
        check_all(&check, pages_max, metas);
        free(check.reached);
    }
    *ret_pages = pages;
    return LEAT_OK;
}
