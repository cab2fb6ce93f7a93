#include "client/command/names.h"

namespace ilf {

const std::map<std::string, v1::Solver>& SolverNames() {
  static const std::map<std::string, v1::Solver> names = {
      {"ddim", v1::SOLVER_DDIM},
      {"dpmsolver++", v1::SOLVER_DPM_SOLVER_PP_2M},
      {"euler", v1::SOLVER_EULER}};
  return names;
}

const std::map<std::string, v1::Acceleration>& AccelerationNames() {
  static const std::map<std::string, v1::Acceleration> names = {
      {"auto", v1::ACCELERATION_AUTO},
      {"off", v1::ACCELERATION_OFF},
      {"feedback", v1::ACCELERATION_FEEDBACK}};
  return names;
}

const std::map<std::string, v1::ImageFormat>& ImageFormatNames() {
  static const std::map<std::string, v1::ImageFormat> names = {{"png", v1::IMAGE_FORMAT_PNG},
                                                               {"jpeg", v1::IMAGE_FORMAT_JPEG}};
  return names;
}

const std::map<std::string, v1::Priority>& PriorityNames() {
  static const std::map<std::string, v1::Priority> names = {
      {"low", v1::PRIORITY_LOW}, {"normal", v1::PRIORITY_NORMAL}, {"high", v1::PRIORITY_HIGH}};
  return names;
}

std::string NameOf(v1::Solver solver) {
  for (const auto& [name, value] : SolverNames()) {
    if (value == solver) return name;
  }
  return "unknown";
}

}  // namespace ilf
