#!/usr/bin/python3
"""A real network that loses, repeats, delays and cuts (P1, P9): every process on a host of its own, see network.py. Needs root; where
the machine cannot make such a network, each test fails and says what is missing."""
import os
import signal
import time
import unittest

import lab
from network import Network

# What a bind beyond loopback needs.
OPEN = ["--allow-unauthenticated-network"]
SILENCE = ["--lost-after", "2s", "--ping", "400ms"]
HOSTS = ("ventilator", "sink", "one", "two", "producer")


class BadNetwork(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("LEAT_SEED", "1"))
        print(f"LEAT_SEED={self.seed}")
        self.lab = lab.Lab().__enter__()
        self.addCleanup(lambda: self.lab.__exit__(*([AssertionError] if self.failed() else [None]), None, None))
        self.network = Network(HOSTS, self.seed)
        self.network.__enter__()
        self.addCleanup(self.network.__exit__)
        # Questions and events stay on this host; paths are the same in all namespaces.
        for name, port in (("ventilator", 5170), ("sink", 5171)):
            self.lab.endpoints[name] = f"tcp://{self.network.address(name)}:{port}"
            self.lab.env["LEAT_" + name.upper()] = self.lab.endpoints[name]

    def failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    def on(self, host):
        return self.network.command(host, [])

    def brokers(self, *options):
        self.sink = self.lab.sink(*OPEN, prefix=self.on("sink"))
        self.ventilator = self.start_ventilator(*options)

    def start_ventilator(self, *options):
        return self.lab.ventilator(*OPEN, *SILENCE, "--recovery-grace", "1s", "--deliveries", "100", *options, prefix=self.on("ventilator"))

    def worker(self, host, *options):
        return self.lab.worker("--slots", "2", "--prefetch", "8", *options, name=host, prefix=self.on(host))

    def produce(self, jobs, *options):
        results = os.path.join(self.lab.dir, f"results{self.lab.serial}")
        producer = self.lab.background("producer", "leat-producer", "--lines", "-", "--type", "job", "--wait", "--deadline", "100s", "--results", results,
                                       *options, stdin="".join(f"{n}\n" for n in range(jobs)), prefix=self.on("producer"))
        return producer, results

    def all_ended_once(self, producer, results, jobs):
        self.assertEqual(producer.wait(110), 0, producer.log_text())
        self.assertEqual(len(lab.read_results(results)), jobs)
        self.lab.wait_for(lambda: self.lab.left() == 0, "the ventilator is empty")
        self.lab.wait_for(lambda: self.lab.ended() == jobs, "the sink has counted")
        sink = self.lab.stats()["sink"]
        self.assertEqual((sink["successes"], sink["failures"]), (jobs, 0))

    def everywhere(self, **fault):
        for host in HOSTS:
            for target in HOSTS:
                if host != target:
                    self.network.spoil(host, target, **fault)

    def test_loss_delay_duplication_and_disorder_everywhere(self):
        self.everywhere(loss=0.05, delay_ms=3, jitter_ms=15, duplicate=0.05)
        self.brokers()
        for host in ("one", "two"):
            self.worker(host, "--exec", "job=cat")
        self.all_ended_once(*self.produce(200), 200)

    def test_cuts_in_one_direction_under_load(self):
        self.brokers()
        workers = [self.worker(host, "--exec-shell", "job=sleep 0.01; cat") for host in ("one", "two")]
        producer, results = self.produce(800)
        pairs = [("ventilator", "one"), ("two", "sink"), ("sink", "ventilator")]
        for share, (host, target) in zip((50, 200, 350), pairs):
            self.lab.wait_for(lambda: self.lab.ended() >= share, f"{share} jobs ended")
            self.network.spoil(host, target, cut=True)
            begun = time.monotonic()
            # For the cuts to matter they outlast what counts as lost.
            self.lab.wait_for(lambda: time.monotonic() - begun > 2.5, "the cut lasts")
            self.network.heal()
        self.all_ended_once(producer, results, 800)
        self.assertTrue(all(worker.alive() for worker in workers))

    def one_runs(self, marker="started"):
        path = os.path.join(self.lab.dir, marker)
        first = self.worker("one", "--exec-shell", f"job=echo x >>{marker}; sleep 600")
        job = self.lab.run("leat", "submit", "--type", "job", prefix=self.on("producer")).out.strip()
        self.lab.wait_for(lambda: os.path.exists(path), "the job runs")
        self.worker("two", "--exec", "job=echo elsewhere")
        return first, job

    def runs_elsewhere(self, job):
        begun = time.monotonic()
        self.lab.wait_for(lambda: self.lab.ended() == 1, "the job ended")
        self.assertLess(time.monotonic() - begun, 12, "noticed in seconds")
        self.assertEqual(self.lab.result(job)["output"], "elsewhere\n")

    def test_a_worker_that_is_cut_off_is_noticed_and_told_when_it_is_back(self):
        self.brokers()
        first, job = self.one_runs()
        self.network.spoil_both("one", "ventilator", cut=True)
        self.runs_elsewhere(job)
        self.network.heal()
        self.lab.wait_for(lambda: "event=lease_stopped" in first.log_text(), "the old worker stops its work")
        self.assertEqual(self.lab.stats()["sink"]["successes"], 1)

    def test_a_worker_host_that_loses_power_says_nothing_and_is_noticed(self):
        self.brokers()
        first, job = self.one_runs()
        self.everywhere(mute=True)
        self.lab.kill(first)
        self.runs_elsewhere(job)

    def test_brokers_that_die_in_silence_are_found_again(self):
        """No FIN and no RST ever arrives: not when they die, and not when the old connections meet their successors."""
        self.brokers()
        for host in ("one", "two"):
            self.worker(host, "--exec", "job=cat")
        producer, results = self.produce(20000)
        self.lab.wait_for(lambda: self.lab.ended() >= 200, "some jobs ended")
        self.everywhere(mute=True)
        for process in (self.ventilator, self.sink):
            self.lab.kill(process)
        self.brokers()
        before, begun = self.lab.ended(), time.monotonic()
        self.lab.wait_for(lambda: self.lab.ended() >= before + 500, "jobs end after the silent deaths")
        print(f"work went on {time.monotonic() - begun:.1f} s after silent deaths")
        self.assertIsNone(producer.popen.poll(), "under load all the time")
        producer.popen.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    lab.main()
