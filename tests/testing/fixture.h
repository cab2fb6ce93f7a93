// Committed fixtures that diffusers computed (tests/fixtures/README.md), and how far from them we
// are.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/state_dict.h"

namespace ilf {

inline std::string FixturePath(const std::string& name) {
  return std::string(ILF_SOURCE_DIR "/tests/fixtures/") + name;
}

// The value, or the end of the test run with its error.
template <typename T>
T ValueOrDie(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(value.status().ToString());
  return *std::move(value);
}

// One expected.safetensors.
class Fixture {
 public:
  explicit Fixture(const std::string& path)
      : file_(ValueOrDie(SafetensorsFile::Open(path))),
        tensors_(ValueOrDie(StateDict::Load(path))) {}

  at::Tensor operator[](const std::string& name) {
    return ValueOrDie(tensors_.Take(name, ValueOrDie(tensors_.Shape(name))));
  }

  bool Has(const std::string& name) const { return tensors_.Has(name); }

  bool HasMetadata(const std::string& key) const { return file_->metadata().contains(key); }

  std::string Text(const std::string& key) const { return file_->metadata().at(key); }

  // A JSON object of the metadata.
  JsonConfig Metadata(const std::string& key) const {
    return ValueOrDie(JsonConfig::FromText(file_->metadata().at(key), file_->path() + ", " + key));
  }

 private:
  std::shared_ptr<const SafetensorsFile> file_;
  StateDict tensors_;
};

inline double MaxError(const at::Tensor& value, const at::Tensor& expected) {
  EXPECT_EQ(value.sizes(), expected.sizes());
  return (value.to(at::kFloat) - expected).abs().max().item<double>();
}

inline double RmsError(const at::Tensor& value, const at::Tensor& expected) {
  EXPECT_EQ(value.sizes(), expected.sizes());
  return std::sqrt((value.to(at::kFloat) - expected).square().mean().item<double>());
}

}  // namespace ilf
