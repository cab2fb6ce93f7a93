#include "engine/evaluation/classifier_trainer.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/training/image_folder.h"
#include "engine/training/model_files.h"

namespace ilf {
namespace {

constexpr int64_t kTestBatch = 256;

absl::StatusOr<ImageClassifier> MakeClassifier(const ClassifierConfig& config,
                                               const NamedTensors& weights) {
  StateDict tensors(weights, "classifier weights");
  return ImageClassifier::Load(config, tensors);
}

// Mirrors half of the pictures and moves each by up to `largest` pixels either way; the edge is
// repeated.
at::Tensor Augment(const at::Tensor& pictures, int64_t largest, const at::Generator& random) {
  const int64_t side = pictures.size(2);
  const at::Tensor padded = at::replication_pad2d(pictures, {largest, largest, largest, largest});
  const at::Tensor moves = at::randint(2 * largest + 1, {pictures.size(0), 2}, random);
  const at::Tensor mirror = at::rand({pictures.size(0)}, random) < 0.5;
  std::vector<at::Tensor> moved;
  for (int64_t i = 0; i < pictures.size(0); ++i) {
    const at::Tensor cut = padded[i]
                               .narrow(1, moves[i][0].item<int64_t>(), side)
                               .narrow(2, moves[i][1].item<int64_t>(), side);
    moved.push_back(mirror[i].item<bool>() ? cut.flip(2) : cut);
  }
  return at::stack(moved);
}

absl::StatusOr<double> Accuracy(const ImageClassifier& classifier, const ImageFolder& folder) {
  at::NoGradGuard no_grad;
  const at::Tensor labels = folder.Labels();
  int64_t right = 0;
  for (int64_t begin = 0; begin < folder.size(); begin += kTestBatch) {
    std::vector<int64_t> indices;
    for (int64_t i = begin; i < std::min(begin + kTestBatch, folder.size()); ++i)
      indices.push_back(i);
    ILF_ASSIGN_OR_RETURN(const at::Tensor pictures, folder.Images(indices));
    const at::Tensor named = classifier.Logits(classifier.Features(pictures)).argmax(1);
    right += named.to(at::kCPU).eq(labels.narrow(0, begin, named.size(0))).sum().item<int64_t>();
  }
  return static_cast<double>(right) / static_cast<double>(folder.size());
}

}  // namespace

absl::Status TrainClassifier(const ClassifierTrainingOptions& options,
                             const std::atomic<bool>& stop) {
  const int side = static_cast<int>(options.config.image_size);
  ILF_ASSIGN_OR_RETURN(const ImageFolder folder, ImageFolder::Open(options.data, side));
  ILF_ASSIGN_OR_RETURN(const ImageFolder test, ImageFolder::Open(options.test_data, side));
  if (folder.label_names() != test.label_names()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.test_data, ": its labels are not those of ", options.data));
  }
  ClassifierConfig config = options.config;
  config.classes = static_cast<int64_t>(folder.label_names().size());
  const TrainingOptions& loop = options.loop;
  ParameterSet parameters(
      InitialClassifier(config, at::make_generator<at::CPUGeneratorImpl>(loop.seed)), loop.device);
  ILF_ASSIGN_OR_RETURN(const ImageClassifier classifier,
                       MakeClassifier(config, parameters.weights()));
  absl::FPrintF(stderr, "classifier: %d parameters, %d pictures, %d classes\n", parameters.size(),
                folder.size(), config.classes);

  TrainingTask task;
  task.name = "classifier";
  task.loss = [&](int64_t share, const at::Generator& random) -> absl::StatusOr<at::Tensor> {
    const std::vector<int64_t> indices =
        BatchIndices(folder.pass(), loop.share_size(), share, loop.seed);
    ILF_ASSIGN_OR_RETURN(const at::Tensor pictures, folder.Images(indices));
    const at::Tensor labels = folder.Labels().index_select(0, at::tensor(indices)).to(loop.device);
    const at::Tensor augmented = Augment(pictures, options.largest_shift, random).to(loop.device);
    const at::Tensor logits = classifier.Logits(classifier.Features(augmented)).to(at::kFloat);
    return at::cross_entropy_loss(logits, labels);
  };
  task.write = [&](int64_t step, const NamedTensors& averaged) -> absl::Status {
    ILF_ASSIGN_OR_RETURN(const ImageClassifier average, MakeClassifier(config, averaged));
    ILF_ASSIGN_OR_RETURN(const double accuracy, Accuracy(average, test));
    absl::FPrintF(stderr, "classifier: %.2f %% of the test pictures named after step %d\n",
                  100 * accuracy, step);
    const nlohmann::ordered_json json = {
        {"channels", config.channels},       {"strides", config.strides},
        {"norm_groups", config.norm_groups}, {"classes", config.classes},
        {"image_size", config.image_size},   {"test_accuracy", accuracy}};
    ILF_RETURN_IF_ERROR(WriteJson(loop.output, "config.json", json));
    return WriteWeights(loop.output, averaged, at::kFloat);
  };
  return RunTraining(task, loop, parameters, stop);
}

}  // namespace ilf
