// Every limit on what a client may send, and on what the server sends at once. Limits that belong
// to a model (sizes, steps, solvers) are in its ModelInfo; limits that an operator sets are in
// ServerOptions.
#pragma once

#include "absl/time/time.h"

namespace ilf {

// Of one GenerateRequest; documented field by field in proto/ilf/v1/image_generation.proto.
struct Limits {
  int max_image_count = 16;
  double min_guidance_scale = 1.0;
  double max_guidance_scale = 30.0;
  int max_preview_interval = 1000;  // steps
  int max_preview_side = 512;       // pixels; a preview is one message, so it must fit into 4 MiB
  int max_prompt_bytes = 4096;      // also of the negative prompt
  int max_label_bytes = 256;
  int max_request_id_bytes = 128;
};

// Of a received message; gRPC refuses a larger one with RESOURCE_EXHAUSTED before it is parsed. Far
// above the sum of the fields' limits, so that what is too long is answered with its field's name.
inline constexpr int kMaxRequestBytes = 1024 * 1024;

// Of image data in one ImageEvent. A stream counts as stalled by whole messages, so this times
// 1 / write_stall_timeout is the slowest link that works: 9 KiB/s with the default of 30 s.
inline constexpr int kMaxChunkBytes = 256 * 1024;

// Calls that run at once on one connection; more wait in the client.
inline constexpr int kMaxConcurrentStreams = 256;

// How long a client waits before it tries again while the server loads its models or shuts down.
inline constexpr absl::Duration kUnavailableRetryDelay = absl::Seconds(1);

}  // namespace ilf
