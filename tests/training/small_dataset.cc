#include "tests/training/small_dataset.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>

#include "engine/image/codec.h"

namespace ilf {

std::string SmallDataset(const std::string& name, int count, int side) {
  const std::string path = ::testing::TempDir() + "/dataset_" + name;
  std::filesystem::create_directories(path);
  std::ofstream metadata(path + "/metadata.jsonl");
  for (int i = 0; i < count; ++i) {
    const std::vector<uint8_t> pixels(RgbBytes(side, side),
                                      static_cast<uint8_t>(255 * i / (count - 1)));
    const std::string file = std::to_string(i) + ".png";
    std::ofstream(path + "/" + file, std::ios::binary)
        << EncodePng({side, side, pixels.data()}).value();
    metadata << "{\"file_name\": \"" << file << "\", \"label\": " << i % 2 << "}\n";
  }
  return path;
}

}  // namespace ilf
