#include "engine/pipeline/load_models.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include <ATen/Context.h>
#include <ATen/cpu/Utils.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/guarded.h"

namespace ilf {
namespace {

namespace fs = std::filesystem;

// The folders of `root` that hold a model_index.json, by name. One that may not be looked into (the
// lost+found of a volume) holds none.
absl::StatusOr<std::vector<fs::path>> FindModels(const std::string& root) {
  std::error_code error;
  std::vector<fs::path> folders;
  for (fs::directory_iterator entry(root, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code unreadable;
    if (fs::exists(entry->path() / "model_index.json", unreadable)) {
      folders.push_back(entry->path());
    }
  }
  if (error) return absl::NotFoundError(absl::StrCat(root, ": ", error.message()));
  if (folders.empty()) {
    return absl::NotFoundError(
        absl::StrCat(root, ": holds no model (a folder with a model_index.json)"));
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

}  // namespace

bool IsFastAtBfloat16(c10::Device device) {
  if (!device.is_cpu()) return true;
  const auto capabilities = at::cpu::get_cpu_capabilities();
  for (const char* name : {"avx512_bf16", "amx_bf16"}) {
    const auto found = capabilities.find(name);
    if (found != capabilities.end() && found->second.isBool() && found->second.toBool())
      return true;
  }
  return false;
}

absl::StatusOr<c10::Device> ParseDevice(const std::string& name) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("device '", name, "': ", why));
  };
  c10::Device device = c10::kCPU;
  try {
    device = c10::Device(name);
  } catch (const c10::Error&) {
    return wrong("expected cpu or cuda:N");
  }
  if (device.is_cpu()) return c10::Device(c10::kCPU);
  if (!c10::impl::hasDeviceGuardImpl(device.type())) {
    return wrong("this build of LibTorch has no support for it");
  }
  const int count = c10::impl::VirtualGuardImpl(device.type()).deviceCount();
  const int index = std::max<int>(0, device.index());
  if (index >= count) return wrong(absl::StrCat("this machine has ", count, " of its kind"));
  return c10::Device(device.type(), static_cast<c10::DeviceIndex>(index));
}

void WaitFor(c10::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

absl::StatusOr<Execution> ChooseExecution(c10::Device device, const std::string& dtype,
                                          bool batch_invariant) {
  Execution execution{.device = device, .batch_invariant = batch_invariant};
  if (dtype == "bfloat16") {
    execution.dtype = at::kBFloat16;
  } else if (dtype == "auto") {
    execution.dtype = IsFastAtBfloat16(device) ? at::kBFloat16 : at::kFloat;
  } else if (dtype != "float32") {
    return absl::InvalidArgumentError(
        absl::StrCat("dtype '", dtype, "': expected auto, float32 or bfloat16"));
  }
  return execution;
}

absl::StatusOr<ModelsByName> LoadModels(const std::string& root, const LoadOptions& options) {
  ILF_ASSIGN_OR_RETURN(const std::vector<fs::path> folders, FindModels(root));
  ModelsByName models;
  for (const fs::path& folder : folders) {
    const std::string name = folder.filename().string();
    ILF_ASSIGN_OR_RETURN(
        models[name], Guarded([&] { return DiffusionModel::Load(folder.string(), name, options); },
                              folder.string()));
  }
  return models;
}

}  // namespace ilf
