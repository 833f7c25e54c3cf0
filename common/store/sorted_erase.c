#include "store/sorted_inside.h"

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
        memmove(inner->prefixes + gone, inner->prefixes + gone + 1, above * sizeof(struct prefix));
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

void leat_sorted_erase_at(struct leat_sorted *sorted, struct path *path, unsigned index)
{
    struct leat_sorted_leaf *leaf = path->leaf;
    struct entry *entry = leaf->entries[index];
    size_t above = leaf->node.count - 1 - index;
    memmove(leaf->prefixes + index, leaf->prefixes + index + 1, above * sizeof(struct prefix));
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
    struct probe probe = probe_of(key);
    struct path path;
    if (sorted->root == NULL) {
        return false;
    }
    descend(sorted, &probe, &path);
    unsigned index = leaf_lower_bound(path.leaf, &probe);
    if (!leaf_has(path.leaf, index, &probe)) {
        return false;
    }
    leat_sorted_erase_at(sorted, &path, index);
    return true;
}
