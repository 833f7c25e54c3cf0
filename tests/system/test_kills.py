#!/usr/bin/python3
"""kill -9 of each process under load: what was acknowledged has exactly one result (P1)."""
import os
import random
import unittest

import lab

JOBS = 3000


class Kills(unittest.TestCase):
    def under_load(self, kill):
        """Submits JOBS jobs while `kill(laboratory, processes)` does its work, then waits for every result."""
        with lab.Lab() as laboratory:
            processes = {"sink": laboratory.sink(), "ventilator": laboratory.ventilator("--lost-after", "2s", "--ping", "400ms")}
            for n in (1, 2):
                processes[f"worker{n}"] = self.worker(laboratory, n)
            ids, results = os.path.join(laboratory.dir, "ids"), os.path.join(laboratory.dir, "results")
            producer = laboratory.background(
                "producer", "leat-producer", "--lines", "-", "--type", "echo", "--wait", "--deadline", "100s", "--ids", ids,
                "--results", results, stdin="".join(f"{n}\n" for n in range(JOBS)))
            kill(laboratory, processes)
            self.assertEqual(producer.wait(120), 0, producer.log_text())
            submitted, ended = lab.read_ids(ids), lab.read_results(results)
            self.assertEqual(len(set(submitted)), JOBS)
            self.assertEqual(set(ended), set(submitted))
            laboratory.wait_for(lambda: laboratory.left() == 0, "the ventilator is empty")
            laboratory.wait_for(lambda: laboratory.ended() == JOBS, "the sink has counted")
            sink = laboratory.stats()["sink"]
            self.assertEqual(sink["successes"], JOBS, "one result per job, none besides")
            self.assertEqual(sink["failures"], 0)

    def worker(self, laboratory, n):
        return laboratory.worker("--slots", "2", "--prefetch", "8", "--exec", "echo=cat", name=f"worker{n}")

    def at(self, laboratory, share):
        """Waits until this share of the jobs has ended."""
        laboratory.wait_for(lambda: laboratory.ended() >= share * JOBS, f"{share:.0%} of the jobs ended")

    def test_ventilator_killed_three_times(self):
        def kill(laboratory, processes):
            for share in (0.1, 0.3, 0.6):
                self.at(laboratory, share)
                laboratory.kill(processes["ventilator"])
                processes["ventilator"] = laboratory.ventilator("--lost-after", "2s", "--ping", "400ms")
        self.under_load(kill)

    def test_sink_killed_three_times(self):
        def kill(laboratory, processes):
            for share in (0.1, 0.3, 0.6):
                self.at(laboratory, share)
                laboratory.kill(processes["sink"])
                processes["sink"] = laboratory.sink()
        self.under_load(kill)

    def test_workers_killed_and_replaced(self):
        def kill(laboratory, processes):
            for share, n in ((0.1, 1), (0.3, 2), (0.6, 1)):
                self.at(laboratory, share)
                laboratory.kill(processes[f"worker{n}"])
                processes[f"worker{n}"] = self.worker(laboratory, n)
        self.under_load(kill)

    def test_all_of_them_in_a_random_order(self):
        seed = int(os.environ.get("LEAT_SEED", "1"))
        print(f"LEAT_SEED={seed}")
        rng = random.Random(seed)

        def kill(laboratory, processes):
            start = {"sink": laboratory.sink, "ventilator": lambda: laboratory.ventilator("--lost-after", "2s", "--ping", "400ms"),
                     "worker1": lambda: self.worker(laboratory, 1), "worker2": lambda: self.worker(laboratory, 2)}
            for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
                self.at(laboratory, share)
                name = rng.choice(sorted(processes))
                laboratory.kill(processes[name])
                processes[name] = start[name]()
        self.under_load(kill)

    def test_a_killed_producer_leaves_what_was_acknowledged_and_nothing_half(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            self.worker(laboratory, 1)
            producer = laboratory.background("producer", "leat-producer", "--every", "5ms", "--burst", "2", "--type", "echo")
            laboratory.wait_for(lambda: laboratory.ended() >= 200, "some jobs ended")
            laboratory.kill(producer)
            laboratory.wait_for(lambda: laboratory.left() == 0, "the ventilator is empty")
            stats = laboratory.stats()
            self.assertEqual(stats["ventilator"]["accepted_total"], stats["sink"]["successes"])

    def test_submitting_the_same_ids_again_adds_nothing_over_restarts(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            ventilator = laboratory.ventilator()
            lines = "".join('{"id": "0190b0b0-0000-7000-8000-%012d", "type": "echo", "payload": "x"}\n' % n for n in range(100))
            first = laboratory.run("leat-producer", "--json", "-", stdin=lines)
            self.assertEqual(first.returncode, 0, first.err)
            laboratory.kill(ventilator)
            ventilator = laboratory.ventilator()
            self.assertEqual(laboratory.run("leat-producer", "--json", "-", stdin=lines).returncode, 0)
            worker = self.worker(laboratory, 1)
            laboratory.wait_for(lambda: laboratory.ended() == 100 and laboratory.left() == 0, "100 jobs ended")
            # Settled by now; known all the same, also after one more restart.
            laboratory.kill(ventilator)
            laboratory.ventilator()
            self.assertEqual(laboratory.run("leat-producer", "--json", "-", stdin=lines).returncode, 0)
            laboratory.wait_for(lambda: (laboratory.stats()["ventilator"] or {}).get("known_total") == 100, "100 jobs known")
            self.assertEqual(laboratory.ended(), 100)
            self.assertEqual(laboratory.stats()["sink"]["duplicate_total"], 0)
            self.assertTrue(worker.alive())


if __name__ == "__main__":
    lab.main()
