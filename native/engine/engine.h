#pragma once
// A loaded model with its cache and threads, as exposed by the bindings. Not thread-safe.
#include <memory>
#include <string>

#include "gguf/gguf.h"
#include "graph/graph.h"
#include "kv/paged_cache.h"
#include "model/architectures.h"
#include "pool/pool.h"
#include "probe/probe.h"

namespace myna {

struct EngineOptions {
  int64_t context_tokens;  // 0: the model's own
  int64_t memory_bytes;    // of the KV cache
  int threads;             // 0: as many as the process may use
  int max_sequences;
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

  PagedCache& cache() { return *cache_; }
  const Model& model() const { return *model_; }
  const Work& work() const { return graph_->work(); }
  Limits limits(double seconds) { return probe(pool_, seconds); }
  int64_t context_tokens() const { return context_tokens_; }
  int num_threads() const { return pool_.num_threads(); }
  const gguf::Model& file() const { return file_; }

 private:
  gguf::Model file_;
  ThreadPool pool_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<PagedCache> cache_;
  std::unique_ptr<Graph> graph_;
  int64_t context_tokens_;
  std::shared_ptr<Buffer<float>> logits_;
  int64_t logits_rows_ = 0;
};

}  // namespace myna
