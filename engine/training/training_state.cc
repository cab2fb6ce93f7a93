#include "engine/training/training_state.h"

#include <filesystem>

#include <ATen/ops/tensor.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/safetensors_writer.h"
#include "engine/checkpoint/state_dict.h"

namespace ilf {
namespace {

// The step as two float32 halves: safetensors that we load hold floats only.
constexpr int64_t kHalf = 1 << 16;

}  // namespace

absl::Status SaveTrainingState(const std::string& file, const TrainingState& state) {
  const at::Tensor step =
      at::tensor({static_cast<float>(state.step / kHalf), static_cast<float>(state.step % kHalf)});
  return WriteSafetensors(file,
                          {{"step", step},
                           {"weights", state.weights},
                           {"average", state.average},
                           {"exp_avg", state.exp_avg},
                           {"exp_avg_sq", state.exp_avg_sq}},
                          {});
}

absl::StatusOr<TrainingState> LoadTrainingState(const std::string& file, int64_t parameters) {
  if (!std::filesystem::exists(file)) {
    return absl::NotFoundError(absl::StrCat(file, ": does not exist"));
  }
  ILF_ASSIGN_OR_RETURN(StateDict tensors, StateDict::Load(file));
  TrainingState state;
  ILF_ASSIGN_OR_RETURN(const at::Tensor step, tensors.Take("step", {2}));
  state.step = step[0].item<int64_t>() * kHalf + step[1].item<int64_t>();
  ILF_ASSIGN_OR_RETURN(state.weights, tensors.Take("weights", {parameters}));
  ILF_ASSIGN_OR_RETURN(state.average, tensors.Take("average", {parameters}));
  ILF_ASSIGN_OR_RETURN(state.exp_avg, tensors.Take("exp_avg", {parameters}));
  ILF_ASSIGN_OR_RETURN(state.exp_avg_sq, tensors.Take("exp_avg_sq", {parameters}));
  return state;
}

}  // namespace ilf
