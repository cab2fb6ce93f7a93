// A classifier with random weights, for pictures of 8x8.
#pragma once

#include <string>

namespace ilf {

// Written to a fresh folder of the running test, 8 features and 2 classes; returns its path.
std::string SmallClassifier(const std::string& name);

}  // namespace ilf
