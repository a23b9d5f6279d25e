#pragma once
// A decoder-only transformer as data: architectures fill it in, the graph executes it. Knows neither files
// nor sequences.
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "gguf/gguf.h"
#include "model/recurrent.h"
#include "model/vector.h"

namespace myna {

enum class Activation { kSilu, kGelu, kClippedSilu, kSquaredRelu };  // the last without a gate
enum class NormKind { kRms, kLayer };

// Rotary position embedding: pair i rotates by position * frequencies[i], and is scaled by `magnitude`.
struct Rope {
  std::vector<double> frequencies;  // half the rotated dimensions
  bool rotates_halves = true;       // pairs (i, i + half), otherwise (2i, 2i + 1)
  double magnitude = 1;
};

constexpr int kNoRope = -1;

// How a mixture's experts are chosen and weighed, from a product of each row with the router.
struct Routing {
  // Of all experts, or a softmax of the chosen ones alone.
  enum class Scores { kSoftmax, kSigmoid, kSoftmaxOfChosen } scores = Scores::kSoftmax;
  int num_experts = 0, num_used = 0;        // 0: no mixture
  int num_groups = 1, num_groups_used = 1;  // experts come from the groups with the best two
  bool renormalizes = false;                // the weights of the chosen add up to 1
  float scale = 1;
};

// The experts of one layer. Its gate, up and down are those of the expert that all rows share.
struct Experts {
  Matrix router;
  Vector router_bias;
  Vector choice_bias;                    // only for choosing
  std::vector<Matrix> gate, up, down;    // without a gate, up gates itself
  Vector gate_bias, up_bias, down_bias;  // [expert][output]
  Vector down_scale;                     // of each expert's output
  Vector shared_gate;                    // weights of a sigmoid by which the shared expert counts
  // Of the residual, before the router and before the experts; empty: they read the feed-forward's norm.
  Vector router_norm, norm;
  Vector post_shared_norm, post_norm;  // of the shared expert's output, and of the others' sum
};

// The sizes of a layer's attention.
struct Heads {
  int num = 0, num_kv = 0, dim = 0;

  int group() const { return num / num_kv; }
  int64_t query_width() const { return static_cast<int64_t>(num) * dim; }
  int64_t kv_width() const { return static_cast<int64_t>(num_kv) * dim; }
  bool operator==(const Heads&) const = default;
};

// Sizes of attention whose keys and values are one latent vector of each position ("multi-head latent
// attention"): a query's head is projected into the latent space, and what attention reads back out of it.
// There is one key, first the rotated part, then the latent; values are the same.
struct LatentSizes {
  int64_t rank = 0;                       // of the latent vector; 0: other attention
  int64_t query_rank = 0;                 // 0: queries are projected from the residual at once
  int rotated = 0, plain = 0, value = 0;  // dimensions of a head

  int64_t query() const { return plain + rotated; }
};

struct Latent {
  Matrix query_down, down;
  Vector query_norm, norm;
  std::vector<Matrix> key_up, value_up;  // of each head
};

// The residual is the first of several inputs ("AltUp"): a layer predicts all of them, runs on the first, and
// corrects them by what the prediction of that one lacked.
struct AltUp {
  int num_inputs = 1;                         // 1: only the residual
  std::vector<Matrix> projections, unembeds;  // of each input but the first
};

struct AltUpLayer {
  Vector router_norm;  // what the router makes of it weighs the rows of `predict` and `correct`
  Matrix router;
  Vector predict, correct;  // [input][other input][router output], [input][router output]
  Vector correct_scale;     // of the first input, before it is the gate of the layer's own one
};

// A low-rank copy of attention's input that joins its output ("LAuReL").
struct Laurel {
  Matrix left, right;
  Vector norm;
};

struct Layer {
  Heads heads;
  int64_t feed_forward = 0;
  Vector attention_norm, ffn_norm;  // empty: the input as it is
  // Without a key matrix, the layer reads the keys and values of an earlier one; without one for values,
  // these are the keys as they were before norms and rotation.
  Matrix query, key, value, output;
  Matrix query_gate;    // of a sigmoid by which attention counts
  int cache_layer = 0;  // index into the cache's layers
  Vector query_bias, key_bias, value_bias, output_bias;
  Vector query_norm, key_norm;                // over each head, or over all of them if that wide
  Vector value_norm;                          // over each head
  Latent latent;                              // besides the query and output matrices
  Vector post_attention_norm, post_ffn_norm;  // applied to what is added to the residual
  Matrix gate, up, down;                      // without a gate, up gates itself
  Vector gate_bias, up_bias, down_bias;
  // Gates less than so many standard deviations above their mean are zero.
  float sparsity = -HUGE_VALF;
  Laurel laurel;
  AltUpLayer altup;
  Experts experts;      // empty in dense layers
  Vector sinks;         // a score of each head that joins the softmax without a value
  int rope = 0;         // index into Model::ropes, or kNoRope
  int64_t window = 0;   // visible positions; 0: all
  Recurrent recurrent;  // in the place of attention, with the matrix `output`

  // A step after the feed-forward, in models with inputs for each layer.
  Matrix input_gate, input_projection;
  Vector post_input_norm;
  float output_scale = 1.0f;  // of the residual, after the layer

  bool has_keys() const { return key.rows > 0 || latent.down.rows > 0; }
  bool is_sparse() const { return sparsity > -HUGE_VALF; }
  bool is_recurrent() const { return recurrent.convolution.taps > 0; }
  // A layer has at least one of both.
  bool has_mixer() const { return output.rows > 0; }  // attention, or what is in its place
  bool has_feed_forward() const { return up.rows > 0 || !experts.up.empty(); }
};

// An input of each layer besides the residual: of the token, and projected from its embedding.
struct LayerInputs {
  int64_t width = 0;                        // of one layer; 0: none
  const gguf::Tensor* embedding = nullptr;  // [token][layer][width], read from the file on demand
  Matrix projection;
  Vector norm;
};

// Queries are scaled by 1 + scale * log(1 + floor(position / length)); scale 0: not at all.
struct Temperature {
  double scale = 0, length = 0;

  float at(int64_t position) const {
    if (scale == 0) return 1.0f;
    return static_cast<float>(1 + scale * std::log(1 + std::floor(static_cast<double>(position) / length)));
  }
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
  NormKind norm = NormKind::kRms;  // of the residual; heads have root mean squares
  float norm_epsilon;
  float embedding_scale = 1.0f;
  float residual_scale = 1.0f;  // of what each block adds
  float query_scale;            // of the scores
  float score_cap = 0.0f;       // scores become cap * tanh(score / cap); 0: unlimited
  float logit_scale = 1.0f;
  float logit_cap = 0.0f;
  Temperature temperature;
  Routing routing;
  RecurrentSizes recurrent;
  int64_t state_floats = 0;       // of all recurrent layers
  bool norms_after_rope = false;  // of queries and keys
  bool is_parallel = false;       // the feed-forward reads the attention's norm
  Activation activation = Activation::kSilu;
  std::vector<Rope> ropes;
  const gguf::Tensor* embedding = nullptr;  // rows are read from the file on demand
  LayerInputs layer_inputs;
  AltUp altup;
  LatentSizes latent;
  std::vector<Layer> layers;
  Vector output_norm;
  Matrix output;

  WeightArena arena;  // owns the memory of the matrices
};

}  // namespace myna
