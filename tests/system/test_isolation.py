#!/usr/bin/python3
"""What a handler may do and hurt nobody but its own job (P8), as a command and as a plug-in; and that nothing is left of it when
its job, its spawner or its worker ends."""
import json
import os
import signal
import sys
import time
import unittest

import lab

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "chaos"))
from nemesis import born, descendants  # noqa: E402

PLUGIN = os.path.join(lab.BIN, "..", "tests", "bad_handlers.so")
PROCESSES = 40
# Signals that end a process that does nothing about them.
DEADLY = [number for number in range(1, 65) if number not in (
    signal.SIGCHLD, signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGURG, signal.SIGWINCH, 32, 33)]
PERMANENT = {64, 65, 77, 78, 126, 127}


class Isolation(unittest.TestCase):
    def setUp(self):
        self.lab = lab.Lab().__enter__()
        self.addCleanup(lambda: self.lab.__exit__(*([AssertionError] if self.failed() else [None]), None, None))
        self.lab.sink(), self.lab.ventilator()

    def failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    def worker(self, *options, **kw):
        """A worker with a sibling: a command that goes on until the test says so."""
        os.path.exists(self.path("fifo")) or os.mkfifo(self.path("fifo"))
        worker = self.lab.worker("--slots", "3", "--grace", "300ms", "--plugin", PLUGIN, *options, "--exec", "echo=cat",
                                 "--exec-shell", "sibling=echo $$ >sibling; cat fifo", **kw)
        self.sibling = self.submit("sibling", timeout="60s")
        self.lab.wait_for(lambda: os.path.exists(self.path("sibling")) and self.read("sibling").strip(), "the sibling runs")
        return worker

    def path(self, name):
        return os.path.join(self.lab.dir, name)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def submit(self, kind, payload="", timeout="1s", attempts=1):
        done = self.lab.run("leat", "submit", "--type", kind, "--timeout", timeout, "--attempts", str(attempts), payload)
        self.assertEqual(done.returncode, 0, done.err)
        return done.out.strip()

    def ended(self, job):
        self.lab.wait_for(lambda: "state" in self.lab.result(job), f"job {job} ended")
        return self.lab.result(job)

    def pids(self, count):
        """Processes that signed the file `pids`, once there are so many: (id, birth)."""
        self.lab.wait_for(lambda: os.path.exists(self.path("pids")) and len(self.read("pids").split()) >= count, f"{count} processes signed")
        return [(int(pid), born(int(pid))) for pid in self.read("pids").split()]

    def gone(self, processes, what):
        """Within a second; when the machine is so busy that we come late ourselves, by as much later."""
        begun, late_s = time.monotonic(), 0.0
        while left := [pid for pid, start in processes if start is not None and born(pid) == start]:
            looked = time.monotonic() - begun
            self.assertLess(looked, 1.0 + late_s, f"{what}: {left} live on")
            time.sleep(0.01)
            late_s += max(0.0, time.monotonic() - begun - looked - 0.03)

    def no_harm(self, worker):
        """The sibling went on all the time, the slots are back, nothing below the worker is a zombie."""
        self.assertTrue(lab.alive(int(self.read("sibling"))))
        with open(self.path("fifo"), "w"):
            pass
        result = self.ended(self.sibling)
        self.assertEqual((result["state"], result["attempts"], result["delivery"]), ("succeeded", 1, 1), result)
        for kind in ("echo", "p.echo"):
            for job in [self.submit(kind, str(n), timeout="20s") for n in range(4)]:
                self.assertEqual(self.ended(job)["state"], "succeeded")
        self.lab.wait_for(lambda: all(born(pid) for pid in descendants(worker.pid)), "no zombie")
        self.assertTrue(worker.alive())

    def test_infinite_loops_that_ignore_sigterm(self):
        worker = self.worker("--exec-shell", "loop=trap '' TERM; echo $$ >>pids; while :; do :; done")
        jobs = [self.submit("loop"), self.submit("p.loop")]
        processes = self.pids(2)
        for job in jobs:
            self.assertEqual(self.ended(job)["failure"], "timeout")
        self.gone(processes, "loops")
        self.no_harm(worker)

    def test_daemons(self):
        daemon = '(setsid sh -c \'trap "" TERM HUP; echo $$ >>pids; while :; do sleep 1; done\' >/dev/null 2>&1 </dev/null &)'
        worker = self.worker("--exec-shell", f"leaves={daemon}; while ! [ -s pids ]; do sleep 0.01; done; echo started")
        job = self.submit("leaves", timeout="20s")
        self.assertEqual(self.ended(job)["output"], "started\n", "a command that ends has succeeded")
        self.gone(self.pids(1), "a daemon whose command has ended")
        os.unlink(self.path("pids"))
        job = self.submit("p.daemon", timeout="2s")
        processes = self.pids(1)
        self.assertEqual(self.ended(job)["failure"], "timeout")
        self.gone(processes, "the daemon of a plug-in")
        self.no_harm(worker)

    def test_fork_bombs_under_a_process_limit(self):
        # In C a bomb needs one call; perl-base is part of every Debian.
        count = 'while (defined(my $p = fork)) { if (!$p) { sleep 60 } $n++ } print "$n $!"'
        worker = self.worker("--max-processes", str(PROCESSES), "--exec", "bomb=perl -e 'fork while 1'", "--exec", f"forks=perl -e '{count}'")
        for kind in ("forks", "p.forks"):
            self.assertEqual(self.ended(self.submit(kind, timeout="20s"))["output"], f"{PROCESSES - 1} Resource temporarily unavailable")
        for kind in ("bomb", "p.bomb"):
            job, most = self.submit(kind, timeout="2s"), 0
            while "state" not in self.lab.result(job):
                most = max(most, len(descendants(worker.pid)))
            self.assertEqual(self.ended(job)["failure"], "timeout")
            self.assertGreater(most, PROCESSES, "the bomb went off")
            self.assertLess(most, 2 * PROCESSES + 50, "processes below the worker")
            self.lab.wait_for(lambda: len(descendants(worker.pid)) < 20, "all of them are gone")
        self.no_harm(worker)

    def test_handlers_that_close_their_descriptors(self):
        worker = self.worker("--exec-shell", "closes=exec 0<&- 1>&- 2>&-; sleep 0.2; exit 7", "--exec-shell", "late=exec 1>&-; echo x || exit 9",
                             "--exec-shell", "unread=exec 0<&-; echo fine")
        result = self.ended(self.submit("closes"))
        self.assertEqual((result["failure"], result["code"]), ("exit", 7))
        result = self.ended(self.submit("late"))
        self.assertEqual((result["failure"], result["code"]), ("exit", 9), "writing after closing is the handler's own trouble")
        self.assertEqual(self.ended(self.submit("unread", "x" * 100000))["output"], "fine\n")
        self.assertIn(self.ended(self.submit("p.closes", "x"))["state"], ("succeeded", "failed"))
        self.no_harm(worker)

    def test_floods_of_output(self):
        worker = self.worker("--max-result", "4KiB", "--exec-shell", "floods=yes >&2 & exec yes")
        result = self.ended(self.submit("floods"))
        self.assertEqual(result["failure"], "timeout")
        self.assertLessEqual(len(result["error"]), 4096)
        self.assertEqual(self.ended(self.submit("p.floods", timeout="20s"))["failure"], "too_large")
        self.no_harm(worker)
        for pid in [worker.pid, *descendants(worker.pid)]:
            with open(f"/proc/{pid}/status") as f:
                peak = next((int(line.split()[1]) for line in f if line.startswith("VmHWM")), 0)
            self.assertLess(peak, 100 * 1024, "KiB")

    def test_memory_without_end_under_a_limit(self):
        worker = self.worker("--max-memory", "200MiB", "--exec", "memory=perl -e 'push @a, \"x\" x 1e6 while 1'")
        result = self.ended(self.submit("memory", timeout="20s"))
        self.assertIn(result["failure"], ("exit", "signal"), result)
        self.assertIn("ut of memory", result["error"])
        result = self.ended(self.submit("p.memory", timeout="20s"))
        self.assertEqual((result["failure"], result["code"]), ("handler", 12), result)
        self.assertRegex(result["error"], r"no memory after (1?[0-9]{1,2}) MiB")
        self.no_harm(worker)

    def batch(self, kind, payloads, attempts=1):
        """{payload: result}"""
        lines = "".join(json.dumps({"type": kind, "payload": str(payload), "attempts": attempts, "timeout": "20s", "backoff_base": "1ms"}) + "\n"
                        for payload in payloads)
        ids = self.path(f"ids.{kind}")
        done = self.lab.run("leat-producer", "--json", "-", "--wait", "--ids", ids, "--quiet", stdin=lines, timeout=180)
        self.assertIn(done.returncode, (0, 1), done.err)
        return {payload: self.lab.result(id) for payload, id in zip(payloads, lab.read_ids(ids))}

    def test_every_exit_status(self):
        worker = self.worker("--exec-shell", 'ends=exit "$(cat)"')
        for status, result in self.batch("ends", range(256), attempts=2).items():
            wanted = ("succeeded", "none", 0, 1) if status == 0 else ("failed", "exit", status, 1 if status in PERMANENT else 2)
            self.assertEqual((result["state"], result["failure"], result["code"], result["attempts"]), wanted, result)
        # A plug-in's process that ends has not returned a result, whatever its status: the attempt failed.
        for status, result in self.batch("p.ends", range(0, 256, 51)).items():
            self.assertEqual((result["state"], result["failure"], result["code"]), ("failed", "handler", status), result)
        self.no_harm(worker)

    def test_every_deadly_signal(self):
        worker = self.worker("--exec-shell", 'dies=kill -"$(cat)" $$; sleep 60')
        for number, result in self.batch("dies", DEADLY).items():
            self.assertEqual((result["failure"], result["code"]), ("signal", number), result)
        for number, result in self.batch("p.dies", [n for n in DEADLY if n not in (signal.SIGPIPE,)][::4]).items():
            self.assertEqual((result["failure"], result["code"]), ("signal", number), result)
        result = self.ended(self.submit("p.segfaults"))
        self.assertEqual((result["failure"], result["code"]), ("signal", signal.SIGSEGV), result)
        self.no_harm(worker)

    def everything_runs(self, worker):
        """A loop, daemons of both sorts and the sibling; all processes below the worker."""
        jobs = [self.submit("daemon", timeout="60s", attempts=3), self.submit("p.daemon", timeout="60s", attempts=3)]
        self.pids(2)
        return jobs, [(pid, born(pid)) for pid in descendants(worker.pid)] + self.pids(2)

    DAEMON = 'daemon=(setsid sh -c \'trap "" TERM HUP; echo $$ >>pids; while :; do sleep 1; done\' &); while :; do sleep 1; done'

    def after_the_end(self, jobs):
        """What ran there runs again elsewhere, and ends."""
        self.lab.worker("--slots", "4", "--exec", "daemon=echo done", "--exec", "p.daemon=echo done", "--exec", "sibling=echo done", name="other")
        for job in [*jobs, self.sibling]:
            self.assertEqual(self.ended(job)["output"], "done\n")

    def test_a_killed_worker_leaves_nothing(self):
        worker = self.worker("--exec-shell", self.DAEMON)
        jobs, processes = self.everything_runs(worker)
        self.lab.kill(worker)
        self.gone(processes, "a killed worker")
        self.after_the_end(jobs)

    def test_a_killed_spawner_leaves_nothing_and_its_worker_ends(self):
        worker = self.worker("--exec-shell", self.DAEMON)
        jobs, processes = self.everything_runs(worker)
        os.kill(descendants(worker.pid)[0], signal.SIGKILL)
        self.gone(processes, "a killed spawner")
        self.assertEqual(worker.wait(), 70, worker.log_text())
        self.assertIn("event=spawner", worker.log_text())
        self.after_the_end(jobs)

    def test_a_process_limit_is_a_number(self):
        for value, message in (("0", "must be at least 1"), ("many", "")):
            done = self.lab.run("leat-worker", "--exec", "a=true", "--max-processes", value)
            self.assertEqual(done.returncode, 2, done.err)
            self.assertIn("--max-processes", done.err)


if __name__ == "__main__":
    lab.main()
