#pragma once
// A loaded model with its cache and threads, as exposed by the bindings. Not thread-safe.
#include <memory>
#include <string>

#include "gguf/gguf.h"
#include "graph/graph.h"
#include "kv/paged_cache.h"
#include "kv/state_store.h"
#include "model/architectures.h"
#include "pool/pool.h"
#include "probe/probe.h"

namespace myna {

struct EngineOptions {
  int64_t context_tokens;  // 0: the model's own
  int64_t memory_bytes;    // of the KV cache and the states
  int threads;             // 0: as many as the process may use
  int max_sequences;
  CacheType cache_type = CacheType::kFloat16;
};

class Engine {
 public:
  // Throws CorruptFile, UnsupportedModel or std::bad_alloc.
  Engine(const std::string& path, const EngineOptions& options);

  // Computes the whole batch, or throws OutOfRoom (the KV cache is full) or std::invalid_argument (an invalid
  // batch) without any effect. Returns the number of rows in logits().
  int64_t forward(std::span<const Span> batch);
  // Shared, so that it stays valid when a larger batch replaces it; its contents last until the next forward.
  const std::shared_ptr<Buffer<float>>& logits() const { return logits_; }

  bool prepare_block() { return cache_->prepare_block(); }
  // Not for models with states, which are not in the blocks.
  void append_blocks(int sequence, int64_t count, const uint8_t* source) {
    cache_->append_blocks(sequence, count, source);
  }
  const PagedCache& cache() const { return *cache_; }
  // The longest part of a sequence's first `num_tokens` at which it can be forked or trimmed.
  int64_t reusable(int sequence, int64_t num_tokens) const;
  void fork(int source, int target, int64_t num_tokens);
  void trim(int sequence, int64_t num_tokens);
  void free(int sequence);
  int max_sequences() const { return cache_->shape().max_sequences; }
  // Where prefixes can be shared: at multiples of it.
  int64_t prefix_grid() const { return states_ == nullptr ? 1 : prefix_grid_; }
  const Model& model() const { return *model_; }
  const Work& work() const { return graph_->work(); }
  Limits limits(double seconds) { return probe(pool_, seconds); }
  int64_t context_tokens() const { return context_tokens_; }
  int num_threads() const { return pool_.num_threads(); }
  const gguf::Model& file() const { return file_; }

 private:
  // Divides the memory, most of which is reserved only.
  void allocate(const EngineOptions& options);

  gguf::Model file_;
  ThreadPool pool_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<PagedCache> cache_;
  std::unique_ptr<StateStore> states_;  // null without recurrent layers
  std::unique_ptr<Graph> graph_;
  int64_t context_tokens_, prefix_grid_ = 1;
  std::shared_ptr<Buffer<float>> logits_;
  int64_t logits_rows_ = 0;
};

}  // namespace myna
