#pragma once
// A model that turns texts into vectors, as data: architectures fill it in, the graph executes it. Knows
// neither files nor texts.
#include <cstdint>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "gguf/gguf.h"
#include "model/model.h"

namespace myna {

struct Linear {
  Matrix weight;
  Vector bias;
};

struct Norm {
  Vector weight, bias;  // without weights: no norm
};

// The norms of attention or feed-forward: of its input, of what it adds to the residual, and of the sum.
struct BlockNorms {
  Norm input, branch, sum;
};

struct EncoderLayer {
  BlockNorms attention, feed_forward;
  Linear query, key, value, output;
  Vector query_norm, key_norm;  // over each head
  Linear gate, up, down;        // without a gate's rows: up alone, and exact GELU
  int rope = 0;                 // index into Encoder::ropes
  int64_t window = 0;           // positions seen to each side, its own included; 0: all
};

// How the hidden states of a text become its vector; the numbers are GGUF's.
enum class Pooling { kMean = 1, kFirst = 2, kLast = 3 };

struct Encoder {
  std::string architecture;
  Dimensions dimensions;
  bool has_layer_norms = false;  // otherwise root mean squares
  float norm_epsilon = 0;
  float embedding_scale = 1.0f;
  bool is_causal = false;
  Activation activation = Activation::kSilu;  // of gated feed-forwards
  const gguf::Tensor* embedding = nullptr;    // rows are read from the file on demand
  const gguf::Tensor* positions = nullptr;    // likewise; null: none are added
  Vector segment;                             // added to each token
  Norm embedding_norm, output_norm;
  std::vector<Rope> ropes;  // empty: no rotation
  std::vector<EncoderLayer> layers;
  Pooling pooling = Pooling::kMean;
  std::vector<Matrix> dense;  // applied to the pooled vector

  int64_t width() const { return dense.empty() ? dimensions.embedding : dense.back().rows; }

  WeightArena arena;  // owns the memory of the matrices
};

}  // namespace myna
