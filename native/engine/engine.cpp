#include "engine.h"

#include <algorithm>
#include <stdexcept>

#include "errors.h"

namespace myna {

Engine::Engine(const std::string& path, const EngineOptions& options)
    : file_(path), pool_(options.threads > 0 ? options.threads : usable_threads()) {
  file_.will_need();
  model_ = load_model(file_, pool_, options.context_tokens);
  file_.let_go();  // the weights are packed; only embeddings are still read from the file
  const Dimensions& d = model_->dimensions;
  CacheShape shape{{}, 0, options.max_sequences};
  for (const Layer& layer : model_->layers)
    if (layer.has_keys()) shape.layers.push_back({layer.heads.num_kv, layer.heads.dim});
  const int64_t context =
      options.context_tokens > 0 ? std::min(options.context_tokens, d.context) : d.context;
  const int64_t most = (context + kBlockTokens - 1) / kBlockTokens * options.max_sequences;
  shape.num_blocks = std::min(options.memory_bytes / shape.block_bytes(), most);
  if (shape.num_blocks < 1)
    throw UnsupportedModel("the KV cache's memory can't hold one block of " +
                           std::to_string(shape.block_bytes()) + " bytes");
  cache_ = std::make_unique<PagedCache>(shape);
  context_tokens_ = std::min(context, shape.num_blocks * kBlockTokens);
  graph_ = std::make_unique<Graph>(*model_, *cache_, pool_);
}

int64_t Engine::forward(std::span<const Span> batch) {
  const Dimensions& d = model_->dimensions;
  std::vector<Extension> extensions;
  int64_t num_wanted = 0;
  for (const Span& span : batch) {
    if (span.logits_from < 0 || span.logits_from > span.count)
      throw std::invalid_argument("logits_from is outside its row's tokens");
    if (span.start + span.count > context_tokens_)
      throw std::invalid_argument("a row ends beyond the context");
    for (int64_t i = 0; i < span.count; ++i)
      if (span.tokens[i] < 0 || span.tokens[i] >= d.vocabulary)
        throw std::invalid_argument("unknown token " + std::to_string(span.tokens[i]));
    extensions.push_back({span.sequence, span.start, span.count});
    num_wanted += span.count - span.logits_from;
  }
  if (logits_ == nullptr || num_wanted > logits_rows_) {
    auto larger = std::make_shared<Buffer<float>>();
    larger->reserve(static_cast<size_t>(std::max<int64_t>(num_wanted, 1) * d.vocabulary));
    logits_ = std::move(larger);
    logits_rows_ = num_wanted;
  }
  cache_->extend(extensions);
  graph_->forward(batch, logits_->get());
  return num_wanted;
}

}  // namespace myna
