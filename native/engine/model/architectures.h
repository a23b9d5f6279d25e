#pragma once
// Model families by their name in GGUF. Each has one short file that composes the shared blocks.
#include <memory>

#include "gguf/gguf.h"
#include "model/model.h"
#include "model/weights.h"
#include "pool/pool.h"

namespace myna {

// Throws CorruptFile or UnsupportedModel. The result reads `file` for as long as it lives.
std::unique_ptr<Model> load_model(const gguf::Model& file, ThreadPool& pool);

// What a family's builder gets: dimensions, norms and the embedding are read; layers are its business.
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
  // The file's own rope, scaled as it says; refuses scalings that we don't have.
  Rope rope(bool rotates_halves, double base_frequency, double linear_factor) const;
  double rope_base() const;
  double rope_linear_factor() const;
};

void build_llama(Build& build);
void build_qwen2(Build& build);
void build_qwen3(Build& build);
void build_gemma3(Build& build);

}  // namespace myna
