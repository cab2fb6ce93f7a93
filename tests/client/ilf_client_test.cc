// Runs the ilf-client executable against a scripted server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "tests/client/run_client.h"
#include "tests/client/scripted_server.h"

namespace ilf {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class IlfClientTest : public ::testing::Test {
 protected:
  IlfClientTest()
      : folder_(fs::path(::testing::TempDir()) /
                (std::string("ilf_client_") +
                 ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    server_.generate = [this](const v1::GenerateRequest& request, ScriptedServer::Writer& writer) {
      return MakePictures(request, writer);
    };
  }
  ~IlfClientTest() override { fs::remove_all(folder_); }

  grpc::Status MakePictures(const v1::GenerateRequest& request, ScriptedServer::Writer& writer) {
    writer.Write(QueuedEvent());
    writer.Write(StartedEvent());
    for (int image = 0; image < request.image_count(); ++image) {
      writer.Write(StepEvent(image, 1, 2));
      if (request.has_preview()) writer.Write(PreviewEvent(image, 1, 2, png_));
      writer.Write(ImageEvent(image, 2, png_));
    }
    writer.Write(CompletedEvent(request.image_count()));
    return grpc::Status::OK;
  }

  std::vector<std::string> WithAddress(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--address", server_.address()});
    return arguments;
  }

  // Runs the client in the test's folder, without a terminal.
  Outcome Run(const std::vector<std::string>& arguments) const {
    return RunClient(WithAddress(arguments), folder_);
  }

  // Runs the client in a terminal, and presses Ctrl-C once `interrupt` has been printed.
  Outcome RunInTerminal(const std::vector<std::string>& arguments,
                        const std::string& interrupt = "") const {
    int terminal = -1;
    winsize size = {.ws_row = 30, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
    if (child == 0) {
      setenv("TERM", "xterm-256color", 1);
      if (chdir(folder_.c_str()) != 0) _exit(127);
      ExecClient(WithAddress(arguments));
    }
    std::string screen;
    bool interrupted = interrupt.empty();
    char buffer[4096];
    ssize_t count;
    while ((count = read(terminal, buffer, sizeof(buffer))) > 0) {
      screen.append(buffer, count);
      if (!interrupted && screen.find(interrupt) != std::string::npos) {
        interrupted = write(terminal, "\x03", 1) == 1;
      }
    }
    const int exit_code = ExitCodeOf(child);
    close(terminal);
    return {exit_code, "", screen};
  }

  ScriptedServer server_;
  const fs::path folder_;
  const std::string png_ = SolidPng(8, 8, 10, 20, 30);
};

TEST_F(IlfClientTest, WritesThePicturesAndNamesThem) {
  const Outcome outcome = Run({"generate", "--label", "Bag", "--count", "2", "--out", "bag.png"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "bag-0.png\nbag-1.png\n");
  EXPECT_EQ(ReadAll(folder_ / "bag-0.png"), png_);
  EXPECT_EQ(ReadAll(folder_ / "bag-1.png"), png_);
  EXPECT_THAT(outcome.err, HasSubstr("started after"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("\x1b")));
}

TEST_F(IlfClientTest, StandardOutputHoldsThePictureAlone) {
  const Outcome outcome = Run({"generate", "--label", "Bag", "--out", "-"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, png_);
}

TEST_F(IlfClientTest, JsonIsOneEventALine) {
  const Outcome outcome = Run({"generate", "--label", "Bag", "--json", "--out", "bag.png"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 5) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr(R"({"step":{"image_index":0,"step":1,"steps":2}})"));
  EXPECT_EQ(outcome.err, "bag.png\n");
  EXPECT_EQ(ReadAll(folder_ / "bag.png"), png_);
}

TEST_F(IlfClientTest, FailureOfTheServerDecidesTheExitCode) {
  server_.generate = [](const v1::GenerateRequest&, ScriptedServer::Writer&) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "the model takes a prompt");
  };
  const Outcome outcome = Run({"generate", "--label", "Bag"});
  EXPECT_EQ(outcome.exit_code, 8);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("the model takes a prompt"));
}

TEST_F(IlfClientTest, TimeoutHasItsOwnExitCode) {
  server_.generate = [](const v1::GenerateRequest&, ScriptedServer::Writer& writer) {
    return WriteUntilCancelled(writer);
  };
  EXPECT_EQ(Run({"generate", "--label", "Bag", "--timeout", "200ms"}).exit_code, 5);
}

TEST_F(IlfClientTest, PictureThatCannotBeWrittenEndsTheCall) {
  fs::create_directories(folder_ / "0.png" / "in_the_way");
  server_.generate = [this](const v1::GenerateRequest&, ScriptedServer::Writer& writer) {
    writer.Write(ImageEvent(0, 2, png_));
    return WriteUntilCancelled(writer);
  };
  const Outcome outcome = Run({"generate", "--label", "Bag", "--out", "{index}.png"});
  EXPECT_EQ(outcome.exit_code, 10) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("cannot write"));
}

// A bare chroot has none.
bool HasPseudoTerminals() {
  int terminal = -1, program = -1;
  if (openpty(&terminal, &program, nullptr, nullptr, nullptr) != 0) return false;
  close(terminal);
  close(program);
  return true;
}

TEST_F(IlfClientTest, DrawsPicturesInATerminal) {
  if (!HasPseudoTerminals()) GTEST_SKIP() << "no pseudo-terminals here";
  const Outcome outcome = RunInTerminal({"generate", "--label", "Bag"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("8;2;10;20;30"));  // the picture's colour
  EXPECT_THAT(outcome.err, HasSubstr("A\x1b[J"));       // the image goes over the preview
  EXPECT_THAT(outcome.err, HasSubstr("image-7.png"));
}

TEST_F(IlfClientTest, CtrlCCancelsTheCall) {
  if (!HasPseudoTerminals()) GTEST_SKIP() << "no pseudo-terminals here";
  server_.generate = [](const v1::GenerateRequest&, ScriptedServer::Writer& writer) {
    writer.Write(StartedEvent());
    return WriteUntilCancelled(writer);
  };
  const Outcome outcome = RunInTerminal({"generate", "--label", "Bag"}, "started");
  EXPECT_EQ(outcome.exit_code, 6) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("CANCELLED"));
}

TEST_F(IlfClientTest, ListsModels) {
  v1::Model& model = *server_.models.add_models();
  model.set_name("fashion");
  model.set_architecture("DiT");
  model.set_accepts_class_label(true);
  model.add_class_labels("Bag");
  model.add_solvers(v1::SOLVER_DDIM);
  model.add_solvers(v1::SOLVER_EULER);
  const Outcome outcome = Run({"models"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("fashion: DiT"));
  EXPECT_THAT(outcome.out, HasSubstr("labels: Bag\n"));
  EXPECT_THAT(outcome.out, HasSubstr("solvers: ddim, euler\n"));
}

TEST_F(IlfClientTest, ShowsOneModelByName) {
  for (const char* name : {"fashion", "faces"}) server_.models.add_models()->set_name(name);
  const Outcome outcome = Run({"models", "faces"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("faces: "));
  EXPECT_THAT(outcome.out, Not(HasSubstr("fashion")));
  EXPECT_THAT(Run({"models", "faces", "--json"}).out, HasSubstr(R"("name":"faces")"));
  EXPECT_EQ(Run({"models", "places"}).exit_code, 3);
}

TEST_F(IlfClientTest, HealthSucceedsOnlyWhileTheServiceServes) {
  using grpc::health::v1::HealthCheckResponse;
  server_.health.statuses = {{"", HealthCheckResponse::SERVING},
                             {"readiness", HealthCheckResponse::NOT_SERVING},
                             {"liveness", HealthCheckResponse::SERVING}};
  const Outcome whole = Run({"health"});
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(whole.out, "SERVING\n");
  const Outcome readiness = Run({"health", "--service", "readiness"});
  EXPECT_EQ(readiness.exit_code, 4);
  EXPECT_EQ(readiness.out, "NOT_SERVING\n");
  EXPECT_EQ(Run({"health", "--service", "liveness", "--json"}).out, "{\"status\":\"SERVING\"}\n");
  EXPECT_EQ(Run({"health", "--service", "beauty"}).exit_code, 3);
}

TEST(IlfClientAloneTest, HealthFailsWhereNobodyListens) {
  const Outcome outcome = RunClient({"health", "--address", "127.0.0.1:1"}, ::testing::TempDir());
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("UNAVAILABLE"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("tls")));
}

}  // namespace
}  // namespace ilf
