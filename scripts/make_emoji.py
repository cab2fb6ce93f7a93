#!/usr/bin/env python3
"""Turns Debian's Noto colour emoji and Unicode's English names of them into captioned image folders.

    scripts/make_emoji.py OUTPUT [--side 64] [--holdout 0.05] [--repeats 1] [--vocabulary 1500]

writes OUTPUT/train and OUTPUT/held_out (Hugging Face "imagefolder" layout): square PNGs on white, and
metadata.jsonl with, for each picture, its "text" (the ways to caption it: the name, the name with its
keywords, the keywords with the name), "name", "emoji" and "group"; and with --repeats N > 1, for pictures
that share their parts with no others (no skin tone or gender, no family like "flag: "), "repeats": N, so
that a pass of ilf-train shows them N times. Sequences that the font draws with the same pixels are one
picture.

OUTPUT/tokenizer gets a SentencePiece vocabulary (unigram, T5's special tokens) trained on the captions of
the training set, lower-cased as PixArt's prompts are.

Held out is a share of the combinations of a person with a skin tone or a gender, each with all its
captions, chosen by a hash of its name: the person and the skin tone are in the training set, never
together. Needs the Debian packages of scripts/apt-packages-training.txt and the Python packages of
scripts/requirements-emoji.txt.
"""
import argparse
import hashlib
import io
import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

import sentencepiece
import uharfbuzz
from fontTools.ttLib import TTFont
from PIL import Image

FONT = pathlib.Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
CLDR = pathlib.Path("/usr/share/unicode/cldr/common")
TONES = ("light skin tone", "medium-light skin tone", "medium skin tone", "medium-dark skin tone",
         "dark skin tone")
GENDERS = ("man", "woman", "men", "women")
VARIATION_SELECTOR = "\ufe0f"
JOINER = "\u200d"


def read_annotations():
    """{characters: (name, [keywords])} of everything that has a spoken name."""
    names, keywords = {}, {}
    for folder in ("annotations", "annotationsDerived"):
        path = CLDR / folder / "en.xml"
        if not path.exists():
            raise SystemExit(f"{path} is missing: install the Debian package unicode-cldr-core")
        for entry in ElementTree.parse(path).iter("annotation"):
            characters, text = entry.get("cp"), (entry.text or "").strip()
            if not characters or not text:
                continue
            if entry.get("type") == "tts":
                names[characters] = text
            else:
                keywords[characters] = [word.strip() for word in text.split("|")]
    return {c: (name, keywords.get(c, [])) for c, name in names.items()}


class EmojiFont:
    def __init__(self, path):
        if not path.exists():
            raise SystemExit(f"{path} is missing: install the Debian package fonts-noto-color-emoji")
        self.shaper = uharfbuzz.Font(uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(path))))
        font = TTFont(path)
        self.glyph_names = font.getGlyphOrder()
        self.bitmaps = font["CBDT"].strikeData[0]

    def glyph(self, characters):
        """Name of the one glyph that draws the sequence; None where there is none or more."""
        buffer = uharfbuzz.Buffer()
        buffer.add_str(characters)
        buffer.guess_segment_properties()
        uharfbuzz.shape(self.shaper, buffer)
        names = [self.glyph_names[info.codepoint] for info in buffer.glyph_infos]
        return names[0] if len(names) == 1 and names[0] in self.bitmaps else None

    def png(self, glyph):
        return self.bitmaps[glyph].imageData


def spellings(characters):
    """CLDR leaves out the selector that asks for the colour form; the font's sequences have it."""
    yield characters
    yield characters + VARIATION_SELECTOR
    parts = characters.split(JOINER)
    if len(parts) > 1:
        yield parts[0] + VARIATION_SELECTOR + JOINER + JOINER.join(parts[1:])
        yield JOINER.join(parts[:-1] + [parts[-1] + VARIATION_SELECTOR])
    if len(characters) == 2 and characters[1] == "\u20e3":  # keycaps
        yield characters[0] + VARIATION_SELECTOR + characters[1]


def draw(png, side):
    """The bitmap on white, fitted into a square of `side` pixels."""
    glyph = Image.open(io.BytesIO(png)).convert("RGBA")
    scale = side / max(glyph.size)
    size = tuple(max(1, round(length * scale)) for length in glyph.size)
    # Premultiplied while it shrinks, so that transparent pixels' colours do not bleed in.
    white = Image.new("RGBA", glyph.size, (255, 255, 255, 255))
    small = Image.alpha_composite(white, glyph).convert("RGB").resize(size, Image.LANCZOS)
    square = Image.new("RGB", (side, side), (255, 255, 255))
    square.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def captions(name, keywords):
    words = ", ".join(word for word in keywords if word != name)
    return [name] + ([f"{name}, {words}", f"{words}, {name}"] if words else [])


def group_of(name):
    """What the picture shows without skin tones, if it has any; "" otherwise."""
    base, _, parts = name.partition(": ")
    has_tone = any(part.strip() in TONES for part in parts.split(","))
    if has_tone or base.split(" ")[0] in GENDERS:
        return base
    return ""


def is_held_out(name, share):
    """Of combinations alone: a name with a skin tone."""
    _, _, parts = name.partition(": ")
    if not any(part.strip() in TONES for part in parts.split(",")):
        return False
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def collect(font, side):
    """One entry for each picture that differs: {name, emoji, text, group, image}."""
    by_pixels = {}
    for characters, (name, keywords) in sorted(read_annotations().items()):
        glyph = next(filter(None, map(font.glyph, spellings(characters))), None)
        if glyph is None:
            continue
        image = draw(font.png(glyph), side)
        entry = by_pixels.setdefault(image.tobytes(), {
            "name": name, "emoji": characters, "text": [], "group": group_of(name), "image": image})
        entry["text"] += [text for text in captions(name, keywords) if text not in entry["text"]]
    return list(by_pixels.values())


def shares_its_parts(entry):
    return bool(entry["group"]) or ": " in entry["name"]


def write(folder, entries):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "metadata.jsonl", "w") as metadata:
        for i, entry in enumerate(entries):
            file_name = f"{i:04d}.png"
            entry["image"].save(folder / file_name)
            fields = {key: value for key, value in entry.items() if key != "image"}
            metadata.write(json.dumps({"file_name": file_name, **fields}) + "\n")
    print(f"{folder}: {len(entries)} pictures, {sum(len(e['text']) for e in entries)} captions")


def write_tokenizer(folder, entries, vocabulary):
    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text.lower() for entry in entries for text in entry["text"]]),
        model_prefix=str(folder / "spiece"), model_type="unigram", vocab_size=vocabulary, num_threads=1,
        character_coverage=1.0, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", minloglevel=1)
    (folder / "spiece.vocab").unlink()
    config = {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
              "extra_ids": 0, "legacy": True, "model_max_length": 300}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    print(f"{folder}: {vocabulary} pieces")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--side", type=int, default=64, help="pixels of a picture's side")
    parser.add_argument("--holdout", type=float, default=0.05, help="share of the combinations held out")
    parser.add_argument("--repeats", type=int, default=1,
                        help="how often a pass shows a picture that shares its parts with no others")
    parser.add_argument("--vocabulary", type=int, default=1500, help="pieces of the tokenizer")
    arguments = parser.parse_args()
    entries = collect(EmojiFont(FONT), arguments.side)
    held_out = [e for e in entries if is_held_out(e["name"], arguments.holdout)]
    trained = [e for e in entries if not is_held_out(e["name"], arguments.holdout)]
    for entry in trained:
        if arguments.repeats > 1 and not shares_its_parts(entry):
            entry["repeats"] = arguments.repeats
    write(arguments.output / "train", trained)
    write(arguments.output / "held_out", held_out)
    write_tokenizer(arguments.output / "tokenizer", trained, arguments.vocabulary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
