#include "engine/pipeline/torch_step_runner.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/image/codec.h"

namespace ilf {
namespace {

// Of the models in a folder; null where they cannot be loaded.
TorchRunners* RunnersOf(const std::string& model_root) {
  TorchRunnerOptions options;
  options.model_root = model_root;
  options.devices = {"cpu"};
  options.dtype = "float32";
  absl::StatusOr<TorchRunners> made = MakeTorchRunners(options);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? new TorchRunners(*std::move(made)) : nullptr;
}

class TorchStepRunnerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { runners_ = RunnersOf(ILF_SOURCE_DIR "/models"); }
  static void TearDownTestSuite() { delete runners_; }

  void SetUp() override { ASSERT_NE(runners_, nullptr); }

  StepRunner& runner() { return *runners_->runners[0]; }

  static GenerationRequest Request() {
    GenerationRequest request;
    request.model = "fashion-dit";
    request.condition = ClassCondition{7};
    request.width = request.height = 32;
    request.steps = 3;
    request.guidance_scale = 2.0;
    request.seed = 11;
    request.solver = Solver::kDpmSolverPp2m;
    return request;
  }

  std::unique_ptr<ImageState> Begin(const GenerationRequest& request, int index = 0) {
    return std::move(runner().Begin(request, index)).value();
  }

  void RunAll(ImageState& image) {
    ImageState* const only = &image;
    while (image.StepsDone() < image.Steps()) ASSERT_TRUE(runner().Run({&only, 1}).ok());
  }

  std::string Png(const GenerationRequest& request, int index = 0) {
    const std::unique_ptr<ImageState> image = Begin(request, index);
    RunAll(*image);
    return runner().Finish(*image, ImageFormat::kPng).value().bytes;
  }

  inline static TorchRunners* runners_ = nullptr;
};

TEST_F(TorchStepRunnerTest, CountsStepsRowsAndBlockEvaluations) {
  const std::unique_ptr<ImageState> image = Begin(Request());
  EXPECT_EQ(image->Rows(), 2);
  EXPECT_EQ(image->Steps(), 3);
  EXPECT_EQ(image->StepsDone(), 0);
  RunAll(*image);
  EXPECT_EQ(image->StepsDone(), 3);
  EXPECT_EQ(image->BlockEvaluations(), 3 * 2 * 28);
  EXPECT_EQ(image->PlainBlockEvaluations(), 3 * 2 * 28);
}

TEST_F(TorchStepRunnerTest, NeedsOneRowWithoutGuidance) {
  GenerationRequest request = Request();
  request.guidance_scale = 1.0;
  EXPECT_EQ(Begin(request)->Rows(), 1);
}

TEST_F(TorchStepRunnerTest, ImageIOfARequestIsTheFirstOneOfSeedPlusI) {
  GenerationRequest later = Request();
  later.seed += 2;
  EXPECT_EQ(Png(Request(), 2), Png(later, 0));
  EXPECT_NE(Png(Request(), 0), Png(later, 0));
}

TEST_F(TorchStepRunnerTest, FinishesWithAPictureOfTheModelsSize) {
  const std::unique_ptr<ImageState> image = Begin(Request());
  RunAll(*image);
  const EncodedImage encoded = runner().Finish(*image, ImageFormat::kJpeg).value();
  EXPECT_EQ(encoded.format, ImageFormat::kJpeg);
  const RgbBuffer decoded = DecodeImage(encoded.bytes).value();
  EXPECT_EQ(decoded.width, 32);
  EXPECT_EQ(decoded.height, 32);
}

TEST_F(TorchStepRunnerTest, PreviewsHaveTheLatentsSizeUntilTheyAreResized) {
  const std::unique_ptr<ImageState> image = Begin(Request());
  ImageState* const only = image.get();
  ASSERT_TRUE(runner().Run({&only, 1}).ok());
  const RgbImage preview = runner().TakePreview(*image).value();
  EXPECT_EQ(preview.width, 8);
  const EncodedImage small = runner().EncodePreview(preview, {}).value();
  EXPECT_EQ(small.width, 8);
  const EncodedImage large = runner().EncodePreview(preview, {.max_side = 64}).value();
  EXPECT_EQ(DecodeImage(large.bytes).value().width, 64);
}

// "binned" of the fixtures paints at PixArt-256's aspect ratios; a cell of its latent is 8 pixels.
class BinnedModelTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    runners_ = RunnersOf(ILF_SOURCE_DIR "/tests/fixtures/pixart/pipelines");
  }
  static void TearDownTestSuite() { delete runners_; }

  void SetUp() override { ASSERT_NE(runners_, nullptr); }

  StepRunner& runner() { return *runners_->runners[0]; }

  static GenerationRequest Request(int width, int height) {
    GenerationRequest request;
    request.model = "binned";
    request.condition = TextCondition{"a red bag", ""};
    request.width = width;
    request.height = height;
    request.steps = 2;
    return request;
  }

  RgbImage PreviewOf(const GenerationRequest& request) {
    const std::unique_ptr<ImageState> image = runner().Begin(request, 0).value();
    ImageState* const only = image.get();
    EXPECT_TRUE(runner().Prepare({&only, 1}).ok());
    EXPECT_TRUE(runner().Run({&only, 1}).ok());
    return runner().TakePreview(*image).value();
  }

  inline static TorchRunners* runners_ = nullptr;
};

TEST_F(BinnedModelTest, ARowHasTheTokensOfItsBin) {
  EXPECT_EQ(runner().TokensPerRow(Request(256, 256)), 16 * 16);
  EXPECT_EQ(runner().TokensPerRow(Request(248, 248)), 16 * 16);
  EXPECT_EQ(runner().TokensPerRow(Request(384, 160)), 24 * 10);
  EXPECT_EQ(runner().Begin(Request(384, 160), 0).value()->TokensPerRow(), 24 * 10);
}

TEST_F(BinnedModelTest, SizesTakeTheirStepsTogetherAndPaintWhatTheyPaintAlone) {
  const std::vector<GenerationRequest> requests = {Request(256, 256), Request(512, 128),
                                                   Request(160, 384), Request(256, 256)};
  std::vector<std::unique_ptr<ImageState>> images;
  std::vector<ImageState*> together;
  for (size_t i = 0; i < requests.size(); ++i) {
    images.push_back(runner().Begin(requests[i], static_cast<int>(i)).value());
    EXPECT_EQ(images.back()->BatchKey(), images.front()->BatchKey());
    together.push_back(images.back().get());
  }
  ASSERT_TRUE(runner().Prepare(together).ok());
  for (int step = 0; step < 2; ++step) ASSERT_TRUE(runner().Run(together).ok());
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::unique_ptr<ImageState> alone =
        runner().Begin(requests[i], static_cast<int>(i)).value();
    ImageState* const only = alone.get();
    ASSERT_TRUE(runner().Prepare({&only, 1}).ok());
    for (int step = 0; step < 2; ++step) ASSERT_TRUE(runner().Run({&only, 1}).ok());
    EXPECT_EQ(runner().Finish(*images[i], ImageFormat::kPng).value().bytes,
              runner().Finish(*alone, ImageFormat::kPng).value().bytes);
  }
}

// The bin of both is 512 x 128; the wider picture is rows 32 to 95 of it.
TEST_F(BinnedModelTest, PreviewsAreCutAsThePictureIs) {
  const RgbImage whole = PreviewOf(Request(512, 128));
  ASSERT_EQ(whole.width, 64);
  ASSERT_EQ(whole.height, 16);
  const RgbImage cut = PreviewOf(Request(512, 64));
  ASSERT_EQ(cut.width, 64);
  ASSERT_EQ(cut.height, 8);
  const auto begin = whole.pixels.begin() + 3 * 64 * 4;
  EXPECT_EQ(cut.pixels, std::vector<uint8_t>(begin, begin + 3 * 64 * 8));
}

TEST_F(BinnedModelTest, PreviewsOfASmallerSizeThanTheBinAreScaledAsThePictureIs) {
  const RgbImage preview = PreviewOf(Request(128, 128));
  EXPECT_EQ(preview.width, 16);
  EXPECT_EQ(preview.height, 16);
}

TEST(MakeTorchRunnersTest, OneRunnerADevice) {
  TorchRunnerOptions options;
  options.model_root = ILF_SOURCE_DIR "/models";
  options.devices = {"cpu", "cpu"};
  const absl::StatusOr<TorchRunners> made = MakeTorchRunners(options);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->runners.size(), 2u);
  EXPECT_EQ(made->models.size(), 2u);
}

TEST(MakeTorchRunnersTest, RefusesAnUnknownDeviceOrDtype) {
  TorchRunnerOptions options;
  options.model_root = ILF_SOURCE_DIR "/models";
  options.devices = {"tpu"};
  EXPECT_TRUE(absl::IsInvalidArgument(MakeTorchRunners(options).status()));
  options.devices = {"cpu"};
  options.dtype = "float8";
  EXPECT_TRUE(absl::IsInvalidArgument(MakeTorchRunners(options).status()));
}

}  // namespace
}  // namespace ilf
