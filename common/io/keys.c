#include "io/keys.h"

enum leat_err leat_keys_read_client(const struct leat_options *options,
                                    struct leat_curve *ret_ventilator, struct leat_curve *ret_sink,
                                    struct leat_why *why)
{
    const char *key = leat_options_text(options, "key");
    const char *server = leat_options_text(options, "server-key");
    const char *sink = leat_options_text(options, "sink-key");
    struct leat_curve unused;
    enum leat_err err =
        leat_curve_read_client(key, server, ret_ventilator != NULL ? ret_ventilator : &unused, why);
    if (err == LEAT_OK) {
        err = leat_curve_read_client(key, sink != NULL ? sink : server,
                                     ret_sink != NULL ? ret_sink : &unused, why);
    }
    leat_curve_wipe(&unused);
    return err;
}

enum leat_err leat_keys_start_guard(const struct leat_options *options, size_t doors,
                                    struct leat_curve *ret_own, struct leat_guard **ret_guard,
                                    struct leat_why *why)
{
    const char *key = leat_options_text(options, "key");
    const char *keys = leat_options_text(options, "keys");
    if ((key == NULL) != (keys == NULL)) {
        return leat_fail(why, LEAT_ERR_INVALID, "%s",
                         key == NULL ? "--keys needs --key, the private key of this process "
                                       "(leat keys new NAME --role broker makes one)"
                                     : "--key needs --keys, the directory of the public keys that "
                                       "are known");
    }
    struct leat_curve own = {.on = false};
    if (key != NULL) {
        enum leat_err err = leat_curve_read_server(key, &own, why);
        if (err != LEAT_OK) {
            return err;
        }
    }
    struct leat_guard_config config = {
        .keys = keys,
        .curve = &own,
        .doors = doors,
        .open_network = leat_options_flag(options, "allow-unauthenticated-network"),
    };
    enum leat_err err = leat_guard_start(&config, ret_guard, why);
    if (err == LEAT_OK) {
        *ret_own = own;
    }
    leat_curve_wipe(&own);
    return err;
}
