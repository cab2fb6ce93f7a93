#include "engine/training/reference.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/safetensors_writer.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/sampling/dpm_solver_pp.h"
#include "engine/sampling/level_spacing.h"

namespace ilf {
namespace {

constexpr char kOrigin[] = "made_of";
constexpr int64_t kBatchesBetweenWrites = 4;
constexpr int64_t kLongestRound = 10;  // subjects between two guidance scales

// The solver's levels: those of `timesteps`, and between them as many as make up `min_steps` in
// all, the more the wider the gap in log SNR. After the last timestep they go down to the
// schedule's least noise.
struct FineLevels {
  std::vector<NoiseLevel> levels;
  std::vector<size_t> kept;  // positions of `timesteps`
};

FineLevels MakeFineLevels(const NoiseSchedule& schedule, const std::vector<double>& timesteps,
                          int min_steps) {
  std::vector<double> sigmas;
  for (const double timestep : timesteps) sigmas.push_back(schedule.SigmaAt(timestep));
  sigmas.push_back(std::min(schedule.SigmaAt(0), sigmas.back()));
  const double width = std::log(sigmas.front() / sigmas.back()) / min_steps;
  FineLevels fine;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double gap = std::log(sigmas[i] / sigmas[i + 1]);
    const int parts = std::max(1, static_cast<int>(std::ceil(gap / width - 1e-6)));
    fine.kept.push_back(fine.levels.size());
    for (int part = 0; part < parts; ++part) {
      const double sigma = sigmas[i] * std::exp(-gap * part / parts);
      fine.levels.push_back({part == 0 ? timesteps[i] : schedule.TimestepAt(sigma), sigma});
    }
  }
  return fine;
}

// States at the kept levels of the images [begin, begin + count), [kept + 1, count, channels, h,
// w].
at::Tensor SolveBatch(const Denoiser& denoiser, const StepPlan& plan,
                      const std::vector<size_t>& kept, const Reference& start, c10::Device device) {
  std::vector<Trajectory> images = StartImages(denoiser, plan, start, device);
  const std::vector<Trajectory*> pointers = PointersTo(images);
  const auto latents = [&] { return LatentsOf(images).to(at::kCPU); };
  std::vector<at::Tensor> states;
  for (size_t step = 0; step < plan.steps.size(); ++step) {
    if (std::find(kept.begin(), kept.end(), step) != kept.end()) states.push_back(latents());
    StepTogether(denoiser, pointers);
  }
  states.push_back(latents());
  return at::stack(states);
}

absl::StatusOr<at::Tensor> ReadStates(const std::string& file, const std::string& origin) {
  ILF_ASSIGN_OR_RETURN(const auto opened, SafetensorsFile::Open(file));
  const auto found = opened->metadata().find(kOrigin);
  if (found == opened->metadata().end() || found->second != origin) {
    return absl::NotFoundError(absl::StrCat(file, ": made of something else"));
  }
  ILF_ASSIGN_OR_RETURN(StateDict tensors, StateDict::Load(file));
  ILF_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, tensors.Shape("states"));
  return tensors.Take("states", shape);
}

}  // namespace

Reference Reference::At(const std::vector<int64_t>& positions) const {
  Reference part = *this;
  part.timesteps.clear();
  for (const int64_t position : positions) part.timesteps.push_back(timesteps[position]);
  std::vector<int64_t> kept = positions;
  kept.push_back(states.size(0) - 1);
  part.states = states.index_select(0, at::tensor(kept));
  return part;
}

Reference Reference::Select(const std::vector<int64_t>& images) const {
  Reference part;
  part.timesteps = timesteps;
  part.no_prompt = no_prompt;
  for (const int64_t image : images) {
    part.subjects.push_back(subjects[image]);
    part.guidance_scales.push_back(guidance_scales[image]);
  }
  part.states = states.index_select(1, at::tensor(images));
  return part;
}

Reference Reference::Images(int64_t begin, int64_t count) const {
  Reference part = *this;
  part.subjects = {subjects.begin() + begin, subjects.begin() + begin + count};
  part.guidance_scales = {guidance_scales.begin() + begin, guidance_scales.begin() + begin + count};
  part.states = states.narrow(1, begin, count);
  return part;
}

at::Tensor NoiseOf(const TransformerConfig& config, uint64_t first_seed, int64_t count) {
  std::vector<at::Tensor> noise;
  for (int64_t i = 0; i < count; ++i) {
    const at::Generator generator =
        at::make_generator<at::CPUGeneratorImpl>(first_seed + static_cast<uint64_t>(i));
    noise.push_back(
        at::randn({1, config.in_channels, config.sample_size, config.sample_size}, generator));
  }
  return at::cat(noise);
}

std::vector<Trajectory> StartImages(const Denoiser& denoiser, const StepPlan& plan,
                                    const Reference& reference, c10::Device device) {
  const at::Tensor noise = reference.noise().to(device);
  const std::vector<ImageCondition> conditions =
      ConditionsOf(denoiser, reference.subjects, reference.no_prompt);
  std::vector<Trajectory> images;
  for (int64_t i = 0; i < reference.images(); ++i) {
    images.push_back(
        StartTrajectory(plan, noise.narrow(0, i, 1), conditions[i], reference.guidance_scales[i]));
  }
  return images;
}

std::vector<Trajectory*> PointersTo(std::vector<Trajectory>& images) {
  std::vector<Trajectory*> pointers;
  for (Trajectory& image : images) pointers.push_back(&image);
  return pointers;
}

at::Tensor LatentsOf(const std::vector<Trajectory>& images) {
  std::vector<at::Tensor> x;
  for (const Trajectory& image : images) x.push_back(image.x);
  return at::cat(x);
}

double Rmse(const at::Tensor& a, const at::Tensor& b) {
  return std::sqrt((a.to(at::kDouble) - b.to(at::kDouble)).square().mean().item<double>());
}

Reference UnsolvedReference(const TransformerConfig& config, const ReferenceOptions& options) {
  const Subjects subjects = options.subjects.all.empty() ? ClassesOf(config) : options.subjects;
  const int64_t count = static_cast<int64_t>(subjects.all.size());
  const int64_t round = std::min(count, kLongestRound);
  Reference reference;
  reference.no_prompt = subjects.no_prompt;
  for (int64_t i = 0; i < options.images; ++i) {
    reference.subjects.push_back(subjects.all[i % count]);
    reference.guidance_scales.push_back(
        options.guidance_scales[i / round % options.guidance_scales.size()]);
  }
  reference.states = NoiseOf(config, options.first_seed, options.images).unsqueeze(0);
  return reference;
}

absl::StatusOr<Reference> SolveReference(const Denoiser& denoiser, const NoiseSchedule& schedule,
                                         const std::vector<double>& timesteps,
                                         const ReferenceOptions& options, const std::string& file,
                                         const std::string& key, const std::atomic<bool>& stop) {
  std::string origin = absl::StrCat(
      key, " seed ", options.first_seed, " guidance ", absl::StrJoin(options.guidance_scales, ","),
      " steps ", options.min_steps, " timesteps ", absl::StrJoin(timesteps, ","));
  if (!options.subjects.key.empty()) absl::StrAppend(&origin, " prompts ", options.subjects.key);
  Reference reference = UnsolvedReference(denoiser.transformer->config(), options);
  reference.timesteps = timesteps;
  const FineLevels fine = MakeFineLevels(schedule, timesteps, options.min_steps);
  const StepPlan plan = DpmSolverPpPlanFrom(schedule, fine.levels);

  // [timesteps + 1, images solved so far, ...]
  at::Tensor states = ReadStates(file, origin).value_or(at::Tensor());
  int64_t done = states.defined() ? states.size(1) : 0;
  at::NoGradGuard no_grad;
  for (int64_t batch = 1; done < options.images; ++batch) {
    if (stop) return absl::CancelledError("stopped; the same command goes on from there");
    const int64_t count = std::min(options.batch, options.images - done);
    const at::Tensor solved =
        SolveBatch(denoiser, plan, fine.kept, reference.Images(done, count), options.device);
    states = states.defined() ? at::cat({states, solved}, 1) : solved;
    done += count;
    absl::FPrintF(stderr, "reference: %d passes an image, %d of %d images\n", plan.steps.size(),
                  done, options.images);
    if (batch % kBatchesBetweenWrites != 0 && done < options.images && !stop) continue;
    ILF_RETURN_IF_ERROR(WriteSafetensors(file, {{"states", states}}, {{kOrigin, origin}}));
  }
  reference.states = states.narrow(1, 0, options.images);
  return reference;
}

}  // namespace ilf
