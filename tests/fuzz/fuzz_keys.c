/* A file of a CURVE key: what is taken has a role that exists, queues that are names, and a public
 * key that its text gives back; what is refused has a reason. */
#include <string.h>

#include "core/name.h"
#include "io/key_file.h"
#include "tests/fuzz/fuzz.h"

static void check_file(const struct leat_key_file *file)
{
    struct leat_str queues[LEAT_SESSION_QUEUES_MAX];
    size_t count = 0;
    struct leat_key key;
    struct leat_why why = {""};
    if (leat_key_split_queues(file->queues, queues, &count, &why) != LEAT_OK) {
        fuzz_fail("a file is taken whose queues cannot be split: %s", why.text);
    }
    for (size_t i = 0; i < count; i++) {
        if (leat_name_check_queue(queues[i], NULL) != LEAT_OK) {
            fuzz_fail("a queue that is no name");
        }
    }
    if (file->has_role && strcmp(leat_role_name(file->role), "unknown") == 0) {
        fuzz_fail("role %d", (int)file->role);
    }
    if (leat_key_parse(file->public_text, &key, &why) != LEAT_OK ||
        !leat_key_equal(&key, &file->public_key)) {
        fuzz_fail("a public key and its text differ: %s", why.text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct leat_key_file file;
    struct leat_why why = {""};
    const char *path = fuzz_file(data, size);
    memset(&file, 0, sizeof file);
    if (leat_key_file_read(path, &file, &why) == LEAT_OK) {
        check_file(&file);
    } else if (why.text[0] == '\0') {
        fuzz_fail("refused without a reason");
    }
    leat_key_file_wipe(&file);
    return 0;
}
