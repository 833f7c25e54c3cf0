#!/usr/bin/python3
"""A disk that stalls: a library preloaded into the sink holds its flushes back. What must go on meanwhile goes on."""
import json
import os
import statistics
import time
import unittest

import zmq

import lab

STALLING = os.path.join(lab.BIN, "..", "lib", "stalling_disk.so")


class StalledDisk(unittest.TestCase):
    def answers(self, laboratory, request, times):
        """How long each answer took, in seconds; on one connection, as a dashboard would ask."""
        with laboratory.context.socket(zmq.REQ) as asker:
            asker.linger = 0
            asker.connect(laboratory.endpoints["stats"])
            took = []
            for _ in range(times):
                begun = time.monotonic()
                asker.send(json.dumps(request).encode())
                self.assertTrue(asker.poll(lab.PATIENCE_S * 1000), f"no answer to {request}")
                reply = json.loads(asker.recv())
                self.assertEqual(reply["reply"], request["request"])
                took.append(time.monotonic() - begun)
            return took

    def test_the_sink_answers_within_ten_milliseconds_while_its_disk_stalls(self):
        with lab.Lab() as laboratory:
            stall = os.path.join(laboratory.dir, "stall")
            seen = stall + ".seen"
            sink = laboratory.sink(env={"LD_PRELOAD": STALLING, "STALL_FILE": stall})
            laboratory.ventilator()
            laboratory.worker("--exec", "good=cat", "--exec-shell", "bad=exit 65")
            first = laboratory.run("leat", "submit", "--type", "bad", "--wait").err.split()[0]
            # One after the other, each in a batch of its own: of a disk that has been quick so often, the sink's own loop waits for the flush.
            for _ in range(24):
                self.assertEqual(laboratory.run("leat", "submit", "--type", "good", "--wait").returncode, 0)
            before = laboratory.stats()["totals"]["succeeded"]
            self.assertFalse(os.path.exists(seen))

            open(stall, "w").close()
            producer = laboratory.background("producer", "leat-producer", "--lines", "-", "--type", "good", "--wait", "--quiet",
                                             "--results", "results", stdin="".join(f"{n}\n" for n in range(200)))
            laboratory.wait_for(lambda: os.path.exists(seen), "a flush of the sink is held back")
            for request in ({"request": "stats"}, {"request": "job", "id": first}, {"request": "failures"}, {"request": "queues"}):
                took = self.answers(laboratory, request, 200)
                # Of many, so that a machine with other work is no failure; a sink that waited for its disk gave none at all.
                self.assertLess(statistics.median(took), 0.010, request)
            # The stall lasted all the time, and nothing was called stored meanwhile.
            with open(seen) as f:
                self.assertEqual(f.read(), "stalled\n")
            self.assertTrue(os.path.exists(stall))
            self.assertEqual(laboratory.stats()["totals"]["succeeded"], before)
            self.assertIsNone(producer.popen.poll())
            self.assertTrue(sink.alive())

            os.unlink(stall)
            self.assertEqual(producer.wait(), 0, producer.log_text())
            self.assertEqual(len(lab.read_results(os.path.join(laboratory.dir, "results"))), 200)
            laboratory.wait_for(lambda: laboratory.ended() == 225, "the sink counts them all")

    def test_no_figure_counts_a_result_that_is_not_on_the_disk_yet(self):
        with lab.Lab() as laboratory:
            stall = os.path.join(laboratory.dir, "stall")
            laboratory.sink(env={"LD_PRELOAD": STALLING, "STALL_FILE": stall})
            laboratory.ventilator()
            laboratory.worker("--exec", "good=cat")
            open(stall, "w").close()
            job = laboratory.run("leat", "submit", "--type", "good").out.strip()
            laboratory.wait_for(lambda: os.path.exists(stall + ".seen"), "the flush of its result is held back")
            # The sink takes its figures ten times a second, whatever its disk does.
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                self.assertEqual(laboratory.ended(), 0)
            self.assertIn("error", laboratory.result(job))
            os.unlink(stall)
            laboratory.wait_for(lambda: laboratory.ended() == 1, "the sink counts it")
            self.assertEqual(laboratory.result(job)["state"], "succeeded")


if __name__ == "__main__":
    lab.main()
