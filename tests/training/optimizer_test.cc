#include "engine/training/optimizer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <gtest/gtest.h>

namespace ilf {
namespace {

at::Tensor Random(at::IntArrayRef shape) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(uint64_t{3}));
}

TEST(OrthogonalisedTest, SingularValuesAreAboutOneAndDirectionsAreKept) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{20, 50}, {50, 20}, {20, 20}}) {
    const at::Tensor matrix = Random(shape);
    const at::Tensor result = Orthogonalised(matrix);
    const at::Tensor values = at::linalg_svdvals(result);
    EXPECT_GT(values.min().item<double>(), 0.3);
    EXPECT_LT(values.max().item<double>(), 1.3);
    const auto [u, s, vh] = at::linalg_svd(matrix, /*full_matrices=*/false);
    const at::Tensor rotated = u.t().matmul(result).matmul(vh.t());
    EXPECT_LT((rotated - at::diag(rotated.diagonal())).abs().max().item<double>(), 1e-3);
  }
}

class OptimizerTest : public ::testing::Test {
 protected:
  // The update that one step with this gradient makes.
  at::Tensor Update(OptimizerKind kind, const at::Tensor& gradient) {
    ParameterSet parameters({{"w", at::zeros(gradient.sizes())}}, at::kCPU);
    Optimizer optimizer({.kind = kind}, parameters);
    at::NoGradGuard no_grad;
    parameters.flat_gradients().copy_(gradient.flatten());
    optimizer.Step(0.1);
    return parameters.weights().at("w").detach();
  }
};

TEST_F(OptimizerTest, MuonMovesEveryDirectionOfAMatrixAlike) {
  const at::Tensor steep = at::diag(at::linspace(1, 100, 16));
  const at::Tensor values = at::linalg_svdvals(Update(OptimizerKind::kMuon, steep));
  EXPECT_LT((values.max() / values.median()).item<double>(), 2.0);
  EXPECT_NEAR(values.median().item<double>(), 0.1 * 0.2 * 4, 0.03);  // rate * size of Adam's
}

TEST_F(OptimizerTest, MuonLeavesVectorsAndNarrowMatricesToAdamW) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{40}, {40, 3}}) {
    const at::Tensor gradient = Random(shape);
    EXPECT_TRUE(
        at::equal(Update(OptimizerKind::kMuon, gradient), Update(OptimizerKind::kAdamW, gradient)));
  }
}

}  // namespace
}  // namespace ilf
