#!/usr/bin/env python3
"""Asks a running ilf-server for one image with previews and puts them side by side.

    pip install grpcio grpcio-tools pillow
    docs/images/make_previews.py --label "Ankle boot" --seed 7 docs/images/previews.png
"""
import argparse
import io
import pathlib
import sys
import tempfile

import grpc
import grpc_tools.protoc
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS_SHOWN = (2, 6, 10, 14)
SIDE = 128


def load_api():
    out = tempfile.mkdtemp()
    proto = "ilf/v1/image_generation.proto"
    include = pathlib.Path(grpc_tools.protoc.__file__).parent / "_proto"
    status = grpc_tools.protoc.main(["", f"-I{ROOT / 'proto'}", f"-I{include}", f"--python_out={out}",
                                     f"--grpc_python_out={out}", proto])
    if status != 0:
        raise SystemExit("protoc failed")
    sys.path.insert(0, out)
    from ilf.v1 import image_generation_pb2, image_generation_pb2_grpc
    return image_generation_pb2, image_generation_pb2_grpc


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="127.0.0.1:50051")
    parser.add_argument("--label", default="Ankle boot")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("output", type=pathlib.Path)
    args = parser.parse_args()

    api, services = load_api()
    stub = services.ImageGenerationServiceStub(grpc.insecure_channel(args.address))
    request = api.GenerateRequest(class_label=api.ClassLabel(name=args.label), seed=args.seed, steps=20,
                                  preview=api.PreviewOptions(every_n_steps=2))
    pictures, data = {}, b""
    for event in stub.Generate(request, timeout=120):
        kind = event.WhichOneof("event")
        if kind == "preview":
            pictures[event.preview.step] = event.preview.data
        elif kind == "image":
            data += event.image.data
    shown = [pictures[step] for step in STEPS_SHOWN] + [data]
    sheet = Image.new("RGB", (len(shown) * (SIDE + 4) - 4, SIDE), "white")
    for i, picture in enumerate(shown):
        image = Image.open(io.BytesIO(picture)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
        sheet.paste(image, (i * (SIDE + 4), 0))
    sheet.save(args.output)


if __name__ == "__main__":
    main()
