"""The parts of the bench that look at leat when much is there: a backlog of waiting jobs, kept results, a crowd of idle peers."""
import os
import signal
import subprocess
import time

import queues
from parts import jobs_for, median, spread
from processes import BenchError, Process, say, touch_memory, wait_for


def wait_settled(leat, timeout_s=60):
    """Until ventilator and sink write nothing any more: what they owe each other is done, and what is measured next stands alone."""
    quiet_since, last = time.monotonic(), -1
    deadline = time.monotonic() + timeout_s
    while time.monotonic() - quiet_since < 0.3 and time.monotonic() < deadline:
        now = sum(thread.ns for s in leat.servers for thread in s.used_now()["threads"].values())
        if last < 0 or now - last > 2_000_000:  # more than 2 ms in 50
            quiet_since = time.monotonic()
        last = now
        time.sleep(0.05)


# ---- backlog ----

def submit(leat, jobs):
    found, _ = leat.load(jobs, "none").result()
    return jobs / ((found["acked_ns"] - found["begin_ns"]) / 1e9)


def submit_alike(leat, jobs, touched_gib):
    """The same when nothing of before is left to do, on memory that was touched just before; with the ventilator's microseconds of processor
    time per job, in its program and in the kernel, until it has brought them to their last place."""
    wait_settled(leat)
    touched = touch_memory(touched_gib)
    ventilator = leat.server("ventilator")
    ventilator.mark()
    rate = submit(leat, jobs)
    wait_settled(leat)
    both = zip(*ventilator.used()["threads"].values())
    return {"rate": rate, "us": [1e6 * sum(seconds) / jobs for seconds in both], "touched_gib": touched}


def summary(rounds):
    return {"rate": spread([round(r["rate"]) for r in rounds]), "us": [round(median(column), 2) for column in zip(*(r["us"] for r in rounds))],
            "touched_gib": min(r["touched_gib"] for r in rounds)}


def recorded(leat):
    """Results that the sink has counted, by its stats."""
    import json
    reply = subprocess.run([os.path.join(leat.tools, "bin", "leat"), "stats", "--json"], capture_output=True, text=True, timeout=30, check=True,
                           env={**leat.env(), "LEAT_VENTILATOR": leat.at("v"), "LEAT_SINK": leat.at("s"), "LEAT_STATS": leat.at("t")}).stdout
    return json.loads(reply)["totals"]["succeeded"]


def drain(leat, jobs, timeout_s=300):
    """Starts a worker; jobs per second from its first hundredth of the results to the last of so many."""
    before = recorded(leat)
    leat.start_worker()
    begin, first = None, 0
    deadline = time.monotonic() + timeout_s
    while True:
        done = recorded(leat) - before
        now = time.monotonic()
        if begin is None and done >= jobs / 100:
            begin, first = now, done
        if begin is not None and done >= jobs:
            break
        if now > deadline:
            raise BenchError(f"{done} of {jobs} jobs were drained in {timeout_s} s")
        time.sleep(0.01)
    leat.end("worker", signal.SIGKILL)
    return (done - first) / (now - begin)


def memory_mib(leat):
    return leat.server("ventilator").used_now()["anonymous_kib"] / 1024


def restart_s(leat):
    """kill -9 of the ventilator, a new one: seconds until it pushed a job to a worker that was there all the time."""
    leat.end("ventilator", signal.SIGKILL)
    first = Process("first", [os.path.join(leat.tools, "bench", "bench_crowd"), "role=first", f"at={leat.at('v')}"], leat.path("log"))
    begin_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    try:
        leat.start_ventilator()
        ready_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        found, _ = first.result(timeout_s=120)
    finally:
        first.stop(signal.SIGKILL)
    return {"ready_s": (ready_ns - begin_ns) / 1e9, "first_push_s": (found["first_ns"] - begin_ns) / 1e9}


def backlog(bench):
    """With `bench.backlog` jobs waiting, against none: what is submitted and drained per second, the ventilator's memory, a restart."""
    waiting = bench.backlog or (100_000 if bench.quick else 1_000_000)
    rounds, gib = (1, 1) if bench.quick else (3, 3)
    with queues.Leat(bench.tools, bench.folder) as leat:
        leat.end("worker")
        first = 20_000 if bench.quick else 500_000  # the ventilator's own memory is there as well, before anything is compared
        piece = min(waiting, jobs_for(submit(leat, first), 0.5 if bench.quick else 2))
        drain(leat, first)
        empty, drained = [], []
        for _ in range(rounds):
            empty.append(submit_alike(leat, piece, gib))
            drained.append(drain(leat, piece))
        wait_settled(leat)
        memory = [[0, round(memory_mib(leat), 1)]]
        steps = 5
        rates = []
        for step in range(1, steps + 1):
            rates.append(submit(leat, waiting // steps))
            memory.append([waiting * step // steps, round(memory_mib(leat), 1)])
        full = [submit_alike(leat, piece, gib) for _ in range(rounds)]
        restart = restart_s(leat)
        memory_after = round(memory_mib(leat), 1)
        drain_full = drain(leat, piece)
    submits = {"empty": summary(empty), "full": summary(full)}
    empty = {"submit": submits["empty"]["rate"]["median"], "drain": round(median(drained))}
    full = {"submit": submits["full"]["rate"]["median"], "drain": round(drain_full)}
    found = {"waiting": waiting, "empty": empty, "full": full, "ratio": {k: round(full[k] / empty[k], 2) for k in empty}, "submits": submits,
             "submit_by_step": [round(r) for r in rates], "memory_mib": memory, "memory_after_restart_mib": memory_after,
             "restart": {k: round(v, 2) for k, v in restart.items()}}
    say(f"  submit by fifths of {waiting}, on memory that was not touched: {found['submit_by_step']}")
    say(f"  {waiting} waiting: submit {found['ratio']['submit']} and drain {found['ratio']['drain']} of empty, {memory[-1][1]} MiB, "
        f"first push {found['restart']['first_push_s']} s after a restart")
    return found


# ---- results kept ----

def sink(bench):
    """With `bench.results` results kept, against none: jobs per second end to end, and the sink's processor time for each."""
    kept = bench.results or (100_000 if bench.quick else 1_000_000)
    rounds = 1 if bench.quick else 3
    with queues.Leat(bench.tools, bench.folder, keep=2 * kept + 10_000_000) as leat:
        first = leat.run(jobs_for(leat.guess, 0.3))
        piece = jobs_for(first.rate, 1 if bench.quick else 2)
        empty = [leat.run(piece) for _ in range(rounds)]
        done = first.jobs + rounds * piece
        while done < kept:
            done += leat.run(min(500_000, max(1000, kept - done))).jobs
        wait_settled(leat)
        full = [leat.run(piece) for _ in range(rounds)]
        memory = leat.server("sink").used_now()["anonymous_kib"] / 1024
    found = {"kept": done, "empty": spread([round(r.rate) for r in empty]), "full": spread([round(r.rate) for r in full]),
             "ratio": round(median([r.rate for r in full]) / median([r.rate for r in empty]), 2),
             "sink_us": {"empty": round(median([r.cpu_us["sink"] for r in empty]), 2), "full": round(median([r.cpu_us["sink"] for r in full]), 2)},
             "sink_anonymous_mib": round(memory, 1)}
    say(f"  {done} results kept: {found['ratio']} of empty, sink {found['sink_us']['empty']} -> {found['sink_us']['full']} us per job")
    return found


# ---- a crowd ----

def start_crowd(leat, workers, producers, every):
    crowd = Process("crowd", [os.path.join(leat.tools, "bench", "bench_crowd"), "role=crowd", f"at={leat.at('v')}", f"sink={leat.at('s')}",
                              f"workers={workers}", f"producers={producers}", f"every={every}"], leat.path("log"))
    line = crowd.popen.stdout.readline()
    if line != b"ready\n":
        crowd.stop(signal.SIGKILL)
        raise BenchError(f"the crowd did not gather:\n{crowd.tail()}")
    return crowd


def busy_percent(leat, seconds):
    """Of one core, per broker process, over so many seconds."""
    for name in ("ventilator", "sink"):
        leat.server(name).mark()
    time.sleep(seconds)
    return {name: round(100 * leat.server(name).used()["cpu_s"] / seconds, 2) for name in ("ventilator", "sink")}


def crowd(bench):
    """1,000 connected workers and 1,000 producers, each of which submits a job every 30 s: what the brokers need for that, and what
    becomes of the latency of others' jobs. Latency in alternating rounds of runs without and with the crowd."""
    size = bench.crowd or (200 if bench.quick else 1000)
    seconds, rounds = (2, 1) if bench.quick else (5, 3)
    loads = {"without": [], "with": []}
    with queues.Leat(bench.tools, bench.folder) as leat:
        leat.run(5000)
        wait_settled(leat)
        alone = busy_percent(leat, seconds)
        busy = []
        for _ in range(rounds):
            loads["without"].append(leat.run(1000 * seconds, rate=1000, skip=250 * seconds).latency_us)
            process = start_crowd(leat, size, size, 30)
            try:
                time.sleep(1)
                busy.append(busy_percent(leat, 2 * seconds))
                loads["with"].append(leat.run(1000 * seconds, rate=1000, skip=250 * seconds).latency_us)
                process.popen.send_signal(signal.SIGTERM)
                counted, _ = process.result(30)
            finally:
                process.stop(signal.SIGKILL)
            if counted["lost"] or counted["welcomed"] < size:
                raise BenchError(f"of the crowd: {counted}")
            wait_for(lambda: leat.server("ventilator").alive(), "the ventilator")
    latency = {name: {q: round(median([r[q] for r in runs]), 1) for q in ("p50", "p99", "p999")} for name, runs in loads.items()}
    found = {"workers": size, "producers": size, "busy_percent": {n: round(median([b[n] for b in busy]), 2) for n in ("ventilator", "sink")},
             "busy_percent_alone": alone, "latency_us": latency, "counted": counted}
    say(f"  {size} idle workers and producers: ventilator {found['busy_percent']['ventilator']} %, sink {found['busy_percent']['sink']} % of a core; "
        f"p50 {latency['without']['p50']} -> {latency['with']['p50']} us, p99 {latency['without']['p99']} -> {latency['with']['p99']} us")
    return found
