"""A laboratory for the real executables: starts them in a temporary directory on ipc sockets, waits until they say that
they are ready, kills them, asks the sink, and compares.

    with Lab() as lab:
        lab.sink(); lab.ventilator(); worker = lab.worker("--exec", "echo=cat")
        lab.produce(["--type", "echo", "--lines", "-", "--wait"], stdin="one\ntwo\n")
        lab.kill(worker)
        lab.wait_for(lambda: lab.stats()["..."] == 2)

Nothing sleeps for the sake of order: readiness comes over a pipe, everything else is asked for until it is so or the
time is up. Only processes that were started here are ever ended, by their ids.
"""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import zmq

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("LEAT_BIN", os.path.join(ROOT, "build", "release", "bin"))
READY_S = 20
# Everything that is waited for must come within this time, on a slow machine too.
PATIENCE_S = 60


class Process:
    def __init__(self, name, popen, log):
        self.name, self.popen, self.log = name, popen, log
        self.pid = popen.pid

    def alive(self):
        return self.popen.poll() is None

    def wait(self, timeout=PATIENCE_S):
        return self.popen.wait(timeout)

    def log_text(self):
        with open(self.log, errors="replace") as f:
            return f.read()


class Lab:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="leat-test.")
        self.processes = []
        self.endpoints = {name: f"ipc://{self.dir}/{name}" for name in ("ventilator", "sink", "stats", "events")}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("LEAT_")}
        for name in ("ventilator", "sink", "stats", "events"):
            self.env["LEAT_" + name.upper()] = self.endpoints[name]
        self.env["LEAT_LOG"] = os.environ.get("LEAT_TEST_LOG", "info")
        self.context = zmq.Context()
        self.serial = 0
        self.bin = BIN  # where the next process comes from; another build may take over

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and os.environ.get("LEAT_TEST_KEEP"):
            print(f"kept: {self.dir}", file=sys.stderr)
        if kind is not None:
            for process in self.processes:
                text = process.log_text()
                print(f"--- {process.name} (status {process.popen.poll()}) ---\n{text[-1500:]}", file=sys.stderr)
        for process in self.processes:
            if process.alive():
                process.popen.send_signal(signal.SIGCONT)
                process.popen.kill()
        for process in self.processes:
            process.popen.wait()
        self.context.destroy(linger=0)
        if kind is None or not os.environ.get("LEAT_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- processes ----

    def spawn(self, name, arguments, env=None, ready=True, must_start=True, prefix=()):
        """Starts an executable of leat and waits until it is ready; its Process. One that need not start may have ended.
        `prefix`: the command that runs it, say in another network namespace."""
        self.serial += 1
        log = os.path.join(self.dir, f"{self.serial:02d}-{name}.log")
        read_end, write_end = os.pipe()
        command = [*prefix, os.path.join(self.bin, arguments[0]), *arguments[1:]]
        if ready:
            command += ["--ready-fd", str(write_end)]
        with open(log, "wb") as out:
            popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     pass_fds=[write_end] if ready else [], env={**self.env, **(env or {})},
                                     cwd=self.dir)
        os.close(write_end)
        process = Process(name, popen, log)
        self.processes.append(process)
        if ready:
            readable, _, _ = select.select([read_end], [], [], READY_S)
            word = os.read(read_end, 4096) if readable else b""
            if not word and must_start:
                os.close(read_end)
                raise AssertionError(f"{name} did not start: {process.log_text()[-800:]}")
        os.close(read_end)
        return process

    def ventilator(self, *options, **kw):
        return self.spawn("ventilator", ["leat-ventilator", "--listen", self.endpoints["ventilator"], "--data",
                                         os.path.join(self.dir, "ventilator.data"), *options], **kw)

    def sink(self, *options, **kw):
        return self.spawn("sink", ["leat-sink", "--listen", self.endpoints["sink"], "--stats", self.endpoints["stats"],
                                   "--events", self.endpoints["events"], "--data",
                                   os.path.join(self.dir, "sink.data"), *options], **kw)

    def worker(self, *options, name=None, **kw):
        name = name or f"worker{self.serial}"
        return self.spawn(name, ["leat-worker", "--name", name, *options], **kw)

    def kill(self, process, signal_number=signal.SIGKILL):
        process.popen.send_signal(signal_number)
        if signal_number == signal.SIGKILL:
            process.popen.wait()

    def stop(self, process, timeout=PATIENCE_S):
        """SIGTERM; the exit status."""
        process.popen.send_signal(signal.SIGTERM)
        return process.wait(timeout)

    def run(self, *arguments, stdin=None, timeout=PATIENCE_S, env=None, prefix=()):
        """Runs an executable of leat to its end: CompletedProcess with text."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run([*prefix, os.path.join(self.bin, arguments[0]), *arguments[1:]], input=data if data is not None else b"",
                              capture_output=True, timeout=timeout, env={**self.env, **(env or {})}, cwd=self.dir)
        done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return done

    def background(self, name, *arguments, stdin=None, env=None, prefix=()):
        """Starts an executable that does not announce itself (a producer); stdin is a text."""
        self.serial += 1
        log = os.path.join(self.dir, f"{self.serial:02d}-{name}.log")
        source = tempfile.TemporaryFile()
        source.write((stdin or "").encode())
        source.seek(0)
        with open(log, "wb") as out:
            popen = subprocess.Popen([*prefix, os.path.join(self.bin, arguments[0]), *arguments[1:]], stdin=source, stdout=out,
                                     stderr=out, env={**self.env, **(env or {})}, cwd=self.dir)
        process = Process(name, popen, log)
        self.processes.append(process)
        return process

    # ---- questions ----

    def ask(self, request, timeout=10):
        """One request to the sink's REP socket, JSON in and out."""
        socket = self.context.socket(zmq.REQ)
        socket.linger = 0
        try:
            socket.connect(self.endpoints["stats"])
            socket.send(json.dumps({"request": request} if isinstance(request, str) else request).encode())
            if not socket.poll(int(timeout * 1000)):
                raise AssertionError(f"no answer to {request!r} within {timeout} s")
            return json.loads(socket.recv())
        finally:
            socket.close()

    def wait_for(self, condition, what="the condition", timeout=PATIENCE_S):
        """Asks until `condition` gives something true; that."""
        end = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout} s: {what}")
            select.select([], [], [], 0.02)

    def stats(self):
        return self.ask("stats")

    def ended(self):
        """Jobs with a final result, by the sink's own count of what it keeps."""
        sink = self.stats()["sink"]
        return sink["successes"] + sink["failures"]

    def left(self):
        """Jobs that have not ended, as the ventilator told last; None when it has not."""
        ventilator = self.stats()["ventilator"]
        return ventilator["jobs"] if ventilator and ventilator["age_ms"] < 3000 else None

    def failures(self, **filters):
        rows, after = [], None
        while True:
            reply = self.ask({"request": "failures", "limit": 1000, **filters, **({"after": after} if after else {})})
            rows += reply["failures"]
            after = reply.get("next")
            if not after:
                return rows

    def result(self, job_id):
        return self.ask({"request": "job", "id": job_id})


def read_ids(path):
    with open(path) as f:
        return [line.split("\t")[0] for line in f]


def read_results(path):
    """The results that leat-producer --results wrote, by id; fails on a second one for an id."""
    results = {}
    with open(path) as f:
        for line in f:
            row = json.loads(line)
            assert row["id"] not in results, f"two results for {row['id']}"
            results[row["id"]] = row
    return results


def alive(pid):
    """Whether a process is there and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def main(module="__main__"):
    """Runs a module's tests; says "ok - name" or "not ok - name" for each, which scripts/test adds up."""
    import unittest

    class Result(unittest.TextTestResult):
        def startTest(self, test):
            self.begun = time.monotonic()
            super().startTest(test)

        def say(self, word, test):
            print(f"{word} - {test._testMethodName} ({time.monotonic() - self.begun:.1f} s)", flush=True)

        def addSuccess(self, test):
            super().addSuccess(test)
            self.say("ok", test)

        def addFailure(self, test, err):
            super().addFailure(test, err)
            self.say("not ok", test)

        def addError(self, test, err):
            super().addError(test, err)
            self.say("not ok", test)

    program = unittest.main(module=module, testRunner=unittest.TextTestRunner(resultclass=Result, verbosity=0), exit=False)
    if program.result.testsRun == 0:
        print("not ok - no test was run")
    sys.exit(0 if program.result.wasSuccessful() and program.result.testsRun > 0 else 1)
