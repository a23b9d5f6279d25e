#pragma once
// A decoder-only transformer as data: architectures fill it in, the graph executes it. Knows neither files
// nor sequences.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "gguf/gguf.h"

namespace myna {

using Vector = std::vector<float>;  // empty: a step that the architecture doesn't have

enum class Activation { kSilu, kGelu };

// Rotary position embedding: pair i rotates by position * frequencies[i].
struct Rope {
  std::vector<double> frequencies;  // half the rotated dimensions
  bool rotates_halves = true;       // pairs (i, i + half), otherwise (2i, 2i + 1)
};

struct Layer {
  Vector attention_norm, ffn_norm;
  Matrix query, key, value, output;
  Vector query_bias, key_bias, value_bias;
  Vector query_norm, key_norm;                // over each head
  Vector post_attention_norm, post_ffn_norm;  // applied to what is added to the residual
  Matrix gate, up, down;
  int rope = 0;        // index into Model::ropes
  int64_t window = 0;  // visible positions; 0: all
};

struct Dimensions {
  int64_t embedding, feed_forward, vocabulary, context;
  int num_layers, num_heads, num_kv_heads, head_dim, rope_dim;

  int64_t query_width() const { return static_cast<int64_t>(num_heads) * head_dim; }
  int64_t kv_width() const { return static_cast<int64_t>(num_kv_heads) * head_dim; }
};

struct Model {
  std::string architecture;
  Dimensions dimensions;
  float norm_epsilon;
  float embedding_scale = 1.0f;
  float query_scale;  // of the scores
  Activation activation = Activation::kSilu;
  std::vector<Rope> ropes;
  const gguf::Tensor* embedding = nullptr;  // rows are read from the file on demand
  std::vector<Layer> layers;
  Vector output_norm;
  Matrix output;

  WeightArena arena;  // owns the memory of the matrices
};

}  // namespace myna
