#include "engine.h"

#include <algorithm>
#include <stdexcept>

#include "errors.h"

namespace myna {
namespace {

constexpr int64_t kFewStates = 8;
// A state is kept about as often as it takes the memory of that many tokens, within these bounds.
constexpr int64_t kFineGrid = 64, kCoarseGrid = 256;

}  // namespace

Engine::Engine(const std::string& path, const EngineOptions& options)
    : file_(path), pool_(options.threads > 0 ? options.threads : usable_threads()) {
  file_.will_need();
  model_ = load_model(file_, pool_, options.context_tokens);
  file_.let_go();  // the weights are packed; only embeddings are still read from the file
  allocate(options);
  graph_ = std::make_unique<Graph>(*model_, *cache_, states_.get(), pool_);
}

// A few states come first, then room for one context; both share the rest.
void Engine::allocate(const EngineOptions& options) {
  const Dimensions& d = model_->dimensions;
  CacheShape shape{{}, 0, options.max_sequences, options.cache_type};
  for (const Layer& layer : model_->layers)
    if (layer.has_keys()) shape.layers.push_back({layer.heads.num_kv, layer.heads.dim});
  const int64_t context =
      options.context_tokens > 0 ? std::min(options.context_tokens, d.context) : d.context;
  const int64_t context_blocks = (context + kBlockTokens - 1) / kBlockTokens;
  int64_t memory = options.memory_bytes;
  if (model_->state_floats > 0) {
    const int64_t bytes = model_->state_floats * static_cast<int64_t>(sizeof(float));
    const int64_t left = memory - kFewStates * bytes - context_blocks * shape.block_bytes();
    const int64_t count = std::min<int64_t>({kFewStates + std::max<int64_t>(left, 0) / 2 / bytes,
                                             memory / 2 / bytes, 2ll * options.max_sequences});
    if (count < 2)
      throw UnsupportedModel("the KV cache's memory can't hold two states of " + std::to_string(bytes) +
                             " bytes");
    shape.max_sequences = static_cast<int>(count / 2);
    prefix_grid_ = kFineGrid;
    while (prefix_grid_ < kCoarseGrid && prefix_grid_ * shape.block_bytes() < bytes * kBlockTokens)
      prefix_grid_ *= 2;
    states_ = std::make_unique<StateStore>(
        StateShape{model_->state_floats, static_cast<int>(count), shape.max_sequences, prefix_grid_});
    memory -= count * bytes;
  }
  shape.num_blocks = std::min(memory / shape.block_bytes(), context_blocks * shape.max_sequences);
  if (shape.num_blocks < 1)
    throw UnsupportedModel("the KV cache's memory can't hold one block of " +
                           std::to_string(shape.block_bytes()) + " bytes");
  cache_ = std::make_unique<PagedCache>(shape);
  context_tokens_ = std::min(context, shape.num_blocks * kBlockTokens);
}

int64_t Engine::reusable(int sequence, int64_t num_tokens) const {
  const int64_t known = std::min(num_tokens, cache_->length(sequence));
  return states_ == nullptr ? known : states_->reusable(sequence, known);
}

void Engine::fork(int source, int target, int64_t num_tokens) {
  if (num_tokens >= 0 && num_tokens <= cache_->length(source) && reusable(source, num_tokens) != num_tokens)
    throw std::invalid_argument("sequence " + std::to_string(source) + " can't be forked after " +
                                std::to_string(num_tokens) + " tokens");
  cache_->fork(source, target, num_tokens);
  if (states_ != nullptr) states_->fork(source, target, num_tokens);
}

void Engine::trim(int sequence, int64_t num_tokens) {
  if (states_ != nullptr && num_tokens >= 0 && num_tokens < cache_->length(sequence))
    states_->trim(sequence, num_tokens);
  cache_->trim(sequence, num_tokens);
}

void Engine::free(int sequence) {
  if (sequence >= 0 && sequence < max_sequences()) trim(sequence, 0);
}

int64_t Engine::forward(std::span<const Span> batch) {
  const Dimensions& d = model_->dimensions;
  std::vector<Extension> extensions;
  std::vector<bool> can_be_undone;  // tokens whose logits decide whether they stay
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
    can_be_undone.push_back(span.logits_from < span.count - 1);
    num_wanted += span.count - span.logits_from;
  }
  if (logits_ == nullptr || num_wanted > logits_rows_) {
    auto larger = std::make_shared<Buffer<float>>();
    larger->reserve(static_cast<size_t>(std::max<int64_t>(num_wanted, 1) * d.vocabulary));
    logits_ = std::move(larger);
    logits_rows_ = num_wanted;
  }
  cache_->extend(extensions);
  if (states_ != nullptr) states_->extend(extensions, can_be_undone);
  graph_->forward(batch, logits_->get());
  return num_wanted;
}

}  // namespace myna
