// Which models, on which device, in which dtype.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <c10/core/Device.h>

#include "absl/status/statusor.h"
#include "engine/model/execution.h"
#include "engine/pipeline/diffusion_model.h"

namespace ilf {

using ModelsByName = std::map<std::string, std::shared_ptr<const DiffusionModel>>;

// "cpu" or "cuda:N" with a device that this machine has; INVALID_ARGUMENT otherwise.
absl::StatusOr<c10::Device> ParseDevice(const std::string& name);

// Returns when `device` has done all that was started on it.
void WaitFor(c10::Device device);

// Whether the hardware multiplies bfloat16 faster than float32: any GPU; a CPU with AMX or
// AVX512-BF16.
bool IsFastAtBfloat16(c10::Device device);

// `dtype`: "float32", "bfloat16", or "auto" for bfloat16 where IsFastAtBfloat16, else float32.
absl::StatusOr<Execution> ChooseExecution(c10::Device device, const std::string& dtype,
                                          bool batch_invariant);

// Every folder of `root` that holds a model_index.json, by folder name; NOT_FOUND when there is
// none. An error, also one that LibTorch throws, is one line that names file or folder and reason.
absl::StatusOr<ModelsByName> LoadModels(const std::string& root, const LoadOptions& options);

}  // namespace ilf
