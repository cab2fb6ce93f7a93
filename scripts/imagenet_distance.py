#!/usr/bin/env python3
"""Frechet distance of folders of pictures to real ones, on the features of an EfficientNet-Lite0 trained on ImageNet.

    scripts/imagenet_distance.py --real DIR [--count N] [--cache DIR] FOLDER...

A second opinion on the distances of ilf-eval, whose classifier learned from the model's kind of pictures: FOLDER is
what `ilf-eval --pictures` wrote for a cell. Takes the first N pictures of each folder (all), in the order of their
names; the scale depends on N and is not that of Inception, so compare folders with each other. One JSON line a folder.
The packages are those of scripts/requirements-emoji-quality.txt; nothing is downloaded.
"""
import argparse
import json
import pathlib
import sys


def read_pictures(folder, count):
    import numpy
    from PIL import Image
    files = sorted(folder.glob("*.png"))
    if len(files) < max(count, 2):
        sys.exit(f"imagenet_distance.py: {folder} holds {len(files)} PNGs, not {max(count, 2)}")
    return [numpy.array(Image.open(file).convert("RGB")) for file in files[:count or None]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=0, help="pictures of each folder; 0: all")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("out/features"), help="keeps features")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    try:
        import emoji_features
        import emoji_metrics
    except ImportError as error:
        sys.exit(f"imagenet_distance.py: {error}: install scripts/requirements-emoji-quality.txt")
    features = emoji_features.Features(args.cache)
    real = features(read_pictures(args.real, args.count))["pooled"]
    for folder in args.folders:
        pictures = read_pictures(folder, args.count)
        distance = emoji_metrics.frechet_distance(features(pictures)["pooled"], real)
        line = {"folder": str(folder), "pictures": len(pictures), "distance": round(distance, 4)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
