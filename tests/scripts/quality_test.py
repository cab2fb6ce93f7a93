"""Tests scripts/quality.py. What needs its packages (scripts/requirements-quality.txt) is skipped without them; the
weights are tiny or random, made here."""
import importlib.util
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib
from unittest import mock

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "quality.py"
HAS_PACKAGES = all(importlib.util.find_spec(name)
                   for name in ("torch", "torchmetrics", "torch_fidelity", "transformers", "ImageReward"))
PROMPTS = ["a cat", "a dog", "many words " * 50, "a tree"]


def png(width, height, pixel):
    """An RGB PNG; pixel(x, y) -> three numbers from 0 to 255."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in pixel(x, y)) for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Case(unittest.TestCase):
    """A folder of four pictures with their prompts, and the script run on it."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = pathlib.Path(temporary.name)
        self.images = self.root / "images"
        self.images.mkdir()
        for i in range(4):  # of two sizes; sorted as text, 10.png would be the second
            file = self.images / f"{[1, 2, 3, 10][i]}.png"
            file.write_bytes(png(40 + 8 * (i % 2), 40, lambda x, y, i=i: (50 * i, 5 * x, (x * y + 90 * i) % 256)))
        self.prompts = self.root / "prompts.txt"
        self.prompts.write_text("\n".join(PROMPTS) + "\n")

    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})

    def measure(self, *arguments):
        done = self.run_script("--images", self.images, "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def assert_refused(self, message, *arguments):
        done = self.run_script(*arguments)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        last = done.stderr.splitlines()[-1]
        self.assertTrue(last.startswith("quality.py: "), done.stderr)
        self.assertIn(message, last)


class ArgumentsTest(Case):
    def test_metrics_without_weights_are_named_as_skipped(self):
        result = self.measure()
        self.assertEqual(set(result["skipped"]), {"fid", "clip_score", "clip_iqa", "image_reward"})
        self.assertEqual(result["skipped"]["fid"], "needs --real and --fid_weights")
        table = self.run_script("--images", self.images, "--prompts", self.prompts)
        self.assertIn("| CLIP score | skipped: needs --clip |", table.stdout)

    def test_missing_and_empty_folders_are_refused(self):
        self.assert_refused("is not a folder", "--images", self.root / "absent")
        (self.root / "empty").mkdir()
        self.assert_refused("holds no picture", "--images", self.images, "--real", self.root / "empty")
        self.assert_refused("holds no config.json", "--images", self.images, "--clip", self.root / "empty")
        self.assert_refused("is not a file", "--images", self.images, "--fid_weights", self.root / "absent.pth")

    def test_prompts_must_be_as_many_as_pictures(self):
        self.prompts.write_text("a cat\na dog\n")
        self.assert_refused("2 prompts in", "--images", self.images, "--prompts", self.prompts)
        self.prompts.write_text("a cat\n\na dog\na tree\n")
        self.assert_refused("prompts.txt:2: an empty prompt", "--images", self.images, "--prompts", self.prompts)
        self.assert_refused("No such file", "--images", self.images, "--prompts", self.root / "absent")

    def test_json_prompts_must_name_every_picture(self):
        named = self.root / "metadata.jsonl"
        named.write_text("\n".join(json.dumps({"file_name": f"{n}.png", "text": "x"}) for n in (1, 2, 3)) + "\n")
        self.assert_refused("no prompt for 10.png", "--images", self.images, "--prompts", named)
        named.write_text('{"file_name": "1.png"}\n')
        self.assert_refused("metadata.jsonl:1: expected", "--images", self.images, "--prompts", named)


@unittest.skipUnless(HAS_PACKAGES, "the packages of scripts/requirements-quality.txt are not installed")
class MetricsTest(Case):
    def make_clip(self):
        from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer
        import torch
        torch.manual_seed(0)
        folder = self.root / "clip"
        folder.mkdir()
        letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
        words = letters + [f"{letter}</w>" for letter in letters] + ["<|startoftext|>", "<|endoftext|>"]
        (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        tokenizer = CLIPTokenizer(folder / "vocab.json", folder / "merges.txt", model_max_length=77)
        CLIPProcessor(CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32), tokenizer).save_pretrained(folder)
        tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        text = {**tower, "vocab_size": len(words), "bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
        config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 8},
                            projection_dim=16)
        CLIPModel(config).save_pretrained(folder)
        return folder

    def cosines(self, folder, texts):
        """[pictures, texts], by transformers alone."""
        import torch
        from PIL import Image
        from transformers import CLIPModel, CLIPProcessor
        pictures = [Image.open(self.images / f"{n}.png") for n in (1, 2, 3, 10)]
        inputs = CLIPProcessor.from_pretrained(folder)(text=texts, images=pictures, return_tensors="pt",
                                                       padding=True, truncation=True, max_length=77)
        with torch.inference_mode():
            output = CLIPModel.from_pretrained(folder)(**inputs)
        return output.image_embeds @ output.text_embeds.T

    def test_clip_metrics_are_what_their_definitions_say(self):
        folder = self.make_clip()
        result = self.measure("--prompts", self.prompts, "--clip", folder, "--batch", 3)
        self.assertEqual(set(result["skipped"]), {"fid", "image_reward"})
        score = 100 * self.cosines(folder, PROMPTS).diagonal().mean()
        self.assertAlmostEqual(result["clip_score"], max(score.item(), 0), delta=0.02)
        quality = (100 * self.cosines(folder, ["Good photo.", "Bad photo."])).softmax(-1)[:, 0].mean()
        self.assertAlmostEqual(result["clip_iqa"], quality.item(), delta=0.01)

    def test_clip_without_some_weights_is_refused(self):
        from safetensors.torch import load_file, save_file
        folder = self.make_clip()
        weights = load_file(folder / "model.safetensors")
        del weights["text_projection.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        self.assert_refused("1 weights of a CLIP are missing", "--images", self.images, "--clip", folder)

    def test_fid_of_equal_folders_is_zero_and_of_others_is_not(self):
        import torch
        import torch_fidelity.feature_extractor_inceptionv3 as inception
        torch.manual_seed(0)
        with mock.patch.object(inception, "load_state_dict_from_url", return_value={}), \
                mock.patch.object(inception.FeatureExtractorInceptionV3, "load_state_dict"):
            weights = inception.FeatureExtractorInceptionV3("random", ["2048"]).state_dict()
        for tensor in weights.values():
            if tensor.dim() == 4:
                torch.nn.init.kaiming_normal_(tensor)
        file = self.root / "inception.pth"
        torch.save(weights, file)
        same = self.measure("--real", self.images, "--fid_weights", file)
        self.assertEqual(same["real_pictures"], 4)
        self.assertLess(abs(same["fid"]), 0.01)
        real = self.root / "real"
        real.mkdir()
        for i in range(2):
            (real / f"{i}.png").write_bytes(png(40, 40, lambda x, y, i=i: (250, (y * 30) % 256, 100 * i)))
        self.assertGreater(self.measure("--real", real, "--fid_weights", file)["fid"], 1)

    def test_what_are_no_weights_and_no_pictures_is_refused(self):
        (self.root / "text.pth").write_text("not weights")
        self.assert_refused("cannot be loaded", "--images", self.images, "--real", self.images,
                            "--fid_weights", self.root / "text.pth")
        folder = self.make_clip()
        (self.images / "3.png").write_bytes(b"not a picture")
        self.assert_refused("3.png: not a picture", "--images", self.images, "--clip", folder)

    def test_a_device_that_is_not_there_is_refused_by_its_flag(self):
        folder = self.make_clip()
        for device in ("cuda:99", "toaster"):
            self.assert_refused(f"--device: {device} cannot be used", "--images", self.images, "--clip", folder,
                                "--device", device)

    def test_image_reward_without_weights_is_refused(self):
        import torch
        folder = self.root / "image_reward"
        (folder / "bert-base-uncased").mkdir(parents=True)
        (folder / "bert-base-uncased" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ncat\n")
        (folder / "med_config.json").write_text(json.dumps(
            {"hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 12, "vocab_size": 30524,
             "encoder_width": 768, "add_cross_attention": True, "add_type_embeddings": False}))
        torch.save({}, folder / "ImageReward.pt")
        self.assert_refused("ImageReward.pt lacks", "--images", self.images, "--prompts", self.prompts,
                            "--image_reward", folder)


if __name__ == "__main__":
    unittest.main()
