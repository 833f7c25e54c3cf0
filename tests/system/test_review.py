#!/usr/bin/python3
"""What a stranger does to the programs: odd input, closed streams, jobs that the ventilator refuses, retries of all kinds."""
import json
import os
import signal
import subprocess
import unittest

import lab


class Review(unittest.TestCase):
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

    def test_hundreds_of_failures_are_run_again_once(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            worker = laboratory.worker("--exec", "job=sh -c 'exit 65'", "--slots", "4")
            done = laboratory.run("leat-producer", "--lines", "-", "--type", "job", "--wait", stdin="".join(f"{i}\n" for i in range(600)))
            self.assertEqual(done.returncode, 1, done.err)
            self.assertEqual(laboratory.stop(worker), 0)
            laboratory.worker("--exec", "job=cat", "--slots", "4")
            done = laboratory.run("leat", "retry", "--all")
            self.assertEqual((done.returncode, len(set(done.out.splitlines()))), (0, 600), done.err)
            laboratory.wait_for(lambda: laboratory.stats()["sink"]["successes"] == 600, "600 successes")
            self.assertEqual(laboratory.run("leat", "failures").out, "no failures\n")
            self.assertEqual(laboratory.run("leat", "retry", "--all").err, "0 jobs run again\n")
            old, new = done.out.split()[:2]
            done = laboratory.run("leat", "retry", old)
            self.assertEqual((done.returncode, done.out), (1, ""))
            self.assertIn(f"was run again already, as {new}: succeeded", done.err)

    def test_large_jobs_are_run_again_whatever_the_window(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "job=sh -c 'exit 65'")
            files = os.path.join(laboratory.dir, "files")
            os.mkdir(files)
            for i in range(80):
                with open(os.path.join(files, str(i)), "wb") as f:
                    f.write(bytes(1000000))
            laboratory.run("leat-producer", "--files", files, "--type", "job", "--wait", "--quiet")
            ids = [row["id"] for row in laboratory.failures()]
            self.assertEqual(len(ids), 80)
            done = laboratory.run("leat", "retry", *ids)
            self.assertEqual((done.returncode, done.err), (0, "80 jobs run again\n"))

    def test_a_failure_that_cannot_be_run_again_does_not_keep_back_the_others(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            ventilator = laboratory.ventilator("--max-payload", "4MiB")
            laboratory.worker("--exec", "job=sh -c 'exit 65'")
            done = laboratory.run("leat-producer", "--lines", "-", "--type", "job", "--max-payload", "4MiB", "--wait", "--quiet",
                                  stdin="a\n" + "x" * 2000000 + "\nb\n")
            self.assertEqual((done.returncode, len(laboratory.failures())), (1, 3), done.err)
            laboratory.stop(ventilator)
            laboratory.ventilator("--max-payload", "1MiB")
            done = laboratory.run("leat", "retry", "--all")
            self.assertEqual((done.returncode, len(done.out.splitlines())), (1, 2), done.err)
            self.assertIn("the limit is", done.err)
            self.assertEqual([row["rerun"] for row in laboratory.failures(reruns=True)][:3].count(True), 2)

    def test_what_a_handler_writes_cannot_steer_the_terminal(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "job=sh -c 'printf \"\\033[2Jred\\r\\302\\233x\" >&2; exit 65'")
            submitted = laboratory.run("leat", "submit", "--type", "job", "--wait")
            job = submitted.err.split()[0]
            for done in (submitted, laboratory.run("leat", "failures"), laboratory.run("leat", "result", job)):
                self.assertNotRegex(done.out + done.err, "[\x00-\x08\x0b-\x1f\x7f-\x9f]")
                self.assertIn("?[2Jred?", done.out + done.err)

    def test_output_that_is_cut_is_said_and_nothing_else_gets_into_it(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "big=head -c 100 /dev/zero", "--max-result", "10B")
            done = laboratory.run("leat", "submit", "--type", "big", "--wait")
            self.assertEqual((done.returncode, done.out), (0, "\0" * 10))
            self.assertIn("cut at the worker's limit", done.err)
            done = laboratory.run("leat", "result", "--output", done.err.split()[0])
            self.assertEqual((done.returncode, done.out), (0, "\0" * 10))
            self.assertIn("cut at the worker's limit", done.err)
            waiting = laboratory.run("leat", "submit", "--type", "big", "--delay", "1h").out.strip()
            done = laboratory.run("leat", "result", "--output", waiting)
            self.assertEqual((done.returncode, done.out), (1, ""))
            self.assertIn("has not ended: it is scheduled", done.err)


if __name__ == "__main__":
    lab.main()
