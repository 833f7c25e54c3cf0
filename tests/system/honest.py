"""Somebody honest, for tests of hostile peers: submits a job of its own again and again while others misbehave, and knows
how long each acknowledgement took. And what a process holds: descriptors and anonymous memory."""
import os
import threading
import time

from client import Producer

# Also on a slow machine under attack; a broker that is stuck takes for ever.
SLOWEST_S = 60


class Honest(threading.Thread):
    """Use as a context: while it is open, jobs are submitted, one at a time."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)
        self.endpoint, self.seconds, self.error = endpoint, [], None
        self.ended = threading.Event()

    def run(self):
        try:
            with Producer(self.endpoint) as producer:
                while not self.ended.is_set():
                    begun = time.monotonic()
                    producer.submit("default", "echo", b"honest")
                    producer.flush(timeout_s=SLOWEST_S)
                    self.seconds.append(time.monotonic() - begun)
                    self.ended.wait(0.01)
        except Exception as error:  # told to the test by check()
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    def check(self, at_least=5):
        assert self.error is None, f"an honest producer was not served: {self.error!r}"
        assert len(self.seconds) >= at_least, f"only {len(self.seconds)} jobs were taken"
        return self.told()

    def told(self):
        ordered = sorted(self.seconds)
        return (f"{len(ordered)} honest jobs, acknowledged after {1000 * ordered[len(ordered) // 2]:.1f} ms in the middle, "
                f"{1000 * ordered[-1]:.0f} ms at most")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def anonymous_kib(process):
    with open(f"/proc/{process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))
