// Whatever the text of a config: parsing gives a Status or an object that every getter can be asked
// about.
#include <cstddef>
#include <cstdint>

#include "engine/checkpoint/json_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config =
      ilf::JsonConfig::FromText({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!config.ok()) return 0;
  for (const char* key : {"", "a", "id2label", "block_out_channels"}) {
    (void)config->Has(key);
    (void)config->GetInt(key).ok();
    (void)config->GetDouble(key).ok();
    (void)config->GetBool(key).ok();
    (void)config->GetString(key).ok();
    (void)config->GetIntList(key).ok();
    (void)config->GetDoubleList(key).ok();
    (void)config->GetStringList(key).ok();
    (void)config->GetStringMap(key).ok();
  }
  return 0;
}
