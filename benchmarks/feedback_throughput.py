"""Pictures per second with Inner Loop Feedback beside plain sampling of the same quality, and both mixed.

The real ilf-server, asked over TCP by ilf-bench-load with N requests at a time. Plain requests take the plan's
equivalent_steps with its solver, feedback requests the plan; mixed orders take turns between the two, so that both share
forward passes. What counts is how much of the gain in block evaluations arrives as a gain in pictures per second: the
ratio of the two gains, which is not 0 for a server that gained nothing (68 % mixed with fashion-dit's 5 steps), and,
stricter, the ratio of what both exceed 1 by, which is. A turn must be long: at the end of a mixed one the feedback requests
are done and the last plain ones run in passes of few rows.

Usage: feedback_throughput.py --model MODEL [--build build/release] [--dtype bfloat16] [--threads 2] [--requests 8]
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import tempfile

import measure
import throughput

KINDS = ["plain", "feedback", "mixed"]


def read_plan(model, guidance, steps):
    plans = json.loads((model / "feedback" / "config.json").read_text())["plans"]
    for plan in plans:
        low, high = plan.get("guidance_scales", [1, 1])
        if low <= guidance <= high and steps in (0, plan["steps"]):
            return plan
    raise SystemExit(f"{model} has no feedback plan for guidance {guidance:g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=measure.ROOT / "models" / "fashion-dit")
    parser.add_argument("--build", type=pathlib.Path, default=measure.ROOT / "build" / "release")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--plan_steps", type=int, default=0, help="which plan (default: the first for the guidance)")
    parser.add_argument("--plain_steps", type=int, default=0, help="default: the plan's equivalent_steps")
    parser.add_argument("--requests", type=int, default=8, help="at a time")
    parser.add_argument("--images", type=int, default=256, help="pictures a turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each kind")
    args = parser.parse_args()
    plan = read_plan(args.model, args.guidance, args.plan_steps)
    args.steps = args.plain_steps or plan["equivalent_steps"]
    print(measure.machine(), flush=True)

    rates, blocks = {kind: [] for kind in KINDS}, {}
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = throughput.Server(args, stack, folder, ["--feedback_steps", str(plan["steps"]),
                                                         "--solver", plan["solver"]])
        for turn in range(args.rounds + 1):  # the first warms up
            for kind in KINDS:
                seconds, _, run = server.order(args.requests, args.images, kind)
                blocks[kind] = run / args.images
                if turn > 0:
                    rates[kind].append(args.images / seconds)
                print(f"{kind}: {args.images / seconds:.2f}/s", file=sys.stderr, flush=True)

    def row(kind):
        middle, low, high = measure.spread(rates[kind])
        gain = middle / measure.spread(rates["plain"])[0]
        fewer = blocks["plain"] / blocks[kind]
        surplus = f"{100 * (gain - 1) / (fewer - 1):.0f} %" if fewer > 1 else ""
        return [kind, f"{blocks[kind]:.0f}", f"{middle:.2f} ({low:.2f} - {high:.2f})", f"{gain:.2f}", f"{fewer:.2f}",
                f"{100 * gain / fewer:.0f} %", surplus]

    print(f"\n{args.dtype}, {args.threads} threads, guidance {args.guidance:g}, {args.requests} requests at a time; plain: "
          f"{args.steps} steps, feedback: {plan['steps']} steps, {len(plan['feedback_steps'])} with feedback; "
          f"pictures per second: median (quartiles) of {args.rounds} turns\n")
    measure.print_table(["requests", "block evaluations", "pictures per second", "gain", "gain in block evaluations",
                         "share that arrives", "of what exceeds 1"], [row(kind) for kind in KINDS])


if __name__ == "__main__":
    main()
