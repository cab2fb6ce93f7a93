"""Tests the arithmetic of benchmarks/capacity.py against what is known of queues."""
import math
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks"))
import capacity


def erlang_c(servers, load):
    """The share that waits in M/M/c, by the textbook."""
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / math.factorial(k) for k in range(servers)) + last)


class CapacityTest(unittest.TestCase):
    def test_one_at_a_time_is_mm1(self):
        queue = capacity.Queue([10.0], 8.0)
        self.assertAlmostEqual(queue.waiting, 0.8)
        self.assertAlmostEqual(queue.wait(0.9), math.log(8) / 2)
        self.assertEqual(queue.wait(0.1), 0)

    def test_speed_in_proportion_is_mmc(self):
        queue = capacity.Queue([2.0, 4.0, 6.0], 4.5)
        self.assertAlmostEqual(queue.waiting, erlang_c(3, 2.25))

    def test_too_much_waits_for_ever(self):
        self.assertEqual(capacity.Queue([10.0], 10.0).wait(0.5), math.inf)

    def test_nobody_waits_where_nobody_comes(self):
        self.assertEqual(capacity.Queue([1.0, 2.0], 0.0).wait(0.99), 0)

    def test_speeds_between_measured_ones(self):
        self.assertEqual(capacity.interpolate({1: 10.0, 2: 14.0, 4: 20.0}), [10.0, 14.0, 17.0, 20.0])
        self.assertEqual(capacity.interpolate({1: 10.0}), [10.0])

    def test_replicas(self):
        speeds = [6.0, 8.0, 10.0]
        for wait in (0.0, 0.5, 5.0):
            count = capacity.replicas_needed(speeds, 100.0, wait, 0.9)
            self.assertLessEqual(capacity.Queue(speeds, 100 / count).wait(0.9), wait)
            self.assertGreater(capacity.Queue(speeds, 100 / (count - 1)).wait(0.9), wait)
        self.assertEqual(capacity.replicas_needed(speeds, 0.1, 1.0, 0.9), 1)


if __name__ == "__main__":
    unittest.main()
