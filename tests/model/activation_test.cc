#include "engine/model/activation.h"

#include <functional>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

using Function = std::function<at::Tensor(const at::Tensor&)>;

// Whether each element comes out the same in short pieces of a tensor as in the whole of it.
bool DependsOnPlace(const Function& f, at::ScalarType dtype) {
  const at::Tensor x = (at::randn({20000}) * 3.0).to(dtype);
  const at::Tensor whole = f(x);
  for (int64_t begin = 0; begin + 13 < x.size(0); begin += 37) {
    if (!at::equal(f(x.narrow(0, begin, 13)), whole.narrow(0, begin, 13))) return true;
  }
  return false;
}

class ActivationTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  const Execution execution_{.dtype = GetParam()};
};

TEST_P(ActivationTest, DoesNotDependOnTheElementsPlace) {
  EXPECT_FALSE(
      DependsOnPlace([&](const at::Tensor& x) { return Silu(x, execution_); }, GetParam()));
  EXPECT_FALSE(
      DependsOnPlace([&](const at::Tensor& x) { return GeluTanh(x, execution_); }, GetParam()));
}

TEST_P(ActivationTest, AgreesWithTheOperators) {
  const at::Tensor x = (at::randn({5000}) * 4.0).to(GetParam());
  const double tolerance = GetParam() == at::kFloat ? 1e-6 : 1e-2;
  EXPECT_TRUE(at::allclose(Silu(x, execution_), at::silu(x), tolerance, tolerance));
  EXPECT_TRUE(at::allclose(GeluTanh(x, execution_), at::gelu(x, "tanh"), tolerance, tolerance));
}

INSTANTIATE_TEST_SUITE_P(Dtypes, ActivationTest, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

TEST(SiluTest, IsZeroFarBelowZeroAndTheIdentityFarAbove) {
  const at::Tensor x = at::randn({4}) * 0.0 + 1000.0;
  EXPECT_TRUE(at::equal(Silu(x, {}), x));
  EXPECT_TRUE(at::equal(Silu(-x, {}), x * 0.0));
}

}  // namespace
}  // namespace ilf
