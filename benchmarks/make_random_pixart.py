#!/usr/bin/env python3
"""Writes a random PixArt-Sigma-XL-2 as published: speed does not depend on what the weights say.

Usage: make_random_pixart.py OUT [--size 256 | 512 | 1024 | 2048] [--t5_layers N] [--t5_dim N] [--layers N]
                             [--dtype bfloat16 | float16 | float32] [--tokenizer DIR]

The transformer has 611 million parameters and the T5 encoder 4.8 billion; --t5_layers and --t5_dim make a smaller
one. The text encoder is written in shards with an index. The tokenizer is copied, by default from a fixture, whose
ids are few but known to this T5. Tensors are drawn and written piece by piece: memory stays below 1 GB.
"""
import argparse
import json
import math
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL, PixArtTransformer2DModel
from diffusers.utils import logging
from transformers import T5Config, T5EncoderModel

from make_random_model import WEIGHTS

TOKENIZER = pathlib.Path(__file__).parents[1] / "tests/fixtures/pixart/pipelines/sigma/tokenizer"
DTYPES = {"bfloat16": (torch.bfloat16, "BF16"), "float16": (torch.float16, "F16"), "float32": (torch.float32, "F32")}
PIECE = 1 << 24  # numbers drawn at once
VERSION = {"_diffusers_version": "0.28.0.dev0"}
HEAD_DIM, HEADS, T5_HEAD_DIM = 72, 16, 64
SCHEDULER = {
    "_class_name": "DPMSolverMultistepScheduler", **VERSION, "algorithm_type": "dpmsolver++", "beta_end": 0.02,
    "beta_schedule": "linear", "beta_start": 0.0001, "dynamic_thresholding_ratio": 0.995, "euler_at_final": False,
    "lambda_min_clipped": -math.inf, "lower_order_final": True, "num_train_timesteps": 1000,
    "prediction_type": "epsilon", "sample_max_value": 1.0, "solver_order": 2, "solver_type": "midpoint",
    "steps_offset": 0, "thresholding": False, "timestep_spacing": "linspace", "trained_betas": None,
    "use_karras_sigmas": False, "use_lu_lambdas": False, "variance_type": None}
INDEX = {"_class_name": "PixArtSigmaPipeline", **VERSION,
         "scheduler": ["diffusers", "DPMSolverMultistepScheduler"], "text_encoder": ["transformers", "T5EncoderModel"],
         "tokenizer": ["transformers", "T5Tokenizer"], "transformer": ["diffusers", "Transformer2DModel"],
         "vae": ["diffusers", "AutoencoderKL"]}


def transformer_config(size, layers, caption_channels):
    """Of the model for pictures of size x size pixels."""
    return {"_class_name": "Transformer2DModel", **VERSION, "activation_fn": "gelu-approximate",
            "attention_bias": True, "attention_head_dim": HEAD_DIM, "attention_type": "default",
            "caption_channels": caption_channels, "cross_attention_dim": HEADS * HEAD_DIM,
            "double_self_attention": False, "dropout": 0.0, "in_channels": 4, "interpolation_scale": size / 512,
            "norm_elementwise_affine": False, "norm_eps": 1e-6, "norm_num_groups": 32,
            "norm_type": "ada_norm_single", "num_attention_heads": HEADS, "num_embeds_ada_norm": 1000,
            "num_layers": layers, "num_vector_embeds": None, "only_cross_attention": False, "out_channels": 8,
            "patch_size": 2, "sample_size": size // 8, "upcast_attention": False, "use_additional_conditions": False,
            "use_linear_projection": False}


def t5_config(layers, dim, dtype):
    """T5 v1.1 XXL, or as much smaller as dim and layers say."""
    return {"architectures": ["T5EncoderModel"], "classifier_dropout": 0.0, "d_ff": dim * 5 // 2,
            "d_kv": T5_HEAD_DIM, "d_model": dim, "decoder_start_token_id": 0, "dense_act_fn": "gelu_new",
            "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu", "initializer_factor": 1.0,
            "is_encoder_decoder": True, "is_gated_act": True, "layer_norm_epsilon": 1e-6, "model_type": "t5",
            "num_decoder_layers": layers, "num_heads": dim // T5_HEAD_DIM, "num_layers": layers, "output_past": True,
            "pad_token_id": 0, "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32,
            "tie_word_embeddings": False, "torch_dtype": dtype, "use_cache": True, "vocab_size": 32128}


def vae_config():
    """That of SDXL, whose autoencoder Sigma has."""
    levels = 4
    return {"_class_name": "AutoencoderKL", **VERSION, "act_fn": "silu",
            "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * levels,
            "force_upcast": True, "in_channels": 3, "latent_channels": 4, "layers_per_block": 2,
            "norm_num_groups": 32, "out_channels": 3, "sample_size": 1024, "scaling_factor": 0.13025,
            "up_block_types": ["UpDecoderBlock2D"] * levels}


def options(config):
    """Those that a constructor of today takes."""
    legacy = ("double_self_attention", "num_vector_embeds", "only_cross_attention", "use_linear_projection")
    return {k: v for k, v in config.items() if not k.startswith("_") and k not in legacy}


def shapes(make):
    """name -> shape of the parameters of make(), which takes no memory."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in make().named_parameters()}


def draw(name, shape, source):
    """Pieces of a random float32 tensor: norms about 1, the others so that a layer keeps the size of its input."""
    count = math.prod(shape)
    scale = 1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.02
    mean = 1.0 if "norm" in name and name.endswith("weight") else 0.0
    for begin in range(0, count, PIECE):
        yield torch.randn(min(PIECE, count - begin), generator=source).mul_(scale).add_(mean)


def write_safetensors(path, tensors, dtype, source):
    """tensors: name -> shape. Never holds more than a piece of a tensor."""
    torch_dtype, code = DTYPES[dtype]
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors.items():
        begin, end = end, end + math.prod(shape) * torch_dtype.itemsize
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors.items():
            for piece in draw(name, shape, source):
                file.write(piece.to(torch_dtype).view(torch.uint8).numpy().data)


def shards(tensors, limit, item_size):
    """Splits tensors into lists of at most `limit` bytes each, in order."""
    parts, used = [{}], 0
    for name, shape in tensors.items():
        size = math.prod(shape) * item_size
        if used + size > limit and parts[-1]:
            parts.append({})
            used = 0
        parts[-1][name] = shape
        used += size
    return parts


def write_sharded(folder, tensors, dtype, source):
    """At least two shards, as published, and none above 10 GB."""
    item_size = DTYPES[dtype][0].itemsize
    total = item_size * sum(map(math.prod, tensors.values()))
    parts = shards(tensors, min(10**10, total * 11 // 20), item_size)
    where = {}
    for i, part in enumerate(parts, 1):
        file = f"model-{i:05}-of-{len(parts):05}.safetensors"
        write_safetensors(folder / file, part, dtype, source)
        where |= dict.fromkeys(part, file)
    write_json(folder / "model.safetensors.index.json",
               {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))})


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--size", type=int, choices=(256, 512, 1024, 2048), default=1024,
                        help="pixels a side of the pictures that the model is for (%(default)s)")
    parser.add_argument("--t5_layers", type=int, default=24)
    parser.add_argument("--t5_dim", type=int, default=4096, help=f"a multiple of {T5_HEAD_DIM}")
    parser.add_argument("--layers", type=int, default=28, help="of the transformer")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--tokenizer", type=pathlib.Path, default=TOKENIZER)
    args = parser.parse_args()
    if args.t5_dim < T5_HEAD_DIM or args.t5_dim % T5_HEAD_DIM:
        parser.error(f"--t5_dim must be a multiple of {T5_HEAD_DIM}")
    logging.set_verbosity_error()
    source = torch.Generator().manual_seed(0)

    write_json(args.out / "model_index.json", INDEX)
    write_json(args.out / "scheduler/scheduler_config.json", SCHEDULER)
    shutil.copytree(args.tokenizer, args.out / "tokenizer", dirs_exist_ok=True)
    parts = {"transformer": (transformer_config(args.size, args.layers, args.t5_dim), PixArtTransformer2DModel),
             "vae": (vae_config(), AutoencoderKL)}
    for name, (config, model) in parts.items():
        write_json(args.out / name / "config.json", config)
        write_safetensors(args.out / name / WEIGHTS, shapes(lambda: model(**options(config))), args.dtype, source)
    config = t5_config(args.t5_layers, args.t5_dim, args.dtype)
    write_json(args.out / "text_encoder/config.json", config)
    encoder = shapes(lambda: T5EncoderModel(T5Config(**{k: v for k, v in config.items() if k != "torch_dtype"})))
    write_sharded(args.out / "text_encoder", encoder, args.dtype, source)


if __name__ == "__main__":
    main()
