"""The queues that are compared, each behind the same three calls: start, run, stop.

run() sends jobs through the whole of it: accepted by the server, taken by a worker, run, the result handed in, taken by a sink and
acknowledged. It returns a Run. Everything speaks over Unix sockets in one directory, and writes into it."""
import os
import shutil
import signal
import socket
import subprocess

from processes import BenchError, Process, disk_written_bytes, spent_s, wait_for


def accepts(path):
    """Whether somebody listens there: the file alone comes before that."""
    with socket.socket(socket.AF_UNIX) as there:
        try:
            there.connect(path)
        except OSError:
            return False
    return True


class Run:
    """What one run gave. rate: jobs per second, from the first submit to the last result."""

    def __init__(self, jobs, produced, collected, used, written_bytes):
        self.jobs = jobs
        self.seconds = (collected["end_ns"] - produced["begin_ns"]) / 1e9
        self.rate = jobs / self.seconds
        self.acked_rate = jobs / max(1e-9, (produced["acked_ns"] - produced["begin_ns"]) / 1e9)
        self.latency_us = {k: collected[k + "_us"] for k in ("p50", "p99", "p999", "max") if k + "_us" in collected}
        self.cpu_us = {name: 1e6 * u["cpu_s"] / jobs for name, u in used.items()}
        self.thread_us = {name: {thread: [1e6 * s / jobs for s in both] for thread, both in u["threads"].items()} for name, u in used.items()}
        self.anonymous_kib = {name: u["anonymous_kib"] for name, u in used.items() if "anonymous_kib" in u}
        self.written = None if written_bytes is None else written_bytes / jobs

    def as_dict(self):
        return {"jobs": self.jobs, "seconds": round(self.seconds, 3), "rate": round(self.rate), "acked_rate": round(self.acked_rate),
                "latency_us": self.latency_us, "cpu_us_per_job": {k: round(v, 3) for k, v in self.cpu_us.items()},
                "thread_us_per_job": {name: {t: [round(v, 3) for v in both] for t, both in threads.items()} for name, threads in self.thread_us.items()},
                "anonymous_kib": self.anonymous_kib, "written_bytes_per_job": None if self.written is None else round(self.written)}


class Queue:
    """name; durable: acknowledged after a sync; batches: the sizes that are tried; guess: jobs/s before anything is known."""
    durable = False
    batches = (1, 4, 16, 64, 256)
    guess = 10000

    def __init__(self, tools, folder):
        self.tools, self.home = tools, os.path.join(folder, self.name.replace(" ", "-"))
        self.servers = []  # what is measured while jobs run

    def path(self, name):
        return os.path.join(self.home, name)

    def client(self, name, program, **settings):
        """A process that is called so; its role is of the same name, if the settings do not say another one."""
        return Process(f"{self.name} {name}", [os.path.join(self.tools, "bench", program), *(f"{k}={v}" for k, v in {"role": name, **settings}.items())],
                       self.path("log"))

    def start(self):
        shutil.rmtree(self.home, ignore_errors=True)
        os.makedirs(self.home)
        self.servers = []
        try:
            self.open()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for process in reversed(self.servers):
            process.stop()
        self.servers = []
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def measured(self, clients):
        """Runs clients to their end, the last one named first; ({name: result}, {name: used}, bytes that the disk was given meanwhile,
        None for a queue that keeps nothing there)."""
        if self.durable:
            os.sync()  # what others have left to be written
        before = disk_written_bytes(self.home) if self.durable else None
        for server in self.servers:
            server.mark()
        results, used = {}, {}
        started = []
        try:
            for role, start in clients:
                started.append((role, start()))
            for role, process in started:
                results[role], used[role] = process.result()
        finally:
            for _, process in started:
                process.stop(signal.SIGKILL)
        for server in self.servers:
            used[server.name.split()[-1]] = server.used()
        return results, used, None if before is None else disk_written_bytes(self.home) - before


class Peer(Queue):
    """A server, and producer, worker and sink in one program with roles."""
    program = ""

    def open(self):
        self.servers = [Process(f"{self.name} server", self.command(), self.path("log"))]
        wait_for(lambda: accepts(self.path("socket")) or not self.servers[0].alive(), f"{self.name}'s socket")
        if not self.servers[0].alive():
            raise BenchError(f"{self.name} did not start:\n{self.servers[0].tail()}")

    def run(self, jobs, payload=128, batch=256, rate=0, skip=0):
        at = self.path("socket")
        worker = self.client("worker", self.program, at=at, batch=batch)
        self.servers.append(worker)
        try:
            results, used, written = self.measured([
                ("sink", lambda: self.client("sink", self.program, at=at, batch=batch, jobs=jobs, skip=skip)),
                ("producer", lambda: self.client("producer", self.program, at=at, batch=batch, jobs=jobs, bytes=payload, rate=rate))])
        finally:
            self.servers.remove(worker)
            worker.stop()
        return Run(jobs, results["producer"], results["sink"], used, written)


class Redis(Peer):
    name = "redis memory"
    program = "bench_redis"
    guess = 60000

    def command(self):
        durable = ["--appendonly", "yes", "--appendfsync", "always"] if self.durable else ["--appendonly", "no"]
        return ["redis-server", "--port", "0", "--unixsocket", self.path("socket"), "--dir", self.home, "--daemonize", "no", "--save", "", *durable]

    def open(self):
        super().open()
        subprocess.run([os.path.join(self.tools, "bench", self.program), "role=setup", f"at={self.path('socket')}"], check=True, timeout=30)


class RedisAof(Redis):
    name = "redis aof-always"
    durable = True
    guess = 10000


class Beanstalk(Peer):
    name = "beanstalkd memory"
    program = "bench_beanstalk"
    guess = 20000

    def command(self):
        os.makedirs(self.path("log.d"))
        return ["beanstalkd", "-l", f"unix:{self.path('socket')}", *(["-b", self.path("log.d"), "-f", "0"] if self.durable else [])]


class BeanstalkSync(Beanstalk):
    name = "beanstalkd -f0"
    durable = True
    batches = (1, 16, 256)
    guess = 200


class Leat(Queue):
    name = "leat"
    durable = True
    guess = 50000
    auto = 0  # a batch of that size: libleat's own window

    def __init__(self, tools, folder, keep=None):
        super().__init__(tools, folder)
        self.keep = keep  # results kept, None: the default
        self.worker_options = ["--plugin", os.path.join(self.tools, "bench", "bench_handlers.so")]

    def at(self, name):
        return f"ipc://{self.path(name)}"

    def env(self):
        return {**{k: v for k, v in os.environ.items() if not k.startswith("LEAT_")}, "LEAT_LOG": "warn"}

    def process(self, name, *options):
        program = os.path.join(self.tools, "bin", f"leat-{name}")
        process = Process(f"leat {name}", [program, *options], self.path("log"), ready_fd=True, env=self.env())
        self.servers.append(process)
        return process

    def start_ventilator(self):
        # The grace of a restart is for workers that hold leases; it is measured as part of the restart.
        return self.process("ventilator", "--listen", self.at("v"), "--sink", self.at("s"), "--data", self.path("ventilator.data"))

    def start_worker(self):
        return self.process("worker", "--ventilator", self.at("v"), "--sink", self.at("s"), *self.worker_options)

    def open(self):
        keep = [] if self.keep is None else ["--keep-results-count", self.keep]
        self.process("sink", "--listen", self.at("s"), "--stats", self.at("t"), "--events", self.at("e"), "--data", self.path("sink.data"), *keep)
        self.start_ventilator()
        self.start_worker()

    def server(self, name):
        return next(s for s in self.servers if s.name == f"leat {name}")

    def end(self, name, how=signal.SIGTERM):
        server = self.server(name)
        server.stop(how)
        self.servers.remove(server)

    def load(self, jobs, results, payload=128, window=0, **more):
        settings = {"at": self.at("v"), "sink": self.at("s"), "jobs": jobs, "bytes": payload, "results": results, **more}
        if window:
            settings["window"] = window
        return Process("leat producer", [os.path.join(self.tools, "bench", "bench_load"), *(f"{k}={v}" for k, v in settings.items())],
                       self.path("log"))

    def run(self, jobs, payload=128, batch=auto, rate=0, skip=0, events=False):
        """batch: most jobs sent and not acknowledged, two batches as with the peers. events: a subscriber takes note of each result."""
        results = self.at("e") if rate or events else "ask"
        found, used, written = self.measured([("producer", lambda: self.load(jobs, results, payload, window=2 * batch, rate=rate, skip=skip))])
        run = Run(jobs, found["producer"], found["producer"], used, written)
        if not rate:
            run.latency_us = {}
        return run


class ZeroMq(Queue):
    """The limit of the transport: no store, no acknowledgement."""
    name = "zeromq push/pull"
    guess = 2000000
    chain = ("ventilator", "worker")  # between producer and sink

    def open(self):
        pass

    def at(self, name):
        return f"ipc://{self.path(name)}"

    def hop(self, name, to, payload):
        more = {"role": "forward"} if name != "worker" else {"bytes": payload}
        if self.durable:
            more.update({"child": 1} if name == "worker" else {"sync": self.path(name + ".data")})
        return self.client(name, "bench_zmq", at=self.at(name), to=self.at(to), **more)

    def run(self, jobs, payload=128, batch=256, rate=0, skip=0):
        ends = [*self.chain, "end"]
        self.servers = [self.hop(name, to, payload) for name, to in zip(ends, ends[1:])]
        try:
            results, used, written = self.measured([
                ("sink", lambda: self.client("sink", "bench_zmq", at=self.at("end"), jobs=jobs, skip=skip)),
                ("producer", lambda: self.client("producer", "bench_zmq", to=self.at(ends[0]), jobs=jobs, bytes=payload, batch=batch, rate=rate))])
        finally:
            for server in self.servers:
                server.stop()
            self.servers = []
        if not rate:
            # Sockets connect while it begins; that is not what is looked for.
            results["producer"]["begin_ns"] = results["sink"]["first_ns"]
        return Run(jobs, results["producer"], results["sink"], used, written)


class ZeroMqHops(ZeroMq):
    """The limit of latency: a job's way as it is with leat, four hops, whoever waits for the result being the last."""
    name = "zeromq, 4 hops"
    chain = ("ventilator", "worker", "keeper")


class ZeroMqFloor(ZeroMqHops):
    """And what leat promises takes at least: ventilator and who keeps the result write and flush before anything goes on, and the handler
    has a process of its own."""
    name = "zeromq, 4 hops, 2 syncs, child"
    durable = True


class Lmdb(Queue):
    """The limit of the store: put and later delete, so many jobs per commit, each commit flushed."""
    name = "lmdb alone"
    durable = True
    batches = (1000,)
    guess = 200000

    def open(self):
        pass

    def run(self, jobs, payload=128, batch=1000, rate=0, skip=0):
        data = self.path("data")
        shutil.rmtree(data, ignore_errors=True)
        os.makedirs(data)
        results, used, written = self.measured([("store", lambda: self.client("store", "bench_lmdb", at=data, jobs=jobs, bytes=payload, batch=batch))])
        return Run(jobs, results["store"], {"end_ns": results["store"]["acked_ns"]}, used, written)


class Cores(Queue):
    """The limit of leat's own logic: each core with its messages decoded and encoded and its store in memory, one after the other. Nothing
    is sent or written, nothing waits, and what a job needs is in the cache: leat_guard does it, which counts the instructions of the same."""
    name = "leat's cores alone"
    guess = 300000
    batches = (256,)
    jobs_max = 2000 * 256  # the sink keeps them all

    def open(self):
        pass

    def run(self, jobs, payload=128, batch=256, rate=0, skip=0):
        jobs = min(-(-jobs // batch), self.jobs_max // batch) * batch
        used = {}
        for role, stage in (("producer", "submitter"), ("ventilator", "ventilator"), ("worker", "worker"), ("sink", "sink")):
            used[role] = {"cpu_s": spent_s([os.path.join(self.tools, "bench", "leat_guard"), stage, str(jobs // batch)]), "threads": {}}
        all_ns = 1e9 * sum(u["cpu_s"] for u in used.values())
        return Run(jobs, {"begin_ns": 0, "acked_ns": 1e9 * (used["producer"]["cpu_s"] + used["ventilator"]["cpu_s"])}, {"end_ns": all_ns}, used, None)


# Only for latency, at a load that is no burden.
HOPS = (ZeroMqHops, ZeroMqFloor)
# Limits of throughput that have no latency: nobody waits in them.
NO_LATENCY = (ZeroMq, Lmdb, Cores)
ALL = (Leat, RedisAof, BeanstalkSync, Redis, Beanstalk, ZeroMq, Lmdb, Cores)
