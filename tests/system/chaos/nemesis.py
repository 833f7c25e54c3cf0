"""Kills, freezes, thaws and starts again, as a seed says."""
import os
import random
import signal
import time

import lab


def descendants(pid):
    """Ids of all processes below one, in the order in which they are found."""
    found, look = [], [pid]
    while look:
        parent = look.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as f:
                    look += (children := [int(child) for child in f.read().split()])
                    found += children
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def born(pid):
    """When a process started; with its id it names it for good. None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return None if fields[0] == "Z" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


class Nemesis:
    """Each blow falls on one to three members at once. A member is a broker, a worker, a producer, or something below a worker:
    its spawner, or a process of a slot. What was killed is started again after a while, what was frozen is thawed. The blows
    follow from the seed; what they meet depends on the machine."""

    MEMBERS = ["ventilator"] * 4 + ["sink"] * 4 + ["producer1", "producer2"] + ["worker1", "worker2", "worker3"] * 2 + \
        ["spawner1", "spawner2", "slot1", "slot2", "slot3", "slot1", "slot2", "slot3"]
    PAUSES_S = [0.0, 0.0, 0.05, 0.3, 1.0, 3.0]
    STRAY_S = 1.0

    def __init__(self, cluster, seed, say):
        self.cluster, self.rng, self.say = cluster, random.Random(seed), say
        self.kills = self.freezes = 0
        self.trouble = []
        self.doomed = []  # (time, what, [(pid, born)]): must be gone by then

    def strike(self, kills_left):
        rng = self.rng
        members = []
        for _ in range(min(rng.choice([1, 1, 1, 2, 3]), kills_left)):
            member = rng.choice(self.MEMBERS)
            # What is below a worker and the worker itself are not met by one blow: a worker whose spawner is frozen cannot clean up.
            if all(member[-1] != other[-1] for other in members):
                members.append(member)
        how = rng.choice(["kill", "kill", "kill", "freeze", "freeze then kill"])
        pause_s, before_s = rng.choice(self.PAUSES_S), rng.uniform(0.05, 0.5)
        self.wait(before_s)
        self.say(f"{how} {' '.join(members)}, {pause_s} s")
        if how != "kill":
            for member in members:
                self.freezes += self.signal(member, signal.SIGSTOP)
            self.wait(pause_s)
        if how != "freeze":
            for member in members:
                self.kill(member)
            if how == "kill":
                self.wait(pause_s)
        for member in members:
            self.signal(member, signal.SIGCONT)
        self.cluster.mend(self.trouble)

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            begun = time.monotonic()
            time.sleep(min(left, 0.1))
            # On a machine where we come late ourselves, so do those that are to end.
            self.be_patient(time.monotonic() - begun - min(left, 0.1))
            self.look_for_strays()

    def be_patient(self, late_s):
        self.doomed = [(at + (late_s if late_s > 0.05 else 0), what, pairs) for at, what, pairs in self.doomed]

    def target(self, member):
        """The process, None when there is none just now."""
        if member[:-1] not in ("spawner", "slot"):
            return self.cluster.pid(member)
        below = descendants(self.cluster.pid("worker" + member[-1]) or 0) if self.cluster.pid("worker" + member[-1]) else []
        if member.startswith("spawner"):
            return below[0] if below else None
        return self.rng.choice(below[1:]) if len(below) > 1 else None

    def signal(self, member, number):
        pid = self.frozen.pop(member, None) if number == signal.SIGCONT else self.target(member)
        if pid is None:
            return 0
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return 0
        if number == signal.SIGSTOP:
            self.frozen[member] = pid
        return 1

    @property
    def frozen(self):
        return self.__dict__.setdefault("_frozen", {})

    def kill(self, member):
        pid = self.frozen.pop(member, None) or self.target(member)
        if pid is None:
            return
        if member.startswith(("worker", "spawner")):
            below = [(child, born(child)) for child in descendants(pid)]
            self.doomed.append((time.monotonic() + self.STRAY_S, f"{member} ({pid})", [pair for pair in below if pair[1]]))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills += 1
        self.cluster.expected_to_end(member)

    def look_for_strays(self):
        """Below a killed worker or spawner nothing is left after a second. A late look makes it later, never earlier."""
        now = time.monotonic()
        for at, what, pairs in [d for d in self.doomed if d[0] <= now]:
            self.doomed = [d for d in self.doomed if d[2] is not pairs]
            left = [pid for pid, start in pairs if born(pid) == start]
            if left:
                names = []
                for pid in left:
                    try:
                        with open(f"/proc/{pid}/cmdline") as f:
                            names.append(f"{pid} {f.read()[:60]!r}")
                    except OSError:
                        pass
                self.trouble.append(f"left {now - at + self.STRAY_S:.1f} s after {what} was killed: {', '.join(names)}")
