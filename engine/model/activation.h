// Activations whose result does not depend on an element's place in the tensor.
//
// On the CPU at::silu and at::gelu compute most elements with vector instructions and the last ones
// of a tensor, or of a thread's part of it, with scalar ones, which round differently: a row's bits
// would depend on the batch. Products, sums, quotients, exp and tanh do not have that flaw, so the
// activations are made of those. Training and other devices use the operators.
#pragma once

#include <ATen/core/Tensor.h>

#include "engine/model/execution.h"

namespace ilf {

// x * sigmoid(x)
at::Tensor Silu(const at::Tensor& x, const Execution& execution);

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): GELU in the approximation that DiT was trained
// with.
at::Tensor GeluTanh(const at::Tensor& x, const Execution& execution);

}  // namespace ilf
