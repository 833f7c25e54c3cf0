#!/usr/bin/python3
"""Hours of load with a fault every few seconds: memory, descriptors and stores must be flat, latency stable, and no promise
broken. scripts/soak runs it. Ventilator, sink and the first worker live from the start to the end, since only who lives long can show a
leak: they are frozen at times, and see everybody around them die; scripts/chaos is what kills them."""
import argparse
import os
import random
import statistics
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import lab  # noqa: E402
from chaos import Cluster  # noqa: E402
from client import Sink  # noqa: E402
from client_wire import STATES  # noqa: E402
from load import KINDS, Ledger, Recorder, Submitter  # noqa: E402
from nemesis import Nemesis, descendants  # noqa: E402

SAMPLE_S = 5.0
MIB = 1 << 20


class Gentle(Nemesis):
    """Kills what may die, freezes what has to live."""

    MORTAL = ["worker2", "worker3", "spawner2", "slot1", "slot2", "slot3", "producer1", "producer2"]
    MEMBERS = ["ventilator", "sink", "worker1"] + MORTAL
    PAUSES_S = [0.0, 0.3, 1.0, 3.0]

    def kill(self, member):
        if member in self.MORTAL:
            super().kill(member)


class SoakCluster(Cluster):
    def __init__(self, laboratory, ledger, seed, keep_s):
        self.keep_s = keep_s
        super().__init__(laboratory, ledger, seed)

    def ventilator(self):
        return self.lab.ventilator("--lost-after", "2s", "--ping", "400ms", "--recovery-grace", "1s", "--deliveries", "1000", "--dedupe", f"{self.keep_s}s")

    def sink(self):
        return self.lab.sink("--keep-results", f"{self.keep_s}s", "--keep-failures", f"{self.keep_s}s")


class Prober(threading.Thread):
    """One job after the other: from submitting it until its result was seen, seconds."""

    def __init__(self, endpoints, ledger, witness):
        super().__init__(daemon=True)
        self.endpoints, self.ledger, self.witness = endpoints, ledger, witness
        self.stopping, self.latencies, self.trouble = threading.Event(), [], None

    def run(self):
        try:
            with Recorder(self.endpoints["ventilator"], self.ledger) as producer, Sink(self.endpoints["sink"]) as sink:
                while not self.stopping.wait(0.2):
                    begun = time.monotonic()
                    id = Submitter.submit_one(producer, self.ledger, "good")
                    producer.flush(lab.PATIENCE_S)
                    self.witness.saw(sink.wait([id], lab.PATIENCE_S, every_s=0.005))
                    self.latencies.append(time.monotonic() - begun)
        except TimeoutError as error:
            self.trouble = f"the prober: {error}"

    def take(self):
        taken, self.latencies = self.latencies, []
        return taken


class Witness(threading.Thread):
    """Sees the result of every job while it is kept. What it has seen once, with one result, is done."""

    def __init__(self, endpoint, ledger):
        super().__init__(daemon=True)
        self.endpoint, self.ledger = endpoint, ledger
        self.stopping, self.lock, self.seen, self.trouble = threading.Event(), threading.Lock(), {}, []

    def saw(self, results):
        with self.lock:
            for id, result in results.items():
                short = (result.status, result.attempts, result.finished_us, result.delivery)
                if self.seen.setdefault(id, short) != short:
                    self.trouble.append(f"{uuid.UUID(bytes=id)} had the result {self.seen[id]}, then {short}")
                kind = KINDS[self.ledger.kinds[id]]
                if STATES[result.status] != kind.ends or not 1 <= result.attempts <= kind.attempts:
                    self.trouble.append(f"{self.ledger.kinds[id]} {uuid.UUID(bytes=id)} ended as {STATES[result.status]} with attempt {result.attempts}")

    def missing(self, of):
        """Of the ids in a collection of the ledger's."""
        with self.ledger.lock, self.lock:
            return [id for id in of if id not in self.seen]

    def run(self):
        with Sink(self.endpoint) as sink:
            while not self.stopping.wait(1.0):
                self.look(sink, self.missing(self.ledger.kinds))

    def look(self, sink, ids, timeout_s=10.0):
        try:
            self.saw(sink.query(ids, with_output=False, timeout_s=timeout_s))
        except TimeoutError:
            pass


def memory_kib(pid):
    """Anonymous memory: what a process has made its own. (Pages of a store that are mapped are the page cache's.)"""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))


def sample(laboratory, cluster, prober):
    row = {}
    for name in ("ventilator", "sink", "worker1"):
        pid = cluster.pid(name)
        row[f"{name} memory, MiB"] = memory_kib(pid) / 1024
        row[f"{name} descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
        if name == "worker1":
            spawner = descendants(pid)[0]
            row["its spawner memory, MiB"] = memory_kib(spawner) / 1024
            row["its spawner descriptors"] = len(os.listdir(f"/proc/{spawner}/fd"))
            row["processes below it"] = len(descendants(pid))
        else:
            row[f"{name} store, MiB"] = os.stat(os.path.join(laboratory.dir, f"{name}.data", "data.mdb")).st_blocks * 512 / MIB
    row["latency, ms"] = [1000 * latency for latency in prober.take()]
    return row


# What may come on top, as a share and as an amount, from the second third to the last. The first is for caches to fill, and for what is
# kept for a time to reach its size.
ALLOWED = {"memory": (0.03, 1.0), "descriptors": (0.05, 6), "processes": (0.1, 8), "store": (0.1, 16.0), "latency": (1.0, 100.0)}


def judge(samples):
    """Rows of a table (name, three medians, verdict) and whether all is flat. A latency counts by its median: its tail is how long the
    nemesis froze somebody."""
    parts = [samples[len(samples) * part // 3:len(samples) * (part + 1) // 3] for part in range(3)]
    rows, flat = [], True
    for name in samples[0]:
        values = [[value for row in part for value in (row[name] if isinstance(row[name], list) else [row[name]])] for part in parts]
        medians = [statistics.median(part) if part else float("nan") for part in values]
        share, amount = next(allowed for word, allowed in ALLOWED.items() if word in name)
        good = medians[2] <= medians[1] * (1 + share) + amount
        flat = flat and good
        rows.append((name, *medians, "flat" if good else "GROWS"))
        if name.startswith("latency"):
            rows.append(("latency, 95 of 100, ms", *[statistics.quantiles(part, n=20)[18] if len(part) > 1 else float("nan") for part in values], ""))
    return rows, flat


def table(rows):
    lines = ["| | first third | second | last | |", "|---|---|---|---|---|"]
    return "\n".join(lines + [f"| {name} | {a:.1f} | {b:.1f} | {c:.1f} | {word} |" for name, a, b, c, word in rows])


def run(minutes, seed, a_second, say):
    ledger, begun = Ledger(), time.monotonic()
    keep_s = max(20, min(60, int(minutes * 60 / 8)))
    with lab.Lab() as laboratory:
        cluster = SoakCluster(laboratory, ledger, seed, keep_s)
        submitters = [Submitter(laboratory, ledger, seed * 100 + n, a_second / 2) for n in range(2)]
        witness = Witness(laboratory.endpoints["sink"], ledger)
        prober = Prober(laboratory.endpoints, ledger, witness)
        nemesis = Gentle(cluster, seed, lambda text: None)
        rng, samples = random.Random(seed), []
        for thread in (*submitters, witness, prober):
            thread.start()
        next_sample, next_blow, next_word = begun + SAMPLE_S, begun + 3, begun + 60
        while (now := time.monotonic()) < begun + 60 * minutes:
            if now >= next_sample:
                samples.append(sample(laboratory, cluster, prober))
                next_sample += SAMPLE_S
            if now >= next_blow:
                nemesis.strike(1 << 30)
                next_blow = time.monotonic() + rng.uniform(1, 5)
            if now >= next_word:
                row = samples[-1]
                say(f"{(now - begun) / 60:5.0f} min, {nemesis.kills} kills, {nemesis.freezes} freezes, {len(ledger.acked)} jobs acknowledged; MiB: " +
                    ", ".join(f"{name.split()[0]} {row[name]:.1f}" for name in row if "memory" in name))
                next_word += 60
            if nemesis.trouble:
                break
            nemesis.wait(0.1)
        # The faults stop.
        for thread in (*submitters, prober):
            thread.stopping.set()
        cluster.stop_producing(nemesis.trouble)
        for thread in (*submitters, prober):
            thread.join()
        laboratory.wait_for(lambda: cluster.mend(nemesis.trouble) or laboratory.left() == 0, "everything ended once the faults stopped", 2 * lab.PATIENCE_S)
        witness.stopping.set()
        witness.join()
        with Sink(laboratory.endpoints["sink"]) as sink:
            witness.look(sink, list(ledger.kinds), timeout_s=lab.PATIENCE_S)
        counted = lambda: sum(laboratory.stats()["totals"][state] for state in ("succeeded", "failed", "expired"))
        try:
            laboratory.wait_for(lambda: counted() == len(witness.seen), "the sink has counted", timeout=10)
        except AssertionError:
            nemesis.trouble.append(f"the sink counts {counted()} results, {len(witness.seen)} of what was submitted were seen")
        wrong = nemesis.trouble + witness.trouble + [thread.trouble for thread in (*submitters, prober) if thread.trouble]
        wrong += [f"acknowledged, and no result was seen: {uuid.UUID(bytes=id)}" for id in witness.missing(ledger.acked)]
        rows, flat = judge(samples)
        summary = (f"{minutes:g} minutes, seed {seed}: {len(ledger.kinds)} jobs submitted, {len(ledger.acked)} acknowledged, {counted()} results; "
                   f"{nemesis.kills} kills, {nemesis.freezes} freezes; results and ids kept for {keep_s} s")
        return summary, rows, flat, wrong


def main():
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--rate", type=float, default=60, help="jobs a second, of the producers that are not killed")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    summary, rows, flat, wrong = run(args.minutes, args.seed, args.rate, lambda text: print(text, flush=True))
    print(f"{summary}\n\n{table(rows)}\n")
    for text in wrong[:40]:
        print(f"broken: {text}")
    print(f"soak: {'flat' if flat else 'NOT FLAT'}, {'no promise broken' if not wrong else f'{len(wrong)} THINGS WRONG'}")
    return 0 if flat and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
