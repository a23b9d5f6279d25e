#pragma once
// Model families by GGUF architecture. Each has one short file that composes the shared blocks.
#include <memory>

#include "gguf/gguf.h"
#include "model/model.h"
#include "model/weights.h"
#include "pool/pool.h"

namespace myna {

// Throws CorruptFile or UnsupportedModel. The result refers to `file`, which must outlive it.
std::unique_ptr<Model> load_model(const gguf::Model& file, ThreadPool& pool);

// The input of a family's builder: dimensions, norms and the embedding are already read; it builds the
// layers.
struct Build {
  const gguf::Model& file;
  Weights& weights;
  Model& model;

  std::string key(const std::string& name) const { return model.architecture + "." + name; }
  std::string tensor(int layer, const std::string& name) const;

  // Norm, projections, output projection and gated feed-forward, which all families have.
  void add_plain_layers();
  void add_query_key_biases();
  void add_query_key_norms();
  void add_post_norms();
  // The file's rope with its scaling; rejects unsupported scalings.
  Rope rope(bool rotates_halves, double base_frequency, double linear_factor) const;
  double rope_base() const;
  double rope_linear_factor() const;
};

void build_llama(Build& build);
void build_qwen2(Build& build);
void build_qwen3(Build& build);
void build_gemma3(Build& build);

}  // namespace myna
