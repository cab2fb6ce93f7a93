// Whole models against diffusers: from the seed to the noise, the latents and the picture.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/image/codec.h"
#include "engine/pipeline/denoiser.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/pipeline/torch_step_runner.h"
#include "engine/sampling/solver.h"
#include "tests/pipeline/parity_bounds.h"
#include "tests/testing/fixture.h"

namespace ilf {
namespace {

// One request of the fixture.
struct FixtureRun {
  int64_t class_index;
  std::vector<int64_t> seeds;  // one an image
  int steps;
  double guidance;
  double rounding;  // how far its latents move with a millionth of the noise; 0: not measured
};

FixtureRun ReadRun(const JsonConfig& json) {
  return {ValueOrDie(json.GetInt("class")), ValueOrDie(json.GetIntList("seeds")),
          static_cast<int>(ValueOrDie(json.GetInt("steps"))),
          ValueOrDie(json.GetDouble("guidance")), ValueOrDie(json.GetDouble("rounding", 0.0))};
}

std::vector<FixtureRun> ReadRuns(const Fixture& fixture) {
  std::vector<FixtureRun> runs;
  for (int i = 0; fixture.HasMetadata(absl::StrCat("run_", i)); ++i) {
    runs.push_back(ReadRun(fixture.Metadata(absl::StrCat("run_", i))));
  }
  return runs;
}

// [1, channels, side, side], as the runner draws it.
at::Tensor DrawNoise(const TransformerConfig& config, int64_t seed) {
  return at::randn({1, config.in_channels, config.sample_size, config.sample_size},
                   at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(seed)));
}

class DitPipelineParityTest : public testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<const DiffusionModel> Load(const Execution& execution) const {
    return ValueOrDie(DiffusionModel::Load(directory_, GetParam(), {execution}));
  }

  // Takes all images of a run together from their seeds to their latents.
  at::Tensor Sample(const DiffusionModel& model, const FixtureRun& run) const {
    const SolverKind solver = ToSolverKind(model.info().default_solver);
    std::vector<Trajectory> trajectories;
    for (const int64_t seed : run.seeds) {
      trajectories.push_back(StartTrajectory(
          ValueOrDie(MakeStepPlan(model.schedule(), solver, run.steps)),
          DrawNoise(model.transformer().config(), seed), run.class_index, run.guidance));
    }
    std::vector<Trajectory*> images;
    for (Trajectory& trajectory : trajectories) images.push_back(&trajectory);
    for (int step = 0; step < run.steps; ++step) StepTogether(model.denoiser(), images);
    std::vector<at::Tensor> latents;
    for (const Trajectory& trajectory : trajectories) latents.push_back(trajectory.x);
    return at::cat(latents);
  }

  c10::InferenceMode inference_;
  const std::string directory_ = FixturePath("pipelines/" + GetParam());
  Fixture expected_{directory_ + "/expected.safetensors"};
  const std::vector<FixtureRun> runs_ = ReadRuns(expected_);
};

TEST_P(DitPipelineParityTest, SeedsGiveTheSameNoise) {
  const auto model = Load({});
  for (size_t i = 0; i < runs_.size(); ++i) {
    const at::Tensor expected = expected_[absl::StrCat(i, "/noise")];
    for (size_t image = 0; image < runs_[i].seeds.size(); ++image) {
      EXPECT_LE(MaxError(DrawNoise(model->transformer().config(), runs_[i].seeds[image]),
                         expected.narrow(0, static_cast<int64_t>(image), 1)),
                kNoiseBound);
    }
  }
}

TEST_P(DitPipelineParityTest, Float32LatentsAndDecodedImages) {
  const auto model = Load({});
  const AutoencoderKl& vae = model->autoencoder();
  for (size_t i = 0; i < runs_.size(); ++i) {
    SCOPED_TRACE(absl::StrCat("run ", i));
    const at::Tensor latents = Sample(*model, runs_[i]);
    EXPECT_LE(MaxError(latents, expected_[absl::StrCat(i, "/latents")]),
              LatentBound(runs_[i].rounding));
    EXPECT_LE(MaxError(vae.Decode(latents / vae.config().scaling_factor),
                       expected_[absl::StrCat(i, "/decoded")]),
              kDecodedBound);
  }
}

TEST_P(DitPipelineParityTest, Bfloat16Latents) {
  const JsonConfig json = expected_.Metadata("run_bfloat16");
  const at::Tensor latents = Sample(*Load({.dtype = at::kBFloat16}), ReadRun(json));
  EXPECT_LE(RmsError(latents, expected_["bfloat16/latents"]),
            kBfloat16Factor * ValueOrDie(json.GetDouble("latents_rms")));
}

// The picture that the server sends for image `image_index`, as [1, 3, height, width] in [0, 255].
at::Tensor Paint(StepRunner& runner, const GenerationRequest& request, int image_index) {
  const std::unique_ptr<ImageState> image = ValueOrDie(runner.Begin(request, image_index));
  ImageState* const batch[] = {image.get()};
  while (image->StepsDone() < image->Steps()) {
    if (const absl::Status status = runner.Run(batch); !status.ok()) {
      throw std::runtime_error(status.ToString());
    }
  }
  const EncodedImage png = ValueOrDie(runner.Finish(*image, ImageFormat::kPng));
  RgbBuffer rgb = ValueOrDie(DecodeImage(png.bytes));
  return at::from_blob(rgb.pixels.data(), {1, rgb.height, rgb.width, 3}, at::kByte)
      .permute({0, 3, 1, 2})
      .to(at::kFloat);
}

TEST_P(DitPipelineParityTest, TheRunnerPaintsTheSamePictures) {
  TorchRunners runners = ValueOrDie(MakeTorchRunners(
      {.model_root = FixturePath("pipelines"), .devices = {"cpu"}, .dtype = "float32"}));
  const auto info = std::find_if(runners.models.begin(), runners.models.end(),
                                 [](const ModelInfo& model) { return model.name == GetParam(); });
  ASSERT_NE(info, runners.models.end());
  for (size_t i = 0; i < runs_.size(); ++i) {
    const FixtureRun& run = runs_[i];
    GenerationRequest request;
    request.model = GetParam();
    request.condition = ClassCondition{static_cast<int>(run.class_index)};
    request.width = info->default_size.width;
    request.height = info->default_size.height;
    request.steps = run.steps;
    request.guidance_scale = run.guidance;
    request.seed = static_cast<uint64_t>(run.seeds[0]);
    request.image_count = static_cast<int>(run.seeds.size());
    request.solver = info->default_solver;
    const at::Tensor pixels = (expected_[absl::StrCat(i, "/decoded")] / 2 + 0.5).clamp(0, 1) * 255;
    for (int image = 0; image < request.image_count; ++image) {
      EXPECT_LE(MaxError(Paint(*runners.runners[0], request, image), pixels.narrow(0, image, 1)),
                kPixelBound)
          << "run " << i << ", image " << image;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DitPipelineParityTest,
                         testing::Values("default", "ten_classes", "dpm"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ilf
