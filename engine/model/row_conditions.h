// What the rows of a batch are to show.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/model/prompt_context.h"

namespace ilf {

struct RowConditions {
  RowConditions() = default;
  // Of a DiT.
  RowConditions(at::Tensor row_classes)  // NOLINT(google-explicit-constructor)
      : classes(std::move(row_classes)) {}
  // Of a PixArt; `sizes` may be undefined where the model has no micro-conditions.
  explicit RowConditions(PromptRows row_prompts, at::Tensor sizes = {})
      : prompts(std::move(row_prompts)), picture_sizes(std::move(sizes)) {}

  at::Tensor classes;        // DiT: [rows] int64 in [0, num_classes], where num_classes is the null
                             // class
  PromptRows prompts;        // PixArt
  at::Tensor picture_sizes;  // PixArt with micro-conditions: [rows, 2] float32, height and width in
                             // pixels

  // Those of the rows `index`, in that order; a row may come more than once.
  RowConditions Select(const std::vector<int64_t>& index) const;
};

}  // namespace ilf
