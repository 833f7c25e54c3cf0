/* Runs a target on inputs that are there, without a fuzzer: what was once found stays found.
 * usage: fuzz_TARGET FILE|DIRECTORY...
 * Says "ok - name" for each input; one that fails ends the process, as it would under the fuzzer.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    size_t capacity = 1 << 20;
    uint8_t *data = malloc(capacity);
    size_t size = data == NULL ? 0 : fread(data, 1, capacity, file);
    fclose(file);
    /* Exactly as large as the input, so that the sanitizer sees a read past its end. */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (data == NULL || exact == NULL) {
        abort();
    }
    memcpy(exact, data, size);
    free(data);
    fprintf(stderr, "running %s\n", path); /* the last line, should it end here */
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    const char *slash = strrchr(path, '/');
    printf("ok - %s\n", slash == NULL ? path : slash + 1);
    fflush(stdout);
    return 1;
}

static int run_directory(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        perror(path);
        return -1;
    }
    int ran = 0;
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && ran >= 0) {
            int one = run_file(name);
            ran = one < 0 ? -1 : ran + one;
        }
        free(entries[i]);
    }
    free(entries);
    return ran;
}

int main(int argc, char **argv)
{
    int ran = 0;
    for (int i = 1; i < argc; i++) {
        struct stat status;
        int here = stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode) ? run_directory(argv[i])
                                                                          : run_file(argv[i]);
        if (here < 0) {
            return 1;
        }
        ran += here;
    }
    if (ran == 0) {
        printf("not ok - no input was run\n");
    }
    return ran > 0 ? 0 : 1;
}
