#include "producer/header_options.h"

#include <string.h>

#include "core/name.h"
#include "core/view.h"

bool leat_header_options_read(const struct leat_options *options,
                              const struct leat_program *program, struct leat_header_options *ret,
                              int *ret_status)
{
    size_t count = leat_options_list_count(options, "header");
    if (count > LEAT_HEADERS_MAX) {
        *ret_status =
            leat_options_refuse(program, "%zu headers, at most %d", count, LEAT_HEADERS_MAX);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *text = leat_options_list_at(options, "header", i);
        const char *equals = strchr(text, '=');
        struct leat_why why = {"no '='"};
        struct leat_str name = {text, equals == NULL ? 0 : (size_t)(equals - text)};
        if (equals == NULL ||
            leat_name_check("header name", name, LEAT_HEADER_NAME_BYTES_MAX, &why) != LEAT_OK) {
            *ret_status = leat_options_refuse(program, "--header %.100s is not NAME=VALUE: %s",
                                              text, why.text);
            return false;
        }
        memcpy(ret->names[i], name.data, name.size);
        ret->names[i][name.size] = '\0';
        ret->items[i] = (struct leat_producer_header){ret->names[i], equals + 1};
    }
    ret->count = count;
    return true;
}
