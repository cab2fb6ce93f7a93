#!/usr/bin/env python3
"""One transformer forward in C++ beside diffusers', in the same run.

Three contestants take turns on the same weights, dtype and threads: our transformer, the same without row
tiles (what batch invariance costs), and diffusers' DiTTransformer2DModel in inference mode. A ratio above 1
means that ours is faster.

Usage: forward.py [--model models/fashion-dit] [--build build/release] [--dtype float32 bfloat16] [--rows 2 32]
       [--device cuda:0]
"""
import argparse
import os
import pathlib
import subprocess
import time

import torch
from diffusers import DiTTransformer2DModel

import measure

OURS, UNTILED, DIFFUSERS = "ours", "ours, no tiles", "diffusers"


class CppForward:
    """benchmarks/forward_bench.cc in a process of its own."""

    def __init__(self, args, dtype, batch_invariant):
        command = [args.build / "bin" / "ilf-bench-forward", "--model", args.model, "--device", args.device,
                   "--dtype", dtype, "--threads", str(args.threads), "--batch_invariant", str(batch_invariant).lower()]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "OMP_NUM_THREADS": str(args.threads)})
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit("ilf-bench-forward did not start")

    def time(self, rows, repetitions, kind="plain"):
        self.process.stdin.write(f"{rows} {repetitions} {kind}\n")
        self.process.stdin.flush()
        seconds = [float(seconds) for seconds in self.process.stdout.readline().split()]
        if len(seconds) != repetitions:
            raise SystemExit("ilf-bench-forward ended early")
        return seconds

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def synchronize(device):
    """Waits for what was started on it."""
    if device != "cpu":
        torch.get_device_module(device).synchronize(device)


class DiffusersForward:
    def __init__(self, args, dtype):
        self.device = args.device
        self.dtype = getattr(torch, dtype)
        self.model = DiTTransformer2DModel.from_pretrained(
            args.model / "transformer", torch_dtype=self.dtype, low_cpu_mem_usage=False).eval().to(args.device)

    @torch.inference_mode()
    def time(self, rows, repetitions):
        config = self.model.config
        generator = torch.Generator().manual_seed(0)
        latents = torch.randn((rows, config.in_channels, config.sample_size, config.sample_size),
                              generator=generator).to(self.device, self.dtype)
        timesteps = torch.randint(0, 1000, (rows,), generator=generator).to(self.device)
        classes = torch.randint(0, config.num_embeds_ada_norm + 1, (rows,), generator=generator).to(self.device)
        seconds = []
        synchronize(self.device)
        for _ in range(repetitions):
            start = time.perf_counter()
            self.model(latents, timestep=timesteps, class_labels=classes)
            synchronize(self.device)
            seconds.append(time.perf_counter() - start)
        return seconds

    def close(self):
        del self.model


def measure_dtype(args, dtype):
    """Seconds of every forward, by contestant and rows."""
    contestants = {OURS: CppForward(args, dtype, True), UNTILED: CppForward(args, dtype, False),
                   DIFFUSERS: DiffusersForward(args, dtype)}
    seconds = {}
    for rows in args.rows:
        for contestant in contestants.values():
            contestant.time(rows, args.repetitions)  # warm-up
        for _ in range(args.rounds):
            for name, contestant in contestants.items():
                seconds.setdefault((name, rows), []).extend(contestant.time(rows, args.repetitions))
                time.sleep(0.02)  # lets the threads of one process go to sleep before the next starts
    for contestant in contestants.values():
        contestant.close()
    return seconds


def report(args, dtype, seconds):
    def cell(name, rows):
        middle, low, high = (1e3 * value for value in measure.spread(seconds[name, rows]))
        return f"{middle:.2f} ({low:.2f} - {high:.2f})"

    def median(name, rows):
        return measure.spread(seconds[name, rows])[0]

    print(f"\n{args.device}, {dtype}, {args.threads} threads, milliseconds a forward: median (quartiles)\n")
    measure.print_table(
        ["rows", OURS, UNTILED, DIFFUSERS, "diffusers / ours", "cost of tiles"],
        [[str(rows), cell(OURS, rows), cell(UNTILED, rows), cell(DIFFUSERS, rows),
          f"{median(DIFFUSERS, rows) / median(OURS, rows):.2f}",
          f"{100 * (median(OURS, rows) / median(UNTILED, rows) - 1):+.0f} %"] for rows in args.rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=measure.ROOT / "models" / "fashion-dit")
    parser.add_argument("--build", type=pathlib.Path, default=measure.ROOT / "build" / "release")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=10, help="turns of each contestant")
    parser.add_argument("--repetitions", type=int, default=5, help="forwards a turn")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    print(measure.machine())
    for dtype in args.dtype:
        report(args, dtype, measure_dtype(args, dtype))


if __name__ == "__main__":
    main()
