"""What the cluster is given to do while things die: jobs of several kinds from producers of two sorts, and the record of
what was submitted and what was acknowledged."""
import collections
import json
import os
import random
import threading
import time
import uuid

import lab
from client import Producer, Refused, new_job_id

# attempts: at most so many; ends: how it may end. A job that only has to be left alone long enough gets many attempts, since
# the nemesis kills handlers, too.
Kind = collections.namedtuple("Kind", "script attempts timeout_ms ends")
RUNS = 'echo "$LEAT_JOB_ID $LEAT_JOB_ATTEMPT" >>runs; '
KINDS = {
    "good": Kind(RUNS + "cat", 60, 20000, "succeeded"),
    "slow": Kind(RUNS + "sleep 0.2; cat", 60, 20000, "succeeded"),
    "second": Kind(RUNS + '[ "$LEAT_JOB_ATTEMPT" -ge 2 ] && cat', 60, 20000, "succeeded"),
    "bad": Kind(RUNS + "exit 9", 3, 20000, "failed"),
    "hangs": Kind(RUNS + "sleep 600", 2, 600, "failed"),
    "echo": Kind(None, 60, 20000, "succeeded"),  # of the plug-in
}
OFTEN = ["good"] * 8 + ["echo"] * 8 + ["second"] * 2 + ["slow"] * 2 + ["bad"] * 2 + ["hangs"]
BACKOFF_MS = 50


class Crowd:
    """Whether so many jobs wait that nobody should submit more for now: a slow machine gets as much as it can do, not a backlog that
    takes minutes after the last fault. While the sink cannot be asked, what it said last holds."""

    MOST = 200

    def __init__(self, laboratory):
        self.laboratory, self.is_there = laboratory, False

    def __bool__(self):
        try:
            ventilator = self.laboratory.ask("stats", timeout=0.5)["ventilator"]
            self.is_there = ventilator is not None and ventilator["jobs"] > self.MOST
        except AssertionError:
            pass
        return self.is_there


class Ledger:
    """Every job by id: its kind, and whether it was acknowledged. Ids are known before anything is sent."""

    def __init__(self):
        self.lock = threading.Lock()
        self.kinds, self.acked = {}, set()

    def submitted(self, ids):
        with self.lock:
            self.kinds.update(ids)

    def acknowledged(self, ids):
        with self.lock:
            self.acked.update(ids)

    def some_acknowledged(self, rng, count):
        with self.lock:
            acked = list(self.acked)
        return rng.sample(acked, min(count, len(acked)))


class Recorder(Producer):
    """The independent client's producer; it tells the ledger what the ventilator acknowledged."""

    def __init__(self, endpoint, ledger):
        super().__init__(endpoint)
        self.ledger = ledger

    def forget_up_to(self, number):
        done = [job[0] for batch, jobs in self.flight if batch <= number for job in jobs]
        super().forget_up_to(number)
        self.ledger.acknowledged(done)


class Submitter(threading.Thread):
    """A producer that nobody kills, on a thread: a few jobs, a pause, and so on until it is stopped."""

    def __init__(self, laboratory, ledger, seed, a_second):
        super().__init__(daemon=True)
        self.endpoint, self.crowd = laboratory.endpoints["ventilator"], Crowd(laboratory)
        self.ledger, self.rng, self.pause_s = ledger, random.Random(seed), 3.0 / a_second
        self.stopping, self.trouble = threading.Event(), None

    def run(self):
        try:
            with Recorder(self.endpoint, self.ledger) as producer:
                while not self.stopping.is_set():
                    jobs = self.rng.randint(1, 5)
                    for _ in range(0 if self.crowd else jobs):
                        self.submit(producer)
                    until = time.monotonic() + self.pause_s
                    while (left := until - time.monotonic()) > 0:
                        producer.turn(left)
                producer.flush(2 * lab.PATIENCE_S)
        except (Refused, TimeoutError) as error:
            self.trouble = f"a producer: {error}"

    def submit(self, producer):
        self.submit_one(producer, self.ledger, self.rng.choice(OFTEN))

    @staticmethod
    def submit_one(producer, ledger, kind):
        id = new_job_id()
        ledger.submitted({id: kind})
        producer.submit("default", kind, id.hex(), id=id, attempts_max=KINDS[kind].attempts, timeout_ms=KINDS[kind].timeout_ms,
                        backoff_base_ms=BACKOFF_MS, backoff_cap_ms=4 * BACKOFF_MS)
        return id


class Files:
    """Jobs in files for leat-producer, which is killed and begun again with the same file, until it has got through."""

    def __init__(self, directory, name, ledger, seed, jobs):
        self.directory, self.name, self.ledger, self.rng, self.jobs = directory, name, ledger, random.Random(seed), jobs
        self.serial, self.ids = 0, None

    def arguments(self):
        if self.ids is None:
            self.write()
        return ["leat-producer", "--json", self.path, "--wait", "--quiet"]

    def write(self):
        self.serial += 1
        self.path = os.path.join(self.directory, f"{self.name}.{self.serial}.json")
        self.ids = {new_job_id(): self.rng.choice(OFTEN) for _ in range(self.jobs)}
        self.ledger.submitted(self.ids)
        with open(self.path, "w") as f:
            for id, kind in self.ids.items():
                f.write(json.dumps({"id": str(uuid.UUID(bytes=id)), "type": kind, "payload": id.hex(), "attempts": KINDS[kind].attempts,
                                    "timeout": f"{KINDS[kind].timeout_ms}ms", "backoff_base": f"{BACKOFF_MS}ms",
                                    "backoff_cap": f"{4 * BACKOFF_MS}ms"}) + "\n")

    def done(self):
        """It ended by itself, so all of the file was acknowledged."""
        self.ledger.acknowledged(self.ids)
        self.ids = None
