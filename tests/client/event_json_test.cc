#include "client/command/event_json.h"

#include <gtest/gtest.h>

#include "tests/client/scripted_server.h"

namespace ilf {
namespace {

TEST(EventJsonTest, UsesTheProtocolsFieldNamesAndPrintsZeros) {
  EXPECT_EQ(ToJsonLine(StepEvent(0, 1, 20)), R"({"step":{"image_index":0,"step":1,"steps":20}})");
}

TEST(EventJsonTest, LeavesPictureBytesOut) {
  EXPECT_EQ(ToJsonLine(PreviewEvent(1, 2, 20, "bytes")),
            R"({"preview":{"image_index":1,"step":2,"steps":20,)"
            R"("format":"IMAGE_FORMAT_UNSPECIFIED","width":0,"height":0}})");
  const std::string image = ToJsonLine(ImageEvent(0, 20, "bytes"));
  EXPECT_EQ(image.find("\"data\""), std::string::npos);
  EXPECT_NE(image.find(R"("seed":"7")"), std::string::npos);
  EXPECT_NE(image.find(R"("total_size":"5")"), std::string::npos);
}

TEST(EventJsonTest, PrintsDurationsAsSeconds) {
  EXPECT_EQ(ToJsonLine(StartedEvent()), R"({"started":{"queue_wait":"0.250s"}})");
}

TEST(EventJsonTest, UnknownEventIsAnEmptyObject) {
  EXPECT_EQ(ToJsonLine(v1::GenerateResponse()), "{}");
}

TEST(EventJsonTest, ModelsAreOneLine) {
  v1::ListModelsResponse models;
  models.add_models()->set_name("a");
  models.add_models()->add_class_labels("Bag \"x\"\n");
  const std::string line = ToJsonLine(models);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.rfind(R"({"models":[{"name":"a",)", 0), 0u) << line;
}

}  // namespace
}  // namespace ilf
