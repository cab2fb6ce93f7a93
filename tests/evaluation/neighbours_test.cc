#include "engine/evaluation/neighbours.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include "engine/image/codec.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

constexpr int kSide = 8;

at::Tensor Random(at::IntArrayRef sizes, uint64_t seed) {
  return at::rand(sizes, at::make_generator<at::CPUGeneratorImpl>(seed)) * 2 - 1;
}

Neighbours Search(const at::Tensor& queries, const at::Tensor& set, int64_t chunk) {
  NeighbourSearch search(queries);
  for (const at::Tensor& part : set.split(chunk)) search.Add(part);
  return search.nearest();
}

TEST(NeighbourSearchTest, APointOfTheSetIsItsOwnNeighbourAtZero) {
  const at::Tensor set = Random({40, 3, 4, 4}, 1);
  const Neighbours found = Search(set.narrow(0, 17, 5), set, 10);
  EXPECT_TRUE(at::equal(found.indices, at::arange(17, 22)));
  EXPECT_TRUE(at::equal(found.distances, at::zeros({5})));
}

TEST(NeighbourSearchTest, ChunksFindWhatBruteForceFinds) {
  const at::Tensor queries = Random({7, 3, 4, 4}, 2);
  const at::Tensor set = Random({50, 3, 4, 4}, 3);
  const at::Tensor all = (queries.unsqueeze(1) - set.unsqueeze(0)).square().flatten(2).mean(2);
  const auto [least, indices] = all.sqrt().min(1);
  for (const int64_t chunk : {1, 7, 50}) {
    const Neighbours found = Search(queries, set, chunk);
    EXPECT_TRUE(at::equal(found.indices, indices)) << chunk;
    EXPECT_TRUE(at::allclose(found.distances, least)) << chunk;
  }
}

TEST(NeighbourSearchTest, TheFirstOfEquallyNearPointsCounts) {
  const at::Tensor set = at::tensor({5.0f, 1.0f, 3.0f, 1.0f}).view({4, 1});
  for (const int64_t chunk : {1, 2, 4}) {
    const Neighbours found = Search(at::tensor({2.0f}).view({1, 1}), set, chunk);
    EXPECT_EQ(found.indices.item<int64_t>(), 1) << chunk;
    EXPECT_EQ(found.distances.item<float>(), 1.0f) << chunk;
  }
}

TEST(NeighbourSearchTest, AnEmptySetHoldsNoNeighbour) {
  NeighbourSearch search(Random({2, 6}, 4));
  search.Add(at::empty({0, 6}));
  EXPECT_TRUE(at::equal(search.nearest().indices, at::full({2}, -1, at::kLong)));
  EXPECT_TRUE(search.nearest().distances.isinf().all().item<bool>());
}

class NearestInFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = TestPath("pictures");
    std::filesystem::create_directories(path);
    std::ofstream metadata(path + "/metadata.jsonl");
    for (int i = 0; i < 9; ++i) {
      const at::Tensor pixels = Random({kSide, kSide, 3}, i).add(1).mul(127).to(at::kByte);
      const std::string file = std::to_string(i) + ".png";
      std::ofstream(path + "/" + file, std::ios::binary)
          << EncodePng({kSide, kSide, pixels.data_ptr<uint8_t>()}).value();
      metadata << "{\"file_name\": \"" << file << "\", \"label\": 0}\n";
    }
    metadata.close();
    folder_ = ImageFolder::Open(path, kSide).value();
  }

  std::optional<ImageFolder> folder_;
  std::atomic<bool> stop_{false};
};

TEST_F(NearestInFolderTest, FindsItsPicturesByPixelsAndByFeatures) {
  const ClassifierConfig config = {.channels = {8, 8}, .strides = {1, 2}, .norm_groups = 4};
  StateDict weights(InitialClassifier(config, at::make_generator<at::CPUGeneratorImpl>(1)), "test");
  const ImageClassifier classifier = ImageClassifier::Load(config, weights).value();
  const auto found = NearestInFolder(folder_->Images({8, 0, 4}).value(), *folder_,
                                     {.classifier = &classifier, .batch = 2}, stop_);
  ASSERT_TRUE(found.ok()) << found.status();
  const at::Tensor expected = at::tensor({8, 0, 4}, at::kLong);
  EXPECT_TRUE(at::equal(found->by_pixels.indices, expected));
  EXPECT_TRUE(at::equal(found->by_pixels.distances, at::zeros({3})));
  ASSERT_TRUE(found->by_features);
  EXPECT_TRUE(at::equal(found->by_features->indices, expected));
  EXPECT_LT(found->by_features->distances.max().item<float>(), 1e-5);
}

TEST_F(NearestInFolderTest, WithoutAClassifierThereAreNoFeatures) {
  const auto found = NearestInFolder(folder_->Images({1}).value(), *folder_, {}, stop_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->by_features);
}

TEST_F(NearestInFolderTest, RefusesPicturesOfAnotherSide) {
  const auto found = NearestInFolder(Random({1, 3, 4, 4}, 5), *folder_, {}, stop_);
  EXPECT_EQ(found.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(NearestInFolderTest, StopsWhenAsked) {
  stop_ = true;
  const auto found = NearestInFolder(folder_->Images({1}).value(), *folder_, {}, stop_);
  EXPECT_EQ(found.status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace ilf
