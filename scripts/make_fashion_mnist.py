#!/usr/bin/env python3
"""Turns Debian's dataset-fashion-mnist into image folders (Hugging Face "imagefolder" layout).

    scripts/make_fashion_mnist.py OUTPUT

writes OUTPUT/train (60,000 pictures) and OUTPUT/test (10,000): 32x32 grey PNGs (28x28 with a black border),
metadata.jsonl and labels.json. Needs only Python's standard library.
"""
import argparse
import gzip
import json
import pathlib
import struct
import zlib

SOURCE = pathlib.Path("/usr/share/datasets/fashion-mnist")
LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
          "Ankle boot"]
SIDE, BORDER = 28, 2


def read_idx(path):
    data = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4:4 + 4 * dimensions])
    return shape, data[4 + 4 * dimensions:]


def chunk(kind, payload):
    body = kind + payload
    return struct.pack(">I", len(payload)) + body + struct.pack(">I", zlib.crc32(body))


def grey_png(pixels):
    side = SIDE + 2 * BORDER
    empty = bytes(side)
    rows = [empty] * BORDER
    for y in range(SIDE):
        rows.append(bytes(BORDER) + pixels[y * SIDE:(y + 1) * SIDE] + bytes(BORDER))
    rows += [empty] * BORDER
    raw = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) +
            chunk(b"IEND", b""))


def find(name):
    for candidate in (SOURCE / f"{name}.gz", SOURCE / name):
        if candidate.exists():
            return candidate
    raise SystemExit(f"{SOURCE / name}(.gz) is missing: install the Debian package dataset-fashion-mnist")


def write_split(output, prefix):
    (count, *_), pixels = read_idx(find(f"{prefix}-images-idx3-ubyte"))
    _, labels = read_idx(find(f"{prefix}-labels-idx1-ubyte"))
    output.mkdir(parents=True, exist_ok=True)
    (output / "labels.json").write_text(json.dumps(LABELS) + "\n")
    size = SIDE * SIDE
    with open(output / "metadata.jsonl", "w") as metadata:
        for i in range(count):
            name = f"{i:05d}.png"
            (output / name).write_bytes(grey_png(pixels[i * size:(i + 1) * size]))
            metadata.write(json.dumps({"file_name": name, "label": labels[i]}) + "\n")
    print(f"{output}: {count} pictures")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    output = parser.parse_args().output
    write_split(output / "train", "train")
    write_split(output / "test", "t10k")


if __name__ == "__main__":
    main()
