// Where a request stands, told by the events so far, in words.
#pragma once

#include <map>
#include <string>

#include "ilf/v1/image_generation.pb.h"

namespace ilf {

// Not thread-safe.
class Progress {
 public:
  explicit Progress(int images) : images_(images) {}

  void Take(const v1::GenerateResponse& event);

  int Percent() const;  // of the steps of all images, 0 to 100

  // One short line: "queued, 3 images ahead", "40 %, step 8 of 20", "40 %, 32 of 80 steps, 1 of 4
  // images".
  std::string Summary() const;

 private:
  const int images_;
  bool started_ = false;
  int images_ahead_ = 0;
  int steps_per_image_ = 0;  // 0 = not known yet
  int images_done_ = 0;
  std::map<int, int> steps_done_;  // by image index
};

// What one event means, where it is worth a line of its own (queued, started, an image, completed);
// else "".
std::string DescribeEvent(const v1::GenerateResponse& event);

}  // namespace ilf
