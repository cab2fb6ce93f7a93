"""Writes the seed inputs of the fuzz targets."""

import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def file(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


SAFETENSORS = {
    "empty": b"",
    "no_tensors": file({}, b""),
    "one": file({"a": tensor("F32", [2], 0, 8)}, bytes(8)),
    "metadata": file({"__metadata__": {"format": "pt"}, "a": tensor("BF16", [1, 2], 0, 4)}, bytes(4)),
    "two": file({"b": tensor("U8", [3], 4, 7), "a": tensor("F16", [2], 0, 4)}, bytes(7)),
    "scalar_and_empty": file({"s": tensor("I64", [], 0, 8), "e": tensor("F32", [0, 7], 8, 8)}, bytes(8)),
    "padded": file(json.dumps({"a": tensor("F64", [1], 0, 8)}).encode() + b"   ", bytes(8)),
    "truncated": file({"a": tensor("F32", [2], 0, 8)}, bytes(7)),
    "overlap": file({"a": tensor("U8", [5], 0, 5), "b": tensor("U8", [4], 4, 8)}, bytes(8)),
    "hole": file({"a": tensor("U8", [4], 4, 8)}, bytes(8)),
    "overflow": file({"a": tensor("F32", [2**62, 2**62], 0, 8)}, bytes(8)),
    "huge_length": file({}, b"", length=2**64 - 1),
    "long_length": file({}, b"", length=100),
    "nested": file(b'{"a":{"shape":[[[[[[', b""),
    "twice": file(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{}}', b"x"),
}
JSON_CONFIG = {
    "object": b'{"a": 1, "block_out_channels": [32, 64], "id2label": {"0": "x"}}',
    "non_finite": b'{"a": -Infinity, "": [NaN, Infinity], "s": "\\"-Infinity"}',
    "null": b'{"a": null}',
    "nested": b'{"a": [[[{"b": [[]]}]]]}',
    "not_object": b"[1]",
    "escape_at_end": b'"\\',
    "big": b'{"a": 18446744073709551615, "": 1e999}',
}

for folder, inputs in (("safetensors", SAFETENSORS), ("json_config", JSON_CONFIG)):
    (CORPUS / folder).mkdir(parents=True, exist_ok=True)
    for name, data in inputs.items():
        (CORPUS / folder / name).write_bytes(data)
