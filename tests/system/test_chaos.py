#!/usr/bin/python3
"""Twenty kills in a cluster under load; scripts/chaos does more of them. LEAT_SEED picks the blows."""
import os
import sys
import unittest

import lab

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "chaos"))
import chaos  # noqa: E402


class Chaos(unittest.TestCase):
    def test_twenty_kills_break_no_promise(self):
        seed = int(os.environ.get("LEAT_SEED", "1"))
        print(f"LEAT_SEED={seed}")
        print(chaos.run(20, seed))


if __name__ == "__main__":
    lab.main()
