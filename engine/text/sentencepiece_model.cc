#include "engine/text/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include <utility>

namespace ilf {

struct SentencePieceModel::Processor {
  sentencepiece::SentencePieceProcessor processor;
};

SentencePieceModel::SentencePieceModel(std::unique_ptr<const Processor> processor)
    : processor_(std::move(processor)) {}

SentencePieceModel::~SentencePieceModel() = default;

std::unique_ptr<const SentencePieceModel> SentencePieceModel::FromBytes(std::string_view bytes,
                                                                        std::string& error) {
  auto loaded = std::make_unique<Processor>();
  const auto status = loaded->processor.LoadFromSerializedProto(bytes);
  if (!status.ok()) {
    error = status.ToString();
    return nullptr;
  }
  return std::unique_ptr<const SentencePieceModel>(new SentencePieceModel(std::move(loaded)));
}

bool SentencePieceModel::Encode(std::string_view text, std::vector<std::string>& pieces,
                                std::string& error) const {
  const auto status = processor_->processor.Encode(text, &pieces);
  if (!status.ok()) error = status.ToString();
  return status.ok();
}

int64_t SentencePieceModel::piece_count() const { return processor_->processor.GetPieceSize(); }

int64_t SentencePieceModel::PieceToId(const std::string& piece) const {
  return processor_->processor.PieceToId(piece);
}

bool SentencePieceModel::HasPiece(const std::string& piece) const {
  return processor_->processor.IdToPiece(processor_->processor.PieceToId(piece)) == piece;
}

}  // namespace ilf
