#!/usr/bin/env python3
"""What one ilf-server can do, and how many a rate of images needs: the numbers of docs/scaling.md for your machine.

Starts the server on one model and asks it for 1, 2, 4, ... images at a time with ilf-bench-load. Prints what a step of
a batch costs (the server's own ilf_step_seconds and ilf_batch_rows), images per second, and how long the server took
from its start to SERVING. With --rate it counts replicas from these, for each of the waits of --wait.

Usage: capacity.py [--model models/fashion-dit] [--build build/release] [--device cuda:0] [--rate 100 --wait 1 5]

The counting takes each replica for a queue with Poisson arrivals of which it serves --max_active_images at a time, at
the speed that was measured with so many under way; in between, lines are drawn. --open_loop N sends N images at random
times at 80 % of the most images per second, and prints the waits beside the expected ones; for that, run it with the
packages of scripts/requirements-scale-out.txt and stubs of proto/ (scripts/check_scale_out.sh makes both).
"""
import argparse
import contextlib
import itertools
import math
import os
import pathlib
import random
import re
import subprocess
import tempfile
import threading
import time
import urllib.request

import measure

MAX_REPLICAS = 1_000_000
MAX_BATCH_TOKENS = 1 << 24  # the most that the server allows: all images are to share a step
OPEN_LOOP_LOAD = 0.8


class Queue:
    """One replica: what images find that arrive `rate` times a second. `speeds` are the images per second with 1, 2,
    ... images under way; more than there are speeds for wait, first come, first served."""

    def __init__(self, speeds, rate):
        self._spare = speeds[-1] - rate  # images per second
        self.stable = self._spare > 0
        if not self.stable:
            return
        weights = [1.0]  # of 0, 1, ... images in the replica
        for speed in speeds:
            weights.append(weights[-1] * rate / speed)
        load = rate / speeds[-1]
        # From the last on, all are taken up; each weight is `load` times the one before.
        self.waiting = weights[-1] / (1 - load) / (sum(weights[:-1]) + weights[-1] / (1 - load))

    def wait(self, quantile):
        """Seconds that this share of the images does not wait longer than."""
        if not self.stable:
            return math.inf
        return max(0.0, math.log(self.waiting / (1 - quantile)) / self._spare) if self.waiting > 0 else 0.0


def interpolate(measured):
    """{images under way: images per second} -> the speeds of 1, 2, ... images."""
    points = sorted(measured.items())
    speeds = []
    for (left, low), (right, high) in itertools.pairwise(points):
        speeds += [low + (high - low) * (count - left) / (right - left) for count in range(left, right)]
    return speeds + [points[-1][1]]


def replicas_needed(speeds, rate, wait, quantile):
    """The fewest replicas, each with its equal part of `rate`, where `quantile` of the images wait no longer."""
    low, high = 1, MAX_REPLICAS  # more replicas never make a wait longer
    while low < high:
        middle = (low + high) // 2
        if Queue(speeds, rate / middle).wait(quantile) <= wait:
            high = middle
        else:
            low = middle + 1
    return low


class Server:
    """ilf-server on the model, and ilf-bench-load to ask it."""

    def __init__(self, args, stack, folder):
        root = folder / "models"
        if not root.exists():
            root.mkdir()
            (root / "model").symlink_to(args.model.resolve())
        port_file = folder / "ports"
        port_file.unlink(missing_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        began = time.monotonic()
        self.process = subprocess.Popen(
            [args.build / "bin/ilf-server", "--model_root", root, "--address", "127.0.0.1:0", "--metrics_address",
             "127.0.0.1:0", "--port_file", port_file, "--device", args.device, "--threads_per_worker",
             str(args.threads), "--dtype", args.dtype, "--max_active_images", str(args.max_active_images),
             "--max_batch_rows", str(2 * args.max_active_images), "--max_batch_tokens", str(MAX_BATCH_TOKENS),
             "--log_level", "warning"], env=environment)
        stack.callback(self._stop)
        ports = self._wait(lambda: dict(line.split("=") for line in port_file.read_text().splitlines())
                           if port_file.exists() else None)
        self.address = ports["address"]
        self._metrics = f"http://{ports['metrics_address']}/metrics"
        self._wait(lambda: self.metrics("ilf_serving") == [1])
        self.seconds_to_serving = time.monotonic() - began

    def _wait(self, condition):
        while not (result := condition()):
            if self.process.poll() is not None:
                raise SystemExit("ilf-server did not start")
            time.sleep(0.01)
        return result

    def metrics(self, *names):
        with urllib.request.urlopen(self._metrics) as answer:
            text = answer.read().decode()
        return [sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))
                for name in names]

    def _stop(self):
        self.process.terminate()
        self.process.wait()


class Load:
    """ilf-bench-load: keeps a number of requests for one image under way."""

    def __init__(self, args, stack, address):
        self._process = subprocess.Popen(
            [args.build / "bin/ilf-bench-load", "--address", address, "--model", "model", "--steps", str(args.steps),
             "--guidance", str(args.guidance), "--solver", args.solver], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        stack.callback(self._process.terminate)
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit("ilf-bench-load did not start")

    def run(self, concurrency, images):
        """Images per second."""
        self._process.stdin.write(f"{concurrency} {images}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if len(answer) != 3:
            raise SystemExit("ilf-bench-load failed")
        return images / float(answer[0])


STEP_METRICS = ("ilf_step_seconds_sum", "ilf_step_seconds_count", "ilf_batch_rows_sum")


def measure_speeds(args, server, load):
    """{images under way: [(rows of a step, seconds of a step, images per second) of each round]}"""
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < args.max_active_images] + [args.max_active_images]
    for count in counts:
        load.run(count, 2 * count)
    results = {count: [] for count in counts}
    for _ in range(args.rounds):
        for count in counts:  # In turns, so that a busy minute of the machine spoils no row alone
            before = server.metrics(*STEP_METRICS)
            speed = load.run(count, count * args.waves)
            seconds, steps, rows = (now - then for now, then in zip(server.metrics(*STEP_METRICS), before))
            results[count].append((rows / steps, seconds / steps, speed))
    return results


def show_speeds(results):
    def cell(values, digits):
        middle, low, high = measure.spread(values)
        return f"{middle:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"

    rows = []
    for count, rounds in results.items():
        width, seconds, speeds = zip(*rounds)
        rows.append([str(count), f"{measure.spread(width)[0]:.1f}", cell([1000 * s for s in seconds], 1),
                     cell([1000 * s / w for s, w in zip(seconds, width)], 2), cell(speeds, 2)])
    measure.print_table(["images under way", "rows of a step", "ms of a step", "ms of a row", "images per second"], rows)


def show_replicas(args, speeds):
    print(f"\nReplicas for {args.rate:g} images per second, with {args.max_active_images} images under way in each at "
          "most:\n")
    rows = []
    for wait in args.wait:
        count = replicas_needed(speeds, args.rate, wait, args.quantile)
        rows.append([f"{wait:g} s", str(count), f"{args.rate / count / speeds[-1]:.0%}"])
    measure.print_table([f"{args.quantile:.0%} wait no longer than", "replicas", "load of each"], rows)


def open_loop(args, address, speeds):
    import grpc
    from ilf.v1 import image_generation_pb2 as pb
    from ilf.v1 import image_generation_pb2_grpc as rpc

    waits = []

    def generate(stub, seed):
        request = pb.GenerateRequest(class_label=pb.ClassLabel(index=seed % 10), seed=seed, steps=args.steps,
                                     guidance_scale=args.guidance, acceleration=pb.ACCELERATION_OFF,
                                     solver=SOLVERS[args.solver])
        for event in stub.Generate(request):
            if event.WhichOneof("event") == "started":
                waits.append(event.started.queue_wait.ToTimedelta().total_seconds())

    draw = random.Random(1)
    rate = OPEN_LOOP_LOAD * speeds[-1]
    with grpc.insecure_channel(address) as channel:
        stub = rpc.ImageGenerationServiceStub(channel)
        threads = []
        began = due = time.monotonic()
        for seed in range(args.open_loop):
            due += draw.expovariate(rate)
            time.sleep(max(0.0, due - time.monotonic()))
            threads.append(threading.Thread(target=generate, args=(stub, seed)))
            threads[-1].start()
        arrived = args.open_loop / (time.monotonic() - began)
        for thread in threads:
            thread.join()
    waits.sort()
    queue = Queue(speeds, arrived)
    print(f"\n{len(waits)} images arrived at random times, {arrived:.2f} per second, "
          f"{arrived / speeds[-1]:.0%} of the most:\n")
    rows = [[f"{quantile:.0%}", f"{waits[int(quantile * len(waits))]:.2f} s", f"{queue.wait(quantile):.2f} s"]
            for quantile in (0.5, 0.9, 0.95)]
    measure.print_table(["share of the images", "waited no longer than", "expected"], rows)


SOLVERS = {"ddim": 1, "dpmsolver++": 2, "euler": 3}  # ilf.v1.Solver


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=measure.ROOT / "models/fashion-dit")
    parser.add_argument("--build", type=pathlib.Path, default=measure.ROOT / "build/release")
    parser.add_argument("--device", default="cpu", help="of the server (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU (%(default)s)")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--max_active_images", type=int, default=16, help="flag of the server (%(default)s)")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--solver", choices=SOLVERS, default="dpmsolver++")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--waves", type=int, default=4, help="images of a round for each one under way")
    parser.add_argument("--starts", type=int, default=5, help="starts of the server to time (%(default)s)")
    parser.add_argument("--rate", type=float, help="images per second to count replicas for")
    parser.add_argument("--wait", type=float, nargs="+", default=[0, 1, 5], help="seconds")
    parser.add_argument("--quantile", type=float, default=0.9, help="of the images that wait no longer (%(default)s)")
    parser.add_argument("--open_loop", type=int, metavar="N")
    return parser.parse_args()


def main():
    args = parse_arguments()
    print(measure.machine() + "\n")
    starts = []
    with tempfile.TemporaryDirectory(prefix="ilf-capacity-") as name:
        for i in range(args.starts):
            with contextlib.ExitStack() as stack:
                server = Server(args, stack, pathlib.Path(name))
                starts.append(server.seconds_to_serving)
                if i == args.starts - 1:
                    last = stack.pop_all()
        with last:
            results = measure_speeds(args, server, Load(args, last, server.address))
            show_speeds(results)
            speeds = interpolate({count: measure.spread([speed for _, _, speed in rounds])[0]
                                  for count, rounds in results.items()})
            if args.open_loop:
                open_loop(args, server.address, speeds)
    print("\nFrom the start to SERVING: {:.2f} s ({:.2f} - {:.2f})".format(*measure.spread(starts)))
    if args.rate:
        show_replicas(args, speeds)


if __name__ == "__main__":
    main()
