#!/usr/bin/env python3
"""A pass of DiT-XL/2, plain and with feedback, beside diffusers eager and diffusers with torch.compile.

All take turns on the same random weights, in bfloat16 and with the same threads, and so does one big matrix
product, whose best time is the peak that the passes are held against. `make_random_model.py build/random-xl
--shape dit-xl-2` writes the weights. Rows: 2 are one picture with guidance. Feedback runs on all rows.

Usage: xl.py [--model build/random-xl] [--build build/release] [--rows 2 8] [--threads 2] [--device cuda:0]
       [--no_compile]
"""
import argparse
import json
import pathlib
import sys
import time

import torch

import measure
from forward import CppForward, DiffusersForward, synchronize

PLAIN, FEEDBACK, EAGER, COMPILED, MATMUL = "ours", "ours, feedback", "diffusers", "diffusers, compiled", "matmul"
DTYPE = "bfloat16"
MATMUL_SIDE = 4096


class Ours:
    """Plain or feedback passes of a CppForward, which both kinds share."""

    def __init__(self, process, feedback):
        self.process = process
        self.feedback = feedback

    def time(self, rows, repetitions):
        return self.process.time(rows, repetitions, "feedback" if self.feedback else "plain")


class Compiled:
    """The model of a DiffusersForward, compiled for every number of rows."""

    def __init__(self, eager):
        self.forward = object.__new__(DiffusersForward)
        self.forward.device, self.forward.dtype = eager.device, eager.dtype
        self.forward.model = torch.compile(eager.model, dynamic=False)

    def time(self, rows, repetitions):
        return self.forward.time(rows, repetitions)


class Matmul:
    """Seconds of a square product."""

    def __init__(self, device):
        self.device = device
        self.left = torch.randn(MATMUL_SIDE, MATMUL_SIDE).to(device, getattr(torch, DTYPE))
        self.right = torch.randn(MATMUL_SIDE, MATMUL_SIDE).to(device, getattr(torch, DTYPE))

    @torch.inference_mode()
    def time(self, _, repetitions):
        seconds = []
        synchronize(self.device)
        for _ in range(repetitions):
            start = time.perf_counter()
            torch.matmul(self.left, self.right)
            synchronize(self.device)
            seconds.append(time.perf_counter() - start)
        return seconds


class Flops:
    """Floating point operations of a pass on one row: two for each multiplication and addition of its matrix
    products and of attention. What a pass computes only once is counted once."""

    def __init__(self, transformer, feedback):
        self.dim = transformer["num_attention_heads"] * transformer["attention_head_dim"]
        self.patch = transformer["patch_size"] ** 2
        self.tokens = transformer["sample_size"] ** 2 // self.patch
        self.layers = transformer["num_layers"]
        self.channels = transformer["in_channels"] + transformer["out_channels"]
        self.extra_blocks = feedback["extra_loops"] * feedback["inner_blocks"]
        self.module_blocks = feedback["extra_loops"]

    def block(self):
        weights = (3 + 1 + 8) * self.dim ** 2  # query, key and value; output; feed-forward
        attention = 2 * self.tokens * self.dim  # the products with the keys and with the values, a token
        return 2 * self.tokens * (weights + attention)

    def modulation(self):
        return 2 * 6 * self.dim ** 2

    def plain(self):
        ends = 2 * self.tokens * self.patch * self.channels * self.dim  # patches in and out
        condition = 2 * (256 * self.dim + self.dim ** 2 + 2 * self.dim ** 2)  # the timestep's, the last layer's
        return self.layers * (self.block() + self.modulation()) + ends + condition

    def feedback(self):
        return self.plain() + (self.extra_blocks + self.module_blocks) * self.block() + \
            self.module_blocks * self.modulation()


def compile_or_say(eager, rows):
    """The compiled model, warmed up; None, and why, where it cannot be compiled."""
    start = time.perf_counter()
    try:
        compiled = Compiled(eager)
        for count in rows:
            compiled.time(count, 1)
    except Exception as error:  # the compiler's exceptions are many
        lines = str(error).strip().splitlines() or [""]
        print(f"torch.compile does not work here ({type(error).__name__}: {lines[0]}), so it is left out")
        return None
    print(f"torch.compile took {time.perf_counter() - start:.0f} s")
    return compiled


def take_turns(args, contestants):
    """(contestant, rows) -> seconds of every pass."""
    seconds = {}
    for rows in args.rows:
        for contestant in contestants.values():
            contestant.time(rows, 1)  # warm-up
        for _ in range(args.rounds):
            for name, contestant in contestants.items():
                seconds.setdefault((name, rows), []).extend(contestant.time(rows, args.repetitions))
                time.sleep(0.02)  # lets the threads of one process go to sleep before the next starts
    return seconds


def report(args, seconds, flops):
    best = min(min(times) for (name, _), times in seconds.items() if name == MATMUL)
    peak = 2 * MATMUL_SIDE ** 3 / best
    print(f"\nPeak: {peak / 1e12:.2f} TFLOP/s, the best {MATMUL_SIDE}x{MATMUL_SIDE} product of the run in {DTYPE}")
    work = {FEEDBACK: flops.feedback()}
    rows_of_table = []
    for rows in args.rows:
        plain = measure.spread(seconds[PLAIN, rows])[0]
        for name in (PLAIN, FEEDBACK, EAGER, COMPILED):
            if (name, rows) not in seconds:
                continue
            middle, low, high = measure.spread(seconds[name, rows])
            done = rows * work.get(name, flops.plain())
            rows_of_table.append([str(rows), name, f"{1e3 * middle:.1f} ({1e3 * low:.1f} - {1e3 * high:.1f})",
                                  f"{middle / plain:.2f}", f"{done / 1e9:.0f}", f"{100 * done / middle / peak:.0f} %"])
    print(f"\n{args.device}, {DTYPE}, {args.threads} threads, milliseconds a pass: median (quartiles)\n")
    measure.print_table(["rows", "", "ms", "time / ours", "GFLOP", "share of peak"], rows_of_table)
    blocks = flops.layers + flops.extra_blocks + flops.module_blocks
    print(f"\nBy block evaluations a feedback pass costs {blocks} / {flops.layers} = {blocks / flops.layers:.2f} of a "
          "plain one.")


def read_config(args, folder):
    file = args.model / folder / "config.json"
    if not file.exists():
        sys.exit(f"{file} is missing: make_random_model.py {args.model} --shape dit-xl-2 writes a model")
    return json.loads(file.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=measure.ROOT / "build" / "random-xl")
    parser.add_argument("--build", type=pathlib.Path, default=measure.ROOT / "build" / "release")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--rows", nargs="+", type=int, default=[2, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10, help="turns of each contestant")
    parser.add_argument("--repetitions", type=int, default=2, help="passes a turn")
    parser.add_argument("--no_compile", action="store_true", help="leave torch.compile out")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    flops = Flops(read_config(args, "transformer"), read_config(args, "feedback"))
    print(measure.machine())
    ours = CppForward(args, DTYPE, True)
    eager = DiffusersForward(args, DTYPE)
    contestants = {PLAIN: Ours(ours, False), FEEDBACK: Ours(ours, True), EAGER: eager}
    compiled = None if args.no_compile else compile_or_say(eager, args.rows)
    if compiled:
        contestants[COMPILED] = compiled
    contestants[MATMUL] = Matmul(args.device)
    seconds = take_turns(args, contestants)
    ours.close()
    report(args, seconds, flops)


if __name__ == "__main__":
    main()
