#!/usr/bin/env python3
"""A PixArt at its own size: how long ilf-server takes to load it, how much memory, and what a step costs.

The server is the real program, asked by ilf-client for one picture a turn, which is given up after some steps; seconds
are its own (ilf_step_seconds, ilf_preparation_seconds). The steps' rival is diffusers' transformer in this process,
with the same weights, dtype and threads and a prompt padded to 300 tokens, as its pipeline does. They take turns,
after one that does not count.

Usage: pixart.py [--model build/random-pixart] [--build build/release] [--dtype bfloat16] [--guidance 1]
"""
import argparse
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import torch
from diffusers import PixArtTransformer2DModel

import capacity
import measure

PROMPT_TOKENS = 300
STEPS = ("ilf_step_seconds_sum", "ilf_step_seconds_count")
ENCODING = ("ilf_preparation_seconds_sum", "ilf_preparation_seconds_count")


class Painter:
    """ilf-server on the model."""

    def __init__(self, args, stack):
        self.args = args
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ilf-pixart-")))
        self.server = capacity.Server(args, stack, self.folder)

    def steps(self, count, seed):
        """Seconds of a step, and of the encoding of a prompt that was not seen before. The picture is given up after
        `count` steps: where there is no fast bfloat16 the autoencoder would take longer than they."""
        before = self.server.metrics(*STEPS, *ENCODING)
        client = subprocess.Popen(
            [self.args.build / "bin/ilf-client", "generate", f"picture {seed}", "--address", self.server.address,
             "--guidance", str(self.args.guidance), "--steps", "500", "--seed", str(seed), "--progress", "off", "--out",
             self.folder / "picture.png"])
        while self.server.metrics(STEPS[1])[0] < before[1] + count:
            if client.poll() is not None:
                raise SystemExit("ilf-client ended early")
            time.sleep(1)  # asking costs the server time
        client.send_signal(signal.SIGINT)
        client.wait()
        while self.server.metrics("ilf_active_images") != [0]:
            time.sleep(0.1)
        step, steps, encoding, encodings = (now - then for now, then in
                                            zip(self.server.metrics(*STEPS, *ENCODING), before))
        return step / steps, encoding / encodings


class Diffusers:
    def __init__(self, args):
        load = {"torch_dtype": getattr(torch, args.dtype), "low_cpu_mem_usage": False}
        self.transformer = PixArtTransformer2DModel.from_pretrained(args.model / "transformer", **load).eval()
        config = self.transformer.config
        rows = 1 if args.guidance == 1 else 2
        self.inputs = {
            "hidden_states": torch.randn(rows, config.in_channels, config.sample_size, config.sample_size),
            "encoder_hidden_states": torch.randn(rows, PROMPT_TOKENS, config.caption_channels)}
        self.inputs = {name: value.to(self.transformer.dtype) for name, value in self.inputs.items()}
        self.inputs["timestep"] = torch.full((rows,), 500.0)
        self.inputs["encoder_attention_mask"] = torch.arange(PROMPT_TOKENS).lt(8).expand(rows, -1)
        self.inputs["added_cond_kwargs"] = {"resolution": None, "aspect_ratio": None}

    @torch.inference_mode()
    def step(self):
        start = time.perf_counter()
        self.transformer(**self.inputs)
        return time.perf_counter() - start


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=measure.ROOT / "build/random-pixart")
    parser.add_argument("--build", type=pathlib.Path, default=measure.ROOT / "build/release")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--guidance", type=float, default=1.0, help="1: a step is one row, else two (%(default)s)")
    parser.add_argument("--steps", type=int, default=2, help="of each turn, at least (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.set_defaults(device="cpu", max_active_images=1)  # of capacity.Server
    return parser.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    print(measure.machine(), flush=True)
    diffusers = Diffusers(args)
    size = diffusers.inputs["hidden_states"].shape[-1] * 8
    times = {"ilf-server": [], "diffusers": []}
    encodings = []
    with contextlib.ExitStack() as stack:
        painter = Painter(args, stack)
        loaded = measure.memory(painter.server.process.pid)
        painter.steps(1, seed=0)
        diffusers.step()
        for seed in range(1, args.rounds + 1):
            step, encoding = painter.steps(args.steps, seed)
            encodings.append(encoding)
            times["ilf-server"].append(step)
            times["diffusers"].append(diffusers.step())
            print(f"round {seed}: ilf-server {step:.2f} s, diffusers {times['diffusers'][-1]:.2f} s", flush=True)
        most = measure.memory(painter.server.process.pid)
    print(f"\n{args.dtype}, {args.threads} threads, {size}x{size}, {len(diffusers.inputs['timestep'])} rows: "
          f"median (quartiles) of {args.rounds}\n")
    ours = measure.spread(times["ilf-server"])[0]
    measure.print_table(["", "seconds a step", "time / ours"], [
        [name, "{:.2f} ({:.2f} - {:.2f})".format(*measure.spread(seconds)), f"{measure.spread(seconds)[0] / ours:.2f}"]
        for name, seconds in times.items()])
    print(f"\nFrom the start to SERVING: {painter.server.seconds_to_serving:.1f} s; then resident {loaded['VmRSS']:.1f} "
          f"GB, at most {most['VmHWM']:.1f} GB, of which {most['RssFile']:.1f} GB were pages of files at the end. "
          f"Encoding a prompt: {measure.spread(encodings)[0]:.2f} s.")


if __name__ == "__main__":
    main()
