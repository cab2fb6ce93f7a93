#include "engine/model/linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

class LinearTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  Execution execution_{.dtype = GetParam()};
  at::Tensor weight_ = (at::randn({96, 160}) * 0.1).to(GetParam());
  at::Tensor bias_ = at::randn({96}).to(GetParam());
  c10::InferenceMode inference_;
};

TEST_P(LinearTest, ComputesWhatThePlainOperatorDoes) {
  LinearBuilder builder(execution_);
  const Linear layer(weight_, bias_, RowKind::kTokens, builder);
  const at::Tensor x = at::randn({3, 7, 160}).to(GetParam());
  EXPECT_TRUE(at::allclose(layer(x).to(at::kFloat), at::linear(x, weight_, bias_).to(at::kFloat),
                           /*rtol=*/1e-2, /*atol=*/GetParam() == at::kFloat ? 1e-5 : 2e-2));
}

TEST_P(LinearTest, AppliesTheTanhApproximationOfGelu) {
  LinearBuilder builder(execution_);
  const Linear layer(weight_, bias_, RowKind::kTokens, builder, Activation::kGeluTanh);
  const at::Tensor x = at::randn({40, 160}).to(GetParam());
  const at::Tensor expected = at::gelu(at::linear(x, weight_, bias_).to(at::kFloat), "tanh");
  EXPECT_TRUE(at::allclose(layer(x).to(at::kFloat), expected, /*rtol=*/1e-2,
                           /*atol=*/GetParam() == at::kFloat ? 1e-5 : 2e-2));
}

TEST_P(LinearTest, GivesARowTheSameBitsInEveryCompany) {
  LinearBuilder builder(execution_);
  for (const RowKind kind : {RowKind::kTokens, RowKind::kConditions}) {
    const Linear layer(weight_, bias_, kind, builder);
    const at::Tensor rows = at::randn({700, 160}).to(GetParam());
    const at::Tensor all = layer(rows);
    for (const auto& [begin, count] :
         {std::pair{0, 1}, {3, 5}, {31, 33}, {100, 16}, {50, 48}, {9, 130}, {255, 300}}) {
      EXPECT_TRUE(at::equal(layer(rows.narrow(0, begin, count)), all.narrow(0, begin, count)))
          << "rows " << begin << " to " << begin + count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, LinearTest, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

TEST(LinearLoadTest, NamesTheTensorThatHasAnotherShape) {
  StateDict weights({{"layer.weight", at::randn({4, 3})}, {"layer.bias", at::randn({4})}}, "file");
  LinearBuilder builder(Execution{});
  const absl::StatusOr<Linear> layer =
      Linear::Load(weights, "layer", 5, 4, RowKind::kTokens, builder);
  ASSERT_EQ(layer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(layer.status().message().find("layer.weight"), absl::string_view::npos);
}

}  // namespace
}  // namespace ilf
