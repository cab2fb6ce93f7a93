// Weights in shards, as diffusers' save_pretrained(max_shard_size=...) writes them.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/checkpoint/safetensors_writer.h"
#include "engine/checkpoint/state_dict.h"
#include "tests/testing/fixture.h"

namespace ilf {

// Puts two shards and their index in the place of `folder`/`name`.safetensors. The paths of the
// shards.
inline std::vector<std::string> SplitIntoShards(const std::string& folder,
                                                const std::string& name) {
  const std::string whole = absl::StrCat(folder, "/", name, ".safetensors");
  StateDict weights = ValueOrDie(StateDict::Load(whole));
  const std::vector<std::string> tensors = weights.Names();
  std::vector<std::string> paths, places;
  for (size_t shard = 0; shard < 2; ++shard) {
    const std::string file = absl::StrCat(name, "-0000", shard + 1, "-of-00002.safetensors");
    std::vector<std::pair<std::string, at::Tensor>> part;
    for (size_t i = shard; i < tensors.size(); i += 2) {
      const std::string& tensor = tensors[i];
      part.emplace_back(tensor,
                        ValueOrDie(weights.Take(tensor, ValueOrDie(weights.Shape(tensor)))));
      places.push_back(absl::StrCat("\"", tensor, "\": \"", file, "\""));
    }
    paths.push_back(absl::StrCat(folder, "/", file));
    const absl::Status written = WriteSafetensors(paths.back(), part, {{"format", "pt"}});
    if (!written.ok()) throw std::runtime_error(written.ToString());
  }
  std::ofstream(whole + ".index.json")
      << R"({"metadata": {}, "weight_map": {)" << absl::StrJoin(places, ", ") << "}}";
  std::filesystem::remove(whole);
  return paths;
}

}  // namespace ilf
