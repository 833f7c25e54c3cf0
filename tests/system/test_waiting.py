#!/usr/bin/python3
"""Why a job waits: leat result and leat queues say it."""
import json
import unittest

import lab


class Waiting(unittest.TestCase):
    def submit(self, laboratory, *options):
        done = laboratory.run("leat", "submit", "--type", "job", *options)
        self.assertEqual(done.returncode, 0, done.err)
        return done.out.strip()

    def why(self, laboratory, job):
        return json.loads(laboratory.run("leat", "result", job, "--json").out).get("waits")

    def expect(self, laboratory, job, reason, words, queue="default"):
        """What is told is a second old at most, so it is waited for."""
        laboratory.wait_for(lambda: self.why(laboratory, job) == reason, f"{reason} is said")
        self.assertRegex(laboratory.run("leat", "result", job).out, rf"(?m)^waits +{words}")
        if queue:
            laboratory.wait_for(lambda: any(line.split()[0] == queue and line.split()[-1] == reason
                                            for line in laboratory.run("leat", "queues").out.splitlines()), f"{queue} waits: {reason}")

    def test_nobody_serves_the_queue_or_it_is_paused(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "job=cat", "--queues", "default,mail")
            other = self.submit(laboratory, "--queue", "other")
            self.expect(laboratory, other, "no_worker", "no worker serves its queue", queue="other")
            self.assertEqual(laboratory.run("leat", "pause", "mail").returncode, 0)
            mail = self.submit(laboratory, "--queue", "mail")
            self.expect(laboratory, mail, "paused", "its queue is paused", queue="mail")
            # A queue is not taken for one whose name begins like its own.
            mail2 = self.submit(laboratory, "--queue", "mail2")
            self.expect(laboratory, mail2, "no_worker", "no worker", queue="mail2")

    def test_its_time_has_not_come(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec-shell", "job=exit 75")
            later = self.submit(laboratory, "--delay", "1h")
            self.expect(laboratory, later, "not_before", "its time has not come", queue=None)
            done = laboratory.run("leat-producer", "--lines", "-", "--type", "job", "--backoff-base", "1h", "--no-jitter",
                                  "--ids", "ids", stdin="1\n")
            self.assertEqual(done.returncode, 0, done.err)
            with open(laboratory.dir + "/ids") as f:
                again = f.read().split("\t")[0]
            self.expect(laboratory, again, "retry", "its last attempt failed", queue=None)

    def test_the_workers_take_no_more(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--queues", "slow", "--slots", "1", "--prefetch", "0", "--exec", "job=sleep 600", "--drain", "0s")
            laboratory.worker("--queues", "rated", "--slots", "2", "--prefetch", "0", "--exec", "job=cat", "--rate", "1/h", "--burst", "1")
            # A worker whose sink is not there keeps its results, and takes nothing when it holds too many.
            laboratory.worker("--queues", "kept", "--slots", "2", "--prefetch", "0", "--exec", "job=cat", "--outbox", "2",
                              env={"LEAT_SINK": f"ipc://{laboratory.dir}/nobody"})
            slow = [self.submit(laboratory, "--queue", "slow") for _ in range(2)]
            self.expect(laboratory, slow[1], "busy", "every slot", queue="slow")
            self.assertIsNone(self.why(laboratory, slow[0]), "what runs does not wait")
            rated = [self.submit(laboratory, "--queue", "rated") for _ in range(2)]
            self.expect(laboratory, rated[1], "no_credit", "the workers have free slots and take no more", queue="rated")
            kept = [self.submit(laboratory, "--queue", "kept") for _ in range(4)]
            self.expect(laboratory, kept[3], "sink", "the workers hold results that the sink does not take", queue="kept")


if __name__ == "__main__":
    lab.main()
