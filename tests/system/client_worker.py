"""The worker of the independent client (client.py), written from docs/PROTOCOL.md alone."""
import collections
import concurrent.futures
import os
import random
import threading
import time

import zmq

from client_wire import (
    BATCH_BYTES, BATCH_ITEMS, BUSY, CREDIT, DRAIN, Delivery, ERROR, ERROR_BYTES, EXPIRED, FAILED, GOODBYE,
    HANDLER, HELLO, JOBS, Link, MALFORMED, NONE, NO_HANDLER, OUTPUT_BYTES, OUT_OF_ORDER, PAST_EXPIRY, PING,
    PONG, RESULTS, RETRY, RETURN, STATES, STORED, SUCCEEDED, TIMEOUT, TOO_LARGE, UNKNOWN_SESSION, WELCOME,
    cut_text, take, unpack_body, Permanent)


class Job:
    """What a handler gets."""

    def __init__(self, delivery, body):
        self.id, self.queue, self.type, self.attempt = delivery.id, delivery.queue, delivery.type, delivery.attempt
        self.delivery, self.payload, self.headers = delivery.delivery, body.payload, body.headers
        self.timeout_ms, self.attempts_max = body.timeout_ms, body.attempts_max


class Lease:
    """One delivery, from JOBS until nobody needs to hear of it. Place: queued, running, retrying, finished."""

    def __init__(self, delivery):
        self.delivery = delivery
        self.key = (delivery.id, delivery.delivery)
        self.place = "queued"
        self.body = None
        self.refused = False
        self.future = None
        self.begun_wall = self.begun = self.due = 0.0
        self.pings_before = None  # retrying: PINGs that went out before its RETRY; None: not sent in this round


class Worker:
    """Runs Python callables. Rules under "Worker". Handlers run on threads, which cannot be killed: after a timeout the
    attempt counts as failed at once, and its slot is free when the handler returns."""

    def __init__(self, ventilator, sink, handlers, queues=("default",), slots=1, prefetch=0, name=None, drop=None,
                 output_bytes_max=OUTPUT_BYTES):
        self.endpoints = (ventilator, sink)
        self.handlers, self.queues, self.slots, self.prefetch = handlers, list(queues), slots, prefetch
        self.name = name or f"{os.uname().nodename}:{os.getpid()}-python"
        self.drop, self.output_bytes_max = drop, output_bytes_max
        self.session = random.SystemRandom().randbytes(16)
        self.round = 0
        self.open = False
        self.leases = {}
        self.abandoned = set()     # futures of attempts that timed out and still hold a slot
        self.waiting = []          # (lease, result) in no batch yet
        self.batches = {}          # number: [pairs, send again at, wait]
        self.last_batch = 0
        self.draining = False
        self.stopping = threading.Event()
        self.wake_address = f"inproc://wake-{self.session.hex()}"
        self.local = threading.local()
        self.wakers, self.wakers_lock = [], threading.Lock()
        self.counts = collections.Counter()
        self.errors = []           # (code, text) of ERRORs that are not about the order of messages

    # ---- life ----

    def run(self, until=None):
        """Until drained. `until(worker)` is looked at every turn; when it is true the worker drains."""
        self.ventilator = Link(self.endpoints[0], self.drop)
        self.sink = Link(self.endpoints[1], self.drop)
        self.wake = self.ventilator.context.socket(zmq.PULL)
        self.wake.bind(self.wake_address)
        self.poller = zmq.Poller()
        for socket in (self.ventilator.socket, self.sink.socket, self.wake):
            self.poller.register(socket, zmq.POLLIN)
        self.threads = concurrent.futures.ThreadPoolExecutor(self.slots)
        self.hello_at, self.hellos, self.said_hello = 0.0, 0, 0.0
        self.ping_s, self.lost_s = 1.0, 5.0
        try:
            while not self.turn():
                if self.stopping.is_set() or (until is not None and until(self)):
                    self.draining = True
            if self.open:
                self.say(GOODBYE, "drained")
        finally:
            self.threads.shutdown(wait=True)
            for socket in self.wakers + [self.wake]:
                socket.close(0)
            self.ventilator.close()
            self.sink.close()

    def stop(self):
        """From any thread: drain and return."""
        self.stopping.set()

    def turn(self):
        """One look at everything; true when there is nothing left to do."""
        for socket, _ in self.poller.poll(int(1000 * self.patience_s())):
            if socket is self.wake:
                self.wake.recv()
        while (got := self.ventilator.receive()) is not None:
            self.heard = time.monotonic()
            self.take_ventilator(*got)
        while (got := self.sink.receive()) is not None:
            self.take_sink(*got)
        self.end_attempts()
        self.start_attempts()
        self.keep_in_touch()
        self.send_results()
        idle = not self.leases and not self.waiting and not self.batches
        return self.draining and idle

    def patience_s(self):
        now, at = time.monotonic(), [time.monotonic() + 0.1]
        at.append(self.ping_at if self.open else self.hello_at)
        at += [batch[1] for batch in self.batches.values()]
        at += [lease.begun + lease.body.timeout_ms / 1000 for lease in self.placed("running")]
        return max(0.0, min(at) - now)

    def placed(self, place):
        return [lease for lease in self.leases.values() if lease.place == place]

    # ---- the session ----

    def say(self, kind, *fields):
        """A numbered message of this round."""
        self.sent_number += 1
        self.ventilator.send(kind, self.round, self.sent_number, *fields)

    def new_round(self, later_s=0.0):
        self.open = False
        self.hello_at = max(time.monotonic() + later_s, self.said_hello + 0.1)

    def say_hello(self):
        now = time.monotonic()
        held = [list(lease.key) for lease in self.leases.values() if not lease.refused]
        queues = [[queue] for queue in self.queues]
        if not self.ventilator.send(HELLO, self.session, self.round + 1, self.name, queues, self.slots, held):
            self.hello_at = now + 0.05
            return
        self.round += 1
        self.sent_number = self.received_number = self.received = self.granted = self.pings = self.pongs = 0
        for lease in self.placed("retrying"):
            lease.pings_before = None
        self.said_hello = now
        self.hello_at = now + min(5.0, 1.0 * 2 ** self.hellos) * random.uniform(0.5, 1.0)
        self.hellos = min(self.hellos + 1, 3)

    def keep_in_touch(self):
        now = time.monotonic()
        if self.open and now >= self.heard + self.lost_s:
            self.new_round()
        if not self.open:
            if self.draining:
                self.give_up_unheard()
            elif now >= self.hello_at:
                self.say_hello()
            return
        if self.draining:
            queued = self.placed("queued")
            if queued:
                self.say(RETURN, [list(lease.key) for lease in queued])
                self.counts["returned"] += len(queued)
            for lease in queued:
                del self.leases[lease.key]
        repeats = [lease for lease in self.placed("retrying") if lease.pings_before is None]
        for at in range(0, len(repeats), BATCH_ITEMS):
            self.say_retry(repeats[at:at + BATCH_ITEMS], now)
        busy = len(self.placed("running")) + len(self.abandoned)
        room = self.slots + self.prefetch - busy - len(self.placed("queued"))
        total = self.received + (0 if self.draining else max(0, room))
        if total != self.granted:
            self.granted = total
            self.say(CREDIT, total, [])
        unconfirmed = any(lease.pings_before is not None for lease in self.placed("retrying"))
        if now >= self.ping_at or (unconfirmed and self.pings == self.pongs):
            self.say(PING, busy, len(self.placed("finished")))
            self.pings += 1
            self.ping_at = now + self.ping_s

    def give_up_unheard(self):
        """Ending, with no round open: the ventilator takes these jobs back by itself when it notices our silence."""
        for lease in self.placed("queued") + self.placed("retrying"):
            del self.leases[lease.key]

    def say_retry(self, leases, now):
        items = []
        for lease in leases:
            delay_ms = max(0, int(1000 * (lease.due - now)))
            items.append([*lease.key, lease.delivery.attempt, delay_ms])
            lease.pings_before = self.pings
        self.say(RETRY, items)

    def take_ventilator(self, kind, fields):
        if kind == WELCOME:
            self.take_welcome(fields)
        elif kind == ERROR:
            if fields[0] in (UNKNOWN_SESSION, OUT_OF_ORDER):
                if self.open:
                    self.new_round()
            else:
                self.errors.append((fields[0], fields[1]))
        elif kind in (JOBS, PONG, DRAIN, GOODBYE) and self.is_next(fields[0], fields[1]):
            if kind == JOBS:
                for item in fields[2]:
                    self.take_job(take(Delivery, item))
            elif kind == PONG:
                self.take_pong()
            elif kind == DRAIN:
                self.draining = True
            else:
                self.new_round(random.uniform(0.2, 0.6))

    def is_next(self, round, number):
        if not self.open or round != self.round or number <= self.received_number:
            return False
        if number != self.received_number + 1:
            self.counts["gaps"] += 1
            self.new_round()
            return False
        self.received_number = number
        return True

    def take_welcome(self, fields):
        session, round, ping_ms, lost_after_ms, refused = fields[:5]
        if self.open or session != self.session or round != self.round:
            return
        self.open, self.hellos = True, 0
        self.ping_s, self.lost_s = ping_ms / 1000, lost_after_ms / 1000
        self.ping_at = time.monotonic() + self.ping_s
        for item in refused:
            lease = self.leases.get((item[0], item[1]))
            if lease is None:
                continue
            lease.refused = True
            self.counts["refused"] += 1
            if lease.place in ("queued", "retrying"):
                del self.leases[lease.key]

    def take_pong(self):
        if self.pongs < self.pings:
            self.pongs += 1
        for lease in self.placed("retrying"):
            if lease.pings_before is not None and lease.pings_before < self.pongs:
                del self.leases[lease.key]  # on the ventilator's disk

    # ---- attempts ----

    def take_job(self, delivery):
        self.received += 1
        self.counts["received"] += 1
        lease = Lease(delivery)
        if lease.key in self.leases:
            return
        self.leases[lease.key] = lease
        try:
            lease.body = unpack_body(delivery.body)
        except Exception as error:  # whatever is wrong with foreign bytes
            self.finish(lease, FAILED, MALFORMED, f"the body cannot be read: {error}", attempts=delivery.attempt - 1)

    def start_attempts(self):
        free = self.slots - len(self.placed("running")) - len(self.abandoned)
        for lease in self.placed("queued"):
            expires_ms = lease.delivery.expires_at_ms
            if expires_ms != 0 and time.time() * 1000 >= expires_ms:
                self.finish(lease, EXPIRED, PAST_EXPIRY, "expired before it started",
                            attempts=lease.delivery.attempt - 1)
            elif self.draining or free <= 0:
                continue
            elif lease.delivery.type not in self.handlers:
                self.attempt_failed(lease, NO_HANDLER, f"no handler for type '{lease.delivery.type}' here")
            else:
                free -= 1
                lease.place = "running"
                lease.begun, lease.begun_wall = time.monotonic(), time.time()
                handler = self.handlers[lease.delivery.type]
                lease.future = self.threads.submit(handler, Job(lease.delivery, lease.body))
                lease.future.add_done_callback(lambda _: self.wake_up())

    def wake_up(self):
        """On the thread of a handler: each has a socket of its own, since sockets may not be shared."""
        if not hasattr(self.local, "socket"):
            self.local.socket = self.ventilator.context.socket(zmq.PUSH)
            self.local.socket.connect(self.wake_address)
            with self.wakers_lock:
                self.wakers.append(self.local.socket)
        self.local.socket.send(b"")

    def end_attempts(self):
        self.abandoned = {future for future in self.abandoned if not future.done()}
        for lease in self.placed("running"):
            timeout_s = lease.body.timeout_ms / 1000
            if lease.future.done():
                self.take_outcome(lease)
            elif time.monotonic() >= lease.begun + timeout_s:
                self.abandoned.add(lease.future)
                self.attempt_failed(lease, TIMEOUT, f"timeout after {timeout_s:g} s")

    def take_outcome(self, lease):
        error = lease.future.exception()
        if error is not None:
            text = f"{type(error).__name__}: {error}"
            self.attempt_failed(lease, HANDLER, text, permanent=isinstance(error, Permanent))
            return
        output = lease.future.result()
        output = b"" if output is None else output.encode() if isinstance(output, str) else output
        if not isinstance(output, bytes):
            text = f"the handler returned {type(output).__name__}, not bytes, str or None"
            self.attempt_failed(lease, HANDLER, text, permanent=True)
        elif len(output) > self.output_bytes_max:
            text = f"output is {len(output)} bytes, limit is {self.output_bytes_max}"
            self.attempt_failed(lease, TOO_LARGE, text, permanent=True)
        else:
            self.finish(lease, SUCCEEDED, NONE, "", output)

    def attempt_failed(self, lease, failure, text, permanent=False):
        attempt, body = lease.delivery.attempt, lease.body
        if permanent or attempt >= body.attempts_max:
            plural = "" if attempt == 1 else "s"
            self.finish(lease, FAILED, failure, f"failed after {attempt} attempt{plural}: {text}")
        elif lease.refused:
            del self.leases[lease.key]
        else:
            lease.place, lease.pings_before = "retrying", None
            lease.due = time.monotonic() + self.delay_ms(attempt, body) / 1000
            self.counts["retried"] += 1

    @staticmethod
    def delay_ms(attempt, body):
        bound = body.backoff_base_ms
        for _ in range(attempt - 1):
            if bound >= body.backoff_cap_ms:
                break
            bound = bound * body.backoff_factor_milli // 1000
        bound = min(bound, body.backoff_cap_ms)
        return random.randint(0, bound) if body.backoff_jitter else bound

    # ---- results ----

    def finish(self, lease, status, failure, text, output=b"", attempts=None):
        d = lease.delivery
        wall = time.time()
        begun = lease.begun_wall or wall
        headers = [[name, value] for name, value in lease.body.headers.items()] if lease.body else []
        run_s = time.monotonic() - lease.begun if lease.begun else 0.0
        result = [d.id, d.queue, d.type, status, failure, 0, d.attempt if attempts is None else attempts, d.delivery,
                  cut_text(text, ERROR_BYTES), output, False, d.accepted_us, int(wall * 1e6),
                  max(0, int(begun * 1e6) - d.ready_us), int(run_s * 1e6), self.name, headers,
                  b"" if status == SUCCEEDED else d.body]
        lease.place = "finished"
        self.waiting.append((lease, result))
        self.counts[STATES[status]] += 1

    def send_results(self):
        now = time.monotonic()
        while self.waiting and len(self.batches) < 4:
            pairs, size = [], 0
            while self.waiting and len(pairs) < BATCH_ITEMS and size < BATCH_BYTES:
                pairs.append(self.waiting.pop(0))
                size += len(pairs[-1][1][9]) + len(pairs[-1][1][17])
            self.last_batch += 1
            self.batches[self.last_batch] = [pairs, now, 1.0]
        for number, batch in self.batches.items():
            if now >= batch[1]:
                sent = self.sink.send(RESULTS, self.session, number, [result for _, result in batch[0]])
                batch[1] = now + (batch[2] if sent else 0.05)
                batch[2] = min(5.0, 2 * batch[2]) if sent else batch[2]

    def take_sink(self, kind, fields):
        if kind == STORED and fields[0] == self.session:
            self.forget_batch(fields[1])
        elif kind == BUSY and fields[0] == self.session and fields[1] in self.batches:
            self.batches[fields[1]][1] = time.monotonic() + fields[2] / 1000
        elif kind == ERROR:
            self.errors.append((fields[0], fields[1]))
            if fields[2] == RESULTS:
                self.forget_batch(fields[3])

    def forget_batch(self, number):
        for lease, _ in self.batches.pop(number, [[]])[0]:
            del self.leases[lease.key]
            self.counts["stored"] += 1
