"""The parts of the bench that compare leat with its peers and its limits: throughput, latency, payload sizes, commands. Each takes a
Bench and returns what goes into the JSON under its name."""
import os
import statistics
import subprocess
import time

import queues
from processes import say


def median(values):
    return statistics.median(values)


def spread(values):
    """Of a measurement's rounds: the median, and the range around it in percent of it."""
    middle = median(values)
    return {"median": middle, "min": min(values), "max": max(values), "spread_percent": round(100 * (max(values) - min(values)) / middle) if middle else 0,
            "rounds": len(values)}


def jobs_for(rate, seconds, at_least=50):
    return max(at_least, int(rate * seconds))


# ---- throughput ----

def timed(queue, seconds, batch, **more):
    """A run of about so many seconds: shorter ones before it find out how many jobs that is."""
    run = queue.run(max(30, min(4 * batch, 1000)), batch=batch, **more)
    for _ in range(4):
        if run.seconds >= 0.6 * seconds:
            break
        run = queue.run(jobs_for(run.rate, min(seconds, 10 * run.seconds)), batch=batch, **more)
    return run


def sweep(queue, sizes, seconds):
    """{batch: rate}, one short run each."""
    return {batch: round(timed(queue, seconds, batch).rate) for batch in sizes}


def throughput(bench):
    """Rounds interleaved: one run of each queue, then the next round. The batch size of a peer is the best of the sweep before."""
    seconds, rounds = (0.6, 3) if bench.quick else (2.5, 5)
    sweeps, best, rates, runs = {}, {}, {}, {}
    for kind in bench.kinds(queues.ALL):
        with kind(bench.tools, bench.folder) as queue:
            say(f"  {queue.name}: batch sizes")
            sizes = queue.batches[::2] if bench.quick else queue.batches
            sweeps[queue.name] = sweep(queue, sizes, seconds / 2)
            fastest = max(sweeps[queue.name], key=sweeps[queue.name].get)
            best[queue.name] = getattr(queue, "auto", fastest)
            rates[queue.name] = sweeps[queue.name][fastest]
    for number in range(rounds):
        say(f"  round {number + 1} of {rounds}")
        for kind in bench.kinds(queues.ALL):
            with kind(bench.tools, bench.folder) as queue:
                warm = queue.run(jobs_for(rates[queue.name], seconds / 4), batch=best[queue.name])
                run = queue.run(jobs_for(max(warm.rate, rates[queue.name]), seconds), batch=best[queue.name])
                rates[queue.name] = run.rate
                runs.setdefault(queue.name, []).append(run)
    return {name: summary(all_runs, sweeps[name], best[name]) for name, all_runs in runs.items()}


def summary(runs, sizes, best):
    middle = sorted(runs, key=lambda r: r.rate)[len(runs) // 2]
    return {"rate": spread([round(r.rate) for r in runs]), "acked_rate": round(median([r.acked_rate for r in runs])),
            "batch": best or "own", "by_batch": sizes, "middle": middle.as_dict()}


# ---- latency ----

LOADS = (10, 50, 80)


def at_load(queue, rate, seconds, batch, name, capacity=None):
    """One open-loop run: the first quarter of it is left out. capacity None: more than enough."""
    if capacity is not None and capacity < 1.1 * rate:
        return {"rate": rate, "note": f"more than it takes ({capacity:.0f}/s)"}
    jobs = jobs_for(rate, seconds, 100)
    run = queue.run(jobs, batch=batch, rate=max(1, round(rate)), skip=jobs // 4)
    say(f"  {queue.name} at {name} ({rate:.0f}/s): p50 {run.latency_us['p50']:.0f} us, p99 {run.latency_us['p99']:.0f} us")
    return {"rate": round(rate), **run.latency_us, "kept_up": run.seconds < 1.15 * jobs / rate}


def latency(bench):
    """From the time at which a job was due to its result at who waits for it, in rounds interleaved. Capacity is taken with somebody
    waiting for each result: leat's subscribers of events cost something, the peers' sinks are always there."""
    seconds, rounds = (1.0, 1) if bench.quick else (2.5, 3)
    kinds = bench.kinds([k for k in queues.ALL if k not in queues.NO_LATENCY])
    found = {kind.name: {"capacity": [], "loads": {}} for kind in kinds}
    limits = {kind.name: [] for kind in bench.kinds(queues.HOPS)}
    for number in range(rounds):
        say(f"  round {number + 1} of {rounds}")
        for kind in kinds:
            with kind(bench.tools, bench.folder) as queue:
                more = {"events": True} if kind is queues.Leat else {}
                batch = queues.Leat.auto if kind is queues.Leat else 256
                capacity = timed(queue, seconds / 2, batch, **more).rate
                found[kind.name]["capacity"].append(round(capacity))
                for name, rate in [("1000/s", 1000)] + [(f"{p} %", capacity * p / 100) for p in LOADS]:
                    found[kind.name]["loads"].setdefault(name, []).append(at_load(queue, rate, seconds, batch, name, capacity))
        for kind in bench.kinds(queues.HOPS):
            with kind(bench.tools, bench.folder) as queue:
                limits[kind.name].append(at_load(queue, 1000, seconds, 256, "1000/s"))
    return {**{name: {"capacity": spread(f["capacity"]), "loads": {n: middle_of(runs) for n, runs in f["loads"].items()}} for name, f in found.items()},
            **{name: {"loads": {"1000/s": middle_of(runs)}} for name, runs in limits.items()}}


def middle_of(runs):
    """Each quantile's median over the rounds in which the load could be taken."""
    taken = [r for r in runs if "p50" in r]
    if not taken:
        return runs[0]
    keys = ("rate", "p50", "p99", "p999", "max")
    return {**{k: round(median([r[k] for r in taken]), 1) for k in keys}, "p50_range": [min(r["p50"] for r in taken), max(r["p50"] for r in taken)],
            "kept_up": all(r["kept_up"] for r in taken), "rounds": len(taken)}


# ---- payload sizes ----

def disk_rate(folder, total=128 << 20, piece=8 << 20):
    """Bytes per second of sequential writes, each piece flushed."""
    path = os.path.join(folder, "disk")
    block = os.urandom(piece)
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        begin = time.monotonic()
        for _ in range(total // piece):
            os.write(fd, block)
            os.fdatasync(fd)
        return total / (time.monotonic() - begin)
    finally:
        os.close(fd)
        os.unlink(path)


def payload(bench):
    seconds, rounds = (1.0, 1) if bench.quick else (2.0, 3)
    sizes = (16, 1024, 65536, 1 << 20) if bench.quick else (16, 128, 1024, 4096, 16384, 65536, 262144, 1 << 20)
    found = {size: {"rates": [], "shares": []} for size in sizes}
    disks = []
    with queues.Leat(bench.tools, bench.folder) as leat:
        for number in range(rounds):
            for size in sizes:
                disks.append(disk_rate(bench.folder, 64 << 20))
                guess = found[size]["rates"][-1] if found[size]["rates"] else min(30000, (30 << 20) / size)
                run = leat.run(jobs_for(guess, seconds / 4 if not found[size]["rates"] else seconds, 20), payload=size)
                if run.seconds < seconds / 2:
                    run = leat.run(jobs_for(run.rate, seconds, 20), payload=size)
                found[size]["rates"].append(run.rate)
                found[size]["shares"].append(run.rate * size / disks[-1])
    for size in sizes:
        rates = found[size]["rates"]
        found[size] = {"rate": spread([round(r) for r in rates]), "mib_per_s": round(median(rates) * size / (1 << 20), 1),
                       "share_of_disk": round(median(found[size]["shares"]), 3)}
        say(f"  {size} bytes: {found[size]['rate']['median']:.0f} jobs/s, {found[size]['mib_per_s']} MiB/s, {found[size]['share_of_disk']} of the disk")
    return {"disk_mib_per_s": round(median(disks) / (1 << 20), 1), "sizes": found}


# ---- commands ----

def xargs_rate(jobs, slots):
    words = "\n".join(map(str, range(jobs)))
    begin = time.monotonic()
    subprocess.run(["xargs", f"-P{slots}", "-n1", "/bin/true"], input=words, text=True, check=True)
    return jobs / (time.monotonic() - begin)


def commands(bench):
    """Exec handlers against xargs with as many slots. Results are stored by the one and not by the other."""
    slots, rounds = 2, 1 if bench.quick else 5
    jobs = 600 if bench.quick else 1500
    rates = {"leat": [], "xargs": []}
    for _ in range(rounds):
        leat = queues.Leat(bench.tools, bench.folder)
        leat.worker_options = ["--exec", "stamp=/bin/true", "--slots", slots]
        with leat:
            rates["leat"].append(round(leat.run(jobs, payload=16).rate))
        rates["xargs"].append(round(xargs_rate(jobs, slots)))
    ratio = median([a / b for a, b in zip(rates["leat"], rates["xargs"])])
    say(f"  exec: {median(rates['leat']):.0f}/s, xargs: {median(rates['xargs']):.0f}/s")
    return {"slots": slots, "leat": spread(rates["leat"]), "xargs": spread(rates["xargs"]), "ratio": round(ratio, 2)}
