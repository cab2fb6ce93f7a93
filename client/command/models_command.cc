#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/command/command_line.h"
#include "client/command/commands.h"
#include "client/command/event_json.h"
#include "client/command/exit_code.h"
#include "client/command/names.h"

namespace ilf {
namespace {

std::string DescribePlan(const v1::FeedbackPlan& plan, int blocks) {
  return absl::StrFormat(
      "  feedback: %d steps with %s, %d of them with feedback, %d block evaluations, as good as %d "
      "plain steps "
      "(%d); guidance %g to %g\n",
      plan.steps(), NameOf(plan.solver()), plan.feedback_steps(), plan.block_evaluations(),
      plan.equivalent_steps(), plan.equivalent_steps() * blocks, plan.min_guidance_scale(),
      plan.max_guidance_scale());
}

std::string DescribeModel(const v1::Model& model) {
  std::string text = absl::StrFormat("%s: %s in %s, %d blocks\n", model.name(),
                                     model.architecture(), model.dtype(), model.block_count());
  if (model.accepts_class_label()) {
    absl::StrAppend(&text, "  labels: ", absl::StrJoin(model.class_labels(), "; "), "\n");
  }
  if (model.accepts_text_prompt()) {
    absl::StrAppend(&text, "  takes prompts of up to ", model.max_prompt_tokens(), " tokens\n");
  }
  const auto size_name = [](std::string* out, const v1::ImageSize& size) {
    absl::StrAppend(out, size.width(), "x", size.height());
  };
  absl::StrAppend(&text, "  sizes: ", absl::StrJoin(model.sizes(), ", ", size_name), "\n");
  const auto solver_name = [](std::string* out, int solver) {
    absl::StrAppend(out, NameOf(static_cast<v1::Solver>(solver)));
  };
  if (model.has_size_range()) {
    absl::StrAppend(&text, "  any size: sides of ", model.size_range().min_side(), " to ",
                    model.size_range().max_side(), ", multiples of ", model.size_range().multiple(),
                    "\n");
  }
  absl::StrAppend(&text, "  solvers: ", absl::StrJoin(model.solvers(), ", ", solver_name), "\n");
  absl::StrAppend(&text, "  defaults: ", model.default_steps(), " steps (at most ",
                  model.max_steps(), "), guidance ", model.default_guidance_scale(), ", ",
                  NameOf(model.default_solver()), ", ", model.default_size().width(), "x",
                  model.default_size().height(), "\n");
  for (const v1::FeedbackPlan& plan : model.feedback_plans()) {
    absl::StrAppend(&text, DescribePlan(plan, model.block_count()));
  }
  return text;
}

absl::StatusOr<std::string> ShowOne(Client& client, const ModelsCommand& command,
                                    std::stop_token stop) {
  const auto model = client.GetModel(*command.model, std::move(stop));
  if (!model.ok()) return model.status();
  return command.json ? ToJsonLine(*model) + "\n" : DescribeModel(*model);
}

absl::StatusOr<std::string> ShowAll(Client& client, const ModelsCommand& command,
                                    std::stop_token stop) {
  const auto models = client.ListModels(std::move(stop));
  if (!models.ok()) return models.status();
  if (command.json) return ToJsonLine(*models) + "\n";
  std::string text;
  for (const v1::Model& model : models->models()) text += DescribeModel(model);
  return text;
}

}  // namespace

int RunModels(const ModelsCommand& command, std::stop_token stop) {
  Client client(command.connection.client);
  const auto text = command.model.has_value() ? ShowOne(client, command, std::move(stop))
                                              : ShowAll(client, command, std::move(stop));
  if (!text.ok()) {
    std::fputs(ErrorText(text.status(), command.connection).c_str(), stderr);
    return ExitCodeOf(text.status());
  }
  return std::fputs(text->c_str(), stdout) >= 0 && std::fflush(stdout) == 0 ? kExitOk
                                                                            : kExitCannotWrite;
}

}  // namespace ilf
