#!/usr/bin/python3
"""leat-producer with what people give it: values that cannot be right, odd names and input, refused jobs, interrupts."""
import json
import os
import signal
import subprocess
import unittest

import lab


class Producer(unittest.TestCase):
    def test_values_that_would_be_wrong_for_every_job_are_a_usage_error(self):
        with lab.Lab() as laboratory:
            for options in (["--queue", ""], ["--type", "a b"], ["--backoff-factor", "500"], ["--backoff-factor", "0.5"], ["--backoff-factor", "2x"],
                            ["--attempts", "1.5"], ["--header", b"a=caf\xe9"], ["--header", "a=" + "x" * 4097],
                            sum((["--header", f"h{i}=v"] for i in range(1000)), []), ["--delay", "2s", "--expires-in", "1s"]):
                done = laboratory.run("leat-producer", "--lines", "-", "--type", "x", *options, stdin="job\n")
                self.assertEqual((done.returncode, done.err.count("\n")), (2, 1), (options[:4], done.err))
            for command in (["leat-worker", "--exec", "a=true", "--name", b"caf\xe9"], ["leat-worker", "--exec", "a=true", "--queues", "a,b,a"],
                            ["leat-worker", "--exec", "a=true", "--slots", "1.5"], ["leat", "retry", "--queue", "q", "0190b0b0-0000-7000-8000-000000000001"]):
                done = laboratory.run(*command)
                self.assertEqual((done.returncode, done.err.count("\n")), (2, 1), (command, done.err))

    def test_a_backoff_factor_may_be_a_fraction(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "fail=false", "--slots", "1")
            done = laboratory.run("leat-producer", "--lines", "-", "--type", "fail", "--attempts", "3", "--backoff-base", "20ms", "--backoff-factor", "1.5",
                                  "--wait", "--deadline", "30s", stdin="x\n")
            self.assertEqual(done.returncode, 1, done.err)
            self.assertEqual(laboratory.failures()[0]["attempts"], 3)

    def test_a_job_that_the_ventilator_refuses_ends_the_wait(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "cat=cat")
            done = laboratory.run("leat-producer", "--lines", "-", "--type", "cat", "--max-payload", "8MiB", "--wait",
                                  stdin="a\nb\n" + "x" * 3000000 + "\nc\n")
            self.assertEqual(done.returncode, 1, done.err)
            self.assertIn("3 jobs accepted, 1 refused, 3 succeeded, 0 failed, 0 without result", done.err)
            self.assertIn("the limit is", done.err)

    def test_a_file_name_in_another_encoding_has_its_result_too(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "cat=cat")
            files = os.path.join(os.fsencode(laboratory.dir), b"files")
            os.mkdir(files)
            for name in (b"caf\xe9", b"tea"):
                open(os.path.join(files, name), "w").close()
            done = laboratory.run("leat-producer", "--paths", "files", "--type", "cat", "--wait", "--results", "-", "--quiet")
            self.assertEqual([json.loads(line)["source"] for line in done.out.splitlines()], ["files/caf?", "files/tea"])
            done = laboratory.run("leat-producer", "--files", "files", "--type", "cat", "--wait", "--quiet")
            self.assertEqual((done.returncode, done.stderr), (1, b"leat-producer: files/caf\xe9: header path is not UTF-8\n"))

    def test_an_interrupted_producer_has_written_what_it_knew(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "cat=cat")
            producer = laboratory.background("producer", "leat-producer", "--every", "1h", "--burst", "5", "--type", "cat", "--wait",
                                             "--ids", "ids", "--results", "results")
            path = os.path.join(laboratory.dir, "results")
            laboratory.wait_for(lambda: os.path.exists(path) and len(open(path).readlines()) == 5, "five results in the file")
            laboratory.kill(producer, signal.SIGINT)
            self.assertEqual(producer.wait(), -signal.SIGINT)
            self.assertEqual(sorted(lab.read_results(path)), sorted(lab.read_ids(os.path.join(laboratory.dir, "ids"))))

    def test_a_closed_standard_input_is_an_error_and_no_other_file(self):
        with lab.Lab() as laboratory:
            done = subprocess.run(["sh", "-c", 'exec "$0" --lines - --type x <&-', os.path.join(lab.BIN, "leat-producer")],
                                  env=laboratory.env, capture_output=True, text=True, timeout=lab.PATIENCE_S)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("cannot read", done.stderr)


if __name__ == "__main__":
    lab.main()
