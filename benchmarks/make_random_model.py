#!/usr/bin/env python3
"""Writes a random model of fashion-dit's shape as a diffusers directory: speed does not need training.

Usage: make_random_model.py OUT
"""
import argparse
import json
import pathlib

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel

LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--heads", type=int, default=5)
    parser.add_argument("--head_dim", type=int, default=32)
    args = parser.parse_args()

    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        num_attention_heads=args.heads, attention_head_dim=args.head_dim, in_channels=4, out_channels=4,
        num_layers=args.layers, sample_size=8, patch_size=2, num_embeds_ada_norm=len(LABELS))
    channels = [16, 32, 64]
    vae = AutoencoderKL(
        block_out_channels=channels, down_block_types=["DownEncoderBlock2D"] * len(channels),
        up_block_types=["UpDecoderBlock2D"] * len(channels), layers_per_block=1, norm_num_groups=16, sample_size=32)
    scheduler = DDIMScheduler(clip_sample=False)
    DiTPipeline(transformer, vae, scheduler).save_pretrained(args.out)
    index = args.out / "model_index.json"
    config = json.loads(index.read_text())
    config["id2label"] = {str(i): label for i, label in enumerate(LABELS)}
    index.write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
