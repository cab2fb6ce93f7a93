#include "client/command/output_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace ilf {
namespace {

namespace fs = std::filesystem;

v1::ImageEvent Image(int index, uint64_t seed, v1::ImageFormat format = v1::IMAGE_FORMAT_PNG) {
  v1::ImageEvent image;
  image.set_image_index(index);
  image.set_seed(seed);
  image.set_format(format);
  image.set_data("bytes");
  return image;
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class OutputFilesTest : public ::testing::Test {
 protected:
  OutputFilesTest()
      : folder_(fs::path(::testing::TempDir()) /
                ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~OutputFilesTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  // The path of the second image of `count`, with seed 9.
  std::string PathOf(const std::string& out, int count,
                     v1::ImageFormat format = v1::IMAGE_FORMAT_PNG) const {
    const auto files = OutputFiles::Create(out, count);
    return files.ok() ? files->PathOf(Image(1, 9, format)) : files.status().ToString();
  }

  const fs::path folder_;
};

TEST_F(OutputFilesTest, FolderGetsOneFileForEachSeed) {
  EXPECT_EQ(PathOf(Path(""), 2), Path("image-9.png"));
  EXPECT_EQ(PathOf(Path("new/"), 2), Path("new/image-9.png"));
  EXPECT_EQ(PathOf(Path(""), 2, v1::IMAGE_FORMAT_JPEG), Path("image-9.jpg"));
}

TEST_F(OutputFilesTest, FileNameIsTakenAsItIs) {
  EXPECT_EQ(PathOf(Path("a.png"), 1), Path("a.png"));
  EXPECT_EQ(PathOf("a.png", 1), "a.png");
  EXPECT_EQ(PathOf(Path("a"), 1), Path("a.png"));
}

TEST_F(OutputFilesTest, SeveralImagesGetTheirIndex) {
  EXPECT_EQ(PathOf(Path("a.png"), 2), Path("a-1.png"));
  EXPECT_EQ(PathOf("a.png", 2), "a-1.png");
  EXPECT_EQ(PathOf(Path("a"), 2), Path("a-1.png"));
}

TEST_F(OutputFilesTest, PlaceholdersAreFilledIn) {
  EXPECT_EQ(PathOf(Path("{index}/s{seed}.png"), 2), Path("1/s9.png"));
}

TEST_F(OutputFilesTest, WritesTheWholePictureAndNothingElse) {
  const auto files = OutputFiles::Create(Path("deep/er/{seed}.png"), 1);
  ASSERT_TRUE(files.ok()) << files.status();
  const auto path = files->Write(Image(0, 5));
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(ReadFile(*path), "bytes");
  EXPECT_EQ(std::distance(fs::directory_iterator(Path("deep/er")), {}), 1);
}

TEST_F(OutputFilesTest, ReplacesAFileOfTheSameName) {
  std::ofstream(Path("a.png")) << "something longer than before";
  ASSERT_TRUE(OutputFiles::Create(Path("a.png"), 1)->Write(Image(0, 5)).ok());
  EXPECT_EQ(ReadFile(Path("a.png")), "bytes");
}

TEST_F(OutputFilesTest, ADeviceIsWrittenToAndStays) {
  fs::create_symlink("/dev/null", Path("sink"));
  const auto path = OutputFiles::Create(Path("sink"), 1)->Write(Image(0, 5));
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, Path("sink"));
  EXPECT_TRUE(fs::is_character_file(*path));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(OutputFilesTest, FolderThatCannotBeMadeIsToldBeforeTheCall) {
  std::ofstream(Path("file")) << "x";
  EXPECT_FALSE(OutputFiles::Create(Path("file/a.png"), 1).ok());
}

TEST_F(OutputFilesTest, FileThatCannotBeWrittenIsAnError) {
  const auto files = OutputFiles::Create(Path("a.png"), 1);
  fs::create_directories(Path("a.png/in_the_way"));
  EXPECT_FALSE(files->Write(Image(0, 5)).ok());
}

TEST_F(OutputFilesTest, StandardOutputTakesOneImage) {
  EXPECT_TRUE(OutputFiles::Create("-", 1)->ToStdout());
  EXPECT_EQ(OutputFiles::Create("-", 2).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(OutputFilesTest, ExtensionAsksForAFormat) {
  EXPECT_EQ(FormatOfExtension("a/b.PNG"), v1::IMAGE_FORMAT_PNG);
  EXPECT_EQ(FormatOfExtension("b.jpg"), v1::IMAGE_FORMAT_JPEG);
  EXPECT_EQ(FormatOfExtension("b.jpeg"), v1::IMAGE_FORMAT_JPEG);
  EXPECT_EQ(FormatOfExtension("b"), std::nullopt);
  EXPECT_EQ(FormatOfExtension("./"), std::nullopt);
}

}  // namespace
}  // namespace ilf
