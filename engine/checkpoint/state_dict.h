// The named weights of one module. A module takes every tensor it needs with the shape it expects,
// and the loader then checks that nothing was left over, so a checkpoint that does not fit is never
// loaded half.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ilf {

// Not thread-safe. Move-only, so that there is one record of what was consumed.
class StateDict {
 public:
  // Opens one safetensors file. Fails as SafetensorsFile::Open does; tensors of dtypes that cannot
  // be loaded fail only when they are taken.
  static absl::StatusOr<StateDict> Load(const std::string& path);

  // Opens `folder`/`name`.safetensors, or where that is absent the shards that
  // `folder`/`name`.safetensors.index.json lists. INVALID_ARGUMENT or NOT_FOUND names the index or
  // shard: one that is missing, a tensor that is not in its shard, or in none of the index.
  static absl::StatusOr<StateDict> LoadFolder(const std::string& folder, const std::string& name);

  // Weights that are in memory already; `origin` stands for the file's name in errors.
  StateDict(std::map<std::string, at::Tensor> tensors, std::string origin);

  StateDict(StateDict&&) = default;
  StateDict& operator=(StateDict&&) = default;

  const std::string& origin() const { return origin_; }
  bool Has(absl::string_view name) const;
  std::vector<std::string> Names() const;

  // The tensor in the file's own dtype (float32, float16 or bfloat16) on the CPU: a view on the
  // read-only mapping that the tensor keeps alive (so never write to it), or a copy where the file
  // is not aligned. Marks it consumed; it may be taken again. NOT_FOUND, or INVALID_ARGUMENT for
  // another shape or dtype.
  absl::StatusOr<at::Tensor> Take(const std::string& name, at::IntArrayRef shape);

  // The shape of a tensor, for what only the checkpoint knows. NOT_FOUND.
  absl::StatusOr<std::vector<int64_t>> Shape(const std::string& name) const;

  // Marks a tensor that the module does without; no effect when there is none.
  void Ignore(const std::string& name);

  // INVALID_ARGUMENT that lists the tensors that were neither taken nor ignored.
  absl::Status CheckAllConsumed() const;

 private:
  struct Item {
    at::Tensor tensor;  // undefined when the dtype cannot be loaded
    std::string dtype;
    std::vector<int64_t> shape;
    bool consumed = false;
  };

  explicit StateDict(std::string origin) : origin_(std::move(origin)) {}

  std::string origin_;
  std::map<std::string, Item, std::less<>> items_;
};

}  // namespace ilf
