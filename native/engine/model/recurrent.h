#pragma once
// Layers that carry what they remember of earlier positions in a state of fixed size, instead of attending to
// them.
#include <cstdint>

#include "cpu/kernels.h"
#include "gguf/gguf.h"
#include "model/vector.h"

namespace myna {

// What the state is: the last inputs of a gated convolution, or those and a matrix for each head, which
// decays and takes up one outer product per position, of what a key finds wrong in it (the delta rule) or as
// it is (Mamba 2).
enum class Recurrence { kNone, kShortConvolution, kDeltaRule, kScan };

// The sizes of all recurrent layers. Several heads share a key: `num_heads` / `num_keys` neighbours, or those
// at that distance.
struct RecurrentSizes {
  Recurrence kind = Recurrence::kNone;
  bool shares_keys_at_distance = false;
  int taps = 0, num_keys = 0, num_heads = 0, key_dim = 0, head_dim = 0;

  int64_t key_width() const { return static_cast<int64_t>(num_keys) * key_dim; }
  int64_t width() const { return static_cast<int64_t>(num_heads) * head_dim; }
  int64_t matrix_floats() const { return static_cast<int64_t>(num_heads) * key_dim * head_dim; }
  int key_of(int head) const {
    return shares_keys_at_distance ? head % num_keys : head / (num_heads / num_keys);
  }
};

// Causal, of each channel by itself.
struct Convolution {
  int taps = 0;
  int64_t channels = 0;
  Vector weights;  // [tap][channel]; the last tap is the row itself
  Vector bias;

  int64_t state_floats() const { return (taps - 1) * channels; }
};

struct Recurrent {
  Matrix input, gate, decay, rate;  // the last three of the delta rule; other kinds have them within `input`
  Convolution convolution;
  Vector step_bias, decay_scale, skip, norm;
  int64_t state_begin = 0;  // in floats, of the convolution's part, which the heads' matrices follow
};

}  // namespace myna
