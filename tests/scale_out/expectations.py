"""What is expected of several servers, apart from how it is counted: needs no server and no gRPC."""
import collections


class Violation(Exception):
    """Something is not as expected, in one line."""


def require(holds, message):
    if not holds:
        raise Violation(message)


def require_even(counts):
    """Every replica has its equal part of the calls, or one more or less where they cannot be divided."""
    total, replicas = sum(counts.values()), len(counts)
    low, high = total // replicas, -(-total // replicas)
    require(total > 0, "no calls at all")
    require(all(low <= count <= high for count in counts.values()),
            f"uneven load: {counts}, expected {low} to {high} each")


def require_pinned(counts):
    """One replica has all the calls."""
    require(sorted(counts.values())[:-1] == [0] * (len(counts) - 1) and max(counts.values()) > 0,
            f"expected one replica to have them all: {counts}")


def require_only_lost(streams, lost, codes):
    """The streams whose ids are in `lost`, and no others, failed, each with one of `codes`."""
    failed = {stream.id: stream.code for stream in streams if stream.code != "OK"}
    require(failed.keys() == lost,
            f"failed: {sorted(failed)}, expected those of the killed replica: {sorted(lost)}")
    wrong = {name: code for name, code in failed.items() if code not in codes}
    require(not wrong, f"failed with another code than {' or '.join(sorted(codes))}: {wrong}")


def require_all_ok(streams):
    failed = {stream.id: f"{stream.code} ({stream.message})" for stream in streams if stream.code != "OK"}
    require(not failed, f"expected none to fail: {failed}")


class Pictures:
    """Every picture that was made, by what was asked for: whoever makes it, it has the same bytes."""

    def __init__(self):
        self._digests = collections.defaultdict(dict)  # what was asked for -> replica -> digest of the picture

    def add(self, key, replica, digest):
        self._digests[key][replica] = digest
        known = set(self._digests[key].values())
        require(len(known) == 1, f"{key}: replicas made different pictures: {self._digests[key]}")

    def shared(self):
        """How many pictures were asked for, and how many of them more than one replica made."""
        return len(self._digests), sum(len(made) > 1 for made in self._digests.values())


def require_several_replicas(pictures):
    asked, shared = pictures.shared()
    require(shared > 0, f"no picture of {asked} was made by more than one replica")
