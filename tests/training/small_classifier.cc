#include "tests/training/small_classifier.h"

#include <filesystem>

#include <ATen/CPUGeneratorImpl.h>
#include <nlohmann/json.hpp>

#include <gtest/gtest.h>

#include "engine/model/image_classifier.h"
#include "engine/training/model_files.h"
#include "tests/testing/temp_path.h"

namespace ilf {

std::string SmallClassifier(const std::string& name, uint64_t seed) {
  const std::string path = TestPath(name + "_small_classifier");
  std::filesystem::remove_all(path);
  const ClassifierConfig config = {
      .channels = {8, 8}, .strides = {1, 2}, .norm_groups = 4, .classes = 2, .image_size = 8};
  const nlohmann::ordered_json json = {{"channels", config.channels},
                                       {"strides", config.strides},
                                       {"norm_groups", config.norm_groups},
                                       {"classes", config.classes},
                                       {"image_size", config.image_size}};
  EXPECT_TRUE(WriteJson(path, "config.json", json).ok());
  EXPECT_TRUE(
      WriteWeights(path, InitialClassifier(config, at::make_generator<at::CPUGeneratorImpl>(seed)),
                   at::kFloat)
          .ok());
  return path;
}

}  // namespace ilf
