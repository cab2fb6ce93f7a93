#include "engine/training/training_state.h"

#include <filesystem>
#include <utility>
#include <vector>

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/safetensors_writer.h"
#include "engine/checkpoint/state_dict.h"

namespace ilf {
namespace {

// The step as two float32 halves: safetensors that we load hold floats only.
constexpr int64_t kHalf = 1 << 16;
// The run is in a tensor's name, as these files hold no text.
constexpr absl::string_view kRun = "run ";
constexpr absl::string_view kBuffer = "buffer ";

absl::Status CheckRun(const StateDict& tensors, const std::string& run) {
  for (const std::string& name : tensors.Names()) {
    if (!absl::StartsWith(name, kRun) || name == absl::StrCat(kRun, run)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(tensors.origin(),
                     ": is of a run with another backbone, other plans or settings; --no_resume "
                     "begins anew"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SaveTrainingState(const std::string& file, const TrainingState& state) {
  const at::Tensor step =
      at::tensor({static_cast<float>(state.step / kHalf), static_cast<float>(state.step % kHalf)});
  std::vector<std::pair<std::string, at::Tensor>> tensors = {{"step", step},
                                                             {"weights", state.weights},
                                                             {"average", state.average},
                                                             {"exp_avg", state.exp_avg},
                                                             {"exp_avg_sq", state.exp_avg_sq}};
  for (const auto& [name, tensor] : state.buffers) {
    tensors.emplace_back(absl::StrCat(kBuffer, name), tensor);
  }
  if (!state.run.empty()) tensors.emplace_back(absl::StrCat(kRun, state.run), at::zeros({1}));
  return WriteSafetensors(file, tensors, {});
}

absl::StatusOr<TrainingState> LoadTrainingState(const std::string& file, const std::string& run,
                                                int64_t parameters, const NamedTensors& buffers) {
  if (!std::filesystem::exists(file)) {
    return absl::NotFoundError(absl::StrCat(file, ": does not exist"));
  }
  ILF_ASSIGN_OR_RETURN(StateDict tensors, StateDict::Load(file));
  ILF_RETURN_IF_ERROR(CheckRun(tensors, run));
  TrainingState state;
  ILF_ASSIGN_OR_RETURN(const at::Tensor step, tensors.Take("step", {2}));
  state.step = step[0].item<int64_t>() * kHalf + step[1].item<int64_t>();
  ILF_ASSIGN_OR_RETURN(state.weights, tensors.Take("weights", {parameters}));
  ILF_ASSIGN_OR_RETURN(state.average, tensors.Take("average", {parameters}));
  ILF_ASSIGN_OR_RETURN(state.exp_avg, tensors.Take("exp_avg", {parameters}));
  ILF_ASSIGN_OR_RETURN(state.exp_avg_sq, tensors.Take("exp_avg_sq", {parameters}));
  state.buffers = buffers;
  for (auto& [name, tensor] : state.buffers) {
    const std::string stored = absl::StrCat(kBuffer, name);
    if (!tensors.Has(stored)) continue;
    ILF_ASSIGN_OR_RETURN(tensor, tensors.Take(stored, tensor.sizes().vec()));
  }
  return state;
}

}  // namespace ilf
