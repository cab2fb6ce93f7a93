// One forward of a batch in which some rows run the inner loop again (Inner Loop Feedback).
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/types/span.h"
#include "engine/model/feedback_module.h"
#include "engine/model/transformer.h"

namespace ilf {

// The rows of a batch that run feedback.
struct FeedbackRows {
  std::vector<int64_t> index;   // distinct positions in the batch, n of them
  at::Tensor target_timesteps;  // [n] float32: what each of them aims at; the row's own where it
                                // aims at none
};

// As model(latents, timesteps, rows) with rows of several sizes, and with feedback for the rows in
// `feedback` (not empty).
// For such a row, with f the input of the first inner block and g the output of the last:
//   F = module(g);  x = f;  for each inner block i:  x = block_i(x + scale_i F);  the deep blocks
//   go on from x
// with the timesteps that the module's config names; extra loops take the output of the loop before
// as g. The shallow blocks, the first loop and the deep blocks run on all rows together. A row's
// bits do not depend on the others (with batch_invariant execution), and where all scales are 0 and
// all timesteps kSource they are those of a plain pass.
std::vector<at::Tensor> PassWithFeedback(const Transformer& model, const FeedbackModule& module,
                                         absl::Span<const at::Tensor> latents,
                                         const at::Tensor& timesteps, const RowConditions& rows,
                                         const FeedbackRows& feedback);

}  // namespace ilf
