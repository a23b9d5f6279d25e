// The steps of recurrent layers over float32. Included once by each instruction set's file.
#include "cpu/lanes.h"
#include "cpu/vector_table.h"

namespace myna::MYNA_ISA {

void multiply_by(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= y[i];
}

void silu(float* x, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, times_sigmoid(load(x + i), load(x + i)));
  if (i < n) {
    const Lanes v = load_tail(x + i, n - i);
    store_tail(x + i, times_sigmoid(v, v), n - i);
  }
}

void sigmoid_multiply(float* x, const float* gate, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, times_sigmoid(load(x + i), load(gate + i)));
  if (i < n) store_tail(x + i, times_sigmoid(load_tail(x + i, n - i), load_tail(gate + i, n - i)), n - i);
}

// One chain of fused multiply-adds over the taps.
void convolve(const float* const* taps, int num_taps, const float* weights, int64_t stride, float* out,
              int64_t n) {
  const auto sum = [&](int64_t i, auto loaded) {
    Lanes total = mul(loaded(taps[0] + i), loaded(weights + i));
    for (int t = 1; t < num_taps; ++t)
      total = fma(loaded(taps[t] + i), loaded(weights + t * stride + i), total);
    return total;
  };
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(out + i, sum(i, [](const float* p) { return load(p); }));
  if (i < n) store_tail(out + i, sum(i, [&](const float* p) { return load_tail(p, n - i); }), n - i);
}

// `kGroups` times sixteen columns of a head's matrix, each by itself: every element has one chain of
// operations over the positions, and the sums over the rows have one chain each.
template <int kGroups, bool kCorrects>
inline void update_columns(const float* from, float* to, int64_t rows, const StateUpdate& update,
                           const float* value, float* out) {
  constexpr int kColumns = 16 * kGroups;
  Lanes change[kGroups], sums[kGroups];
  for (int j = 0; j < kGroups; ++j) sums[j] = broadcast(0);
  if constexpr (kCorrects)
    for (int64_t r = 0; r < rows; ++r) {
      const Lanes key = broadcast(update.key[r]);
      for (int j = 0; j < kGroups; ++j) sums[j] = fma(load(from + r * kColumns + 16 * j), key, sums[j]);
    }
  const Lanes decay = broadcast(update.decay), rate = broadcast(update.rate);
  for (int j = 0; j < kGroups; ++j) {
    Lanes wanted = load(value + 16 * j);
    if constexpr (kCorrects) wanted = sub(wanted, mul(sums[j], decay));
    change[j] = mul(wanted, rate);
    sums[j] = broadcast(0);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const Lanes key = broadcast(update.key[r]), query = broadcast(update.query[r]);
    for (int j = 0; j < kGroups; ++j) {
      const int64_t at = r * kColumns + 16 * j;
      const Lanes updated = fma(change[j], key, mul(load(from + at), decay));
      store(to + at, updated);
      sums[j] = fma(updated, query, sums[j]);
    }
  }
  for (int j = 0; j < kGroups; ++j) store(out + 16 * j, sums[j]);
}

template <bool kCorrects>
void update_state(const float* from, float* to, int64_t rows, int64_t columns, const StateUpdate& update,
                  const float* value, float* out) {
  if (columns == kStateColumns)
    return update_columns<kStateColumns / 16, kCorrects>(from, to, rows, update, value, out);
  for (int64_t c = 0; c < columns; c += 16)
    update_columns<1, kCorrects>(from + c * rows, to + c * rows, rows, update, value + c, out + c);
}

}  // namespace myna::MYNA_ISA
