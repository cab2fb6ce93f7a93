#!/usr/bin/env python3
"""What a pass gains by holding pictures of several sizes: rows of four sizes in one pass (token packing), and the same
rows in a pass for each size, which is what batching by size leaves. They take turns in one process, on the same weights.

Usage: packing.py [--model models/emoji-pixart] [--build build/release] [--dtype float32] [--rows 4 8 16 32]
       [--device cuda:0]
"""
import argparse
import os
import pathlib

import measure
from forward import CppForward

PACKED, APART = "packed", "apart"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=measure.ROOT / "models" / "emoji-pixart")
    parser.add_argument("--build", type=pathlib.Path, default=measure.ROOT / "build" / "release")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rows", nargs="+", type=int, default=[4, 8, 16, 32], help="in fours, one of each size")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=10, help="turns of each")
    parser.add_argument("--repetitions", type=int, default=5, help="a turn")
    args = parser.parse_args()

    print(measure.machine())
    print(f"\n{args.device}, {args.dtype}, {args.threads} threads, milliseconds for rows of four sizes: "
          "median (quartiles)\n")
    bench = CppForward(args, args.dtype, True)
    rows = []
    for count in args.rows:
        seconds = {PACKED: [], APART: []}
        for kind in seconds:
            bench.time(count, args.repetitions, kind)  # warm-up
        for _ in range(args.rounds):
            for kind, values in seconds.items():
                values.extend(bench.time(count, args.repetitions, kind))
        cells = {kind: [1e3 * value for value in measure.spread(values)] for kind, values in seconds.items()}
        rows.append([str(count), *("{:.2f} ({:.2f} - {:.2f})".format(*cells[kind]) for kind in (PACKED, APART)),
                     f"{cells[APART][0] / cells[PACKED][0]:.2f}"])
    bench.close()
    measure.print_table(["rows", "one pass", "a pass for each size", "gain"], rows)


if __name__ == "__main__":
    main()
