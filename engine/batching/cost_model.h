// What steps have cost lately, and so what they are going to cost.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/api/generation.h"

namespace ilf {

struct CostOptions {
  // Weight of the newest measurement in the running average, in (0, 1].
  double newest_weight = 0.1;
  // An average that nothing has refreshed for so long no longer counts, so that one bad measurement
  // cannot make the engine refuse what would have corrected it.
  absl::Duration stale_after = absl::Seconds(30);
};

// Names what makes steps of equally many rows differ in cost: the model, the tokens of a row
// (StepRunner::TokensPerRow), and whether feedback passes may be among them.
std::string CostKey(absl::string_view model, int64_t tokens_per_row, Acceleration acceleration);

// Transformer rows that a step of one image of `request` takes: 2 with guidance, else 1.
int RowsPerStep(const GenerationRequest& request);

// Running averages of step time per cost key and number of rows (in powers of two), of the decode
// time per cost key, and of the time that images spend on a worker. Zero durations mean "not
// known". Not thread-safe. Memory grows with the number of distinct cost keys, which models and
// their sizes bound.
class CostModel {
 public:
  explicit CostModel(const CostOptions& options) : options_(options) {}

  // A step of a batch with `rows` rows, in which images with this cost key took part, took `took`.
  // Of a batch of several sizes `rows` are those of this key's size that would have its tokens.
  void AddStep(absl::string_view key, int rows, absl::Duration took, absl::Time now);
  void AddDecode(absl::string_view key, absl::Duration took, absl::Time now);
  // An image left a worker `took` after it was taken up, with all its steps done.
  void AddRun(absl::Duration took, absl::Time now);

  // Time of a step with `rows` rows. Where that many rows were not measured the guess is a low one:
  // the time of fewer rows as it is, or of more rows in proportion.
  absl::Duration StepTime(absl::string_view key, int rows, absl::Time now) const;

  // The least time that an image of `request`, of this cost key, takes from being taken up to its
  // end: all steps alone in their batches, and the decode.
  absl::Duration LeastRunTime(absl::string_view key, const GenerationRequest& request,
                              absl::Time now) const;

  // Average of AddRun().
  absl::Duration RunTime(absl::Time now) const;

 private:
  static constexpr int kBuckets = 12;  // 1, 2, 4, .. 2048 rows

  struct Average {
    absl::Duration value;
    int64_t measurements = 0;
    absl::Time newest = absl::InfinitePast();
  };
  struct KeyCosts {
    std::array<Average, kBuckets> steps;
    Average decode;
  };

  static int Bucket(int rows);
  void Add(absl::Duration took, absl::Time now, Average& average) const;
  bool Fresh(const Average& average, absl::Time now) const;

  const CostOptions options_;
  absl::flat_hash_map<std::string, KeyCosts> costs_;
  Average run_;
};

}  // namespace ilf
