#!/usr/bin/python3
"""The programs as people use them: help, options, exit statuses, messages, tables and JSON."""
import json
import os
import subprocess
import time
import unittest

import lab

PROGRAMS = ("leat-ventilator", "leat-sink", "leat-worker", "leat-producer")
COMMANDS = ("submit", "stats", "queues", "workers", "result", "failures", "retry", "ping", "pause", "resume", "shutdown")


class Commands(unittest.TestCase):
    def test_help_and_version_of_everything(self):
        with lab.Lab() as laboratory:
            for command in ([p] for p in PROGRAMS):
                done = laboratory.run(*command, "--version")
                self.assertEqual(done.returncode, 0, done.err)
                self.assertRegex(done.out, r"\d+\.\d+\.\d+")
            for command in [[p] for p in PROGRAMS] + [["leat", c] for c in COMMANDS] + [["leat"]]:
                done = laboratory.run(*command, "--help")
                self.assertEqual((done.returncode, done.err), (0, ""), command)
                self.assertIn("sage", done.out)

    def test_mistakes_give_one_line_and_status_2(self):
        with lab.Lab() as laboratory:
            for command in (["leat-ventilator", "--nonsense"], ["leat-ventilator", "--max-jobs"], ["leat-sink", "--keep-results", "soon"],
                            ["leat-worker"], ["leat-worker", "--exec", "nonsense"], ["leat-worker", "--slots", "0", "--exec", "a=true"],
                            ["leat-worker", "--exec", "a=true", "--rate", "fast"], ["leat-producer"], ["leat-producer", "--lines", "-"],
                            ["leat-producer", "--lines", "-", "--files", "/", "--type", "x"], ["leat"], ["leat", "nonsense"],
                            ["leat", "--nonsense"], ["leat", "submit"], ["leat", "result"], ["leat", "result", "nonsense"],
                            ["leat", "retry"], ["leat", "pause"], ["leat", "submit", "--type", "bad name"],
                            ["leat", "stats", "--stats", "http://x"]):
                done = laboratory.run(*command, env={"LEAT_DATA": os.path.join(laboratory.dir, "d")})
                self.assertEqual(done.returncode, 2, (command, done.out, done.err))
                self.assertEqual(done.err.count("\n"), 1, (command, done.err))

    def test_an_option_can_be_an_environment_variable(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker(env={"LEAT_EXEC": "a=echo A\nb=echo B", "LEAT_SLOTS": "3"}, name="w")
            laboratory.wait_for(lambda: [w["slots"] for w in laboratory.ask("workers")["workers"]] == [3], "the worker with 3 slots")
            self.assertEqual(laboratory.run("leat", "submit", "--type", "b", "--wait").out, "B\n")

    def test_who_cannot_be_reached_is_named_within_three_seconds(self):
        with lab.Lab() as laboratory:
            for command in (["ping"], ["stats"], ["queues"], ["workers"], ["failures"], ["pause", "q"], ["shutdown"],
                            ["submit", "--type", "x"], ["result", "0190b0b0-0000-7000-8000-000000000001"], ["retry", "--all"]):
                begun = time.monotonic()
                done = laboratory.run("leat", *command)
                self.assertEqual(done.returncode, 1, (command, done.out, done.err))
                self.assertLess(time.monotonic() - begun, 3, command)
                self.assertIn("cannot be reached", done.err)

    def test_a_bind_beyond_loopback_is_refused_and_the_fix_is_named(self):
        with lab.Lab() as laboratory:
            for program, option in (("leat-ventilator", "--listen"), ("leat-sink", "--listen"), ("leat-sink", "--stats"), ("leat-sink", "--events")):
                done = laboratory.run(program, option, "tcp://0.0.0.0:0", "--data", os.path.join(laboratory.dir, program + option))
                self.assertEqual(done.returncode, 2, done.err)
                self.assertIn("--allow-unauthenticated-network", done.err)

    def test_two_brokers_on_one_directory_are_refused(self):
        with lab.Lab() as laboratory:
            laboratory.ventilator()
            done = laboratory.run("leat-ventilator", "--listen", "ipc://" + laboratory.dir + "/other", "--data",
                                  os.path.join(laboratory.dir, "ventilator.data"))
            self.assertEqual(done.returncode, 75, done.err)
            self.assertIn("is in use by process", done.err)
            done = laboratory.run("leat-sink", "--listen", "ipc://" + laboratory.dir + "/other", "--data",
                                  os.path.join(laboratory.dir, "ventilator.data"))
            self.assertNotEqual(done.returncode, 0)

    def test_producer_exit_statuses(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "good=cat", "--exec-shell", "bad=exit 65")
            run = lambda *a, **k: laboratory.run("leat-producer", "--wait", *a, **k)
            self.assertEqual(run("--lines", "-", "--type", "good", stdin="1\n2\n").returncode, 0)
            self.assertEqual(run("--lines", "-", "--type", "bad", stdin="1\n2\n").returncode, 1)
            self.assertEqual(run("--json", "-", "--type", "good", stdin='{"payload": "x"}\nnonsense\n').returncode, 1)
            begun = time.monotonic()
            done = run("--lines", "-", "--type", "good", "--delay", "1h", "--deadline", "1s", stdin="1\n")
            self.assertEqual(done.returncode, 3, done.err)
            self.assertLess(time.monotonic() - begun, 4)

    def test_the_producer_says_who_cannot_be_reached_and_goes_on(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            producer = laboratory.background("producer", "leat-producer", "--lines", "-", "--type", "echo", "--wait", stdin="x\n")
            laboratory.wait_for(lambda: "the ventilator at ipc" in producer.log_text(), "it is said")
            laboratory.ventilator()
            laboratory.worker("--exec", "echo=cat")
            self.assertEqual(producer.wait(60), 0, producer.log_text())
            self.assertEqual(producer.log_text().count("cannot be reached"), 1)

    def test_result_lines_hold_text_as_it_is_and_other_bytes_in_base64(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "echo=cat")
            results = os.path.join(laboratory.dir, "results")
            for payload, key, value in ((b"text", "output", "text"), (b"\xff", "output_base64", "/w==")):
                done = laboratory.run("leat-producer", "--lines0", "-", "--type", "echo", "--wait", "--results", results,
                                      stdin=payload)
                self.assertEqual(done.returncode, 0, done.err)
                row = json.loads(open(results).read())
                self.assertEqual(row[key], value)

    def test_the_ticker_keeps_its_grid(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "tick=cat")
            begun = time.monotonic()
            done = laboratory.run("leat-producer", "--every", "200ms", "--count", "6", "--burst", "5", "--type", "tick", "--wait")
            self.assertEqual(done.returncode, 0, done.err)
            self.assertIn("30 jobs accepted", done.err)
            self.assertGreaterEqual(time.monotonic() - begun, 1.0)

    def test_tables_for_people_and_json_for_programs(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "good=cat", "--exec-shell", "bad=echo oh no >&2; exit 65", name="w1")
            good = laboratory.run("leat", "submit", "--type", "good", "x").out.strip()
            laboratory.run("leat", "submit", "--type", "bad")
            laboratory.wait_for(lambda: laboratory.ended() == 2 and laboratory.left() == 0, "both ended")
            self.assertRegex(laboratory.run("leat", "stats").out, r"default +good +1 +0")
            self.assertEqual(json.loads(laboratory.run("leat", "stats", "--json").out)["totals"]["failed"], 1)
            self.assertIn("w1", laboratory.run("leat", "workers").out)
            self.assertIn("default", laboratory.run("leat", "queues").out)
            self.assertRegex(laboratory.run("leat", "failures").out, r"bad +exit +1 .*oh no")
            self.assertEqual(json.loads(laboratory.run("leat", "failures", "--json").out)["failures"][0]["code"], 65)
            self.assertEqual(json.loads(laboratory.run("leat", "result", good, "--json").out)["output"], "x")
            self.assertEqual(laboratory.run("leat", "ping").returncode, 0)
            self.assertEqual(laboratory.run("leat", "ping", "worker", "w1").returncode, 0)
            self.assertEqual(laboratory.run("leat", "ping", "worker", "w2").returncode, 1)
            later = laboratory.run("leat", "submit", "--type", "good", "--delay", "1h").out.strip()
            done = laboratory.run("leat", "result", later)
            self.assertEqual(done.returncode, 1)
            self.assertIn("scheduled", done.out)

    def test_leat_runs_the_executable_of_that_name(self):
        with lab.Lab() as laboratory:
            done = laboratory.run("leat", "worker", "--version")
            self.assertEqual(done.returncode, 0, done.err)
            self.assertIn("leat-worker", done.out)

    def test_the_log_never_shows_a_payload(self):
        with lab.Lab() as laboratory:
            trace = {"LEAT_LOG": "trace"}
            processes = [laboratory.sink(env=trace), laboratory.ventilator(env=trace), laboratory.worker("--exec", "echo=cat", env=trace)]
            self.assertEqual(laboratory.run("leat", "submit", "--type", "echo", "--wait", "a-secret-payload").out, "a-secret-payload")
            for process in processes:
                self.assertEqual(laboratory.stop(process), 0)
                text = process.log_text()
                self.assertIn("SUBMIT" if process.name == "ventilator" else "RESULTS", text)
                self.assertNotIn("a-secret-payload", text)
                for line in text.splitlines():
                    self.assertRegex(line, r"^ts=\S+ level=\w+ role=\w+ event=\w+")

    def test_the_example_program_submits_and_waits(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "greet=sed s/^/hello,\\ /")
            done = subprocess.run([os.path.join(lab.BIN, "example-submit"), "greet", "world"], env=laboratory.env, capture_output=True, timeout=60)
            self.assertEqual((done.returncode, done.stdout), (0, b"hello, world"), done.stderr)


class Shutdown(unittest.TestCase):
    def test_a_ventilator_that_has_nothing_to_drain_is_heard_before_it_is_gone(self):
        """It closes the connection right behind its answer, which must not be thrown away with it."""
        with lab.Lab() as laboratory:
            for _ in range(8):
                brokers = [laboratory.sink(), laboratory.ventilator()]
                done = laboratory.run("leat", "shutdown")
                self.assertEqual((done.returncode, done.err), (0, ""))
                self.assertEqual([broker.wait(lab.PATIENCE_S) for broker in brokers], [0, 0])


if __name__ == "__main__":
    lab.main()
