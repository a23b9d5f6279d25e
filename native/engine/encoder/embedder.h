#pragma once
// A loaded encoder with its threads, as exposed by the bindings. Not thread-safe.
#include <memory>
#include <span>
#include <string>

#include "encoder/encoder_graph.h"
#include "encoder/load.h"
#include "gguf/gguf.h"
#include "pool/pool.h"

namespace myna {

class Embedder {
 public:
  // `context_tokens` 0: the model's own; `threads` 0: as many as the process may use. Throws CorruptFile,
  // UnsupportedModel or std::bad_alloc.
  Embedder(const std::string& path, int64_t context_tokens, int threads);

  // Text i is tokens [offsets[i], offsets[i + 1]). Writes a vector of unit length for each to
  // vectors[i * width()], or throws std::invalid_argument for an empty or too long text or an unknown token.
  void embed(std::span<const int32_t> tokens, std::span<const int64_t> offsets, float* vectors);

  const Encoder& model() const { return *model_; }
  const Work& work() const { return graph_->work(); }
  int64_t width() const { return model_->width(); }
  int64_t context_tokens() const { return context_tokens_; }
  int num_threads() const { return pool_.num_threads(); }

 private:
  gguf::Model file_;
  ThreadPool pool_;
  std::unique_ptr<Encoder> model_;
  std::unique_ptr<EncoderGraph> graph_;
  int64_t context_tokens_;
};

}  // namespace myna
