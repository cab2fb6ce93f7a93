// The words of the command line for the protocol's enums.
#pragma once

#include <map>
#include <string>

#include "ilf/v1/image_generation.pb.h"

namespace ilf {

const std::map<std::string, v1::Solver>& SolverNames();
const std::map<std::string, v1::Acceleration>& AccelerationNames();
const std::map<std::string, v1::ImageFormat>& ImageFormatNames();
const std::map<std::string, v1::Priority>& PriorityNames();

// The word for a solver; "unknown" for one that this client does not know.
std::string NameOf(v1::Solver solver);

}  // namespace ilf
