#!/usr/bin/env python3
"""Writes a random model as a diffusers directory: speed does not depend on what the weights say.

Usage: make_random_model.py OUT [--shape fashion-dit | dit-s-2 | dit-xl-2] [--layers N] [--heads N] [--head_dim N]

  fashion-dit   the shape of models/fashion-dit, float32 (the default)
  dit-s-2       DiT-S/2 for 256 px, float32, with a feedback module on its last two blocks and a plan like those of
                models/fashion-dit: 5 steps, 4 of them with feedback
  dit-xl-2      DiT-XL/2 for 256 px, bfloat16, with a feedback module on blocks 9 to 20 and the paper's plan

The embedders of all blocks are equal, as in published checkpoints. The autoencoders of dit-s-2 and dit-xl-2 are small.
"""
import argparse
import hashlib
import json
import pathlib

import safetensors.torch
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel
from diffusers.utils import logging

FASHION_LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                  "Ankle boot"]
# For fashion-dit's plan of 5 steps; 15 plain ones are what it is measured beside.
SHIPPED_PLAN = {"steps": 5, "solver": "dpmsolver++", "spacing": "linspace", "feedback_steps": [1, 2, 3, 4],
                "equivalent_steps": 15, "guidance_scales": [1.0, 10.0]}
# 332 block evaluations with 28 layers.
PAPER_PLAN = json.loads((pathlib.Path(__file__).parent / "quality" / "paper_plan.json").read_text())["plans"][0] \
    | {"guidance_scales": [1.0, 10.0]}
SHAPES = {
    "fashion-dit": {"layers": 28, "heads": 5, "head_dim": 32, "out_channels": 4, "sample_size": 8,
                    "labels": FASHION_LABELS, "vae_channels": [16, 32, 64], "dtype": torch.float32},
    "dit-s-2": {"layers": 12, "heads": 6, "head_dim": 64, "out_channels": 8, "sample_size": 32,
                "labels": [f"class {i}" for i in range(1000)], "vae_channels": [16, 32, 64, 64],
                "dtype": torch.float32, "first_inner": 10 / 12, "inner": 2 / 12, "plan": SHIPPED_PLAN},
    "dit-xl-2": {"layers": 28, "heads": 16, "head_dim": 72, "out_channels": 8, "sample_size": 32,
                 "labels": [f"class {i}" for i in range(1000)], "vae_channels": [16, 32, 64, 64],
                 "dtype": torch.bfloat16, "first_inner": 8 / 28, "inner": 12 / 28, "plan": PAPER_PLAN},
}
EMBEDDER = "norm1.emb."
WEIGHTS = "diffusion_pytorch_model.safetensors"


def make_transformer(shape, layers):
    return DiTTransformer2DModel(
        num_attention_heads=shape["heads"], attention_head_dim=shape["head_dim"], in_channels=4,
        out_channels=shape["out_channels"], num_layers=layers, sample_size=shape["sample_size"], patch_size=2,
        num_embeds_ada_norm=len(shape["labels"])).to(shape["dtype"])


def copy_embedder(transformer):
    """Block 0's to all blocks."""
    first = transformer.transformer_blocks[0].norm1.emb.state_dict()
    for block in transformer.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(first)


def write_feedback(out, shape):
    """A random module: one block without its embedder, and scales as small as trained ones."""
    folder = out / "feedback"
    folder.mkdir(exist_ok=True)
    block = make_transformer(shape, 1).transformer_blocks[0].state_dict()
    weights = {f"block.{name}": tensor.contiguous() for name, tensor in block.items()
               if not name.startswith(EMBEDDER)}
    layers = shape["layers"]
    config = {"first_inner_block": int(layers * shape["first_inner"] + 1e-6),
              "inner_blocks": max(1, int(layers * shape["inner"] + 1e-6)), "extra_loops": 1,
              "feedback_timestep": "source", "inner_timestep": "source", "deep_timestep": "source",
              "plans": [shape["plan"]]}
    with open(out / "transformer" / WEIGHTS, "rb") as backbone:
        config["backbone_sha256"] = hashlib.file_digest(backbone, "sha256").hexdigest()
    weights["scales"] = 0.1 * torch.randn(config["inner_blocks"])
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def write_labels(out, labels):
    index = out / "model_index.json"
    config = json.loads(index.read_text())
    config["id2label"] = {str(i): label for i, label in enumerate(labels)}
    index.write_text(json.dumps(config, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--shape", choices=SHAPES, default="fashion-dit")
    for flag in ("layers", "heads", "head_dim"):
        parser.add_argument(f"--{flag}", type=int, help="in place of the shape's")
    args = parser.parse_args()

    shape = dict(SHAPES[args.shape])
    shape |= {flag: getattr(args, flag) for flag in ("layers", "heads", "head_dim") if getattr(args, flag)}
    logging.set_verbosity_error()
    torch.manual_seed(0)
    transformer = make_transformer(shape, shape["layers"])
    copy_embedder(transformer)
    channels = shape["vae_channels"]
    vae = AutoencoderKL(
        block_out_channels=channels, down_block_types=["DownEncoderBlock2D"] * len(channels),
        up_block_types=["UpDecoderBlock2D"] * len(channels), layers_per_block=1, norm_num_groups=16,
        sample_size=shape["sample_size"] * 2 ** (len(channels) - 1)).to(shape["dtype"])
    DiTPipeline(transformer, vae, DDIMScheduler(clip_sample=False)).save_pretrained(args.out)
    write_labels(args.out, shape["labels"])
    if "plan" in shape:
        write_feedback(args.out, shape)


if __name__ == "__main__":
    main()
