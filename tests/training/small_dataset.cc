#include "tests/training/small_dataset.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "engine/image/codec.h"

namespace ilf {

namespace {

std::string WriteDataset(const std::string& name, int count, int side,
                         const std::function<std::string(int)>& description) {
  const std::string path = ::testing::TempDir() + "/dataset_" + name;
  std::filesystem::create_directories(path);
  std::ofstream metadata(path + "/metadata.jsonl");
  for (int i = 0; i < count; ++i) {
    const std::vector<uint8_t> pixels(RgbBytes(side, side),
                                      static_cast<uint8_t>(255 * i / (count - 1)));
    const std::string file = std::to_string(i) + ".png";
    std::ofstream(path + "/" + file, std::ios::binary)
        << EncodePng({side, side, pixels.data()}).value();
    metadata << "{\"file_name\": \"" << file << "\", " << description(i) << "}\n";
  }
  return path;
}

}  // namespace

std::string SmallDataset(const std::string& name, int count, int side) {
  return WriteDataset(name, count, side,
                      [](int i) { return "\"label\": " + std::to_string(i % 2); });
}

std::string SmallCaptionedDataset(const std::string& name, int count, int side) {
  return WriteDataset(name, count, side, [](int i) {
    const std::string number = std::to_string(i);
    return "\"text\": [\"picture " + number + "\", \"number " + number + "\"]";
  });
}

}  // namespace ilf
