#!/usr/bin/env python3
"""Fails on an #include that breaks the dependency table of docs/architecture.md.

Usage: check_layers.py [ROOT]

Every quoted include names a file from the repository root, and lies in the including folder itself or in
one that the table lists. Third-party libraries are kept to the folders that may know them. One line is
printed for each breach; the exit code is 1 if there was any.
"""
import pathlib
import re
import sys

# Folder -> the folders it may include besides itself. Arrows are not transitive.
LAYERS = {
    "proto": [],
    "tls": [],
    "server": ["proto", "tls", "engine/api", "engine/base"],
    "client": ["proto", "tls"],
    "engine/api": [],
    "engine/base": [],
    "engine/batching": ["engine/api", "engine/base"],
    "engine/checkpoint": ["engine/base"],
    "engine/text": ["engine/base"],
    "engine/image": ["engine/base"],
    "engine/model": ["engine/checkpoint", "engine/base"],
    "engine/sampling": ["engine/base"],
    "engine/pipeline": ["engine/api", "engine/base", "engine/checkpoint", "engine/model",
                        "engine/sampling", "engine/text", "engine/image"],
    "engine/runtime": ["engine/api", "engine/base", "engine/batching"],
    "engine/training": ["engine/base", "engine/checkpoint", "engine/text", "engine/image",
                        "engine/model", "engine/sampling", "engine/pipeline"],
    "engine/evaluation": ["engine/base", "engine/checkpoint", "engine/image", "engine/model",
                          "engine/sampling", "engine/pipeline", "engine/training"],
}
ENGINE = [folder for folder in LAYERS if folder.startswith("engine/")]
LAYERS["tools"] = ENGINE
LAYERS["benchmarks"] = ENGINE + ["client", "proto"]
LAYERS["tests/testing"] = ["engine/api", "engine/base", "engine/checkpoint"]  # fakes, fixtures
LAYERS["tests/fuzz"] = ENGINE
LAYERS["tests/integration"] = ["client", "proto", "engine/api", "engine/base", "tests/testing"]

TOP_FOLDERS = sorted({layer.split("/")[0] for layer in LAYERS})

# Single files that may know more than their folder: the places where the parts are put together, and a
# test that reads its fixtures from safetensors.
EXCEPTIONS = {
    "server/main.cc": ["engine/runtime/create_engine.h"],
    "engine/runtime/create_engine.cc": ["engine/pipeline"],
    "tests/pipeline/batch_invariance_test.cc": ["engine/training/initial_weights.h"],
    "tests/pipeline/feedback_serving_test.cc": ["engine/training"],
    "tests/evaluation/cached_sampling_test.cc": ["tests/training/small_model.h"],
    "tests/integration/acceleration_test.cc": ["tests/server/error_details_testing.h"],
    "tests/integration/generation_test.cc": ["tests/server/error_details_testing.h"],
    "tests/integration/text_test.cc": ["tests/server/error_details_testing.h"],
    "tests/evaluation/classifier_test.cc": ["tests/training/small_dataset.h"],
    "tests/evaluation/evaluator_test.cc": ["tests/training"],
    "tests/tools/eval_cells_test.cc": ["tests/training/small_model.h"],
    "tests/tools/eval_run_test.cc": ["tests/training"],
    "tests/tools/plan_command_test.cc": ["tests/training/small_model.h"],
    "tests/pipeline/denoiser_test.cc": ["engine/training/initial_weights.h"],
    "tests/sampling/diffusers_parity_test.cc": ["engine/checkpoint"],
}

# First path component of an include -> the folders that may use the library. The tests of a folder may use
# what the folder may.
TORCH_FOLDERS = ["engine/checkpoint", "engine/image", "engine/model", "engine/sampling",
                 "engine/pipeline", "engine/training", "engine/evaluation", "tools", "benchmarks",
                 "tests/testing"]
PROTOBUF_FOLDERS = ["proto", "tls", "server", "client", "benchmarks", "tests/integration"]
LIBRARIES = {
    "torch": TORCH_FOLDERS,
    "ATen": TORCH_FOLDERS,
    "c10": TORCH_FOLDERS,
    "google": PROTOBUF_FOLDERS,
    "grpc": PROTOBUF_FOLDERS,
    "grpcpp": PROTOBUF_FOLDERS,
    "prometheus": ["server"],
    "spdlog": ["server", "engine/runtime", "engine/training", "tools", "benchmarks"],
    "chafa.h": ["client"],
    "glib.h": ["client"],
    "CLI": ["server", "client", "tools", "benchmarks"],
    "sentencepiece_processor.h": ["engine/text"],
    "unicode": ["engine/text"],  # ICU
    "opencv2": ["engine/image", "client", "tests"],
}
TORCH = {"torch", "ATen", "c10"}
PROTOBUF = {"google", "grpc", "grpcpp"}
# Headers that pull in all of LibTorch (about 15 s a file) -> who may pay for it.
UMBRELLA_HEADERS = {"torch/torch.h", "ATen/ATen.h"}
UMBRELLA_FOLDERS = ["engine/training", "tests/training", "tools", "benchmarks"]

# Generated headers are included by their path under proto/.
GENERATED = re.compile(r"(ilf|google/rpc)/.*\.pb\.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SUFFIXES = {".h", ".cc"}


def folder_of(path):
    """The layer that holds `path` (relative to the root), or None."""
    candidates = [f for f in LAYERS if path == f or path.startswith(f + "/")]
    return max(candidates, key=len, default=None)


def layer_of_source(path):
    """(folder, folders it may include, folders whose libraries it may use) of a source file."""
    folder = folder_of(path)
    if folder is not None:
        allowed = LAYERS[folder] + [folder]
        libraries = [folder]
    else:
        top, part = path.split("/")[:2]
        if top != "tests":
            return None
        tested = part if part in LAYERS else "engine/" + part
        if tested not in LAYERS:
            return None
        folder = "tests/" + part
        allowed = LAYERS[tested] + [tested, folder, "tests/testing", "engine/api", "engine/base"]
        libraries = [tested, folder]
    if folder.startswith("tests/"):
        libraries.append("tests")
    return folder, allowed + EXCEPTIONS.get(path, []), libraries


def includes_of(file):
    """Yields (line number, quote, included path)."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def is_ours(included):
    """Whether a quoted include means a file of this project: every other library's path is known."""
    first = included.split("/")[0]
    return first in TOP_FOLDERS or "/" not in included or GENERATED.fullmatch(included) is not None


def is_under(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def check_project_include(root, included, folder, allowed):
    """What is wrong with a quoted include, or None."""
    if GENERATED.fullmatch(included):
        included = "proto/" + included
    elif not included.startswith("proto/") and not (root / included).is_file():
        return f'"{included}" is not a file under the repository root'
    if is_under(included, allowed):
        return None
    return f'{folder} may not include "{included}"'


def check_library_include(included, folder, libraries):
    """What is wrong with the use of a third-party header, or None."""
    first = included.split("/")[0]
    if first in LIBRARIES and not any(f in LIBRARIES[first] for f in libraries):
        return f"{folder} may not use {first} (<{included}>)"
    if included in UMBRELLA_HEADERS and folder not in UMBRELLA_FOLDERS:
        return f"<{included}> costs 15 s a file: include what is used (<ATen/ops/...>, <c10/...>)"
    return None


def check_file(root, file):
    """The breaches in one file, as printable lines."""
    path = file.relative_to(root).as_posix()
    layer = layer_of_source(path)
    if layer is None:
        return [f"{path}: its folder is not in the table of scripts/check_layers.py"]
    folder, allowed, libraries = layer
    breaches = []
    used = set()
    for number, quote, included in includes_of(file):
        first = included.split("/")[0]
        used.add(first if first != "ilf" else "google")
        wrong = check_library_include(included, folder, libraries)
        if wrong is None and quote == '"' and is_ours(included):
            wrong = check_project_include(root, included, folder, allowed)
        if wrong:
            breaches.append(f"{path}:{number}: {wrong}")
    if used & TORCH and used & PROTOBUF:
        breaches.append(f"{path}: torch and protobuf in one file do not compile together")
    return breaches


def main(argv):
    root = pathlib.Path(argv[1] if len(argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    files = [f for top in TOP_FOLDERS for f in sorted((root / top).rglob("*")) if f.suffix in SUFFIXES]
    breaches = [line for file in files for line in check_file(root, file)]
    print("\n".join(breaches + [f"{len(files)} files, {len(breaches)} breaches of the layers"]))
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
