// A labelled picture collection in the Hugging Face "imagefolder" layout: pictures beside a
// metadata.jsonl whose lines are {"file_name": "00001.png", "label": 3}; "label" may also be a
// class name. Captioned pictures have "text" instead, a string or a list of strings, each of which
// describes the whole picture. "repeats" (an integer from 1 to 1000; default 1) is how often one
// pass over the folder shows the picture. An optional file labels.json next to it, a list of
// strings, gives the class names by index.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"

namespace ilf {

// Immutable; reads and decodes a picture each time it is asked for. Thread-safe.
class ImageFolder {
 public:
  // Reads `path`/metadata.jsonl. Labels are numbered by labels.json, else names in alphabetical
  // order. `side`: pictures are resized to a square of this many pixels. Errors name the file and
  // the line.
  static absl::StatusOr<ImageFolder> Open(const std::string& path, int side);

  int64_t size() const { return static_cast<int64_t>(files_.size()); }
  int side() const { return side_; }
  const std::vector<std::string>& label_names() const { return label_names_; }

  // Classes of the pictures, [size] int64.
  at::Tensor Labels() const;

  // By picture the texts that describe it; empty lists where there are none.
  const std::vector<std::vector<std::string>>& captions() const { return captions_; }

  // What one pass over the folder shows: every index, as often as its picture repeats.
  const std::vector<int64_t>& pass() const { return pass_; }

  // Tells these pictures from others, and from what they were before a change: of path, names,
  // sizes and times of the files. Errors of files that cannot be looked at.
  absl::StatusOr<std::string> Identity() const;

  // The pictures `indices`, [n, 3, side, side] float32 in [-1, 1].
  absl::StatusOr<at::Tensor> Images(const std::vector<int64_t>& indices) const;

 private:
  std::string path_;
  int side_ = 0;
  std::vector<std::string> files_;
  std::vector<int64_t> labels_;
  std::vector<std::vector<std::string>> captions_;
  std::vector<int64_t> pass_;
  std::vector<std::string> label_names_;
};

// The `count` indices of step `step` in a shuffled pass over `size` items: every epoch visits each
// item once, in an order that depends on `seed` and the epoch alone, so that a resumed run goes on
// where it stopped.
std::vector<int64_t> BatchIndices(int64_t size, int64_t count, int64_t step, uint64_t seed);

// The same of an ImageFolder's pass.
std::vector<int64_t> BatchIndices(const std::vector<int64_t>& pass, int64_t count, int64_t step,
                                  uint64_t seed);

}  // namespace ilf
