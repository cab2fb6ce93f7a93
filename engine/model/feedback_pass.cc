#include "engine/model/feedback_pass.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

namespace ilf {
namespace {

// The conditions of one forward. Those of the targets are made in the same products as the rows'
// own, and only where the module asks for any.
class Conditions {
 public:
  Conditions(const DitTransformer& model, const FeedbackConfig& config, const at::Tensor& timesteps,
             const at::Tensor& classes, const FeedbackRows& feedback)
      : rows_(timesteps.size(0)),
        index_(feedback.index),
        all_(config.UsesTarget()
                 ? model.Condition(at::cat({timesteps, feedback.target_timesteps}),
                                   at::cat({classes, classes.index_select(0, feedback.index)}))
                 : model.Condition(timesteps, classes)),
        own_(config.UsesTarget() ? all_.Rows(at::arange(rows_, index_.options())) : all_) {}

  // Of all rows, each at its own timestep.
  const DitCondition& Own() const { return own_; }

  // Of the feedback rows.
  DitCondition Of(FeedbackTimestep timestep) const {
    return all_.Rows(timestep == FeedbackTimestep::kSource ? index_ : Targets());
  }

  // Of all rows, those with feedback at `timestep`.
  DitCondition WithFeedbackAt(FeedbackTimestep timestep) const {
    if (timestep == FeedbackTimestep::kSource) return own_;
    return all_.Rows(at::arange(rows_, index_.options()).index_copy(0, index_, Targets()));
  }

 private:
  at::Tensor Targets() const { return at::arange(rows_, rows_ + index_.size(0), index_.options()); }

  const int64_t rows_;
  const at::Tensor index_;
  const DitCondition all_;  // the rows, then the feedback rows at their targets
  const DitCondition own_;
};

}  // namespace

at::Tensor PassWithFeedback(const DitTransformer& model, const FeedbackModule& module,
                            const at::Tensor& latents, const at::Tensor& timesteps,
                            const at::Tensor& classes, const FeedbackRows& feedback) {
  const FeedbackConfig& config = module.config();
  const BlockRange shallow = {0, config.inner.begin};
  const BlockRange deep = {config.inner.end, model.config().num_layers};
  const Conditions conditions(model, config, timesteps, classes, feedback);

  const at::Tensor inner_input = model.RunBlocks(model.Embed(latents), shallow, conditions.Own());
  const at::Tensor inner_output = model.RunBlocks(inner_input, config.inner, conditions.Own());

  const at::Tensor looped_input = inner_input.index_select(0, feedback.index);
  at::Tensor looped = inner_output.index_select(0, feedback.index);
  const DitCondition module_condition = conditions.Of(config.feedback_timestep);
  const DitCondition inner_condition = conditions.Of(config.inner_timestep);
  for (int loop = 0; loop < config.extra_loops; ++loop) {
    const at::Tensor fed_back = module(looped, module_condition);
    looped = looped_input;
    for (int64_t i = config.inner.begin; i < config.inner.end; ++i) {
      looped = model.RunBlocks(looped + module.Scale(i - config.inner.begin) * fed_back, {i, i + 1},
                               inner_condition);
    }
  }

  const DitCondition deep_condition = conditions.WithFeedbackAt(config.deep_timestep);
  const at::Tensor x = inner_output.index_copy(0, feedback.index, looped);
  return model.Finish(model.RunBlocks(x, deep, deep_condition), deep_condition);
}

}  // namespace ilf
