// A SentencePiece model (Kudo & Richardson 2018, "SentencePiece: A simple and language independent
// subword tokenizer"), behind a header that includes neither SentencePiece nor Abseil: the former
// declares an absl::string_view of its own, so no file may see both.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ilf {

// Immutable, thread-safe.
class SentencePieceModel {
 public:
  // From the bytes of a model file. Null when they are not one; then `error` says why.
  static std::unique_ptr<const SentencePieceModel> FromBytes(std::string_view bytes,
                                                             std::string& error);
  ~SentencePieceModel();
  SentencePieceModel(const SentencePieceModel&) = delete;
  SentencePieceModel& operator=(const SentencePieceModel&) = delete;

  // The pieces of `text`, which is normalized first. False on failure, with the reason in `error`.
  bool Encode(std::string_view text, std::vector<std::string>& pieces, std::string& error) const;

  int64_t piece_count() const;
  // The unknown piece's id when there is no such piece.
  int64_t PieceToId(const std::string& piece) const;
  bool HasPiece(const std::string& piece) const;

 private:
  struct Processor;
  explicit SentencePieceModel(std::unique_ptr<const Processor> processor);

  const std::unique_ptr<const Processor> processor_;
};

}  // namespace ilf
