#include "encoder/embedder.h"

#include <algorithm>
#include <stdexcept>

namespace myna {

Embedder::Embedder(const std::string& path, int64_t context_tokens, int threads)
    : file_(path), pool_(threads > 0 ? threads : usable_threads()) {
  file_.will_need();
  model_ = load_encoder(file_, pool_);
  file_.let_go();  // the weights are packed; only embeddings are still read from the file
  const int64_t context = model_->dimensions.context;
  context_tokens_ = context_tokens > 0 ? std::min(context_tokens, context) : context;
  graph_ = std::make_unique<EncoderGraph>(*model_, pool_);
}

void Embedder::embed(std::span<const int32_t> tokens, std::span<const int64_t> offsets, float* vectors) {
  std::vector<Text> texts;
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != std::ssize(tokens))
    throw std::invalid_argument("the texts' offsets don't cover their tokens");
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const int64_t begin = offsets[i], end = offsets[i + 1];
    if (begin < 0 || end <= begin || end > std::ssize(tokens))
      throw std::invalid_argument("a text has no tokens");
    if (end - begin > context_tokens_)
      throw std::invalid_argument("a text of " + std::to_string(end - begin) + " tokens is longer than " +
                                  std::to_string(context_tokens_));
    texts.push_back(tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  }
  for (const int32_t token : tokens)
    if (token < 0 || token >= model_->dimensions.vocabulary)
      throw std::invalid_argument("unknown token " + std::to_string(token));
  if (!texts.empty()) graph_->embed(texts, vectors);
}

}  // namespace myna
