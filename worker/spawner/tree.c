#include "worker/spawner/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Our child cannot vanish while we do this: it stays, as a zombie at least, until we reap it. So
 * its number cannot mean another process. */
static void kill_child(pid_t pid)
{
    pid_t session = getsid(pid);
    if (session >= 0 && session != getsid(0)) {
        /* The session was made below us, so all members of the group are below us too. */
        pid_t group = getpgid(pid);
        if (group > 1) {
            kill(-group, SIGKILL);
        }
    }
    kill(pid, SIGKILL);
}

static pid_t parent_of(const char *pid_text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid_text);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    char text[512];
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) {
        return 0;
    }
    text[got] = '\0';
    /* The name may hold anything, parentheses too: the fields start behind the last one. */
    const char *end = strrchr(text, ')');
    int parent = 0;
    return end != NULL && sscanf(end + 1, " %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

/* For kernels without CONFIG_PROC_CHILDREN. */
static size_t kill_by_scan(leat_tree_spare_fn *spare, void *context)
{
    DIR *proc = opendir("/proc");
    if (proc == NULL) {
        return 0;
    }
    size_t killed = 0;
    const pid_t self = getpid();
    for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
        if (!isdigit((unsigned char)entry->d_name[0]) || parent_of(entry->d_name) != self) {
            continue;
        }
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (spare == NULL || !spare(pid, context)) {
            kill_child(pid);
            killed++;
        }
    }
    closedir(proc);
    return killed;
}

size_t leat_tree_kill_children(leat_tree_spare_fn *spare, void *context)
{
    char path[64];
    const int self = (int)getpid();
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", self, self);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return kill_by_scan(spare, context);
    }
    size_t killed = 0;
    int pid;
    while (fscanf(file, "%d", &pid) == 1) {
        if (spare == NULL || !spare((pid_t)pid, context)) {
            kill_child((pid_t)pid);
            killed++;
        }
    }
    fclose(file);
    return killed;
}

/* ---- counting ---- */

static size_t count_below(pid_t pid, size_t enough);

static size_t count_in_file(const char *path, size_t enough)
{
    FILE *file = fopen(path, "re");
    size_t count = 0;
    int child;
    while (file != NULL && count < enough && fscanf(file, "%d", &child) == 1) {
        count++;
        count += count < enough ? count_below((pid_t)child, enough - count) : 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

/* The children of each of its threads. */
static size_t count_below(pid_t pid, size_t enough)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    size_t count = 0;
    for (struct dirent *entry = threads == NULL ? NULL : readdir(threads);
         entry != NULL && count < enough; entry = readdir(threads)) {
        if (isdigit((unsigned char)entry->d_name[0])) {
            snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", (int)pid, entry->d_name);
            count += count_in_file(path, enough - count);
        }
    }
    if (threads != NULL) {
        closedir(threads);
    }
    return count;
}

/* For kernels without CONFIG_PROC_CHILDREN: whose line of parents leads here? */
static size_t count_by_scan(size_t enough)
{
    DIR *proc = opendir("/proc");
    const pid_t self = getpid();
    size_t count = 0;
    for (struct dirent *entry = proc == NULL ? NULL : readdir(proc);
         entry != NULL && count < enough; entry = readdir(proc)) {
        char text[24];
        snprintf(text, sizeof text, "%.20s", entry->d_name);
        pid_t pid = isdigit((unsigned char)text[0]) ? parent_of(text) : 0;
        while (pid > 1 && pid != self) {
            snprintf(text, sizeof text, "%d", (int)pid);
            pid = parent_of(text);
        }
        count += pid == self ? 1 : 0;
    }
    if (proc != NULL) {
        closedir(proc);
    }
    return count;
}

size_t leat_tree_count(size_t enough)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    return access(path, R_OK) == 0 ? count_below(getpid(), enough) : count_by_scan(enough);
}

/* ---- ending ---- */

void leat_tree_end(pid_t main_pid, int *ret_status)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0) {
            /* At least one child lives, and all that are listed get killed, so the wait comes back;
             * what they leave to us is listed in the next round. */
            leat_tree_kill_children(NULL, NULL);
            pid = waitpid(-1, &status, 0);
        }
        if (pid < 0 && errno == ECHILD) {
            return;
        }
        if (pid > 0 && pid == main_pid) {
            *ret_status = status;
        }
    }
}
