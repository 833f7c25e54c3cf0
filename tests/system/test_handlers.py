#!/usr/bin/python3
"""Handlers of the real worker: what they get, every kind of failure, timeouts that end the whole tree, retries, rates, plug-ins."""
import os
import time
import unittest

import lab

PLUGIN = os.path.join(lab.BIN, "..", "lib", "example_handlers.so")
# Handlers that misbehave: crash, hang, large results.
BAD_PLUGIN = os.path.join(lab.BIN, "..", "tests", "spawner_handlers_GOOD.so")


class Handlers(unittest.TestCase):
    def setUp(self):
        self.lab = lab.Lab().__enter__()
        self.addCleanup(lambda: self.lab.__exit__(*([AssertionError] if self.failed() else [None]), None, None))
        self.lab.sink(), self.lab.ventilator()

    def failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    def submit(self, *arguments, payload=""):
        done = self.lab.run("leat", "submit", *arguments, payload)
        self.assertEqual(done.returncode, 0, done.err)
        return done.out.strip()

    def ended(self, job):
        self.lab.wait_for(lambda: "state" in self.lab.result(job), f"job {job} ended")
        return self.lab.result(job)

    def test_a_command_gets_payload_environment_and_headers(self):
        self.lab.worker("--exec-shell", 'job=cat; echo " $LEAT_JOB_ID $LEAT_JOB_QUEUE $LEAT_JOB_TYPE $LEAT_JOB_ATTEMPT '
                        '$LEAT_HEADER_COLOUR"')
        line = '{"id": "0190b0b0-0000-7000-8000-000000000001", "type": "job", "payload": "pay", "headers": {"colour": "blue"}}\n'
        done = self.lab.run("leat-producer", "--json", "-", "--wait", "--outputs", "-", stdin=line)
        self.assertEqual(done.returncode, 0, done.err)
        self.assertEqual(done.out, "pay 0190b0b0-0000-7000-8000-000000000001 default job 1 blue\n")
        self.assertEqual(self.lab.result("0190b0b0-0000-7000-8000-000000000001")["headers"], {"colour": "blue"})

    def test_binary_payloads_and_outputs_come_through_unchanged(self):
        self.lab.worker("--exec", "job=cat", "--max-result", "1MiB")
        payload = bytes(range(256)) * 1000
        done = self.lab.run("leat", "submit", "--type", "job", "--wait", "-", stdin=payload)
        self.assertEqual(done.returncode, 0, done.err)
        self.assertEqual(done.stdout, payload)

    def test_every_kind_of_failure_has_its_name(self):
        program = os.path.join(self.lab.dir, "program")
        os.symlink("/bin/true", program)  # there when the worker starts, gone when the job does
        self.lab.worker("--slots", "4", "--grace", "300ms", "--max-result", "1KiB", "--plugin", PLUGIN,
                        "--exec-shell", "fails=echo the reason >&2; exit 3", "--exec-shell", "permanent=exit 65",
                        "--exec-shell", "crashes=kill -SEGV $$", "--exec", "hangs=sleep 600",
                        "--exec", f"missing={program}", "--exec-shell", "floods=yes | head -c 5000000")
        os.unlink(program)
        expected = {"fails": ("exit", 2), "permanent": ("exit", 1), "crashes": ("signal", 2), "hangs": ("timeout", 2),
                    "missing": ("spawn", 1), "unknown": ("no_handler", 2)}
        jobs = {kind: self.submit("--type", kind, "--attempts", "2", "--timeout", "1s") for kind in expected}
        flood = self.submit("--type", "floods")
        for kind, (failure, attempts) in expected.items():
            result = self.ended(jobs[kind])
            with self.subTest(kind):
                self.assertEqual(result["failure"], failure, result)
                self.assertEqual(result["attempts"], attempts, result)
        self.assertIn("the reason", self.ended(jobs["fails"])["error"])
        self.assertIn("failed after 2 attempts: timeout after 1 s", self.ended(jobs["hangs"])["error"])
        result = self.ended(flood)
        self.assertEqual((result["state"], result["truncated"], len(result["output"])), ("succeeded", True, 1024))

    def test_a_timeout_ends_the_whole_tree_whatever_it_does(self):
        pids = os.path.join(self.lab.dir, "pids")
        # Ignores SIGTERM, leaves its session and group, forks twice: a daemon, as far as a handler can be one.
        evil = os.path.join(self.lab.dir, "evil.sh")
        with open(evil, "w") as f:
            f.write(f"""trap '' TERM
echo $$ >>{pids}
setsid sh -c 'trap "" TERM; echo $$ >>{pids}; (setsid sh -c "trap \\"\\" TERM; echo \\$\\$ >>{pids}; while :; do sleep 1; done" &) ; while :; do sleep 1; done' &
while :; do sleep 1; done
""")
        self.lab.worker("--slots", "2", "--grace", "500ms", "--exec", f"evil=sh {evil}", "--exec", "good=cat")
        job = self.submit("--type", "evil", "--attempts", "1", "--timeout", "1s")
        good = self.submit("--type", "good", payload="fine")
        self.lab.wait_for(lambda: os.path.exists(pids) and len(open(pids).read().split()) == 3, "the tree stands")
        tree = [int(pid) for pid in open(pids).read().split()]
        self.assertEqual(self.ended(job)["failure"], "timeout")
        begun = time.monotonic()
        self.lab.wait_for(lambda: not any(map(lab.alive, tree)), "no stray process", timeout=2)
        self.assertLess(time.monotonic() - begun, 1.0)
        self.assertEqual(self.ended(good)["output"], "fine", "the sibling is undisturbed")
        self.assertEqual(self.ended(self.submit("--type", "good", payload="slot is back"))["output"], "slot is back")

    def test_retries_wait_longer_each_time_and_keep_count(self):
        runs = os.path.join(self.lab.dir, "runs")
        self.lab.worker("--exec-shell", f'job=date +%s.%N >>{runs}; echo "attempt $LEAT_JOB_ATTEMPT" >&2; [ "$LEAT_JOB_ATTEMPT" -ge 4 ]')
        done = self.lab.run("leat-producer", "--lines", "-", "--type", "job", "--attempts", "5", "--backoff-base", "200ms",
                            "--no-jitter", "--wait", stdin="x\n")
        self.assertEqual(done.returncode, 0, done.err)
        times = [float(line) for line in open(runs)]
        pauses = [b - a for a, b in zip(times, times[1:])]
        self.assertEqual(len(times), 4)
        for pause, least in zip(pauses, (0.2, 0.4, 0.8)):
            self.assertGreaterEqual(pause, least)
            self.assertLess(pause, least + 3)

    def test_rates_hold_for_the_worker_and_for_a_type(self):
        runs = os.path.join(self.lab.dir, "runs")
        self.lab.worker("--slots", "8", "--rate", "slow=4/s", "--burst", "slow=2", "--exec-shell", f"slow=date +%s.%N >>{runs}",
                        "--exec", "quick=true")
        for kind, count in (("slow", 12), ("quick", 20)):
            self.assertEqual(self.lab.run("leat-producer", "--lines", "-", "--type", kind,
                                          stdin="x\n" * count).returncode, 0)
        self.lab.wait_for(lambda: self.lab.ended() >= 20, "the jobs without a rate are not held up")
        self.assertLess(len(open(runs).readlines()), 12)
        self.lab.wait_for(lambda: self.lab.ended() == 32, "all ended")
        times = sorted(float(line) for line in open(runs))
        self.assertEqual(len(times), 12)
        for i in range(len(times)):
            for j in range(i + 2, len(times)):
                allowed = 2 + 4 * (times[j] - times[i] + 0.25)
                self.assertLessEqual(j - i + 1, allowed + 1, f"{j - i + 1} starts in {times[j] - times[i]:.2f} s")

    def test_a_worker_without_tokens_leaves_jobs_to_others(self):
        self.lab.worker("--slots", "8", "--prefetch", "8", "--rate", "1/m", "--burst", "1", "--exec", "job=echo limited", name="limited")
        self.assertEqual(self.lab.run("leat-producer", "--lines", "-", "--type", "job", stdin="x\n" * 10).returncode, 0)
        self.lab.wait_for(lambda: self.lab.ended() == 1, "the limited worker ran one")
        self.lab.worker("--slots", "2", "--exec", "job=echo free", name="free")
        self.lab.wait_for(lambda: self.lab.ended() == 10, "the free worker ran the rest", timeout=20)

    def test_plugin_handlers_run_fail_crash_and_hang_apart(self):
        self.lab.worker("--slots", "2", "--grace", "300ms", "--plugin", BAD_PLUGIN)
        self.assertEqual(self.ended(self.submit("--type", "echo", payload="hello"))["output"], "hello")
        jobs = {kind: self.submit("--type", kind, "--attempts", "1", "--timeout", "1s") for kind in ("crash", "hang")}
        self.assertEqual(self.ended(jobs["crash"])["failure"], "signal")
        self.assertEqual(self.ended(jobs["hang"])["failure"], "timeout")
        done = self.lab.run("leat-producer", "--lines", "-", "--type", "echo", "--wait", "--deadline", "60s",
                            stdin="".join(f"{n}\n" for n in range(5000)))
        self.assertEqual(done.returncode, 0, done.err)


if __name__ == "__main__":
    lab.main()
