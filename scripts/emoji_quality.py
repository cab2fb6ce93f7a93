#!/usr/bin/env python3
"""How well a model paints the emoji of scripts/make_emoji.py: retrieval among all of them, FID, PSNR.

    scripts/emoji_quality.py paint       --data DATA --out OUT [--guidance 1,2,3] [--sample N] [--server HOST:PORT]
    scripts/emoji_quality.py reconstruct --data DATA --out OUT --model_dir models/emoji-pixart
    scripts/emoji_quality.py measure     --data DATA --out OUT
    scripts/emoji_quality.py sheet       --data DATA --out OUT --output sheet.png [--prompt NAME ...]

paint asks a running ilf-server for one picture of each emoji's name, its seed the emoji's number, and writes
OUT/guidance_G/{train,held_out}/NNNN.png; what is there is not painted again. reconstruct sends the true pictures
through the autoencoder into OUT/reconstructions. measure judges every such folder by two kinds of
features of an EfficientNet-Lite0 trained on ImageNet (scripts/emoji_features.py); the nearest is the one of greatest
cosine. It writes OUT/quality.jsonl and prints Markdown; features are kept in DATA/features, so that those of the true
pictures are computed once. FID is on the pooled features, between the pictures and the true ones of the same prompts.
The packages are those of scripts/requirements-emoji-quality.txt, in an environment of their own (.deps/emoji-quality is
where the tests look for it); nothing is downloaded.
"""
import argparse
import collections
import dataclasses
import hashlib
import json
import math
import pathlib
import sys
import time

SPLITS = ("train", "held_out")
RECONSTRUCTIONS = "reconstructions"
RECONSTRUCT_BATCH = 32
CONTROL_SEED = 0
LABEL_WIDTH = 420
LOG_EVERY = 100  # pictures, where the progress is no terminal's
RETRIEVAL_SPACES = ("grid", "pooled")  # of scripts/emoji_features.py
CONFUSED_IN = "grid"
FRECHET_IN = "pooled"
CONFUSIONS = ("right", "right person, wrong tone", "right tone, wrong person", "neither")


class Refused(Exception):
    """A mistake in what was given, in one line."""


@dataclasses.dataclass(frozen=True)
class Emoji:
    split: str
    number: int  # place in its metadata.jsonl
    file_name: str
    name: str


def read_emoji(data, split):
    try:
        lines = (data / split / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return [Emoji(split, i, row["file_name"], row["name"]) for i, row in enumerate(rows)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{data / split}: no emoji of scripts/make_emoji.py ({error})") from None


def sample(emoji, count):
    """The same ones each time, and a smaller sample is a part of a greater one."""
    if count is None:
        return emoji
    return sorted(emoji, key=lambda e: hashlib.sha256(e.name.encode()).digest())[:count]


def person_and_tone(name):
    """("man, red hair", "light skin tone") of "man: light skin tone, red hair"."""
    base, _, rest = name.partition(": ")
    parts = [part.strip() for part in rest.split(",")] if rest else []
    tones = [part for part in parts if part.endswith("skin tone")]
    return ", ".join([base] + [part for part in parts if part not in tones]), ", ".join(tones)


def confusion(wanted, found):
    """Which of CONFUSIONS it is to show `found` for `wanted`; names."""
    if wanted == found:
        return CONFUSIONS[0]
    (person, tone), (found_person, found_tone) = person_and_tone(wanted), person_and_tone(found)
    if person == found_person:
        return CONFUSIONS[1]
    return CONFUSIONS[2] if tone == found_tone else CONFUSIONS[3]


def wilson(hits, count, z=1.959964):
    """95 % interval of a share."""
    share, square = hits / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def painted_folders(out):
    """By guidance, the reconstructions last."""
    found = sorted((path for path in out.glob("guidance_*") if path.is_dir()),
                   key=lambda path: float(path.name.partition("_")[2]))
    return found + [path for path in [out / RECONSTRUCTIONS] if path.is_dir()]


def open_picture(path):
    import numpy
    from PIL import Image
    with Image.open(path) as picture:
        return numpy.array(picture.convert("RGB"))


class Gallery:
    """The true pictures, those with the same pixels once."""

    def __init__(self, data, features):
        from emoji_metrics import distinct
        emoji = [e for split in SPLITS for e in read_emoji(data, split)]
        pictures = [open_picture(data / e.split / e.file_name) for e in emoji]
        kept, places = distinct(pictures)
        self.names = [emoji[i].name for i in kept]
        self.pictures = [pictures[i] for i in kept]
        self.features = features(self.pictures)
        self.place = dict(zip(emoji, places))


def retrieval(prefix, ranks):
    """Of the ranks of the true pictures: top-1 and top-5 with their intervals."""
    result = {}
    for most in (1, 5):
        hits = int((ranks <= most).sum())
        result[f"{prefix}_top{most}"] = hits / len(ranks)
        result[f"{prefix}_top{most}_interval"] = wilson(hits, len(ranks))
    return result


def judge(folder, split, emoji, gallery, features):
    """One line of quality.jsonl."""
    import emoji_metrics as metrics
    pictures = [open_picture(folder / split / e.file_name) for e in emoji]
    targets = [gallery.place[e] for e in emoji]
    found = features(pictures)
    similarities = {space: metrics.cosines(found[space], gallery.features[space]) for space in RETRIEVAL_SPACES}
    result = {"pictures": folder.name, "prompts": split, "count": len(emoji), "gallery": len(gallery.names)}
    order = metrics.deranged(len(emoji), CONTROL_SEED)
    for space, near in similarities.items():
        result |= retrieval(space, metrics.ranks(near, targets))
        if order is not None:
            result |= retrieval(f"{space}_control", metrics.ranks(near, [targets[i] for i in order]))
    if order is not None:
        result["fid"] = metrics.frechet_distance(found[FRECHET_IN], gallery.features[FRECHET_IN][targets])
    nearest = similarities[CONFUSED_IN].argmax(axis=1)
    counts = collections.Counter(confusion(gallery.names[t], gallery.names[n]) for t, n in zip(targets, nearest))
    result["confusion"] = {kind: counts[kind] / len(emoji) for kind in CONFUSIONS}
    if folder.name == RECONSTRUCTIONS:
        result["psnr"] = metrics.psnr(pictures, [gallery.pictures[i] for i in targets])
    return result


def percent(result, key):
    if key not in result:
        return "-"
    low, high = result[f"{key}_interval"]
    return f"{100 * result[key]:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def tables(results):
    """Markdown lines."""
    yield ("| pictures | prompts | count | grid top-1 % | top-5 % | control top-1 % | pooled top-1 % | top-5 % "
           "| control top-1 % | FID | PSNR dB |")
    yield "|---" * 11 + "|"
    for r in results:
        shares = [percent(r, f"{space}_{key}") for space in RETRIEVAL_SPACES
                  for key in ("top1", "top5", "control_top1")]
        numbers = [f"{r[key]:.{digits}f}" if r.get(key) is not None else "-"
                   for key, digits in (("fid", 3), ("psnr", 2))]
        yield f"| {' | '.join([r['pictures'], r['prompts'], str(r['count'])] + shares + numbers)} |"
    yield ""
    yield f"| pictures, held-out prompts: the nearest is | {' | '.join(f'{kind} %' for kind in CONFUSIONS)} |"
    yield "|---" * (1 + len(CONFUSIONS)) + "|"
    for r in results:
        if r["prompts"] == "held_out":
            shares = [f"{100 * r['confusion'][kind]:.1f}" for kind in CONFUSIONS]
            yield f"| {r['pictures']} | {' | '.join(shares)} |"


def measure(args):
    from emoji_features import Features
    folders = painted_folders(args.out)
    if not folders:
        raise Refused(f"{args.out} holds neither guidance_G nor {RECONSTRUCTIONS}")
    features = Features(args.data / "features")
    gallery = Gallery(args.data, features)
    results = []
    with open(args.out / "quality.jsonl", "w", encoding="utf-8") as log:
        for folder in folders:
            for split in SPLITS:
                there = [e for e in read_emoji(args.data, split) if (folder / split / e.file_name).exists()]
                if not there:
                    continue
                results.append(judge(folder, split, there, gallery, features))
                log.write(json.dumps(results[-1]) + "\n")
                log.flush()
    print("\n".join(tables(results)))
    width = gallery.features[FRECHET_IN].shape[1]
    few = [r for r in results if r["count"] <= width]
    if few:
        print(f"\nFID: with no more pictures ({min(r['count'] for r in few)}) than features "
              f"({width}) covariances are singular; the distance is exact for them, but far too "
              "great for the model: compare it between equal counts only.")


def reconstruct(args):
    from emoji_metrics import psnr
    from diffusers import AutoencoderKL
    from PIL import Image
    import torch
    vae = AutoencoderKL.from_pretrained(args.model_dir / "vae", local_files_only=True).eval()

    def through(pictures):
        pixels = torch.stack([torch.from_numpy(p) for p in pictures]).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.inference_mode():
            decoded = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        levels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return list(levels.permute(0, 2, 3, 1).numpy())

    for split in SPLITS:
        emoji = read_emoji(args.data, split)
        truths = [open_picture(args.data / split / e.file_name) for e in emoji]
        begins = range(0, len(truths), RECONSTRUCT_BATCH)
        results = [p for begin in begins for p in through(truths[begin:begin + RECONSTRUCT_BATCH])]
        folder = args.out / RECONSTRUCTIONS / split
        folder.mkdir(parents=True, exist_ok=True)
        for e, picture in zip(emoji, results):
            Image.fromarray(picture).save(folder / e.file_name)
        print(json.dumps({"pictures": RECONSTRUCTIONS, "prompts": split, "count": len(emoji),
                          "psnr": psnr(results, truths)}))


def paint(args):
    import grpc
    import emoji_paint
    sampled = sample(read_emoji(args.data, "train"), args.sample) + read_emoji(args.data, "held_out")
    folders = {guidance: args.out / f"guidance_{guidance:g}" for guidance in args.guidance}
    orders = [emoji_paint.Order(e.name, e.number, guidance, folder / e.split / e.file_name)
              for guidance, folder in folders.items() for e in sampled]
    begin = time.monotonic()

    terminal = sys.stderr.isatty()

    def report(done, total):
        if not terminal and done % LOG_EVERY and done < total:
            return
        rate = done / (time.monotonic() - begin)
        text = f"{done} of {total} painted, {rate:.1f}/s, {(total - done) / rate:.0f} s left"
        print(f"\r{text} " if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    with grpc.insecure_channel(args.server) as channel:
        painter = emoji_paint.Painter(channel, args.model, args.steps, args.acceleration)
        try:
            count = emoji_paint.paint_all(painter, orders, args.in_flight, report)
        except (grpc.RpcError, emoji_paint.ProtocolError) as error:
            text = error.details() if isinstance(error, grpc.RpcError) else str(error)
            raise Refused(f"{args.server}: {text}") from None
    print("\n" if terminal else "", f"{count} painted, {len(orders) - count} were there", sep="", file=sys.stderr)


def chosen(args):
    """The emoji of a sheet: those named, else some of both splits."""
    emoji = {split: read_emoji(args.data, split) for split in SPLITS}
    if not args.prompt:
        return [e for split in SPLITS for e in sample(emoji[split], args.count)]
    by_name = {e.name: e for split in SPLITS for e in emoji[split]}
    unknown = [name for name in args.prompt if name not in by_name]
    if unknown:
        raise Refused(f"no emoji is named \"{unknown[0]}\"")
    return [by_name[name] for name in args.prompt]


def sheet(args):
    """One row an emoji: the true picture, then one of each folder; grey where there is none."""
    from PIL import Image, ImageDraw
    folders = [args.data] + painted_folders(args.out)
    emoji = chosen(args)
    side = open_picture(args.data / emoji[0].split / emoji[0].file_name).shape[0]
    heading, step = 20, side + 4
    page = Image.new("RGB", (LABEL_WIDTH + step * len(folders), heading + step * len(emoji)), "white")
    draw = ImageDraw.Draw(page)
    for x, folder in enumerate(folders):
        title = "true" if folder == args.data else folder.name.replace("guidance_", "guidance ")[:11]
        draw.text((LABEL_WIDTH + step * x, 4), title, fill="black")
        for y, e in enumerate(emoji):
            path = folder / e.split / e.file_name
            picture = Image.fromarray(open_picture(path)) if path.exists() else Image.new("RGB", (side, side), "grey")
            page.paste(picture, (LABEL_WIDTH + step * x, heading + step * y))
    for y, e in enumerate(emoji):
        draw.text((4, heading + step * y + side // 2 - 6),
                  e.name + (" (held out)" if e.split == "held_out" else ""), fill="black")
    page.save(args.output)


def numbers(text):
    return [float(part) for part in text.split(",")]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(function):
        added = commands.add_parser(function.__name__)
        added.set_defaults(function=function)
        added.add_argument("--data", type=pathlib.Path, required=True, help="folder that make_emoji.py wrote")
        added.add_argument("--out", type=pathlib.Path, required=True, help="folder of the pictures to judge")
        return added

    added = command(paint)
    added.add_argument("--server", default="127.0.0.1:50051", help="host:port (%(default)s)")
    added.add_argument("--model", default="emoji-pixart", help="name at the server (%(default)s)")
    added.add_argument("--guidance", type=numbers, default=[3.0], help="scales, separated by commas (3)")
    added.add_argument("--steps", type=int, default=20, help="denoising steps (%(default)s)")
    added.add_argument("--acceleration", default="auto", choices=("auto", "off", "feedback"),
                       help="Inner Loop Feedback (%(default)s)")
    added.add_argument("--sample", type=int, help="only so many of the trained prompts; all held-out ones are painted")
    added.add_argument("--in_flight", type=int, default=32, help="requests at a time (%(default)s)")
    command(reconstruct).add_argument("--model_dir", type=pathlib.Path, required=True, help="folder with vae/")
    command(measure)
    added = command(sheet)
    added.add_argument("--output", type=pathlib.Path, required=True, help="PNG to write")
    added.add_argument("--prompt", action="append", help="name of an emoji; may be given several times")
    added.add_argument("--count", type=int, default=8, help="without --prompt: emoji of each split (%(default)s)")
    return parser.parse_args()


def main():
    args = parse_arguments()
    try:
        args.function(args)
    except ImportError as error:
        sys.exit(f"emoji_quality.py: {error}: install the packages of scripts/requirements-emoji-quality.txt")
    except Refused as error:
        sys.exit(f"emoji_quality.py: {error}")


if __name__ == "__main__":
    main()
