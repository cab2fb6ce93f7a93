"""Three ilf-server processes behind HAProxy, and behind gRPC's own round_robin: what docs/scaling.md says of them.

Started by scripts/check_scale_out.sh. Nothing here depends on how fast the machine is, but --steps must be enough for a
call to be under way while others begin; where it is not, the check says so.
"""
import argparse
import contextlib
import pathlib
import sys
import tempfile
import time

import expectations
import grpc
from expectations import Violation, require
from haproxy import Haproxy
from ilf.v1 import image_generation_pb2 as pb
from replicas import PATIENCE, Replica, wait_for
from streams import BEHIND_BALANCER, ROUND_ROBIN, Stream, open_channel

REPO = pathlib.Path(__file__).parents[2]
MODEL = REPO / "models/fashion-dit"
REPLICAS = 3
PORTS_OF_REPLICA = 3
MAX_STEPS = 1000  # of the model
LONG = 5  # times the steps, for a call that has to outlive others


def say(text):
    print(f"  {text}", flush=True)


def listed(counts):
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


class Fleet:
    """The replicas, and the calls that a scenario makes of them."""

    def __init__(self, replicas, steps, streams):
        self.replicas = replicas
        self.pictures = expectations.Pictures()
        self._steps = steps
        self._streams = streams
        self._begun = 0

    def begin(self, stub, count=None, times_steps=1):
        """Calls that all begin now, with the seeds 0, 1, ..."""
        self._begun += 1
        return [Stream(stub, f"{self._begun}-{seed}", seed, times_steps * self._steps)
                for seed in range(count or self._streams)]

    def run(self, stub, count=None, times_steps=1):
        """The same, and waits until they are all being painted."""
        streams = self.begin(stub, count, times_steps)
        for stream in streams:
            stream.wait_for_preview()
        return streams

    def count(self, of):
        """`of` a replica -> number, for each."""
        return {replica.name: of(replica) for replica in self.replicas}

    def finish(self, streams):
        """Waits for their ends, and notes the pictures. Returns replica -> ids of the calls whose end it logged."""
        for stream in streams:
            stream.join()
        done = {stream.id: stream for stream in streams if stream.code == "OK"}

        def logs():
            ended = {replica.name: replica.ended() for replica in self.replicas}
            painted = {name for log in ended.values() for name, outcome in log.items() if outcome == "OK"}
            return ended if done.keys() <= painted else None

        ended = wait_for(logs, "the servers to log what they have painted")
        ids = {stream.id for stream in streams}
        for name, log in ended.items():
            for request in ids & log.keys():
                if log[request] == "OK" and request in done:
                    self.pictures.add(done[request].key, name, done[request].digest)
        return {name: {request for request in ids & log.keys() if log[request] != "UNAVAILABLE"}
                for name, log in ended.items()}

    def wait_until_balanced(self, stub):
        """Until every replica has got a call from this channel."""
        before = self.count(lambda replica: replica.started("ListModels"))

        def all_called():
            with contextlib.suppress(grpc.RpcError):
                stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)
            return all(replica.started("ListModels") > before[replica.name] for replica in self.replicas)

        wait_for(all_called, "every replica to get a call")

    def restart(self, replica, stub):
        replica.start()
        replica.wait_until_serving()
        # Counted from 0 again, so whatever it was called for before does not count.
        wait_for(lambda: self._called(replica, stub), f"{replica.name} to get calls again")

    @staticmethod
    def _called(replica, stub):
        with contextlib.suppress(grpc.RpcError):
            stub.ListModels(pb.ListModelsRequest(), timeout=PATIENCE)
        return replica.started("ListModels") > 0

    def require_running(self, streams):
        running = self.count(Replica.running)
        require(sum(running.values()) == len(streams),
                f"{len(streams)} calls should be under way, there are {running}: more --steps?")
        return running


class Way:
    """A way to reach all replicas: an address, and how a call ends whose replica is killed."""

    def __init__(self, name, target, service_config, lost_codes, haproxy=None):
        self.name = name
        self.lost_codes = lost_codes
        self.haproxy = haproxy
        self._target = target
        self._service_config = service_config

    def open(self, retries=True):
        return open_channel(self._target, self._service_config, retries)


def even(fleet, way):
    with way.open() as stub:
        fleet.wait_until_balanced(stub)
        before = fleet.count(Replica.started)
        streams = fleet.run(stub)
        fleet.require_running(streams)
        fleet.finish(streams)
        counts = {name: count - before[name] for name, count in fleet.count(Replica.started).items()}
    say(f"{len(streams)} calls at the same time over one channel: {listed(counts)}")
    expectations.require_all_ok(streams)
    expectations.require_even(counts)


def pinned(fleet, way):
    """What balancing connections does instead."""
    before = fleet.count(Replica.started)
    with open_channel(way.haproxy.tcp_address) as stub:
        streams = fleet.run(stub)
        fleet.finish(streams)
    counts = {name: count - before[name] for name, count in fleet.count(Replica.started).items()}
    say(f"{len(streams)} calls over one connection through a balancer of connections: {listed(counts)}")
    expectations.require_all_ok(streams)
    expectations.require_pinned(counts)
    try:
        expectations.require_even(counts)
    except Violation:
        return
    raise Violation("the check of even load does not see a pinned connection")


def killed(fleet, way):
    victim = fleet.replicas[1]
    with way.open() as stub:
        fleet.wait_until_balanced(stub)
        streams = fleet.run(stub)
        running = fleet.require_running(streams)
        victim.kill()
        survivors_have = fleet.finish(streams)
        lost = {stream.id for stream in streams} - set().union(*survivors_have.values())
        failed = [stream for stream in streams if stream.code != "OK"]
        codes = sorted({stream.code for stream in failed})
        say(f"killed {victim.name} with {running[victim.name]} of {len(streams)} calls: {len(failed)} failed "
            f"({', '.join(codes)}), {len(streams) - len(failed)} completed")
        require(len(lost) == running[victim.name] > 0,
                f"{victim.name} had {running[victim.name]} calls, and no other replica knows of {sorted(lost)}")
        expectations.require_only_lost(streams, lost, way.lost_codes)

        again = fleet.begin(stub, len(failed))
        fleet.finish(again)
        expectations.require_all_ok(again)
        say(f"as many calls again, with {victim.name} gone: {len(again)} completed")
        fleet.restart(victim, stub)
        say(f"{victim.name} is back and gets calls")


def drained(fleet, way):
    """SIGTERM with no word to anybody else."""
    victim = fleet.replicas[2]
    with way.open() as stub:
        fleet.wait_until_balanced(stub)
        streams = fleet.run(stub, times_steps=LONG)
        running = fleet.require_running(streams)
        victim.begin_drain()
        late = fleet.begin(stub)
        for stream in late:
            stream.wait_for_preview()
        refused = victim.refused()
        require(victim.running() > 0, f"{victim.name} had finished before the later calls: more --steps?")
        by_replica = fleet.finish(streams + late)
        code = victim.wait_for_exit()
        finished = by_replica[victim.name]
        say(f"drained {victim.name} with {running[victim.name]} calls, and {len(late)} more came: "
            f"{victim.name} finished {len(finished)}, refused {refused} and exited with {code}; all "
            f"{len(streams + late)} completed")
        expectations.require_all_ok(streams + late)
        require(len(finished) == running[victim.name] > 0 and not finished & {stream.id for stream in late},
                f"{victim.name} should have finished what it had, and taken nothing new: {sorted(finished)}")
        require(code == 0, f"{victim.name} exited with {code}")
        fleet.restart(victim, stub)


def drained_in_order(fleet, way):
    """As a pod goes: out of the balancer first, then SIGTERM. The client retries nothing."""
    victim = fleet.replicas[0]
    with way.open(retries=False) as stub:
        fleet.wait_until_balanced(stub)
        streams = fleet.run(stub, times_steps=LONG)
        running = fleet.require_running(streams)
        way.haproxy.set_state(victim, "drain")
        streams += fleet.run(stub)
        victim.begin_drain()
        streams += fleet.run(stub)
        refused = victim.refused()
        require(victim.running() > 0, f"{victim.name} had finished before the later calls: more --steps?")
        by_replica = fleet.finish(streams)
        code = victim.wait_for_exit()
        say(f"took {victim.name} out of the balancer with {running[victim.name]} calls, then drained it: it finished "
            f"{len(by_replica[victim.name])}, refused {refused} and exited with {code}; all {len(streams)} completed "
            "without a retry")
        expectations.require_all_ok(streams)
        require(len(by_replica[victim.name]) == running[victim.name] and refused == 0 == code,
                f"{victim.name} should have finished what it had, refused nothing and exited with 0")
        way.haproxy.set_state(victim, "ready")
        fleet.restart(victim, stub)


def cancelled(fleet, way):
    with way.open() as stub:
        fleet.wait_until_balanced(stub)
        before = fleet.count(Replica.cancelled)
        streams = fleet.run(stub)
        fleet.require_running(streams)
        for stream in streams:
            stream.cancel()
        wait_for(lambda: not any(fleet.count(Replica.running).values()), "the calls to end")
        counts = {name: count - before[name] for name, count in fleet.count(Replica.cancelled).items()}
    say(f"cancelled {len(streams)} calls: cancelled at the servers: {listed(counts)}")
    require(sum(counts.values()) == len(streams), "the servers went on with cancelled calls")


def same_bytes(fleet, _way):
    for replica in fleet.replicas:
        with open_channel(replica.address) as stub:
            streams = fleet.begin(stub, 3)
            fleet.finish(streams)
            expectations.require_all_ok(streams)
    asked, shared = fleet.pictures.shared()
    say(f"{asked} pictures asked for, {shared} of them made by more than one replica: always the same bytes")
    expectations.require_several_replicas(fleet.pictures)


SCENARIOS = {
    "haproxy": [even, pinned, killed, drained, drained_in_order, cancelled],
    "round_robin": [even, killed, drained, cancelled],
    "direct": [same_bytes],
}


def run(args, folder):
    models = folder / "models"
    models.mkdir()
    (models / MODEL.name).symlink_to(MODEL)
    replicas = [Replica(f"replica-{number}", args.bin / "ilf-server", models, folder,
                        args.base_port + PORTS_OF_REPLICA * number) for number in range(REPLICAS)]
    fleet = Fleet(replicas, args.steps, args.streams)
    with contextlib.ExitStack() as stack:
        for replica in replicas:
            replica.start()
            stack.callback(lambda replica=replica: replica.alive() and replica.kill())
        for replica in replicas:
            replica.wait_until_serving()
        haproxy = Haproxy(args.haproxy, replicas, folder, args.base_port + PORTS_OF_REPLICA * REPLICAS)
        stack.callback(haproxy.stop)
        for replica in replicas:
            haproxy.wait_for_state(replica, "UP")
        ways = {
            # Once a stream has begun, HAProxy has no way to say UNAVAILABLE: 2.6 ends it without a status.
            "haproxy": Way("behind HAProxy", haproxy.address, BEHIND_BALANCER, {"UNKNOWN", "INTERNAL"}, haproxy),
            "round_robin": Way("round_robin in the client", "ipv4:" + ",".join(replica.address for replica in replicas),
                               ROUND_ROBIN, {"UNAVAILABLE"}),
            "direct": Way("each server directly", None, None, set()),
        }
        for key, scenarios in SCENARIOS.items():
            for scenario in scenarios:
                if args.only and f"{key}.{scenario.__name__}" not in args.only:
                    continue
                print(f"== {ways[key].name}: {scenario.__name__.replace('_', ' ')}", flush=True)
                scenario(fleet, ways[key])


def parse_arguments():
    names = [f"{key}.{scenario.__name__}" for key, scenarios in SCENARIOS.items() for scenario in scenarios]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=REPO / "build/release/bin", help="folder of ilf-server")
    parser.add_argument("--haproxy", type=pathlib.Path, required=True, help="the program")
    parser.add_argument("--base_port", type=int, default=17400, help="the first of 20 free ports (%(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="of each picture (%(default)s)")
    parser.add_argument("--streams", type=int, default=12, help="calls at the same time (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=names, help="some scenarios")
    args = parser.parse_args()
    if not 2 <= args.steps <= MAX_STEPS // LONG:
        parser.error(f"--steps: 2 to {MAX_STEPS // LONG}")
    if not REPLICAS <= args.streams <= 16:  # what one server paints at the same time
        parser.error(f"--streams: {REPLICAS} to 16")
    return args


def main():
    args = parse_arguments()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ilf-scale-out-") as name:
        folder = pathlib.Path(name)
        try:
            run(args, folder)
        except Violation as violation:
            for log in sorted(folder.glob("*.log")):
                print(f"-- {log.name} ends with:", *log.read_text(encoding="utf-8").splitlines()[-15:], sep="\n",
                      file=sys.stderr)
            sys.exit(f"error: {violation}")
    print(f"== all as expected, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
