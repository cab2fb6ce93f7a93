#!/usr/bin/env python3
"""FID, CLIP score, CLIP-IQA and ImageReward of a folder of pictures, by the published packages.

    scripts/quality.py --images DIR [--prompts FILE] [--real DIR]
                       [--fid_weights FILE] [--clip DIR] [--clip_iqa FILE] [--image_reward DIR] [--json]

Nothing is downloaded: every metric takes its weights from a path, and one without them is named as skipped.
docs/quality-metrics.md says which weights these are. The packages are those of scripts/requirements-quality.txt.
"""
import argparse
import json
import os
import pathlib
import re
import sys
import warnings

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
REQUIREMENTS = "scripts/requirements-quality.txt"
NAMES = {"fid": "FID", "clip_score": "CLIP score", "clip_iqa": "CLIP-IQA", "image_reward": "ImageReward"}


class Refused(Exception):
    """A mistake in what was given, in one line."""


def natural(path):
    """Sorts 2.png before 10.png."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", str(path))]


def find_pictures(flag, folder):
    """Every picture in `folder` and the folders in it, in natural order of their paths."""
    if not folder.is_dir():
        raise Refused(f"{flag}: {folder} is not a folder")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file()]
    if not found:
        raise Refused(f"{flag}: {folder} holds no picture ({', '.join(sorted(ENDINGS))})")
    return sorted(found, key=lambda path: natural(path.relative_to(folder)))


def read_json_prompts(file, lines, folder, pictures):
    by_name = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            by_name[str(entry["file_name"])] = str(entry["text"])
        except (ValueError, KeyError, TypeError):
            raise Refused(f"{file}:{number}: expected an object with file_name and text") from None
    names = [path.relative_to(folder).as_posix() for path in pictures]
    missing = [name for name in names if name not in by_name]
    if missing:
        raise Refused(f"{file}: no prompt for {missing[0]} ({len(missing)} of {len(names)} pictures have none)")
    if len(by_name) != len(names):
        raise Refused(f"{file}: {len(by_name)} prompts for {len(names)} pictures")
    return [by_name[name] for name in names]


def read_prompts(file, folder, pictures):
    """A prompt for each picture: line by line in the pictures' order, or by name where `file` is JSON lines."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise Refused(f"--prompts: {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"--prompts: {file} is not UTF-8") from None
    while lines and not lines[-1]:
        lines.pop()
    if file.suffix == ".jsonl":
        return read_json_prompts(file, lines, folder, pictures)
    if "" in lines:
        raise Refused(f"{file}:{lines.index('') + 1}: an empty prompt")
    if len(lines) != len(pictures):
        raise Refused(f"{len(lines)} prompts in {file} for {len(pictures)} pictures in {folder}")
    return lines


def open_picture(path):
    from PIL import Image
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Refused(f"{path}: not a picture that can be read ({one_line(error)})") from None


def one_line(error):
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def skipped(args):
    """Metric -> why it is not measured, of those that are not."""
    needs = {"fid": ["real", "fid_weights"], "clip_score": ["clip", "prompts"], "clip_iqa": ["clip"],
             "image_reward": ["image_reward", "prompts"]}
    absent = {metric: [f"--{flag}" for flag in flags if getattr(args, flag) is None]
              for metric, flags in needs.items()}
    return {metric: "needs " + " and ".join(flags) for metric, flags in absent.items() if flags}


def check_paths(args):
    if args.clip_iqa and not args.clip:
        raise Refused("--clip_iqa needs --clip: the tokenizer is taken from there")
    for flag in ("fid_weights", "clip_iqa"):
        path = getattr(args, flag)
        if path and not path.is_file():
            raise Refused(f"--{flag}: {path} is not a file")
    for flag, files in (("clip", ["config.json", "preprocessor_config.json"]),
                        ("image_reward", ["ImageReward.pt", "med_config.json", "bert-base-uncased/vocab.txt"])):
        folder = getattr(args, flag)
        if not folder:
            continue
        if not folder.is_dir():
            raise Refused(f"--{flag}: {folder} is not a folder")
        for name in files:
            if not (folder / name).is_file():
                raise Refused(f"--{flag}: {folder} holds no {name}")


def load(flag, path, function):
    """function(), with what a package throws about the weights as one line."""
    try:
        return function()
    except (ImportError, Refused):
        raise
    except Exception as error:  # every package has exceptions of its own
        raise Refused(f"--{flag}: {path}: cannot be loaded ({one_line(error)})") from None


def check_device(device):
    import torch
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter where torch has no CUDA
        raise Refused(f"--device: {device} cannot be used ({one_line(error)})") from None


def batches(pictures, prompts, size):
    for begin in range(0, len(pictures), size):
        paths = pictures[begin:begin + size]
        yield [open_picture(path) for path in paths], prompts[begin:begin + size] if prompts else None


def make_metrics(args, left_out):
    import quality_metrics as metrics
    check_device(args.device)
    made = {}
    if "fid" not in left_out:
        made["fid"] = load("fid_weights", args.fid_weights, lambda: metrics.Fid(args.fid_weights, args.device))
    if args.clip:
        clip = load("clip", args.clip, lambda: metrics.load_clip(args.clip))
        if "clip_score" not in left_out:
            made["clip_score"] = load("clip", args.clip, lambda: metrics.ClipScore(clip, args.device))
        flag, path = ("clip_iqa", args.clip_iqa) if args.clip_iqa else ("clip", args.clip)
        made["clip_iqa"] = load(flag, path, lambda: metrics.ClipIqa(clip, args.clip_iqa, args.device))
    if "image_reward" not in left_out:
        made["image_reward"] = load("image_reward", args.image_reward,
                                    lambda: metrics.ImageReward(args.image_reward, args.device))
    return made


def measure(args, pictures, real, prompts, left_out):
    """Metric -> value."""
    made = make_metrics(args, left_out)
    for batch, texts in batches(pictures, prompts, args.batch):
        for metric in made.values():
            metric.update(batch, texts)
    if "fid" in made:
        for batch, _ in batches(real, None, args.batch):
            made["fid"].update_real(batch)
    return {name: metric.result() for name, metric in made.items()}


def run(args):
    """What --json prints."""
    check_paths(args)
    pictures = find_pictures("--images", args.images)
    real = find_pictures("--real", args.real) if args.real else []
    prompts = read_prompts(args.prompts, args.images, pictures) if args.prompts else None
    left_out = skipped(args)
    if "fid" not in left_out and min(len(pictures), len(real)) < 2:
        raise Refused("FID needs at least 2 pictures in --images and in --real")
    result = {"pictures": len(pictures), "real_pictures": len(real)}
    if len(left_out) < len(NAMES):
        try:
            result |= measure(args, pictures, real, prompts, left_out)
        except ImportError as error:
            raise Refused(f"{one_line(error)}: install the packages of {REQUIREMENTS}") from None
    return result | {"skipped": left_out}


def print_table(result):
    print(f"{result['pictures']} pictures\n\n| metric | value |\n|---|---|")
    for key, name in NAMES.items():
        print(f"| {name} | " + (f"{result[key]:.4f}" if key in result else f"skipped: {result['skipped'][key]}") + " |")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = {"type": pathlib.Path}
    parser.add_argument("--images", **path, required=True, help="folder of the pictures to judge; folders in it count")
    parser.add_argument("--prompts", **path,
                        help="their prompts: one a line in the order of the pictures' names (2.png before 10.png), or "
                             "*.jsonl with file_name and text")
    parser.add_argument("--real", **path, help="folder of real pictures, for FID")
    parser.add_argument("--fid_weights", **path, help="torch-fidelity's weights-inception-2015-12-05-6726825d.pth")
    parser.add_argument("--clip", **path, help="folder of a CLIP model as transformers saves it")
    parser.add_argument("--clip_iqa", **path,
                        help="OpenAI's RN50.pt: CLIP-IQA by its authors' model; without it, by --clip")
    parser.add_argument("--image_reward", **path,
                        help="folder with ImageReward.pt, med_config.json and bert-base-uncased/vocab.txt")
    parser.add_argument("--batch", type=int, default=16, help="pictures at a time (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.batch < 1:
        parser.error("--batch must be at least 1")
    return args


def main():
    for flag in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ[flag] = "1"
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    args = parse_arguments()
    try:
        result = run(args)
    except Refused as error:
        sys.exit(f"quality.py: {error}")
    print(json.dumps(result)) if args.json else print_table(result)


if __name__ == "__main__":
    main()
