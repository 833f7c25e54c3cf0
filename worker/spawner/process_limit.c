#include "worker/spawner/process_limit.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/limits.h"
#include "worker/spawner/tree.h"

#if defined __x86_64__
#define MACHINE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define MACHINE AUDIT_ARCH_AARCH64
#endif

#ifdef MACHINE

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define GIVE(value) BPF_STMT(BPF_RET | BPF_K, (value))
/* Runs the next instruction only if what was loaded is `value`. */
#define IF_EQUAL(value)     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1)
#define CALL(number, value) IF_EQUAL(number), GIVE(value)

static const struct sock_filter program[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
    GIVE(SECCOMP_RET_ALLOW),
    LOAD(nr),
#ifdef SYS_fork
    CALL(SYS_fork, SECCOMP_RET_USER_NOTIF),
    CALL(SYS_vfork, SECCOMP_RET_USER_NOTIF),
#endif
    /* Its flags are in memory, out of a filter's reach. Whoever gets ENOSYS calls clone instead, as
       glibc does. */
    CALL(SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
    GIVE(SECCOMP_RET_ALLOW),
    LOAD(args[0]), /* the lower half: both machines are little-endian */
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
    GIVE(SECCOMP_RET_ALLOW),
    GIVE(SECCOMP_RET_USER_NOTIF),
};

static int install(void)
{
    const struct sock_fprog filter = {sizeof program / sizeof program[0],
                                      (struct sock_filter *)(uintptr_t)program};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &filter);
}

#else

static int install(void)
{
    errno = ENOSYS;
    return -1;
}

#endif

enum leat_err leat_process_limit_check(struct leat_why *why)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(install() >= 0 ? 0 : errno);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        return leat_fail(why, LEAT_ERR_INVALID, "processes cannot be limited here: %s",
                         strerror(child < 0 ? errno : ECHILD));
    }
    if (WEXITSTATUS(status) != 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "processes cannot be limited here: seccomp: %s",
                         strerror(WEXITSTATUS(status)));
    }
    return LEAT_OK;
}

/* Room for one descriptor, aligned as the kernel wants it. */
union rights {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

int leat_process_limit_install(int socket)
{
    int listener = install();
    if (listener < 0) {
        return errno;
    }
    char word = 0;
    struct iovec part = {&word, sizeof word};
    union rights rights = {{0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = rights.bytes,
                             .msg_controllen = sizeof rights.bytes};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof listener);
    memcpy(CMSG_DATA(head), &listener, sizeof listener);
    int error = sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)sizeof word ? 0 : errno;
    close(listener);
    return error;
}

int leat_process_limit_receive(int socket)
{
    char word;
    struct iovec part = {&word, sizeof word};
    union rights rights = {{0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = rights.bytes,
                             .msg_controllen = sizeof rights.bytes};
    ssize_t got;
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head == NULL || head->cmsg_type != SCM_RIGHTS) {
        return -1;
    }
    int listener;
    memcpy(&listener, CMSG_DATA(head), sizeof listener);
    return listener;
}

void leat_process_limit_answer(int listener, size_t most)
{
    struct seccomp_notif ask;
    memset(&ask, 0, sizeof ask); /* the kernel insists on it */
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &ask) != 0) {
        return; /* who asked has been killed meanwhile */
    }
    struct seccomp_notif_resp answer = {.id = ask.id};
    if (leat_tree_count(most) < most) {
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    } else {
        answer.error = -EAGAIN;
    }
    (void)!ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}
