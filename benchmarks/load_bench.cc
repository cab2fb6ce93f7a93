// Loads an ilf-server with a constant number of requests, on orders from benchmarks/throughput.py.
//
// After "ready" on stdout, which says that the server has loaded its models, each line "CONCURRENCY
// IMAGES [KIND]" on stdin is answered by one line "WALL_SECONDS CPU_SECONDS BLOCK_EVALUATIONS": how
// long that many requests at a time, each for one image, took to bring IMAGES images, the processor
// time that this program spent meanwhile, and the blocks that the images say they ran. KIND is
// "plain" (the default), "feedback", or "mixed", which takes turns.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/client.h"

namespace ilf {
namespace {

constexpr int kMaxConcurrency = 1024;
constexpr absl::Duration kLoadTimeout = absl::Minutes(5);

enum class Kind { kPlain, kFeedback, kMixed };

struct Options {
  std::string address = "127.0.0.1:50051";
  std::string model;
  int steps = 20;
  int feedback_steps = 0;  // of the feedback plan
  std::string solver = "ddim";
  double guidance_scale = 4.0;
  int classes = 10;
};

std::optional<Kind> KindNamed(const std::string& name) {
  if (name == "plain") return Kind::kPlain;
  if (name == "feedback") return Kind::kFeedback;
  if (name == "mixed") return Kind::kMixed;
  return std::nullopt;
}

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return time.tv_sec + 1e-6 * time.tv_usec; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Load {
 public:
  Load(Client& client, const Options& options, Kind kind)
      : client_(client), options_(options), kind_(kind) {}

  int64_t block_evaluations() const { return block_evaluations_; }

  // Brings `images` images with `concurrency` requests under way at any time. The first error, if
  // any.
  absl::Status Run(int concurrency, int images) {
    std::atomic<int> next = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < concurrency; ++i) {
      threads.emplace_back([&] {
        for (int image = next++; image < images && Ok(); image = next++) Report(Request(image));
      });
    }
    for (std::thread& thread : threads) thread.join();
    absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  absl::Status Request(int image) {
    v1::GenerateRequest request;
    request.set_model(options_.model);
    request.mutable_class_label()->set_index(image % options_.classes);
    request.set_guidance_scale(options_.guidance_scale);
    request.set_seed(static_cast<uint64_t>(image));
    request.set_solver(options_.solver == "ddim"    ? v1::SOLVER_DDIM
                       : options_.solver == "euler" ? v1::SOLVER_EULER
                                                    : v1::SOLVER_DPM_SOLVER_PP_2M);
    const bool feedback = kind_ == Kind::kFeedback || (kind_ == Kind::kMixed && image % 2 == 1);
    request.set_steps(feedback ? options_.feedback_steps : options_.steps);
    request.set_acceleration(feedback ? v1::ACCELERATION_FEEDBACK : v1::ACCELERATION_OFF);
    bool got_image = false;
    const absl::Status status = client_.Generate(request, [&](const v1::GenerateResponse& event) {
      if (!event.has_image() || !event.image().last_chunk()) return;
      got_image = true;
      block_evaluations_ += event.image().block_evaluations();
    });
    if (status.ok() && !got_image) return absl::DataLossError("no image came");
    return status;
  }

  bool Ok() {
    absl::MutexLock lock(&mutex_);
    return status_.ok();
  }

  void Report(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    status_.Update(status);
  }

  Client& client_;
  const Options options_;
  const Kind kind_;
  std::atomic<int64_t> block_evaluations_ = 0;
  absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// Waits until the server has loaded its models.
absl::Status WaitUntilServing(Client& client) {
  const absl::Time give_up = absl::Now() + kLoadTimeout;
  absl::Status status = client.ListModels().status();
  while (absl::IsUnavailable(status) && absl::Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(100));
    status = client.ListModels().status();
  }
  return status;
}

int Serve(const Options& options) {
  Client client({.address = options.address, .credentials = nullptr});
  if (const absl::Status status = WaitUntilServing(client); !status.ok()) {
    std::cerr << status.ToString() << "\n";
    return 1;
  }
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream order(line);
    int concurrency = 0;
    int images = 0;
    order >> concurrency >> images;
    const bool counts =
        !order.fail() && concurrency >= 1 && concurrency <= kMaxConcurrency && images >= 1;
    std::string name = "plain";
    order >> name;
    const std::optional<Kind> kind = KindNamed(name);
    if (!counts || !kind) {
      std::cerr << "expected CONCURRENCY IMAGES [plain|feedback|mixed], got '" << line << "'\n";
      return 1;
    }
    const double cpu_before = CpuSeconds();
    const absl::Time start = absl::Now();
    Load load(client, options, *kind);
    const absl::Status status = load.Run(concurrency, images);
    if (!status.ok()) {
      std::cerr << status.ToString() << "\n";
      return 1;
    }
    std::cout << absl::ToDoubleSeconds(absl::Now() - start) << ' ' << CpuSeconds() - cpu_before
              << ' ' << load.block_evaluations() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace ilf

int main(int argc, char** argv) {
  CLI::App app("Loads an ilf-server on orders from stdin");
  ilf::Options options;
  app.add_option("--address", options.address);
  app.add_option("--model", options.model)->required();
  app.add_option("--steps", options.steps)->check(CLI::PositiveNumber);
  app.add_option("--feedback_steps", options.feedback_steps, "Steps of feedback and mixed orders");
  app.add_option("--solver", options.solver)
      ->check(CLI::IsMember({"ddim", "dpmsolver++", "euler"}));
  app.add_option("--guidance", options.guidance_scale);
  app.add_option("--classes", options.classes)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return ilf::Serve(options);
}
