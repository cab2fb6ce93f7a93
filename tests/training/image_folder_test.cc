#include "engine/training/image_folder.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/training/small_dataset.h"

namespace ilf {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string FolderWith(const std::string& name, const std::string& metadata) {
  const std::string path = ::testing::TempDir() + "/" + name;
  std::filesystem::create_directories(path);
  std::ofstream(path + "/metadata.jsonl") << metadata;
  return path;
}

TEST(ImageFolderTest, ReadsPicturesAsNumbersBetweenMinusOneAndOne) {
  const absl::StatusOr<ImageFolder> folder = ImageFolder::Open(SmallDataset("numbers", 4, 8), 8);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(folder->size(), 4);
  const absl::StatusOr<at::Tensor> images = folder->Images({0, 3});
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ(images->sizes(), (std::vector<int64_t>{2, 3, 8, 8}));
  EXPECT_FLOAT_EQ((*images)[0].min().item<float>(), -1.0f);  // picture 0 is black
  EXPECT_FLOAT_EQ((*images)[1].max().item<float>(), 1.0f);   // the last is white
}

TEST(ImageFolderTest, NumbersClassNamesInAlphabeticalOrder) {
  const std::string path = FolderWith("names",
                                      "{\"file_name\": \"a.png\", \"label\": \"shoe\"}\n"
                                      "{\"file_name\": \"b.png\", \"label\": \"bag\"}\n");
  const absl::StatusOr<ImageFolder> folder = ImageFolder::Open(path, 8);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_THAT(folder->label_names(), ElementsAre("bag", "shoe"));
  EXPECT_EQ(folder->Labels()[0].item<int64_t>(), 1);
}

TEST(ImageFolderTest, ReadsOneCaptionOrSeveral) {
  const std::string path = FolderWith("captions",
                                      "{\"file_name\": \"a.png\", \"text\": \"a shoe\"}\n"
                                      "{\"file_name\": \"b.png\", \"text\": [\"a bag\", \"bag\"]}\n"
                                      "{\"file_name\": \"c.png\"}\n");
  const absl::StatusOr<ImageFolder> folder = ImageFolder::Open(path, 8);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_THAT(folder->captions(),
              ElementsAre(ElementsAre("a shoe"), ElementsAre("a bag", "bag"), ElementsAre()));
}

TEST(ImageFolderTest, NamesTheLineWhoseCaptionsAreWrong) {
  for (const char* text : {"3", "[]", "[\"a\", 4]"}) {
    const std::string path = FolderWith(
        "wrong_captions", std::string("{\"file_name\": \"a.png\", \"text\": ") + text + "}\n");
    EXPECT_THAT(std::string(ImageFolder::Open(path, 8).status().message()),
                HasSubstr("metadata.jsonl:1: \"text\" must be"));
  }
}

TEST(ImageFolderTest, NamesTheLineWhoseRepeatsAreWrong) {
  for (const char* repeats : {"0", "-1", "1001", "1.5", "\"2\""}) {
    const std::string path = FolderWith(
        "wrong_repeats",
        std::string("{\"file_name\": \"a.png\", \"repeats\": ") + repeats + "}\n");
    EXPECT_THAT(std::string(ImageFolder::Open(path, 8).status().message()),
                HasSubstr("metadata.jsonl:1: \"repeats\" must be an integer from 1 to 1000"));
  }
}

TEST(ImageFolderTest, NamesTheLineThatIsWrong) {
  const std::string path =
      FolderWith("broken", "{\"file_name\": \"a.png\", \"label\": 0}\n{oops\n");
  EXPECT_THAT(std::string(ImageFolder::Open(path, 8).status().message()),
              HasSubstr("metadata.jsonl:2"));
}

TEST(ImageFolderTest, IdentityChangesWithThePicturesAndTheirPlace) {
  const std::string path = SmallDataset("identity", 3, 8);
  const auto identity = [](const std::string& folder) {
    return ImageFolder::Open(folder, 8)->Identity();
  };
  const auto first = identity(path);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*identity(path), *first);
  EXPECT_NE(*identity(SmallDataset("identity_of_another", 3, 8)), *first);
  std::filesystem::path picture;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() == ".png") picture = entry.path();
  }
  std::filesystem::last_write_time(
      picture, std::filesystem::last_write_time(picture) + std::chrono::hours(1));
  EXPECT_NE(*identity(path), *first);
  std::filesystem::remove(picture);
  EXPECT_TRUE(absl::IsNotFound(identity(path).status()));
}

TEST(ImageFolderTest, NamesThePictureThatCannotBeRead) {
  const std::string path = FolderWith("missing", "{\"file_name\": \"gone.png\", \"label\": 0}\n");
  const absl::StatusOr<ImageFolder> folder = ImageFolder::Open(path, 8);
  ASSERT_TRUE(folder.ok());
  EXPECT_THAT(std::string(folder->Images({0}).status().message()), HasSubstr("gone.png"));
}

TEST(BatchIndicesTest, VisitsEveryItemOnceAnEpoch) {
  std::multiset<int64_t> seen;
  for (int64_t step = 0; step < 5; ++step) {
    for (int64_t index : BatchIndices(20, 4, step, 7)) seen.insert(index);
  }
  EXPECT_EQ(seen.size(), 20u);
  for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(seen.count(i), 1u);
}

TEST(BatchIndicesTest, ShowsAPictureAsOftenAsItRepeats) {
  const std::string path = FolderWith("repeats",
                                      "{\"file_name\": \"a.png\", \"repeats\": 3}\n"
                                      "{\"file_name\": \"b.png\"}\n");
  const absl::StatusOr<ImageFolder> folder = ImageFolder::Open(path, 8);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(folder->size(), 2);
  std::multiset<int64_t> seen;
  for (int64_t step = 0; step < 2; ++step) {
    for (int64_t index : BatchIndices(folder->pass(), 2, step, 7)) seen.insert(index);
  }
  EXPECT_THAT(seen, ElementsAre(0, 0, 0, 1));
}

TEST(BatchIndicesTest, ShufflesEachEpochDifferently) {
  EXPECT_NE(BatchIndices(50, 50, 0, 7), BatchIndices(50, 50, 1, 7));
}

}  // namespace
}  // namespace ilf
