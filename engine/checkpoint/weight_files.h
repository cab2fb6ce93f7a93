// Where the weights of one module are: in a file, or in shards that an index lists.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ilf {

struct WeightFiles {
  std::string index;                            // empty: one file
  std::vector<std::string> files;               // paths, in the order of their names
  std::map<std::string, std::string> shard_of;  // by tensor, the name of its shard
};

// The file `whole`, or where that is absent and `whole`.index.json is there, the shards that the
// index lists. They need not be there. INVALID_ARGUMENT names the index and what is wrong with it.
absl::StatusOr<WeightFiles> FindWeightFiles(const std::string& whole);

}  // namespace ilf
