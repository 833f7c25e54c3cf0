#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "wire/dump.h"
#include "wire/msgtable.h"
#include "wire_messages.h"

static void a_message_is_dumped_as_one_line(void **state)
{
    (void)state;
    char text[LEAT_WIRE_DUMP_BYTES];
    struct leat_item_submission job = {.not_before_ms = -1};
    job.id.bytes[15] = 0xab;
    job.queue = leat_str_of("mail");
    job.type = leat_str_of("send\n\"now\"");
    job.body = leat_bytes_of("secret", 6);
    struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
    msg.submit.batch = 7;
    msg.submit.jobs.items = &job;
    msg.submit.jobs.count = 1;
    assert_string_equal(leat_wire_dump(&msg, text, sizeof(text)),
                        "SUBMIT producer=00000000-0000-0000-0000-000000000000 batch=7 "
                        "jobs=1[{id=00000000-0000-0000-0000-0000000000ab queue=\"mail\" "
                        "type=\"send??now?\" not_before_ms=-1 expires_at_ms=0 body=6B}]");
}

static void long_lists_and_texts_are_shortened(void **state)
{
    (void)state;
    char text[LEAT_WIRE_DUMP_BYTES];
    struct leat_item_name names[5] = {{{"a", 1}}, {{"b", 1}}, {{"c", 1}}, {{"d", 1}}, {{"e", 1}}};
    struct leat_msg msg = {.type = LEAT_MSG_HELLO};
    msg.hello.name =
        leat_str_of("0123456789012345678901234567890123456789012345\xe2\x82\xac and more");
    msg.hello.queues.items = names;
    msg.hello.queues.count = 5;
    assert_string_equal(leat_wire_dump(&msg, text, sizeof(text)),
                        "HELLO session=00000000-0000-0000-0000-000000000000 round=0 "
                        "name=\"0123456789012345678901234567890123456789012345\"(58) "
                        "queues=5[{name=\"a\"} {name=\"b\"} {name=\"c\"} ...] slots=0 leases=0[]");
}

static void a_dump_never_exceeds_its_space_nor_shows_bytes_of_a_bin(void **state)
{
    (void)state;
    struct leat_rng rng;
    struct leat_arena arena;
    const struct leat_wire_message *message;
    leat_rng_init(&rng, wire_test_seed());
    leat_arena_init(&arena, 64 << 20);
    for (size_t i = 0; (message = leat_wire_message_at(i)) != NULL; i++) {
        for (int round = 0; round < 20; round++) {
            struct leat_msg msg;
            wire_random_message(message, &rng, &arena, &msg);
            size_t size = 8 + (size_t)leat_rng_below(&rng, 1200);
            char *text = malloc(size);
            assert_non_null(text);
            leat_wire_dump(&msg, text, size);
            assert_true(strlen(text) < size);
            assert_true(leat_utf8_valid(text, strlen(text)));
            assert_null(strchr(text, '\n'));
            free(text);
        }
    }
    leat_arena_fini(&arena);

    char text[LEAT_WIRE_DUMP_BYTES];
    struct leat_item_outcome outcome = {.output = leat_bytes_of("TOP-SECRET", 10)};
    struct leat_msg ran = {.type = LEAT_MSG_RAN};
    ran.ran.outcomes.items = &outcome;
    ran.ran.outcomes.count = 1;
    assert_null(strstr(leat_wire_dump(&ran, text, sizeof(text)), "SECRET"));
    assert_non_null(strstr(text, "output=10B"));
}

static void a_cut_dump_ends_in_dots(void **state)
{
    (void)state;
    char text[24];
    struct leat_msg msg = {.type = LEAT_MSG_GOODBYE};
    msg.goodbye.reason = leat_str_of("far too long for this");
    assert_string_equal(leat_wire_dump(&msg, text, sizeof(text)), "GOODBYE round=0 num...");
    msg.type = (enum leat_msg_type)0x7f;
    assert_string_equal(leat_wire_dump(&msg, text, sizeof(text)), "unknown type=127");
}

static void the_table_knows_each_type_by_its_number(void **state)
{
    (void)state;
    const struct leat_wire_message *message;
    size_t count = 0;
    for (; (message = leat_wire_message_at(count)) != NULL; count++) {
        assert_ptr_equal(leat_wire_message_of((uint64_t)message->type), message);
        assert_string_equal(leat_wire_message_name((uint64_t)message->type), message->name);
        assert_true(message->field_count > 0);
    }
    assert_true(count > 30);
    assert_null(leat_wire_message_of(0));
    assert_null(leat_wire_message_of(UINT64_MAX));
    assert_string_equal(leat_wire_message_name(0x7f), "unknown");
    assert_string_equal(leat_wire_message_name(LEAT_MSG_RETURN), "RETURN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_dumped_as_one_line),
        cmocka_unit_test(long_lists_and_texts_are_shortened),
        cmocka_unit_test(a_dump_never_exceeds_its_space_nor_shows_bytes_of_a_bin),
        cmocka_unit_test(a_cut_dump_ends_in_dots),
        cmocka_unit_test(the_table_knows_each_type_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
