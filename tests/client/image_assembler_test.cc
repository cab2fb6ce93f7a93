#include "client/image_assembler.h"

#include <gtest/gtest.h>

#include <string>

namespace ilf {
namespace {

v1::ImageEvent Chunk(int index, int64_t offset, const std::string& data, int64_t total, bool last) {
  v1::ImageEvent chunk;
  chunk.set_image_index(index);
  chunk.set_chunk_offset(offset);
  chunk.set_data(data);
  chunk.set_total_size(total);
  chunk.set_last_chunk(last);
  return chunk;
}

TEST(ImageAssemblerTest, SingleChunkIsTheImage) {
  ImageAssembler assembler;
  const auto image = assembler.Add(Chunk(3, 0, "abc", 3, true));
  ASSERT_TRUE(image.ok() && image->has_value());
  EXPECT_EQ((*image)->data(), "abc");
  EXPECT_EQ((*image)->image_index(), 3);
}

TEST(ImageAssemblerTest, JoinsChunksAndStartsAfresh) {
  ImageAssembler assembler;
  for (int index = 0; index < 2; ++index) {
    const auto first = assembler.Add(Chunk(index, 0, "ab", 5, false));
    ASSERT_TRUE(first.ok());
    EXPECT_FALSE(first->has_value());
    EXPECT_TRUE(assembler.InProgress());
    ASSERT_TRUE(assembler.Add(Chunk(index, 2, "cd", 5, false)).ok());
    const auto image = assembler.Add(Chunk(index, 4, "e", 5, true));
    ASSERT_TRUE(image.ok() && image->has_value());
    EXPECT_EQ((*image)->data(), "abcde");
    EXPECT_EQ((*image)->chunk_offset(), 0);
    EXPECT_TRUE((*image)->last_chunk());
    EXPECT_FALSE(assembler.InProgress());
  }
}

TEST(ImageAssemblerTest, RefusesChunksThatDoNotFit) {
  const v1::ImageEvent broken[] = {
      Chunk(0, 3, "cd", 6, false),    // a gap
      Chunk(0, 0, "ab", 6, false),    // again
      Chunk(1, 2, "cd", 6, false),    // another image
      Chunk(0, 2, "cd", 7, false),    // another size
      Chunk(0, 2, "cd", 6, true),     // last, but too short
      Chunk(0, 2, "cdef", 6, false),  // complete, but not last
      Chunk(0, 2, "cdefg", 6, true),  // too long
  };
  for (const v1::ImageEvent& chunk : broken) {
    ImageAssembler assembler;
    ASSERT_TRUE(assembler.Add(Chunk(0, 0, "ab", 6, false)).ok());
    EXPECT_EQ(assembler.Add(chunk).status().code(), absl::StatusCode::kDataLoss)
        << chunk.ShortDebugString();
  }
}

TEST(ImageAssemblerTest, RefusesAnImageThatIsTooLarge) {
  ImageAssembler assembler;
  EXPECT_FALSE(assembler.Add(Chunk(0, 0, "a", ImageAssembler::kMaxImageBytes + 1, false)).ok());
  EXPECT_FALSE(assembler.Add(Chunk(0, 0, "a", -1, false)).ok());
}

}  // namespace
}  // namespace ilf
