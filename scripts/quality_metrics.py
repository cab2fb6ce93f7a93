"""The metrics of scripts/quality.py: each takes batches of PIL pictures (RGB) and gives one number.

They are those of torchmetrics and image-reward. What is written here is how their weights come from paths, where
the packages would fetch them, and what keeps wrong weights from passing for right ones.
"""
from unittest import mock

import numpy
import torch


def to_tensor(picture, device):
    """[3, height, width] uint8."""
    return torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).contiguous().to(device)


class Fid:
    """FID on torch-fidelity's copy of the original InceptionV3, with the original's bilinear resizing."""

    def __init__(self, weights, device):
        from torchmetrics.image.fid import FrechetInceptionDistance
        self.device = device
        self.metric = FrechetInceptionDistance(
            feature=2048, feature_extractor_weights_path=str(weights), antialias=False).to(device)

    def _add(self, pictures, real):
        by_size = {}
        for picture in pictures:
            by_size.setdefault(picture.size, []).append(to_tensor(picture, self.device))
        for same in by_size.values():
            self.metric.update(torch.stack(same), real=real)

    def update(self, pictures, _):
        self._add(pictures, real=False)

    def update_real(self, pictures):
        self._add(pictures, real=True)

    def result(self):
        return self.metric.compute().item()


class TruncatingProcessor:
    """A CLIPProcessor that cuts long prompts before their end token, as CLIP does. torchmetrics would cut the end
    token away, and the model would then embed the begin token in its place."""

    def __init__(self, processor, length):
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.length = length

    def __call__(self, text=None, images=None, **options):
        if text is not None:
            options |= {"truncation": True, "max_length": self.length}
        return self.processor(text=text, images=images, **options)


def load_clip(folder):
    """(model, processor) of a folder as transformers saves it; fails where a weight is missing."""
    from transformers import CLIPModel, CLIPProcessor
    model, info = CLIPModel.from_pretrained(str(folder), local_files_only=True, output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"]:
        raise ValueError(f"{len(info['missing_keys']) + len(info['mismatched_keys'])} weights of a CLIP are missing")
    processor = CLIPProcessor.from_pretrained(str(folder), local_files_only=True)
    return model.eval(), TruncatingProcessor(processor, model.config.text_config.max_position_embeddings)


class ClipScore:
    """100 times the mean cosine between picture and prompt."""

    def __init__(self, clip, device):
        from torchmetrics.multimodal.clip_score import CLIPScore
        self.device = device
        self.metric = CLIPScore(model_name_or_path=lambda: clip).to(device)

    @torch.inference_mode()
    def update(self, pictures, prompts):
        self.metric.update([to_tensor(picture, self.device) for picture in pictures], list(prompts))

    def result(self):
        return self.metric.compute().item()


class ClipIqa:
    """Mean probability of "Good photo." against "Bad photo."."""

    def __init__(self, clip, resnet, device):
        from torchmetrics.multimodal.clip_iqa import CLIPImageQualityAssessment
        self.device = device
        if resnet:
            self.metric = self._of_the_authors(clip, resnet, CLIPImageQualityAssessment)
        else:
            # The processor divides by 255, so the metric must not: data_range stays 1 for pixels of 0 to 255.
            self.metric = CLIPImageQualityAssessment(model_name_or_path=lambda: clip, data_range=1.0)
        self.metric.to(device)

    @staticmethod
    def _of_the_authors(clip, resnet, metric):
        """CLIP's ResNet-50 without position embedding, which torchmetrics takes from piq."""
        import piq.feature_extractors.clip as resnet_loader
        from transformers import CLIPProcessor
        with mock.patch.object(resnet_loader, "_download", return_value=str(resnet)), \
                mock.patch.object(CLIPProcessor, "from_pretrained", return_value=clip[1]):
            return metric(model_name_or_path="clip_iqa", data_range=255.0)

    @torch.inference_mode()
    def update(self, pictures, _):
        for picture in pictures:  # of any size
            self.metric.update(to_tensor(picture, self.device)[None].float())

    def result(self):
        return self.metric.compute().mean().item()


class ImageReward:
    """Mean reward. The folder stands in for the hub: its tokenizer for bert-base-uncased."""

    def __init__(self, folder, device):
        from ImageReward.ImageReward import ImageReward as Model
        from ImageReward.models.BLIP import blip
        from transformers import BertTokenizer
        weights = torch.load(folder / "ImageReward.pt", map_location="cpu", weights_only=True)
        tokenizer = BertTokenizer(str(folder / "bert-base-uncased" / "vocab.txt"))
        with mock.patch.object(blip.BertTokenizer, "from_pretrained", return_value=tokenizer):
            self.model = Model(device=device, med_config=str(folder / "med_config.json"))
        missing, _ = self.model.load_state_dict(weights, strict=False)
        missing = [name for name in missing if not name.endswith("position_ids")]
        if missing:
            raise ValueError(f"ImageReward.pt lacks {len(missing)} weights, {missing[0]} among them")
        self.model.to(device).eval()
        self.scores = []

    @torch.inference_mode()
    def update(self, pictures, prompts):
        self.scores += [self.model.score(prompt, picture) for picture, prompt in zip(pictures, prompts)]

    def result(self):
        return sum(self.scores) / len(self.scores)
