#include "producer/base64.h"

#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>

enum leat_err leat_base64_decode(struct leat_str text, unsigned char **ret_bytes, size_t *ret_size)
{
    /* libresolv's decoder wants a terminated text and room for one group more than it writes. */
    size_t room = text.size / 4 * 3 + 4;
    char *copy = malloc(text.size + 1);
    unsigned char *bytes = malloc(room);
    int size = -1;
    if (copy != NULL && bytes != NULL) {
        if (text.size > 0) {
            memcpy(copy, text.data, text.size);
        }
        copy[text.size] = '\0';
        size = b64_pton(copy, bytes, room);
    }
    enum leat_err err = copy == NULL || bytes == NULL ? LEAT_ERR_MEMORY
                        : size < 0                    ? LEAT_ERR_INVALID
                                                      : LEAT_OK;
    free(copy);
    if (err != LEAT_OK) {
        free(bytes);
        return err;
    }
    *ret_bytes = bytes;
    *ret_size = (size_t)size;
    return LEAT_OK;
}

char *leat_base64_encode(struct leat_bytes bytes)
{
    size_t room = (bytes.size + 2) / 3 * 4 + 1;
    char *text = malloc(room);
    static const uint8_t none[1];
    if (text != NULL && b64_ntop(bytes.size > 0 ? bytes.data : none, bytes.size, text, room) < 0) {
        free(text);
        return NULL;
    }
    return text;
}
