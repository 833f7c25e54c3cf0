#!/usr/bin/python3
"""Stories of one cluster each: a sink that is away, leases over a restart, drain, shutdown, pause, BUSY, scheduling, expiry."""
import json
import os
import signal
import time
import unittest

import lab


class Stories(unittest.TestCase):
    def test_a_lost_worker_is_noticed_and_its_job_runs_elsewhere(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator("--lost-after", "1500ms", "--ping", "300ms")
            first = laboratory.worker("--slots", "1", "--exec-shell", "job=echo $LEAT_JOB_ATTEMPT >>started; sleep 600")
            job = laboratory.run("leat", "submit", "--type", "job").out.strip()
            laboratory.wait_for(lambda: os.path.exists(os.path.join(laboratory.dir, "started")), "the job runs")
            laboratory.kill(first, signal.SIGSTOP)  # cut off rather than dead: no connection is closed
            laboratory.worker("--slots", "1", "--exec", "job=echo done")
            begun = time.monotonic()
            laboratory.wait_for(lambda: laboratory.ended() == 1, "the job ended elsewhere")
            self.assertLess(time.monotonic() - begun, 15)
            self.assertEqual(laboratory.result(job)["state"], "succeeded")
            # When it comes back it is told, and ends that work.
            laboratory.kill(first, signal.SIGCONT)
            laboratory.wait_for(lambda: "event=lease_stopped" in first.log_text(), "the old worker stops its work")
            self.assertEqual(laboratory.stats()["sink"]["successes"], 1)

    def test_a_sink_that_is_away_stops_new_work_and_loses_nothing(self):
        with lab.Lab() as laboratory:
            sink = laboratory.sink()
            laboratory.ventilator()
            worker = laboratory.worker("--slots", "4", "--exec", "echo=cat", "--outbox", "64")
            self.assertEqual(laboratory.run("leat-producer", "--lines", "-", "--type", "echo",
                                            stdin="".join(f"{n}\n" for n in range(20))).returncode, 0)
            laboratory.wait_for(lambda: laboratory.ended() == 20, "the first jobs ended")
            laboratory.kill(sink)
            self.assertEqual(laboratory.run("leat-producer", "--lines", "-", "--type", "echo",
                                            stdin="".join(f"{n}\n" for n in range(500))).returncode, 0)
            laboratory.wait_for(lambda: "event=outbox_full" in worker.log_text(), "the outbox is full")
            laboratory.sink()
            laboratory.wait_for(lambda: laboratory.ended() == 520 and laboratory.left() == 0, "everything ended")
            self.assertEqual(laboratory.stats()["sink"]["successes"], 520)

    def test_a_ventilator_restart_does_not_repeat_what_runs(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            ventilator = laboratory.ventilator()
            laboratory.worker("--slots", "2", "--exec-shell", "job=echo x >>runs; cat fifo >/dev/null")
            os.mkfifo(os.path.join(laboratory.dir, "fifo"))
            runs = os.path.join(laboratory.dir, "runs")
            for _ in range(2):
                self.assertEqual(laboratory.run("leat", "submit", "--type", "job").returncode, 0)
            laboratory.wait_for(lambda: os.path.exists(runs) and len(open(runs).readlines()) == 2, "two jobs run")
            laboratory.kill(ventilator)
            laboratory.ventilator()
            laboratory.wait_for(lambda: any(q["leased"] == 2 for q in laboratory.ask("queues")["queues"]),
                                "the worker has announced its leases")
            with open(os.path.join(laboratory.dir, "fifo"), "w"):
                pass  # both readers see the end
            laboratory.wait_for(lambda: laboratory.ended() == 2 and laboratory.left() == 0, "both ended")
            self.assertEqual(len(open(runs).readlines()), 2, "no job ran twice")

    def test_an_idle_worker_notices_a_restarted_ventilator_however_patient_that_is(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            patient = ("--lost-after", "600s", "--ping", "300ms", "--recovery-grace", "100ms")
            ventilator = laboratory.ventilator(*patient)
            worker = laboratory.worker("--slots", "1", "--exec", "job=echo done")
            laboratory.wait_for(lambda: "event=session_opened" in worker.log_text(), "the worker has joined")
            laboratory.kill(ventilator)
            laboratory.ventilator(*patient)
            begun = time.monotonic()
            self.assertEqual(laboratory.run("leat", "submit", "--type", "job", "--wait").out, "done\n")
            self.assertLess(time.monotonic() - begun, 15)  # two pings, a round, the grace; with a busy machine's patience

    def test_sigterm_drains_a_worker(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            worker = laboratory.worker("--slots", "1", "--prefetch", "4", "--exec-shell", "job=echo x >>runs; sleep 1; echo done")
            runs = os.path.join(laboratory.dir, "runs")
            self.assertEqual(laboratory.run("leat-producer", "--lines", "-", "--type", "job", stdin="1\n2\n3\n4\n").returncode, 0)
            laboratory.wait_for(lambda: os.path.exists(runs), "the first job runs")
            self.assertEqual(laboratory.stop(worker), 0, worker.log_text())
            laboratory.wait_for(lambda: laboratory.ended() == len(open(runs).readlines()), "what ran was finished and stored")
            laboratory.wait_for(lambda: sum(q["leased"] for q in laboratory.ask("queues")["queues"]) == 0,
                                "the rest was handed back")
            laboratory.worker("--slots", "4", "--exec", "job=echo done")
            laboratory.wait_for(lambda: laboratory.ended() == 4, "the rest ran elsewhere")

    def test_a_second_sigterm_kills_what_runs_and_hands_it_back(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            worker = laboratory.worker("--slots", "1", "--exec-shell", "job=echo $$ >pid; sleep 600")
            self.assertEqual(laboratory.run("leat", "submit", "--type", "job").returncode, 0)
            pid_file = os.path.join(laboratory.dir, "pid")
            laboratory.wait_for(lambda: os.path.exists(pid_file) and open(pid_file).read().strip(), "the job runs")
            pid = int(open(pid_file).read())
            worker.popen.send_signal(signal.SIGTERM)
            laboratory.wait_for(lambda: "event=draining" in worker.log_text(), "it drains")
            worker.popen.send_signal(signal.SIGTERM)
            self.assertEqual(worker.wait(20), 0, worker.log_text())
            self.assertFalse(lab.alive(pid))
            laboratory.worker("--slots", "1", "--exec", "job=echo done")
            laboratory.wait_for(lambda: laboratory.ended() == 1, "the job ran elsewhere")
            self.assertEqual(laboratory.stats()["sink"]["successes"], 1)

    def test_shutdown_reaches_everybody_and_keeps_what_was_not_run(self):
        with lab.Lab() as laboratory:
            sink, ventilator = laboratory.sink(), laboratory.ventilator()
            workers = [laboratory.worker("--slots", "1", "--exec", "job=sleep 0.5") for _ in range(2)]
            self.assertEqual(laboratory.run("leat-producer", "--lines", "-", "--type", "job",
                                            stdin="".join(f"{n}\n" for n in range(20))).returncode, 0)
            laboratory.wait_for(lambda: laboratory.ended() >= 1, "some ended")
            done = laboratory.run("leat", "shutdown")
            self.assertEqual(done.returncode, 0, done.err)
            for process in (*workers, ventilator, sink):
                self.assertEqual(process.wait(30), 0, f"{process.name}: {process.log_text()}")
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--slots", "8", "--exec", "job=true")
            laboratory.wait_for(lambda: laboratory.ended() == 20 and laboratory.left() == 0, "all 20 ended")
            self.assertEqual(laboratory.stats()["sink"]["duplicate_total"], 0)

    def test_a_paused_queue_waits_and_other_queues_go_on(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            ventilator = laboratory.ventilator()
            self.assertEqual(laboratory.run("leat", "pause", "slow").returncode, 0)
            laboratory.worker("--slots", "2", "--queues", "slow,fast", "--exec", "job=cat")
            for queue in ("slow", "fast"):
                self.assertEqual(laboratory.run("leat", "submit", "--type", "job", "--queue", queue, "x").returncode, 0)
            laboratory.wait_for(lambda: laboratory.ended() == 1, "the job of the other queue ended")
            laboratory.kill(ventilator)  # pausing survives
            laboratory.ventilator()
            laboratory.wait_for(lambda: any(q["queue"] == "slow" and q["paused"] and q["ready"] == 1
                                            for q in laboratory.ask("queues")["queues"]), "the queue is paused")
            self.assertEqual(laboratory.run("leat", "resume", "slow").returncode, 0)
            laboratory.wait_for(lambda: laboratory.ended() == 2, "the paused job ended")

    def test_a_full_ventilator_says_busy_and_takes_everything_in_the_end(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator("--max-jobs", "5000")
            results = os.path.join(laboratory.dir, "results")
            producer = laboratory.background("producer", "leat-producer", "--lines", "-", "--type", "echo", "--wait",
                                             "--results", results, "--deadline", "100s",
                                             stdin="".join(f"{n}\n" for n in range(12000)))
            laboratory.wait_for(lambda: (laboratory.stats()["ventilator"] or {}).get("busy_total", 0) > 0, "BUSY was said")
            self.assertLessEqual(laboratory.stats()["ventilator"]["jobs"], 5000)
            laboratory.worker("--slots", "2", "--plugin", os.path.join(lab.BIN, "..", "lib", "example_handlers.so"))
            laboratory.worker("--slots", "4", "--prefetch", "64", "--exec", "echo=cat")
            self.assertEqual(producer.wait(120), 0, producer.log_text())
            self.assertEqual(len(lab.read_results(results)), 12000)

    def test_delayed_jobs_wait_and_expired_jobs_do_not_run(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            begun = time.time()
            late = laboratory.run("leat", "submit", "--type", "job", "--delay", "1500ms").out.strip()
            gone = laboratory.run("leat", "submit", "--type", "job", "--expires-in", "300ms").out.strip()
            laboratory.wait_for(lambda: laboratory.ended() == 1, "the job without worker expired")
            self.assertEqual(laboratory.result(gone)["state"], "expired")
            self.assertIn("expired", laboratory.run("leat", "failures").out)
            laboratory.worker("--slots", "1", "--exec", "job=true")
            laboratory.wait_for(lambda: laboratory.ended() == 2, "the delayed job ended")
            result = laboratory.result(late)
            self.assertEqual(result["state"], "succeeded")
            self.assertGreaterEqual(result["finished_us"] / 1e6, begun + 1.5)

    def test_a_poison_job_ends_after_its_deliveries_and_can_be_run_again(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator("--lost-after", "1s", "--ping", "200ms", "--deliveries", "2")
            job = laboratory.run("leat", "submit", "--type", "poison").out.strip()
            for n in range(2):
                flag = os.path.join(laboratory.dir, f"started{n}")
                worker = laboratory.worker("--slots", "1", "--exec-shell", f"poison=touch {flag}; sleep 600", name=f"victim{n}")
                laboratory.wait_for(lambda: os.path.exists(flag), "the job runs")
                laboratory.kill(worker)
            laboratory.wait_for(lambda: laboratory.ended() == 1, "the job ended")
            row, = laboratory.failures()
            self.assertEqual((row["id"], row["failure"]), (job, "lost"))
            self.assertIn("worker lost 2 times", row["error"])
            laboratory.worker("--slots", "1", "--exec", "poison=echo tamed", name="tamer")
            again = laboratory.run("leat", "retry", "--all")
            self.assertEqual(again.returncode, 0, again.err)
            old, new = again.out.split()
            self.assertEqual(old, job)
            laboratory.wait_for(lambda: laboratory.stats()["sink"]["successes"] == 1, "the rerun succeeded")
            self.assertEqual(laboratory.run("leat", "result", new, "--output").out, "tamed\n")
            self.assertEqual(laboratory.failures(), [], "it is no longer listed")
            twice = laboratory.run("leat", "retry", job)
            self.assertIn("was run again already", twice.err)
            self.assertEqual(laboratory.stats()["sink"]["successes"], 1, "running it again twice makes one job")

    def test_events_are_published_per_queue(self):
        import msgpack
        import zmq
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--slots", "1", "--queues", "a,b", "--exec", "job=cat")
            with laboratory.context.socket(zmq.SUB) as subscriber:
                subscriber.connect(laboratory.endpoints["events"])
                subscriber.subscribe(b"a")
                seen = []

                def an_event():
                    laboratory.run("leat", "submit", "--type", "job", "--queue", "b", "x")
                    laboratory.run("leat", "submit", "--type", "job", "--queue", "a", "x")
                    if subscriber.poll(500):
                        seen.append(subscriber.recv_multipart())
                    return seen
                laboratory.wait_for(an_event, "an event arrives")
                topic, frame = seen[0]
                self.assertEqual(topic, b"a")
                message = msgpack.unpackb(frame)
                self.assertEqual(message[1], 0x52)
                self.assertEqual(message[2][0][1:3], ["a", "job"])


if __name__ == "__main__":
    lab.main()
