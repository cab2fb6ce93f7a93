// Whole text-to-image models against diffusers' PixArt pipelines: from prompt and seed to tokens,
// text embeddings, latents and the picture.
#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/model/t5_encoder.h"
#include "engine/pipeline/denoiser.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/pipeline/resolution_bins.h"
#include "engine/sampling/solver.h"
#include "tests/testing/fixture.h"

namespace ilf {
namespace {

constexpr double kNoiseBound = 1e-6;
constexpr double kBound = 1e-4;         // of text embeddings, and of latents for each unit of size
constexpr double kDecodedBound = 1e-3;  // for each unit of size
constexpr double kBfloat16Factor = 1.2;

// One request of the fixture.
struct FixtureRun {
  explicit FixtureRun(const JsonConfig& json)
      : prompt(ValueOrDie(json.GetString("prompt"))),
        negative_prompt(ValueOrDie(json.GetString("negative_prompt"))),
        seeds(ValueOrDie(json.GetIntList("seeds"))),
        height(static_cast<int>(ValueOrDie(json.GetInt("height")))),
        width(static_cast<int>(ValueOrDie(json.GetInt("width")))),
        steps(static_cast<int>(ValueOrDie(json.GetInt("steps")))),
        guidance(ValueOrDie(json.GetDouble("guidance"))),
        solver(ValueOrDie(json.GetString("solver"))) {}

  std::string prompt, negative_prompt;
  std::vector<int64_t> seeds;  // one an image
  int height, width;           // pixels
  int steps;
  double guidance;
  std::string solver;
};

SolverKind SolverNamed(const std::string& name) {
  for (const Solver solver : {Solver::kDdim, Solver::kEuler, Solver::kDpmSolverPp2m}) {
    if (SolverName(solver) == name) return ToSolverKind(solver);
  }
  throw std::runtime_error("unknown solver " + name);
}

double Size(const at::Tensor& tensor) { return std::max(1.0, tensor.abs().max().item<double>()); }

class PixArtPipelineParityTest : public testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<const DiffusionModel> Load(const Execution& execution) const {
    return ValueOrDie(DiffusionModel::Load(directory_, GetParam(), {execution}));
  }

  PromptTokens Tokens(const DiffusionModel& model, const std::string& prompt) const {
    return ValueOrDie(model.prompt_reader()->Tokenize(prompt));
  }

  at::Tensor Noise(const DiffusionModel& model, const FixtureRun& run, int64_t seed) const {
    const LatentSize size = model.LatentSizeOf(run.height, run.width);
    return at::randn({1, model.transformer().config().in_channels, size.height, size.width},
                     at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(seed)));
  }

  // Takes all images of a run together from their seeds to their latents.
  at::Tensor Sample(const DiffusionModel& model, const FixtureRun& run) const {
    const std::vector<PromptRows::Context> contexts =
        model.prompt_reader()->Read({Tokens(model, run.prompt), Tokens(model, run.negative_prompt)},
                                    model.denoiser(), [](bool) {});
    ImageCondition condition;
    condition.prompt = contexts[0];
    condition.negative_prompt = contexts[1];
    const StepPlan plan =
        ValueOrDie(MakeStepPlan(model.schedule(), SolverNamed(run.solver), run.steps));
    std::vector<Trajectory> trajectories;
    for (const int64_t seed : run.seeds) {
      trajectories.push_back(
          StartTrajectory(plan, Noise(model, run, seed), condition, run.guidance));
    }
    std::vector<Trajectory*> images;
    for (Trajectory& trajectory : trajectories) images.push_back(&trajectory);
    for (int step = 0; step < run.steps; ++step) StepTogether(model.denoiser(), images);
    std::vector<at::Tensor> latents;
    for (const Trajectory& trajectory : trajectories) latents.push_back(trajectory.x);
    return at::cat(latents);
  }

  c10::InferenceMode inference_;
  const std::string directory_ = FixturePath("pixart/pipelines/" + GetParam());
  const JsonConfig json_ = ValueOrDie(JsonConfig::Load(directory_ + "/expected.json"));
  Fixture expected_{directory_ + "/expected.safetensors"};
};

TEST_P(PixArtPipelineParityTest, PromptsBecomeTheSameTokens) {
  const auto model = Load({});
  EXPECT_EQ(model->prompt_reader()->max_tokens(), ValueOrDie(json_.GetInt("max_tokens")));
  for (const JsonConfig& text : ValueOrDie(json_.GetObjectList("texts"))) {
    const std::string prompt = ValueOrDie(text.GetString("text"));
    EXPECT_EQ(Tokens(*model, prompt), ValueOrDie(text.GetIntList("ids"))) << prompt;
  }
}

TEST_P(PixArtPipelineParityTest, TokensBecomeTheSameEmbeddings) {
  const ModelDirectory directory = ValueOrDie(ReadModelDirectory(directory_));
  const T5Config config = ValueOrDie(T5Config::FromJson(*directory.text_encoder));
  const std::vector<JsonConfig> texts = ValueOrDie(json_.GetObjectList("texts"));
  for (const bool trainable : {false, true}) {
    StateDict stored = ValueOrDie(StateDict::LoadFolder(directory.TextEncoderFolder(), "model"));
    std::map<std::string, at::Tensor> tensors;  // what learns is float32
    for (const std::string& name : stored.Names()) {
      tensors[name] = ValueOrDie(stored.Take(name, ValueOrDie(stored.Shape(name)))).to(at::kFloat);
    }
    StateDict weights(std::move(tensors), "text encoder");
    const T5Encoder encoder =
        ValueOrDie(T5Encoder::Load(config, weights, {.trainable = trainable}));
    std::vector<at::Tensor> ids;
    for (const JsonConfig& text : texts)
      ids.push_back(at::tensor(ValueOrDie(text.GetIntList("ids"))));
    const std::vector<at::Tensor> states = encoder(ids);
    for (size_t i = 0; i < ids.size(); ++i) {
      const at::Tensor expected = expected_[absl::StrCat("text/", i, "/embeds")];
      EXPECT_LE(MaxError(states[i], expected), kBound * Size(expected)) << "text " << i;
    }
  }
}

TEST_P(PixArtPipelineParityTest, APromptsBitsDoNotDependOnTheOthers) {
  const ModelDirectory directory = ValueOrDie(ReadModelDirectory(directory_));
  const T5Config config = ValueOrDie(T5Config::FromJson(*directory.text_encoder));
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    StateDict weights = ValueOrDie(StateDict::LoadFolder(directory.TextEncoderFolder(), "model"));
    const T5Encoder encoder = ValueOrDie(T5Encoder::Load(config, weights, {.dtype = dtype}));
    std::vector<at::Tensor> ids;
    for (const JsonConfig& text : ValueOrDie(json_.GetObjectList("texts"))) {
      ids.push_back(at::tensor(ValueOrDie(text.GetIntList("ids"))));
    }
    const std::vector<at::Tensor> together = encoder(ids);
    std::reverse(ids.begin(), ids.end());
    const std::vector<at::Tensor> reversed = encoder(ids);
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_TRUE(at::equal(encoder({ids[i]})[0], reversed[i]));
      EXPECT_TRUE(at::equal(together[ids.size() - 1 - i], reversed[i]));
    }
  }
}

TEST_P(PixArtPipelineParityTest, Float32LatentsAndPictures) {
  const auto model = Load({});
  const std::vector<JsonConfig> runs = ValueOrDie(json_.GetObjectList("runs"));
  for (size_t i = 0; i < runs.size(); ++i) {
    SCOPED_TRACE(absl::StrCat("run ", i));
    const FixtureRun run(runs[i]);

    const at::Tensor noise = expected_[absl::StrCat(i, "/noise")];
    for (size_t image = 0; image < run.seeds.size(); ++image) {
      EXPECT_LE(MaxError(Noise(*model, run, run.seeds[image]),
                         noise.narrow(0, static_cast<int64_t>(image), 1)),
                kNoiseBound);
    }
    const at::Tensor latents = Sample(*model, run);
    const at::Tensor expected = expected_[absl::StrCat(i, "/latents")];
    EXPECT_LE(MaxError(latents, expected), kBound * Size(expected));
    const at::Tensor decoded = expected_[absl::StrCat(i, "/decoded")];
    EXPECT_LE(
        MaxError(ResizeAndCrop(model->autoencoder().DecodeScaled(latents), run.height, run.width),
                 decoded),
        kDecodedBound * Size(decoded));
  }
}

TEST_P(PixArtPipelineParityTest, Bfloat16Latents) {
  for (const JsonConfig& json : ValueOrDie(json_.GetObjectList("bfloat16"))) {
    const at::Tensor latents = Sample(*Load({.dtype = at::kBFloat16}), FixtureRun(json));
    EXPECT_LE(RmsError(latents, expected_["bfloat16/latents"]),
              kBfloat16Factor * ValueOrDie(json.GetDouble("latents_rms")));
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, PixArtPipelineParityTest,
                         testing::Values("alpha", "sigma", "alpha_ms", "binned"),
                         [](const auto& info) { return info.param; });

TEST(ResolutionBinsTest, AreThoseOfDiffusersAndSoIsTheChoice) {
  const JsonConfig json = ValueOrDie(JsonConfig::Load(FixturePath("pixart/resolution_bins.json")));
  for (const JsonConfig& table : ValueOrDie(json.GetObjectList("tables"))) {
    const auto bins = ResolutionBinsOf(ValueOrDie(table.GetInt("sample_size")));
    const auto expected = ValueOrDie(table.GetDoubleTable("bins"));
    ASSERT_EQ(bins.size(), expected.size());
    for (size_t i = 0; i < bins.size(); ++i) {
      EXPECT_EQ((std::vector<double>{bins[i].ratio, double(bins[i].height), double(bins[i].width)}),
                expected[i]);
    }
    for (const std::vector<double>& size : ValueOrDie(table.GetDoubleTable("classified"))) {
      const ResolutionBin& bin =
          ClosestBin(bins, static_cast<int>(size[0]), static_cast<int>(size[1]));
      EXPECT_EQ(bin.height, size[2]) << size[0] << "x" << size[1];
      EXPECT_EQ(bin.width, size[3]) << size[0] << "x" << size[1];
    }
  }
  EXPECT_TRUE(ResolutionBinsOf(8).empty());
}

TEST(ResizeAndCropTest, IsThatOfDiffusersButForTheLostPixel) {
  const JsonConfig json = ValueOrDie(JsonConfig::Load(FixturePath("pixart/resolution_bins.json")));
  Fixture pictures(FixturePath("pixart/resolution_bins.safetensors"));
  const std::vector<JsonConfig> crops = ValueOrDie(json.GetObjectList("crops"));
  for (size_t i = 0; i < crops.size(); ++i) {
    const std::vector<int64_t> to = ValueOrDie(crops[i].GetIntList("to"));
    const at::Tensor cropped = ResizeAndCrop(pictures[absl::StrCat(i, "/before")], to[0], to[1]);
    EXPECT_EQ(cropped.sizes().slice(2), at::IntArrayRef(to));
    if (to != ValueOrDie(crops[i].GetIntList("stored")))
      continue;  // diffusers lost a row or column
    EXPECT_LE(MaxError(cropped, pictures[absl::StrCat(i, "/after")]), 1e-5) << "crop " << i;
  }
}

}  // namespace
}  // namespace ilf
