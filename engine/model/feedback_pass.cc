#include "engine/model/feedback_pass.h"

#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

namespace ilf {
namespace {

// 0 .. count - 1, from `first` on.
std::vector<int64_t> Sequence(int64_t first, int64_t count) {
  std::vector<int64_t> sequence(count);
  std::iota(sequence.begin(), sequence.end(), first);
  return sequence;
}

// The conditions of one forward. Those of the targets are made in the same products as the rows'
// own, and only where the module asks for any.
class Conditions {
 public:
  Conditions(const Transformer& model, const FeedbackConfig& config, const TokenLayout& layout,
             const at::Tensor& timesteps, const RowConditions& rows, const FeedbackRows& feedback)
      : rows_(timesteps.size(0)),
        index_(feedback.index),
        all_(config.UsesTarget() ? WithTargets(model, layout, timesteps, rows, feedback)
                                 : model.Condition(timesteps, rows, layout)),
        own_(config.UsesTarget() ? all_.Rows(Sequence(0, rows_)) : all_) {}

  // Of all rows, each at its own timestep.
  const TransformerCondition& Own() const { return own_; }

  // Of the feedback rows.
  TransformerCondition Of(FeedbackTimestep timestep) const {
    return all_.Rows(timestep == FeedbackTimestep::kSource ? index_ : Targets());
  }

  // Of all rows, those with feedback at `timestep`.
  TransformerCondition WithFeedbackAt(FeedbackTimestep timestep) const {
    if (timestep == FeedbackTimestep::kSource) return own_;
    std::vector<int64_t> chosen = Sequence(0, rows_);
    const std::vector<int64_t> targets = Targets();
    for (size_t i = 0; i < index_.size(); ++i) chosen[index_[i]] = targets[i];
    return all_.Rows(chosen);
  }

 private:
  static TransformerCondition WithTargets(const Transformer& model, const TokenLayout& layout,
                                          const at::Tensor& timesteps, const RowConditions& rows,
                                          const FeedbackRows& feedback) {
    std::vector<int64_t> order = Sequence(0, timesteps.size(0));
    order.insert(order.end(), feedback.index.begin(), feedback.index.end());
    return model.Condition(at::cat({timesteps, feedback.target_timesteps}), rows.Select(order),
                           layout.Select(order));
  }

  std::vector<int64_t> Targets() const {
    return Sequence(rows_, static_cast<int64_t>(index_.size()));
  }

  const int64_t rows_;
  const std::vector<int64_t> index_;
  const TransformerCondition all_;  // the rows, then the feedback rows at their targets
  const TransformerCondition own_;
};

}  // namespace

std::vector<at::Tensor> PassWithFeedback(const Transformer& model, const FeedbackModule& module,
                                         absl::Span<const at::Tensor> latents,
                                         const at::Tensor& timesteps, const RowConditions& rows,
                                         const FeedbackRows& feedback) {
  const FeedbackConfig& config = module.config();
  const BlockRange shallow = {0, config.inner.begin};
  const BlockRange deep = {config.inner.end, model.config().num_layers};
  const TokenLayout layout = model.LayoutOf(latents);
  const Conditions conditions(model, config, layout, timesteps, rows, feedback);
  const at::Tensor tokens = at::tensor(layout.TokensOf(feedback.index)).to(timesteps.device());

  const at::Tensor inner_input = model.RunBlocks(model.Embed(latents), shallow, conditions.Own());
  const at::Tensor inner_output = model.RunBlocks(inner_input, config.inner, conditions.Own());

  const at::Tensor looped_input = inner_input.index_select(0, tokens);
  at::Tensor looped = inner_output.index_select(0, tokens);
  const TransformerCondition module_condition = conditions.Of(config.feedback_timestep);
  const TransformerCondition inner_condition = conditions.Of(config.inner_timestep);
  for (int loop = 0; loop < config.extra_loops; ++loop) {
    const at::Tensor fed_back = module(looped, module_condition);
    looped = looped_input;
    for (int64_t i = config.inner.begin; i < config.inner.end; ++i) {
      looped = model.RunBlocks(looped + module.Scale(i - config.inner.begin) * fed_back, {i, i + 1},
                               inner_condition);
    }
  }

  const TransformerCondition deep_condition = conditions.WithFeedbackAt(config.deep_timestep);
  const at::Tensor x = inner_output.index_copy(0, tokens, looped);
  return model.Finish(model.RunBlocks(x, deep, deep_condition), deep_condition);
}

}  // namespace ilf
