// Row operations over float32. Included once by each instruction set's file.
#include "attention/quantize.h"
#include "cpu/lanes.h"

namespace myna::MYNA_ISA {

// Loads up to 16 values, padded with zeros.
inline Lanes load_tail(const float* p, int64_t count) {
  float values[16] = {};
  for (int64_t i = 0; i < count; ++i) values[i] = p[i];
  return load(values);
}

inline void store_tail(float* p, Lanes v, int64_t count) {
  float values[16];
  store(values, v);
  for (int64_t i = 0; i < count; ++i) p[i] = values[i];
}

// Four interleaved chains of squares, then one tree.
inline float sum_of_squares(const float* x, int64_t n) {
  Lanes sums[4] = {broadcast(0), broadcast(0), broadcast(0), broadcast(0)};
  int64_t i = 0, chain = 0;
  for (; i + 64 <= n; i += 64)
    for (int j = 0; j < 4; ++j) {
      const Lanes v = load(x + i + 16 * j);
      sums[j] = fma(v, v, sums[j]);
    }
  for (; i < n; i += 16, ++chain) {
    const Lanes v = n - i >= 16 ? load(x + i) : load_tail(x + i, n - i);
    sums[chain] = fma(v, v, sums[chain]);
  }
  return reduce_sum(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

void rms_norm(const float* x, const float* weight, float epsilon, float* out, int64_t n) {
  const float mean = sum_of_squares(x, n) / static_cast<float>(n);
  const float scale = 1.0f / __builtin_sqrtf(mean + epsilon);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

// Four interleaved chains, then one tree, as above.
inline float sum_of(const float* x, int64_t n) {
  Lanes sums[4] = {broadcast(0), broadcast(0), broadcast(0), broadcast(0)};
  int64_t i = 0, chain = 0;
  for (; i + 64 <= n; i += 64)
    for (int j = 0; j < 4; ++j) sums[j] = add(load(x + i + 16 * j), sums[j]);
  for (; i < n; i += 16, ++chain)
    sums[chain] = add(n - i >= 16 ? load(x + i) : load_tail(x + i, n - i), sums[chain]);
  return reduce_sum(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

void layer_norm(const float* x, const float* weight, float epsilon, float* out, int64_t n) {
  const float mean = sum_of(x, n) / static_cast<float>(n);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] - mean;
  const float variance = sum_of_squares(out, n) / static_cast<float>(n);
  const float scale = 1.0f / __builtin_sqrtf(variance + epsilon);
  for (int64_t i = 0; i < n; ++i) out[i] = out[i] * scale * weight[i];
}

void add_to(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void scale_by(float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

void add_scaled(float* x, const float* y, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += factor * y[i];
}

void sparsify(float* x, float deviations, int64_t n) {
  const float mean = sum_of(x, n) / static_cast<float>(n);
  for (int64_t i = 0; i < n; ++i) x[i] -= mean;
  const float least = deviations * __builtin_sqrtf(sum_of_squares(x, n) / static_cast<float>(n - 1));
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] <= least ? 0.0f : x[i] - least;  // keeps NaN
}

void soft_cap(float* x, float cap, int64_t n) {
  const Lanes limit = broadcast(cap);
  const auto capped = [&](Lanes v) { return mul(limit, tanh(div(v, limit))); };
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, capped(load(x + i)));
  if (i < n) store_tail(x + i, capped(load_tail(x + i, n - i)), n - i);
}

template <typename Function>
inline void gate_rows(float* gate, const float* up, int64_t n, Function activation) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(gate + i, mul(activation(load(gate + i)), load(up + i)));
  if (i < n)
    store_tail(gate + i, mul(activation(load_tail(gate + i, n - i)), load_tail(up + i, n - i)), n - i);
}

void silu_multiply(float* gate, const float* up, int64_t n) {
  gate_rows(gate, up, n, [](Lanes x) { return times_sigmoid(x, x); });
}

void gelu_multiply(float* gate, const float* up, int64_t n) { gate_rows(gate, up, n, gelu_by_tanh); }

void relu_multiply(float* gate, const float* up, int64_t n) {
  gate_rows(gate, up, n, [](Lanes x) { return max(x, broadcast(0)); });
}

// max(x, 0) - |x| / 2 * erfc(|x| / sqrt 2): exact GELU, since erf is odd. The polynomial's error in erfc
// is 1.5e-7 (Abramowitz and Stegun 7.1.26).
inline Lanes exact_gelu(Lanes x) {
  const Lanes zero = broadcast(0), magnitude = max(x, sub(zero, x));
  const Lanes t = div(broadcast(1.0f), fma(magnitude, broadcast(0.23164189f), broadcast(1.0f)));
  Lanes p = broadcast(1.061405429f);
  p = fma(p, t, broadcast(-1.453152027f));
  p = fma(p, t, broadcast(1.421413741f));
  p = fma(p, t, broadcast(-0.284496736f));
  p = fma(p, t, broadcast(0.254829592f));
  const Lanes density = exp(mul(mul(x, x), broadcast(-0.5f)));
  const Lanes tail = mul(mul(magnitude, broadcast(0.5f)), mul(mul(p, t), density));
  return sub(max(x, zero), tail);
}

void gelu(float* x, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, exact_gelu(load(x + i)));
  if (i < n) store_tail(x + i, exact_gelu(load_tail(x + i, n - i)), n - i);
}

// With the gate at most 7 and up within -7 and 7: (up + 1) * gate * sigmoid(1.702 gate).
void clipped_silu_multiply(float* gate, const float* up, int64_t n) {
  const Lanes limit = broadcast(7.0f), slope = broadcast(1.702f), one = broadcast(1.0f);
  const auto gated = [&](Lanes x, Lanes y) {
    const Lanes clipped = min(x, limit);
    const Lanes linear = max(min(y, limit), broadcast(-7.0f));
    return mul(times_sigmoid(clipped, mul(clipped, slope)), add(linear, one));
  };
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(gate + i, gated(load(gate + i), load(up + i)));
  if (i < n) store_tail(gate + i, gated(load_tail(gate + i, n - i), load_tail(up + i, n - i)), n - i);
}

void rotate_halves(float* x, const float* cosines, const float* sines, int64_t half) {
  float* y = x + half;
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[i], b = y[i];
    x[i] = a * cosines[i] - b * sines[i];
    y[i] = a * sines[i] + b * cosines[i];
  }
}

void rotate_pairs(float* x, const float* cosines, const float* sines, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cosines[i] - b * sines[i];
    x[2 * i + 1] = a * sines[i] + b * cosines[i];
  }
}

template <CacheType kType>
void store_kv(const float* key, const float* value, int head_dim, int slot, uint16_t* block_keys,
              uint16_t* block_values) {
  if constexpr (kType == CacheType::kQ8) {
    store_q8(key, head_dim, slot, block_keys, [&](int d) { return d * kBlockTokens + slot; });
    store_q8(value, head_dim, slot, block_values, [&](int d) { return slot * head_dim + d; });
    return;
  }
  for (int d = 0; d < head_dim; d += 16) {
    uint16_t halves[16];
    store(halves, load(key + d));
    for (int i = 0; i < 16; ++i) block_keys[(d + i) * kBlockTokens + slot] = halves[i];
    store(block_values + slot * head_dim + d, load(value + d));
  }
}

}  // namespace myna::MYNA_ISA
