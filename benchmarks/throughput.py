#!/usr/bin/env python3
"""Pictures per second of ilf-server beside diffusers, at several numbers of concurrent requests.

The server is the real program, asked over TCP by ilf-bench-load, which keeps N requests for one picture under
way. diffusers runs in this process, in inference mode, with the same weights, dtype, threads, solver, steps and
guidance: N pictures one after the other, and N as one batch; the faster of the two counts. All include decoding
and PNG. Everything is warmed up first and takes turns.

Usage: throughput.py [--model models/fashion-dit] [--build build/release] [--dtype bfloat16] [--threads 2]
"""
import argparse
import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTTransformer2DModel
from PIL import Image

import measure

SERVER, ONE_BY_ONE, ONE_BATCH = "ilf-server", "diffusers, one by one", "diffusers, one batch"


class DiffusersLoop:
    """DiTPipeline's loop, written out: the pipeline takes only models of 1,000 classes with guidance."""

    def __init__(self, args):
        self.args = args
        self.dtype = getattr(torch, args.dtype)
        load = {"torch_dtype": self.dtype, "low_cpu_mem_usage": False}
        self.transformer = DiTTransformer2DModel.from_pretrained(args.model / "transformer", **load).eval()
        self.vae = AutoencoderKL.from_pretrained(args.model / "vae", **load).eval()
        self.scheduler = DDIMScheduler.from_pretrained(args.model / "scheduler")
        self.null_class = self.transformer.config.num_embeds_ada_norm

    @torch.inference_mode()
    def paint(self, classes, seeds):
        """PNG bytes of one picture per class and seed, as one batch."""
        config = self.transformer.config
        shape = (1, config.in_channels, config.sample_size, config.sample_size)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=self.dtype)
                 for seed in seeds]
        latents = torch.cat(noise)
        labels = torch.tensor(classes + [self.null_class] * len(classes))
        self.scheduler.set_timesteps(self.args.steps)
        for t in self.scheduler.timesteps:
            rows = torch.cat([latents, latents])
            output = self.transformer(rows, timestep=t.expand(len(rows)), class_labels=labels).sample
            conditional, unconditional = output[:, :config.in_channels].chunk(2)
            guided = unconditional + self.args.guidance * (conditional - unconditional)
            latents = self.scheduler.step(guided, t, latents).prev_sample
        pictures = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        pictures = (pictures.float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        return [self.png(picture) for picture in pictures.permute(0, 2, 3, 1).numpy()]

    @staticmethod
    def png(pixels):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, format="PNG", compress_level=3)  # as the server does
        return out.getvalue()

    def seconds(self, images, batch):
        start = time.perf_counter()
        for first in range(0, images, batch):
            seeds = list(range(first, min(first + batch, images)))
            self.paint([seed % self.null_class for seed in seeds], seeds)
        return time.perf_counter() - start


class Server:
    """ilf-server on the model, and ilf-bench-load to ask it."""

    def __init__(self, args, stack, folder, load_flags=()):
        root = folder / "models"
        root.mkdir()
        (root / "model").symlink_to(args.model.resolve())
        port_file = folder / "port"
        binaries = args.build / "bin"
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        self.process = subprocess.Popen(
            [binaries / "ilf-server", "--model_root", root, "--address", "127.0.0.1:0", "--port_file", port_file,
             "--metrics_address", "127.0.0.1:0", "--device", "cpu", "--threads_per_worker", str(args.threads),
             "--dtype", args.dtype, "--log_level", "warning"], env=environment)
        stack.callback(self.stop)
        address = self.wait_for_address(port_file)
        self.load = subprocess.Popen(
            [binaries / "ilf-bench-load", "--address", address, "--model", "model", "--steps", str(args.steps),
             "--guidance", str(args.guidance), *load_flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(self.load.terminate)
        if self.load.stdout.readline().strip() != "ready":
            raise SystemExit("ilf-bench-load did not start")

    def wait_for_address(self, port_file):
        while True:
            for line in port_file.read_text().splitlines() if port_file.exists() else []:
                if line.startswith("address="):
                    return line.removeprefix("address=")
            if self.process.poll() is not None:
                raise SystemExit("ilf-server did not start")
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def order(self, concurrency, images, kind="plain"):
        """(seconds of all images, the load generator's own processor seconds, block evaluations)"""
        self.load.stdin.write(f"{concurrency} {images} {kind}\n")
        self.load.stdin.flush()
        answer = self.load.stdout.readline().split()
        if len(answer) != 3:
            raise SystemExit("ilf-bench-load failed")
        return tuple(float(value) for value in answer)


def images_per_turn(args, concurrency):
    """A multiple of the concurrency, so that every batch is full."""
    return max(1, args.images // concurrency) * concurrency


def measure_all(args, server, diffusers):
    """Pictures per second of every turn by contestant and concurrency, and the load generator's share."""
    rates, shares = {}, []

    def turn(concurrency, keep):
        images = images_per_turn(args, concurrency)
        seconds, cpu, _ = server.order(concurrency, images)
        results = {SERVER: seconds, ONE_BY_ONE: diffusers.seconds(images, 1),
                   ONE_BATCH: diffusers.seconds(images, concurrency)}
        if keep:
            shares.append(cpu / (seconds * args.threads))
            for name, taken in results.items():
                rates.setdefault((name, concurrency), []).append(images / taken)
        print(f"{'' if keep else 'warm-up: '}{concurrency} requests: " +
              ", ".join(f"{name} {images / taken:.2f}/s" for name, taken in results.items()),
              file=sys.stderr, flush=True)

    for concurrency in args.concurrency:
        turn(concurrency, keep=False)
    for _ in range(args.rounds):
        for concurrency in args.concurrency:
            turn(concurrency, keep=True)
    return rates, shares


def report(args, rates, shares):
    def cell(name, concurrency):
        middle, low, high = measure.spread(rates[name, concurrency])
        return f"{middle:.2f} ({low:.2f} - {high:.2f})"

    def ratio(concurrency):
        best = max(measure.spread(rates[name, concurrency])[0] for name in (ONE_BY_ONE, ONE_BATCH))
        return measure.spread(rates[SERVER, concurrency])[0] / best

    print(f"\n{args.dtype}, {args.threads} threads, {args.steps} DDIM steps, guidance {args.guidance}; "
          f"pictures per second: median (quartiles) of {args.rounds} turns\n")
    measure.print_table(
        ["requests", SERVER, ONE_BY_ONE, ONE_BATCH, "server / faster of diffusers"],
        [[str(n), cell(SERVER, n), cell(ONE_BY_ONE, n), cell(ONE_BATCH, n), f"{ratio(n):.2f}"]
         for n in args.concurrency])
    print(f"\nThe load generator took {100 * max(shares):.1f} % of the processor time at most.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=measure.ROOT / "models" / "fashion-dit")
    parser.add_argument("--build", type=pathlib.Path, default=measure.ROOT / "build" / "release")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--images", type=int, default=32, help="pictures a turn, about")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    print(measure.machine(), flush=True)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = Server(args, stack, folder)
        report(args, *measure_all(args, server, DiffusersLoop(args)))


if __name__ == "__main__":
    main()
