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
#include <ATen/ops/from_blob.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/image/codec.h"
#include "engine/model/t5_encoder.h"
#include "engine/pipeline/denoiser.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/pipeline/resolution_bins.h"
#include "engine/pipeline/torch_step_runner.h"
#include "engine/sampling/solver.h"
#include "tests/pipeline/parity_bounds.h"
#include "tests/testing/fixture.h"

namespace ilf {
namespace {

constexpr double kEmbeddingBound = 1e-4;  // for each unit of size

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
        solver(ValueOrDie(json.GetString("solver"))),
        rounding(ValueOrDie(json.GetDouble("rounding", 0.0))) {}

  // What a failure names.
  std::string Name(const std::string& model, size_t index) const {
    return absl::StrCat(model, ", run ", index, ": ", solver, ", ", steps, " steps, guidance ",
                        guidance, ", rounding ", rounding);
  }

  std::string prompt, negative_prompt;
  std::vector<int64_t> seeds;  // one an image
  int height, width;           // pixels
  int steps;
  double guidance;
  std::string solver;
  double rounding;  // how far its latents move with a millionth of the noise; 0: not measured
};

Solver SolverNamed(const std::string& name) {
  for (const Solver solver : {Solver::kDdim, Solver::kEuler, Solver::kDpmSolverPp2m}) {
    if (SolverName(solver) == name) return solver;
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
    const SolverKind solver = ToSolverKind(SolverNamed(run.solver));
    const StepPlan plan = ValueOrDie(MakeStepPlan(model.schedule(), solver, run.steps));
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

// One token is the hard case: keys and values of one are contiguous within their padded tile.
TEST_P(PixArtPipelineParityTest, WhatIsKeptOfAPromptOwnsNoMoreThanItCounts) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto model = Load({.dtype = dtype});
    for (const PromptRows::Context& context : model->prompt_reader()->Read(
             {Tokens(*model, ""), Tokens(*model, "a red bag")}, model->denoiser(), [](bool) {})) {
      size_t owned = context->tokens.storage().nbytes();
      for (const KeyValue& kv : context->keys_values) {
        owned += kv.key.storage().nbytes() + kv.value.storage().nbytes();
      }
      EXPECT_EQ(static_cast<int64_t>(owned), context->bytes());
    }
  }
}

TEST_P(PixArtPipelineParityTest, PromptsAreCountedOnceTheyAreRead) {
  const auto model = Load({});
  const PromptTokens known = Tokens(*model, "a red bag");
  const PromptTokens fails = {int64_t{1} << 40};  // no token has that id
  std::vector<bool> seen;
  const auto note = [&](bool hit) { seen.push_back(hit); };
  EXPECT_THROW(model->prompt_reader()->Read({known, fails}, model->denoiser(), note), c10::Error);
  EXPECT_TRUE(seen.empty());
  model->prompt_reader()->Read({known, known}, model->denoiser(), note);
  EXPECT_EQ(seen, (std::vector<bool>{false, true}));
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
      EXPECT_LE(MaxError(states[i], expected), kEmbeddingBound * Size(expected)) << "text " << i;
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
    const FixtureRun run(runs[i]);
    SCOPED_TRACE(run.Name(GetParam(), i));

    const at::Tensor noise = expected_[absl::StrCat(i, "/noise")];
    for (size_t image = 0; image < run.seeds.size(); ++image) {
      EXPECT_LE(MaxError(Noise(*model, run, run.seeds[image]),
                         noise.narrow(0, static_cast<int64_t>(image), 1)),
                kNoiseBound);
    }
    const at::Tensor latents = Sample(*model, run);
    const double latent_error = MaxError(latents, expected_[absl::StrCat(i, "/latents")]);
    EXPECT_LE(latent_error, LatentBound(run.rounding));
    const double picture_error =
        MaxError(ResizeAndCrop(model->autoencoder().DecodeScaled(latents), run.height, run.width),
                 expected_[absl::StrCat(i, "/decoded")]);
    EXPECT_LE(picture_error, kDecodedBound);
  }
}

TEST_P(PixArtPipelineParityTest, Bfloat16Latents) {
  for (const JsonConfig& json : ValueOrDie(json_.GetObjectList("bfloat16"))) {
    const at::Tensor latents = Sample(*Load({.dtype = at::kBFloat16}), FixtureRun(json));
    EXPECT_LE(RmsError(latents, expected_["bfloat16/latents"]),
              kBfloat16Factor * ValueOrDie(json.GetDouble("latents_rms")));
  }
}

GenerationRequest RequestOf(const std::string& model, const FixtureRun& run) {
  GenerationRequest request;
  request.model = model;
  request.condition = TextCondition{run.prompt, run.negative_prompt};
  request.width = run.width;
  request.height = run.height;
  request.steps = run.steps;
  request.guidance_scale = run.guidance;
  request.seed = static_cast<uint64_t>(run.seeds[0]);
  request.image_count = static_cast<int>(run.seeds.size());
  request.solver = SolverNamed(run.solver);
  return request;
}

void OkOrDie(const absl::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

// [1, 3, height, width] in [0, 255].
at::Tensor PixelsOf(const EncodedImage& image) {
  RgbBuffer rgb = ValueOrDie(DecodeImage(image.bytes));
  return at::from_blob(rgb.pixels.data(), {1, rgb.height, rgb.width, 3}, at::kByte)
      .permute({0, 3, 1, 2})
      .to(at::kFloat);
}

// The pictures that the server sends for `request`, whose images take their steps together, as
// [images, 3, height, width] in [0, 255].
at::Tensor Paint(StepRunner& runner, const GenerationRequest& request) {
  std::vector<std::unique_ptr<ImageState>> images;
  std::vector<ImageState*> batch;
  for (int i = 0; i < request.image_count; ++i) {
    images.push_back(ValueOrDie(runner.Begin(request, i)));
    batch.push_back(images.back().get());
  }
  OkOrDie(runner.Prepare(batch));
  while (batch[0]->StepsDone() < batch[0]->Steps()) OkOrDie(runner.Run(batch));
  std::vector<at::Tensor> pictures;
  for (const ImageState* image : batch) {
    pictures.push_back(PixelsOf(ValueOrDie(runner.Finish(*image, ImageFormat::kPng))));
  }
  return at::cat(pictures);
}

TEST_P(PixArtPipelineParityTest, TheRunnerPaintsTheSamePictures) {
  const TorchRunners runners = ValueOrDie(MakeTorchRunners(
      {.model_root = FixturePath("pixart/pipelines"), .devices = {"cpu"}, .dtype = "float32"}));
  StepRunner& runner = *runners.runners[0];
  const std::vector<JsonConfig> runs = ValueOrDie(json_.GetObjectList("runs"));
  for (size_t i = 0; i < runs.size(); ++i) {
    const FixtureRun run(runs[i]);
    SCOPED_TRACE(run.Name(GetParam(), i));
    for (size_t image = 0; image < run.seeds.size(); ++image) {
      ASSERT_EQ(run.seeds[image], run.seeds[0] + static_cast<int64_t>(image));
    }
    GenerationRequest request = RequestOf(GetParam(), run);
    const at::Tensor pixels = (expected_[absl::StrCat(i, "/decoded")] / 2 + 0.5).clamp(0, 1) * 255;
    EXPECT_LE(MaxError(Paint(runner, request), pixels), kPixelBound);
    if (run.guidance == 1.0) continue;
    request.condition = TextCondition{run.negative_prompt, run.prompt};
    EXPECT_GT(MaxError(Paint(runner, request), pixels), kPixelBound) << "with prompts swapped";
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
