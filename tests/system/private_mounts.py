"""File systems of a test's own: the process gets mounts that nobody else sees and that are gone when it ends."""
import ctypes
import os

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def enter():
    """Before there is a second thread. As root, or as anybody where the kernel lets users have namespaces."""
    user, group = os.getuid(), os.getgid()
    check(libc.unshare(CLONE_NEWNS | (0 if user == 0 else CLONE_NEWUSER)), "no mounts of its own for this test")
    if user != 0:
        for name, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as f:
                f.write(line)
    # In a changed root that is no mount itself there is nothing to be made private from here; what lies above is not seen.
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)


def tmpfs(path, size_bytes):
    os.makedirs(path, exist_ok=True)
    check(libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, f"size={size_bytes},mode=0700".encode()), f"no tmpfs at {path}")


def unmount(path):
    check(libc.umount2(path.encode(), 2), f"cannot unmount {path}")
