// Early return on a non-OK absl::Status; the only macros of this project.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define ILF_RETURN_IF_ERROR(expr)               \
  do {                                          \
    if (::absl::Status _ilf_status = (expr); !_ilf_status.ok()) return _ilf_status; \
  } while (false)

#define ILF_STATUS_CONCAT_INNER(a, b) a##b
#define ILF_STATUS_CONCAT(a, b) ILF_STATUS_CONCAT_INNER(a, b)

// ILF_ASSIGN_OR_RETURN(auto value, MakeValue());
#define ILF_ASSIGN_OR_RETURN(lhs, expr) \
  ILF_ASSIGN_OR_RETURN_IMPL(ILF_STATUS_CONCAT(_ilf_statusor_, __LINE__), lhs, expr)
#define ILF_ASSIGN_OR_RETURN_IMPL(statusor, lhs, expr) \
  auto statusor = (expr);                              \
  if (!statusor.ok()) return std::move(statusor).status(); \
  lhs = *std::move(statusor)
