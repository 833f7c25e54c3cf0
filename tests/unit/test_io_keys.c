/* Files that hold keys, and directories of them. */
#include <czmq.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/policy.h"
#include "io/curve.h"
#include "io/keyring.h"
#include "io/log.h"
#include "io_capture.h"
#include "io_keys_rig.h"

#define PUBLIC "=4DXRMdhqR7(Uhr})xysA.1uA?}Q9h]b6KT-F{^8"

/* ---- one file ---- */

static void a_pair_that_was_written_is_read(void **state)
{
    struct keys_rig *rig = *state;
    struct leat_key_file file = keys_new(rig, "w", LEAT_ROLE_WORKER, "a,b");
    struct leat_key_file read;
    assert_int_equal(leat_key_file_read(keys_path(rig, "w.pub"), &read, NULL), LEAT_OK);
    assert_true(read.has_role && !read.has_secret);
    assert_int_equal(read.role, LEAT_ROLE_WORKER);
    assert_string_equal(read.queues, "a,b");
    assert_string_equal(read.public_text, file.public_text);
    assert_true(leat_key_equal(&read.public_key, &file.public_key));

    struct stat info;
    const char *path = keys_path(rig, "w.key");
    umask(0);
    assert_int_equal(leat_key_file_write(path, &file, true, false, NULL), LEAT_OK);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(leat_key_file_read_private(path, &read, NULL), LEAT_OK);
    assert_true(read.has_secret);
    assert_string_equal(read.secret_text, file.secret_text);
    struct leat_why why;
    assert_int_equal(leat_key_file_write(path, &file, true, false, &why), LEAT_ERR_EXISTS);
    assert_non_null(strstr(why.text, path));
}

static void czmq_reads_our_files_and_we_read_its(void **state)
{
    struct keys_rig *rig = *state;
    struct leat_key_file file = keys_new(rig, "w", LEAT_ROLE_WORKER, "");
    zcert_t *cert = zcert_load(keys_path(rig, "w.pub"));
    assert_non_null(cert);
    assert_string_equal(zcert_public_txt(cert), file.public_text);
    assert_string_equal(zcert_meta(cert, "role"), "worker");
    zcert_destroy(&cert);
    cert = zcert_new();
    zcert_set_meta(cert, "role", "operator");
    zcert_set_meta(cert, "mail", "somebody@example.org");
    assert_int_equal(zcert_save_secret(cert, keys_path(rig, "c.key")), 0);
    assert_int_equal(chmod(keys_path(rig, "c.key"), 0600), 0);
    assert_int_equal(leat_key_file_read_private(keys_path(rig, "c.key"), &file, NULL), LEAT_OK);
    assert_int_equal(file.role, LEAT_ROLE_OPERATOR);
    assert_string_equal(file.public_text, zcert_public_txt(cert));
    assert_string_equal(file.secret_text, zcert_secret_txt(cert));
    zcert_destroy(&cert);
}

static void a_private_file_that_others_may_read_is_refused(void **state)
{
    struct keys_rig *rig = *state;
    struct leat_key_file file = keys_new(rig, "w", LEAT_ROLE_WORKER, "");
    const char *path = keys_path(rig, "w.key");
    assert_int_equal(leat_key_file_write(path, &file, true, false, NULL), LEAT_OK);
    static const unsigned modes[] = {0644, 0640, 0604, 0620, 0660, 0601, 0700 | 04};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct leat_why why = {""};
        char mode[8];
        struct leat_key_file read = {.has_secret = false};
        snprintf(mode, sizeof mode, "%04o", modes[i]);
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(leat_key_file_read_private(path, &read, &why), LEAT_ERR_REFUSED);
        assert_non_null(strstr(why.text, path));
        assert_non_null(strstr(why.text, mode));
        assert_non_null(strstr(why.text, "chmod 600"));
        assert_false(read.has_secret);
    }
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(leat_key_file_read_private(path, &file, NULL), LEAT_OK);
}

static void a_file_that_is_none_is_refused_by_line_and_reason(void **state)
{
    struct keys_rig *rig = *state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "no public-key"},
        {"hello\n", "no public-key"},
        {"curve\n    public-key = \"short\"\n", ":2: 'short' is no key"},
        {"    public-key = \"" PUBLIC "x\"\n", "41 bytes"},
        {"    public-key = " PUBLIC "\n", ":1: a value is to be written in quotes"},
        {"    public-key = \"\\4DXRMdhqR7(Uhr})xysA.1uA?}Q9h]b6KT-F{^8\"\n", "is no key"},
        {"role = \"root\"\n", "role is 'root'"},
        {"queues = \"a,,b\"\n", ":1: "},
        {"queues = \"a,\"\n", "last comma"},
        {"queues = \"a b\"\n", ":1: "},
        {"    secret-key = \"tooshort\"\n", "secret-key is 8 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct leat_key_file file;
        struct leat_why why = {""};
        keys_write(rig, "x.pub", cases[i].text, 0644);
        assert_int_equal(leat_key_file_read(keys_path(rig, "x.pub"), &file, &why),
                         LEAT_ERR_INVALID);
        if (strstr(why.text, cases[i].reason) == NULL) {
            fail_msg("'%s' is not in '%s'", cases[i].reason, why.text);
        }
    }
}

static void a_huge_file_a_fifo_and_a_directory_are_refused_at_once(void **state)
{
    struct keys_rig *rig = *state;
    struct leat_key_file file;
    struct leat_why why = {""};
    char *huge = malloc(100000);
    memset(huge, 'a', 99999);
    huge[99999] = '\0';
    keys_write(rig, "huge.pub", huge, 0644);
    free(huge);
    assert_int_equal(leat_key_file_read(keys_path(rig, "huge.pub"), &file, &why), LEAT_ERR_INVALID);
    assert_non_null(strstr(why.text, "larger"));
    assert_int_equal(mkfifo(keys_path(rig, "fifo.pub"), 0600), 0);
    assert_int_equal(leat_key_file_read(keys_path(rig, "fifo.pub"), &file, &why), LEAT_ERR_INVALID);
    assert_int_equal(leat_key_file_read(rig->directory, &file, &why), LEAT_ERR_INVALID);
    assert_int_equal(leat_key_file_read(keys_path(rig, "none"), &file, &why), LEAT_ERR_NOT_FOUND);
}

static void every_cut_and_every_changed_byte_of_a_file_is_read_or_refused(void **state)
{
    struct keys_rig *rig = *state;
    struct leat_key_file file = keys_new(rig, "w", LEAT_ROLE_WORKER, "a,b");
    char text[1024] = "";
    FILE *stream = fopen(keys_path(rig, "w.pub"), "r");
    size_t size = fread(text, 1, sizeof text - 1, stream);
    fclose(stream);
    for (size_t i = 0; i < size; i++) {
        char changed[1024];
        memcpy(changed, text, sizeof text);
        changed[i] = (char)(i % 2 == 0 ? 0xff : '\n');
        keys_write(rig, "x.pub", changed, 0644);
        (void)!leat_key_file_read(keys_path(rig, "x.pub"), &file, NULL);
        changed[i] = '\0';
        keys_write(rig, "x.pub", changed, 0644);
        (void)!leat_key_file_read(keys_path(rig, "x.pub"), &file, NULL);
    }
}

static void a_server_key_is_a_file_or_a_text(void **state)
{
    struct keys_rig *rig = *state;
    struct leat_key_file file = keys_new(rig, "b", LEAT_ROLE_BROKER, "");
    struct leat_why why = {""};
    struct leat_curve curve;
    const char *private_path = keys_path(rig, "b.key");
    assert_int_equal(leat_key_file_write(private_path, &file, true, false, NULL), LEAT_OK);
    assert_int_equal(leat_curve_read_client(private_path, keys_path(rig, "b.pub"), &curve, &why),
                     LEAT_OK);
    assert_true(curve.on);
    assert_string_equal(curve.server, file.public_text);
    assert_string_equal(curve.own_secret, file.secret_text);
    assert_int_equal(leat_curve_read_client(private_path, PUBLIC, &curve, &why), LEAT_OK);
    assert_string_equal(curve.server, PUBLIC);
    assert_int_equal(leat_curve_read_client(NULL, NULL, &curve, &why), LEAT_OK);
    assert_false(curve.on);
    assert_int_equal(leat_curve_read_client(private_path, NULL, &curve, &why), LEAT_ERR_INVALID);
    assert_non_null(strstr(why.text, "--server-key"));
    assert_int_equal(leat_curve_read_client(NULL, PUBLIC, &curve, &why), LEAT_ERR_INVALID);
    assert_non_null(strstr(why.text, "--key"));
    assert_int_equal(leat_curve_read_client(private_path, "nowhere", &curve, &why),
                     LEAT_ERR_INVALID);
    assert_non_null(strstr(why.text, "nowhere"));
    assert_int_equal(chmod(keys_path(rig, "b.pub"), 0644), 0);
    assert_int_equal(leat_curve_read_client(keys_path(rig, "b.pub"), PUBLIC, &curve, &why),
                     LEAT_ERR_REFUSED);
    assert_int_equal(chmod(keys_path(rig, "b.pub"), 0600), 0);
    assert_int_equal(leat_curve_read_client(keys_path(rig, "b.pub"), PUBLIC, &curve, &why),
                     LEAT_ERR_INVALID);
    assert_non_null(strstr(why.text, "NAME.key"));
    struct leat_key_file other = keys_new(rig, "o", LEAT_ROLE_BROKER, "");
    memcpy(file.public_text, other.public_text, sizeof file.public_text);
    assert_int_equal(leat_key_file_write(private_path, &file, true, true, NULL), LEAT_OK);
    assert_int_equal(leat_curve_read_client(private_path, PUBLIC, &curve, &why), LEAT_ERR_INVALID);
    assert_non_null(strstr(why.text, "belong together"));
}

/* ---- a directory ---- */

static struct leat_keyring *load(const struct keys_rig *rig, const struct leat_key *own,
                                 struct io_capture *capture)
{
    struct leat_keyring *keyring = NULL;
    io_capture_start(capture, STDERR_FILENO);
    assert_int_equal(leat_keyring_load(rig->directory, own, &keyring, NULL), LEAT_OK);
    io_capture_end(capture);
    return keyring;
}

static void a_directory_is_known_by_its_files_names(void **state)
{
    struct keys_rig *rig = *state;
    struct io_capture log;
    struct leat_key_file worker = keys_new(rig, "worker-1", LEAT_ROLE_WORKER, "a,b");
    struct leat_key_file own = keys_new(rig, "broker", LEAT_ROLE_BROKER, "");
    struct leat_key_file stranger = {.has_role = true};
    assert_int_equal(leat_key_file_draw(&stranger, NULL), LEAT_OK);
    struct leat_keyring *keyring = load(rig, &own.public_key, &log);
    assert_string_equal(log.text, "");
    assert_int_equal(leat_keyring_count(keyring), 2);
    const struct leat_principal *who = leat_keyring_find(keyring, &worker.public_key);
    assert_non_null(who);
    assert_string_equal(who->name, "worker-1");
    assert_int_equal(who->role, LEAT_ROLE_WORKER);
    assert_int_equal(who->queue_count, 2);
    assert_true(leat_str_equal(who->queues[1], leat_str_of("b")));
    assert_ptr_equal(leat_keyring_find_text(keyring, worker.public_text), who);
    assert_string_equal(leat_keyring_find(keyring, &own.public_key)->name, "broker");
    assert_null(leat_keyring_find(keyring, &stranger.public_key));
    assert_null(leat_keyring_find_text(keyring, ""));
    assert_null(leat_keyring_find_text(keyring, "worker-1"));
    leat_keyring_release(&keyring);
    assert_null(keyring);
}

static void what_cannot_be_used_is_told_and_not_known(void **state)
{
    struct keys_rig *rig = *state;
    struct io_capture log;
    struct leat_key_file good = keys_new(rig, "good", LEAT_ROLE_WORKER, "");
    struct leat_key_file secret = keys_new(rig, "secret", LEAT_ROLE_WORKER, "");
    assert_int_equal(leat_key_file_write(keys_path(rig, "secret.pub"), &secret, true, true, NULL),
                     LEAT_OK);
    assert_int_equal(leat_key_file_write(keys_path(rig, "twice.pub"), &good, false, true, NULL),
                     LEAT_OK);
    keys_write(rig, "norole.pub", "public-key = \"" PUBLIC "\"\n", 0644);
    keys_write(rig, "bad.pub", "nonsense", 0644);
    keys_write(rig, ".hidden.pub", "nonsense", 0644);
    keys_write(rig, "other.key", "nonsense", 0600);
    keys_write(rig, "name with spaces.pub", "nonsense", 0600);
    struct leat_keyring *keyring = load(rig, NULL, &log);
    assert_int_equal(leat_keyring_count(keyring), 1);
    assert_string_equal(leat_keyring_at(keyring, 0)->name, "good");
    assert_non_null(strstr(log.text, "secret.pub"));
    assert_non_null(strstr(log.text, "only public files"));
    assert_non_null(strstr(log.text, "twice.pub"));
    assert_non_null(strstr(log.text, "norole.pub"));
    assert_non_null(strstr(log.text, "bad.pub"));
    assert_null(strstr(log.text, "hidden"));
    assert_null(strstr(log.text, "other.key"));
    assert_null(strstr(log.text, secret.secret_text));
    leat_keyring_release(&keyring);
}

static void a_look_sees_every_change(void **state)
{
    struct keys_rig *rig = *state;
    uint64_t before = leat_keyring_look(rig->directory);
    assert_int_not_equal(before, 0);
    assert_int_equal(leat_keyring_look(rig->directory), before);
    keys_new(rig, "a", LEAT_ROLE_WORKER, "");
    uint64_t with_a = leat_keyring_look(rig->directory);
    assert_int_not_equal(with_a, before);
    keys_new(rig, "b", LEAT_ROLE_WORKER, "");
    uint64_t with_b = leat_keyring_look(rig->directory);
    assert_int_not_equal(with_b, with_a);
    keys_new(rig, "b", LEAT_ROLE_WORKER, ""); /* another key under the same name */
    assert_int_not_equal(leat_keyring_look(rig->directory), with_b);
    keys_remove(rig, "b");
    assert_int_equal(leat_keyring_look(rig->directory), with_a);
    keys_write(rig, "a.key", "private files mean nothing here", 0600);
    assert_int_equal(leat_keyring_look(rig->directory), with_a);
    assert_int_equal(leat_keyring_look("/nowhere/at/all"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pair_that_was_written_is_read, keys_setup, keys_teardown),
        cmocka_unit_test_setup_teardown(czmq_reads_our_files_and_we_read_its, keys_setup,
                                        keys_teardown),
        cmocka_unit_test_setup_teardown(a_private_file_that_others_may_read_is_refused, keys_setup,
                                        keys_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_none_is_refused_by_line_and_reason,
                                        keys_setup, keys_teardown),
        cmocka_unit_test_setup_teardown(a_huge_file_a_fifo_and_a_directory_are_refused_at_once,
                                        keys_setup, keys_teardown),
        cmocka_unit_test_setup_teardown(
            every_cut_and_every_changed_byte_of_a_file_is_read_or_refused, keys_setup,
            keys_teardown),
        cmocka_unit_test_setup_teardown(a_server_key_is_a_file_or_a_text, keys_setup,
                                        keys_teardown),
        cmocka_unit_test_setup_teardown(a_directory_is_known_by_its_files_names, keys_setup,
                                        keys_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_used_is_told_and_not_known, keys_setup,
                                        keys_teardown),
        cmocka_unit_test_setup_teardown(a_look_sees_every_change, keys_setup, keys_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
