#!/usr/bin/python3
"""Twenty kills in a cluster under load; scripts/chaos does more of them. LEAT_SEED picks the blows."""
import os
import sys
import unittest

import lab

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "chaos"))
import chaos  # noqa: E402
import soak  # noqa: E402


class Chaos(unittest.TestCase):
    def test_twenty_kills_break_no_promise(self):
        seed = int(os.environ.get("LEAT_SEED", "1"))
        print(f"LEAT_SEED={seed}")
        print(chaos.run(20, seed))


class Verdicts(unittest.TestCase):
    """What scripts/soak calls flat."""

    def judge(self, name, value):
        """Of sixty samples, `value` of how far it is from begin to end, 0 to 1."""
        return soak.judge([{name: value(n / 60)} for n in range(60)])[1]

    def test_what_is_flat_is_flat(self):
        self.assertTrue(self.judge("sink memory, MiB", lambda at: 40 + (7 * at) % 1))
        self.assertTrue(self.judge("sink memory, MiB", lambda at: 40 * min(1, 3 * at)), "it fills in the first third")
        self.assertTrue(self.judge("sink descriptors", lambda at: 30 + int(60 * at) % 5))
        self.assertTrue(self.judge("latency, ms", lambda at: [20, 30, 2000] if int(60 * at) % 7 == 0 else [20, 25]))

    def test_what_grows_is_found(self):
        self.assertFalse(self.judge("sink memory, MiB", lambda at: 40 + 10 * at))
        self.assertFalse(self.judge("sink descriptors", lambda at: 30 + 40 * at))
        self.assertFalse(self.judge("ventilator store, MiB", lambda at: 48 + 160 * at))
        self.assertFalse(self.judge("latency, ms", lambda at: [20 * 100 ** at]))


if __name__ == "__main__":
    lab.main()
