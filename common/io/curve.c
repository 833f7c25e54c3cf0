#include "io/curve.h"

#include <string.h>
#include <unistd.h>

#include "io/key_file.h"

enum leat_err leat_curve_read_public(const char *key, char ret_text[LEAT_KEY_TEXT_BYTES],
                                     struct leat_why *why)
{
    struct leat_key parsed;
    if (leat_key_parse(key, &parsed, NULL) == LEAT_OK && access(key, F_OK) != 0) {
        memcpy(ret_text, key, LEAT_KEY_TEXT_BYTES);
        return LEAT_OK;
    }
    struct leat_key_file file;
    enum leat_err err = leat_key_file_read(key, &file, why);
    if (err == LEAT_OK) {
        memcpy(ret_text, file.public_text, LEAT_KEY_TEXT_BYTES);
        leat_key_file_wipe(&file);
    }
    return err == LEAT_ERR_NOT_FOUND ? LEAT_ERR_INVALID : err;
}

enum leat_err leat_curve_read_server(const char *key, struct leat_curve *ret_curve,
                                     struct leat_why *why)
{
    struct leat_key_file file;
    enum leat_err err = leat_key_file_read_private(key, &file, why);
    if (err != LEAT_OK) {
        return err == LEAT_ERR_NOT_FOUND ? LEAT_ERR_INVALID : err;
    }
    *ret_curve = (struct leat_curve){.on = true, .own = file.public_key};
    memcpy(ret_curve->own_public, file.public_text, sizeof file.public_text);
    memcpy(ret_curve->own_secret, file.secret_text, sizeof file.secret_text);
    leat_key_file_wipe(&file);
    return LEAT_OK;
}

enum leat_err leat_curve_read_client(const char *key, const char *server_key,
                                     struct leat_curve *ret_curve, struct leat_why *why)
{
    if (key == NULL && server_key == NULL) {
        *ret_curve = (struct leat_curve){.on = false};
        return LEAT_OK;
    }
    if (key == NULL) {
        return leat_fail(why, LEAT_ERR_INVALID,
                         "--server-key needs --key, the private file of this process (leat keys "
                         "new makes one)");
    }
    if (server_key == NULL) {
        return leat_fail(why, LEAT_ERR_INVALID,
                         "--key needs --server-key, the public key of the ventilator and the sink");
    }
    struct leat_curve curve;
    enum leat_err err = leat_curve_read_server(key, &curve, why);
    if (err == LEAT_OK) {
        err = leat_curve_read_public(server_key, curve.server, why);
        if (err == LEAT_OK) {
            *ret_curve = curve;
        }
        leat_curve_wipe(&curve);
    }
    return err;
}

void leat_curve_wipe(struct leat_curve *curve)
{
    explicit_bzero(curve, sizeof *curve);
}
