#pragma once
// A model from a file: the rows of families.cpp say how, these are the blocks that they combine.
#include <memory>

#include "gguf/gguf.h"
#include "model/family.h"
#include "model/model.h"
#include "model/weights.h"
#include "pool/pool.h"

namespace myna {

// `context` is the number of positions that will be used, 0 the model's own: some ropes depend on it. Throws
// CorruptFile or UnsupportedModel. The result refers to `file`, which must outlive it.
std::unique_ptr<Model> load_model(const gguf::Model& file, ThreadPool& pool, int64_t context);

// What a family's parts are built from and into.
struct Build {
  const gguf::Model& file;
  const Family& family;
  Weights& weights;
  Model& model;
  int64_t context;

  std::string key(const std::string& name) const { return model.architecture + "." + name; }
  // The number at that key, which must be at least `least`.
  double number(const std::string& name, double otherwise, double least = 0) const;
  // YaRN's growth of scores, 1 without it.
  double yarn_growth(double multiplier) const;
  std::string tensor(int layer, const std::string& name) const;

  // Leaves out those that only guess further tokens.
  void leave_guessing_layers();
  // What each layer's tensors must look like: heads, widths, windows, and whose keys and values it reads.
  void size_layers();
  void add_layers();
  void add_layer_inputs();
  void add_altup();
  // Ropes, windows, and which layer has which.
  void add_positions();

 private:
  void add_attention(int index, Layer& layer);
  void add_joined_heads(const std::string& name, Layer& layer);
  void add_heads(int index, Layer& layer);
  void add_latent(int index, Layer& layer);
  void add_feed_forward(int index, Layer& layer);
  void add_experts(int index, Layer& layer);
  void add_expert_matrices(int index, Experts& experts);
  void add_head_norms(int index, Layer& layer);
  void add_recurrent(int index, Layer& layer);
  void add_delta_rule(int index, Layer& layer);
  void add_scan(int index, Layer& layer);
  Convolution convolution(const std::string& name, int64_t channels);
  Rope rope(double base_frequency, int dimensions, bool is_scaled) const;
  void scale_frequencies(Rope& rope, double base_frequency) const;
  double scaling_factor() const;
  int64_t window() const;
  int local_dimensions(int head_dim) const;
  Vector frequency_factors(int64_t count) const;
  bool has_image_sections() const;
};

}  // namespace myna
