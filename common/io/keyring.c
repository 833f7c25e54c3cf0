#include "io/keyring.h"

#include <czmq.h>
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/check.h"
#include "core/map.h"
#include "core/name.h"
#include "io/key_file.h"
#include "io/log.h"
#include "io/random.h"

#define PATH_BYTES 4096

struct known {
    struct leat_principal principal;
    char queues[LEAT_KEY_QUEUES_BYTES_MAX + 1];
    struct leat_str names[LEAT_SESSION_QUEUES_MAX];
};

struct leat_keyring {
    atomic_uint holders;
    struct leat_map by_text; /* of the key's 40 characters: struct known, owned */
    struct known **known;
    size_t count;
    size_t capacity;
};

static struct leat_keyring *new_keyring(void)
{
    struct leat_keyring *keyring = calloc(1, sizeof *keyring);
    LEAT_ASSERT(keyring != NULL);
    atomic_init(&keyring->holders, 1);
    leat_map_init(&keyring->by_text, LEAT_KEY_TEXT_BYTES - 1, leat_random_seed());
    return keyring;
}

/* False: this key is there already. */
static bool add(struct leat_keyring *keyring, const char *name, const struct leat_key_file *file)
{
    if (leat_map_get(&keyring->by_text, file->public_text, NULL)) {
        return false;
    }
    struct known *known = calloc(1, sizeof *known);
    LEAT_ASSERT(known != NULL);
    known->principal.key = file->public_key;
    known->principal.role = file->role;
    snprintf(known->principal.name, sizeof known->principal.name, "%s", name);
    memcpy(known->queues, file->queues, sizeof known->queues);
    enum leat_err err =
        leat_key_split_queues(known->queues, known->names, &known->principal.queue_count, NULL);
    LEAT_ASSERT(err == LEAT_OK); /* it was checked when the file was read */
    known->principal.queues = known->names;
    if (keyring->count == keyring->capacity) {
        keyring->capacity = keyring->capacity == 0 ? 16 : 2 * keyring->capacity;
        keyring->known = realloc(keyring->known, keyring->capacity * sizeof(struct known *));
        LEAT_ASSERT(keyring->known != NULL);
    }
    err = leat_map_put_pointer(&keyring->by_text, file->public_text, known);
    LEAT_ASSERT(err == LEAT_OK);
    keyring->known[keyring->count++] = known;
    return true;
}

static void add_own(struct leat_keyring *keyring, const struct leat_key *own)
{
    struct leat_key_file file = {.has_role = true, .role = LEAT_ROLE_BROKER};
    if (own != NULL) {
        file.public_key = *own;
        zmq_z85_encode(file.public_text, own->bytes, LEAT_KEY_BYTES);
        (void)add(keyring, "this-broker", &file);
    }
}

struct leat_keyring *leat_keyring_new_empty(const struct leat_key *own)
{
    struct leat_keyring *keyring = new_keyring();
    add_own(keyring, own);
    return keyring;
}

/* NAME of NAME.pub; false when it is no such file. */
static bool name_of(const char *file, char ret_name[LEAT_KEY_NAME_BYTES_MAX + 1])
{
    size_t size = strlen(file);
    size_t suffix = strlen(LEAT_KEY_PUBLIC_SUFFIX);
    if (size <= suffix || strcmp(file + size - suffix, LEAT_KEY_PUBLIC_SUFFIX) != 0 ||
        size - suffix > LEAT_KEY_NAME_BYTES_MAX) {
        return false;
    }
    memcpy(ret_name, file, size - suffix);
    ret_name[size - suffix] = '\0';
    return file[0] != '.' && leat_name_check("key name", leat_str_of(ret_name),
                                             LEAT_KEY_NAME_BYTES_MAX, NULL) == LEAT_OK;
}

static void refuse(const char *path, const char *reason)
{
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_WARN, "key_refused");
    leat_log_text(&line, "file", path);
    leat_log_text(&line, "reason", reason);
    leat_log_end(&line);
}

static void load_file(struct leat_keyring *keyring, const char *directory, const char *file_name,
                      const struct leat_key *own)
{
    char name[LEAT_KEY_NAME_BYTES_MAX + 1];
    char path[PATH_BYTES];
    struct leat_key_file file;
    struct leat_why why = {""};
    if (!name_of(file_name, name)) {
        return;
    }
    snprintf(path, sizeof path, "%s/%s", directory, file_name);
    if (leat_key_file_read(path, &file, &why) != LEAT_OK) {
        refuse(path, why.text);
    } else if (file.has_secret) {
        refuse(path, "it holds a secret key: only public files belong into a directory of keys");
    } else if (!file.has_role) {
        refuse(path, "it names no role");
    } else if (own != NULL && leat_key_equal(&file.public_key, own)) {
        /* known already; the file says what it is called */
        memcpy(keyring->known[0]->principal.name, name, sizeof name);
    } else if (keyring->count >= LEAT_KEYRING_KEYS_MAX) {
        refuse(path, "there are too many keys");
    } else if (!add(keyring, name, &file)) {
        refuse(path, "another file holds the same key");
    }
    leat_key_file_wipe(&file);
}

enum leat_err leat_keyring_load(const char *directory, const struct leat_key *own,
                                struct leat_keyring **ret_keyring, struct leat_why *why)
{
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, NULL, alphasort);
    if (count < 0) {
        return leat_fail(why, LEAT_ERR_IO, "cannot read the directory of keys %.160s: %s",
                         directory, strerror(errno));
    }
    struct leat_keyring *keyring = leat_keyring_new_empty(own);
    for (int i = 0; i < count; i++) {
        load_file(keyring, directory, entries[i]->d_name, own);
        free(entries[i]);
    }
    free(entries);
    *ret_keyring = keyring;
    return LEAT_OK;
}

struct leat_keyring *leat_keyring_hold(struct leat_keyring *keyring)
{
    atomic_fetch_add(&keyring->holders, 1);
    return keyring;
}

void leat_keyring_release(struct leat_keyring **keyring_address)
{
    struct leat_keyring *keyring = *keyring_address;
    *keyring_address = NULL;
    if (keyring == NULL || atomic_fetch_sub(&keyring->holders, 1) > 1) {
        return;
    }
    for (size_t i = 0; i < keyring->count; i++) {
        free(keyring->known[i]);
    }
    free(keyring->known);
    leat_map_fini(&keyring->by_text);
    free(keyring);
}

const struct leat_principal *leat_keyring_find_text(const struct leat_keyring *keyring,
                                                    const char *text)
{
    if (strlen(text) != LEAT_KEY_TEXT_BYTES - 1) {
        return NULL;
    }
    const struct known *known = leat_map_get_pointer(&keyring->by_text, text);
    return known == NULL ? NULL : &known->principal;
}

const struct leat_principal *leat_keyring_find(const struct leat_keyring *keyring,
                                               const struct leat_key *key)
{
    char text[LEAT_KEY_TEXT_BYTES];
    zmq_z85_encode(text, key->bytes, LEAT_KEY_BYTES);
    return leat_keyring_find_text(keyring, text);
}

size_t leat_keyring_count(const struct leat_keyring *keyring)
{
    return keyring->count;
}

const struct leat_principal *leat_keyring_at(const struct leat_keyring *keyring, size_t index)
{
    return &keyring->known[index]->principal;
}

/* ---- has it changed? ---- */

/* FNV-1a; the order in which a directory is read must not matter, so that files are summed up. */
static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

uint64_t leat_keyring_look(const char *directory)
{
    DIR *stream = opendir(directory);
    if (stream == NULL) {
        return 0;
    }
    uint64_t sum = 1;
    const struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        char name[LEAT_KEY_NAME_BYTES_MAX + 1];
        struct stat info;
        if (!name_of(entry->d_name, name) || fstatat(dirfd(stream), entry->d_name, &info, 0) != 0) {
            continue;
        }
        uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), entry->d_name, strlen(entry->d_name));
        hash = mix(hash, &info.st_ino, sizeof info.st_ino);
        hash = mix(hash, &info.st_size, sizeof info.st_size);
        hash = mix(hash, &info.st_mode, sizeof info.st_mode);
        hash = mix(hash, &info.st_mtim, sizeof info.st_mtim);
        hash = mix(hash, &info.st_ctim, sizeof info.st_ctim);
        sum += hash | 1;
    }
    closedir(stream);
    return sum == 0 ? 1 : sum;
}
