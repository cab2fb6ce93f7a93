// A classifier with random weights, for pictures of 8x8.
#pragma once

#include <cstdint>
#include <string>

namespace ilf {

// Written to a fresh folder of the running test, 8 features and 2 classes; returns its path.
std::string SmallClassifier(const std::string& name, uint64_t seed = 5);

}  // namespace ilf
