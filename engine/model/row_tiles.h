// Splits the rows of a matrix product into calls of fixed sizes.
//
// Matrix kernels choose their blocking by the number of rows, and with it the order in which a
// row's products are added: its bits would depend on the batch. A call of a fixed size always adds
// in the same order. Several sizes may serve one layer when a probe has shown that they agree to
// the bit.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace ilf {

// Sizes of the calls that cover `rows` rows, largest first; `sizes` is ascending and not empty. The
// last call may be longer than the rows left: the caller fills it with zeros. A call costs as much
// as `call_cost` rows beside its own, so that one call with rows to spare may be chosen over
// several that fit.
std::vector<int64_t> SplitRows(int64_t rows, const std::vector<int64_t>& sizes, double call_cost);

// The tile sizes that may be mixed freely for the row-wise function `layer` ([rows, in] -> [rows,
// out]): `base`, and every candidate whose rows are bit-identical to those of calls of `base` rows,
// on random input, at several positions in the call. Ascending. `probe_rows` are a multiple of
// `base`; a candidate above their number is left out.
std::vector<int64_t> ProbeRowTiles(int64_t base, const std::vector<int64_t>& candidates,
                                   const at::Tensor& probe_rows,
                                   const std::function<at::Tensor(const at::Tensor&)>& layer);

}  // namespace ilf
