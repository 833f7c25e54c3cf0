#!/usr/bin/python3
"""Promise P4 with real disks that are full: file systems of a few MiB, in mounts that only this process sees."""
import os
import re
import unittest

import client
import lab
import private_mounts

MIB = 1 << 20


class FullDisk(unittest.TestCase):
    def disk(self, laboratory, name, size_bytes):
        path = os.path.join(laboratory.dir, name)
        private_mounts.tmpfs(path, size_bytes)
        self.addCleanup(private_mounts.unmount, path)
        return path

    def take_the_rest(self, disk, name="somebody-elses"):
        """A file that takes all blocks that are free: as when others fill the disk. Its path."""
        path = os.path.join(disk, name)
        with open(path, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(64 << 10))
            except OSError:
                pass
        self.assertLess(os.statvfs(disk).f_bavail, 16)
        return path

    def expect_busy(self, laboratory, jobs):
        """A batch by the protocol alone is answered with BUSY and kept nowhere."""
        with client.Producer(laboratory.endpoints["ventilator"]) as producer:
            producer.submit("default", "job", bytes(1000))
            with self.assertRaises(TimeoutError):
                producer.flush(timeout_s=1)
            self.assertGreater(producer.busy, 0)
            self.assertEqual(producer.accepted, 0)
        self.assertEqual(laboratory.ask("queues")["queues"][0]["ready"], jobs)

    def accepted(self, laboratory):
        """The jobs at the ventilator when their number stands still."""
        before = None
        while True:
            ready = laboratory.wait_for(lambda: (lambda v: v if v and v["age_ms"] < 900 else None)(laboratory.stats()["ventilator"]), "news")["jobs"]
            if ready == before:
                return ready
            before = ready
            age = laboratory.stats()["ventilator"]["age_ms"]
            laboratory.wait_for(lambda: laboratory.stats()["ventilator"]["age_ms"] < age, "younger news")

    def expect_each_job_once(self, laboratory, **counts):
        for name, count in counts.items():
            ids = lab.read_ids(os.path.join(laboratory.dir, name + ".ids"))
            results = lab.read_results(os.path.join(laboratory.dir, name + ".results"))
            self.assertEqual(len(ids), count)
            self.assertEqual(set(ids), set(results))
            self.assertEqual({row["status"] for row in results.values()}, {"succeeded"})
        laboratory.wait_for(lambda: laboratory.left() == 0, "the ventilator has none left")
        laboratory.wait_for(lambda: laboratory.ended() == sum(counts.values()), "the sink has counted")
        sink = laboratory.stats()["sink"]
        self.assertEqual((sink["successes"], sink["failures"]), (sum(counts.values()), 0))

    def produce(self, laboratory, name, count, size_bytes):
        """A producer that waits for the results of so many files."""
        files = os.path.join(laboratory.dir, name)
        os.mkdir(files)
        for i in range(count):
            with open(os.path.join(files, f"{i:04}"), "wb") as f:
                f.write(i.to_bytes(2, "big") * (size_bytes // 2))
        return laboratory.background("producer", "leat-producer", "--files", name, "--type", "job", "--wait", "--quiet",
                                     "--ids", name + ".ids", "--results", name + ".results")

    def test_a_ventilator_that_fills_its_disk_refuses_jobs_and_makes_room_by_ending_them(self):
        with lab.Lab() as laboratory:
            disk = self.disk(laboratory, "ventilator.disk", 72 * MIB)
            laboratory.sink()
            ventilator = laboratory.ventilator("--data", os.path.join(disk, "data"))
            producer = self.produce(laboratory, "files", 120, 600000)  # 72 MB: not all fits beside the reserve
            laboratory.wait_for(lambda: "event=store_full" in ventilator.log_text(), "the disk is full")
            jobs = self.accepted(laboratory)
            self.assertTrue(10 < jobs < 110, f"{jobs} jobs were taken before the disk was full")
            self.expect_busy(laboratory, jobs)
            self.assertIsNone(producer.popen.poll())
            # A kill changes nothing: what was acknowledged is there, and the disk is as full as before.
            laboratory.kill(ventilator)
            ventilator = laboratory.ventilator("--data", os.path.join(disk, "data"))
            recovered = int(re.search(r"event=recovered .*value=(\d+)", ventilator.log_text())[1])
            self.assertGreaterEqual(recovered, jobs)
            laboratory.worker("--slots", "2", "--exec", "job=wc -c")
            self.assertEqual(producer.wait(120), 0, producer.log_text())
            self.assertIn("event=store_room", ventilator.log_text())
            self.expect_each_job_once(laboratory, files=120)

    def test_on_a_disk_that_others_fill_work_stands_still_and_resumes_when_something_is_removed(self):
        with lab.Lab() as laboratory:
            disk = self.disk(laboratory, "disk", 320 * MIB)
            sink = laboratory.sink("--data", os.path.join(disk, "sink"))
            ventilator = laboratory.ventilator("--data", os.path.join(disk, "ventilator"))
            worker = laboratory.worker("--slots", "2", "--prefetch", "2", "--max-result", "1MiB",
                                       "--exec-shell", "job=cat; head -c 400000 /dev/zero")
            laboratory.run("leat", "pause", "default")
            producers = [self.produce(laboratory, "small", 30, 1000)]
            laboratory.wait_for(lambda: laboratory.left() == 30, "all small jobs are acknowledged")
            rest = self.take_the_rest(disk)
            producers.append(self.produce(laboratory, "large", 40, 700000))
            laboratory.wait_for(lambda: "event=store_full" in ventilator.log_text(), "the ventilator has seen it")
            jobs = self.accepted(laboratory)
            self.assertLess(jobs, 70)
            self.expect_busy(laboratory, jobs)
            # The worker works, then the sink takes no more of its results, and answers all the time.
            self.assertEqual(laboratory.run("leat", "resume", "default").returncode, 0)
            laboratory.wait_for(lambda: laboratory.stats()["sink"]["busy_total"] > 0, "the sink refuses results")
            self.assertIn("event=store_full", sink.log_text())
            self.assertLess(laboratory.ended(), 70)
            for process in (sink, ventilator, worker, *producers):
                self.assertTrue(process.alive(), f"{process.name}: {process.log_text()}")
            os.unlink(rest)
            for producer in producers:
                self.assertEqual(producer.wait(120), 0, producer.log_text())
            self.expect_each_job_once(laboratory, small=30, large=40)
            for process in (sink, ventilator):
                self.assertIn("event=store_room", process.log_text())


if __name__ == "__main__":
    private_mounts.enter()
    lab.main()
