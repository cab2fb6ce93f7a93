"""Each expectation fails on what it is there to find."""
import dataclasses
import unittest

import expectations
from expectations import Violation


@dataclasses.dataclass
class Stream:
    id: str
    code: str
    message: str = ""


class ExpectationsTest(unittest.TestCase):
    def test_even_load(self):
        expectations.require_even({"a": 4, "b": 4, "c": 4})
        expectations.require_even({"a": 4, "b": 5, "c": 4})
        for counts in ({"a": 3, "b": 4, "c": 5}, {"a": 12, "b": 0, "c": 0}, {"a": 0, "b": 0, "c": 0}):
            with self.assertRaises(Violation):
                expectations.require_even(counts)

    def test_pinned_load(self):
        expectations.require_pinned({"a": 0, "b": 12, "c": 0})
        for counts in ({"a": 4, "b": 4, "c": 4}, {"a": 0, "b": 11, "c": 1}, {"a": 0, "b": 0, "c": 0}):
            with self.assertRaises(Violation):
                expectations.require_pinned(counts)

    def test_a_killed_replica_costs_its_own_streams(self):
        streams = [Stream("a", "OK"), Stream("b", "UNAVAILABLE")]
        expectations.require_only_lost(streams, {"b"}, {"UNAVAILABLE"})
        for lost, codes in (({"a"}, {"UNAVAILABLE"}), (set(), {"UNAVAILABLE"}), ({"a", "b"}, {"UNAVAILABLE"}),
                            ({"b"}, {"CANCELLED"})):
            with self.assertRaises(Violation):
                expectations.require_only_lost(streams, lost, codes)

    def test_none_fails(self):
        expectations.require_all_ok([Stream("a", "OK")])
        with self.assertRaises(Violation):
            expectations.require_all_ok([Stream("a", "OK"), Stream("b", "UNAVAILABLE")])

    def test_the_same_bytes(self):
        pictures = expectations.Pictures()
        pictures.add("seed 1", "a", "x")
        pictures.add("seed 2", "b", "y")
        with self.assertRaises(Violation):
            expectations.require_several_replicas(pictures)
        pictures.add("seed 1", "b", "x")
        expectations.require_several_replicas(pictures)
        with self.assertRaises(Violation):
            pictures.add("seed 2", "a", "z")


if __name__ == "__main__":
    unittest.main()
