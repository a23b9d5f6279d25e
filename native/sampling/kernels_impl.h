// The loops behind `Kernels`, for vectors of WIDTH floats. Each instruction set's file includes this once.
#pragma once

#include <cstring>

#include "kernels.h"

namespace myna::sampling {
namespace {

constexpr int kLanes = 16;
constexpr int kVectors = kLanes / WIDTH;

typedef float Floats __attribute__((vector_size(WIDTH * 4)));
typedef int32_t Ints __attribute__((vector_size(WIDTH * 4)));

inline Floats load(const float* from) {
  Floats value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void store(float* to, Floats value) { std::memcpy(to, &value, sizeof value); }

inline Floats splat(float value) { return value - Floats{}; }

// exp(x) for x <= 0, zero below kFloor: x = n ln 2 + r, a polynomial in r (Cephes' expf coefficients),
// then n is added to the exponent's bits. Accurate to 2 units in the last place.
inline Floats exp(Floats x) {
  const Floats clamped = x < kFloor ? splat(kFloor) : x;
  const float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const Floats shifted = clamped * 1.44269504088896341f + shift;
  const Floats n = shifted - shift;
  const Floats r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const Floats y = p * (r * r) + r + 1.0f;
  const Floats power = (Floats)((Ints)y + ((Ints)shifted << 23));
  return x < kFloor ? Floats{} : power;
}

// The values after the last full group of lanes, padded with kNever.
inline void load_tail(const float* values, int64_t n, float* lanes) {
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = lane < n ? values[lane] : kNever;
}

inline void scan_lanes(const float* values, Floats* max, Ints* bad) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (int v = 0; v < kVectors; ++v) {
    const Floats x = load(values + v * WIDTH);
    max[v] = x > max[v] ? x : max[v];
    bad[v] |= ~(x < infinity);
  }
}

Scan scan(const float* values, int64_t n) {
  // Two groups of accumulators hide the latency of comparisons.
  Floats max[2][kVectors];
  Ints bad[kVectors] = {};
  for (auto& group : max)
    for (auto& vector : group) vector = splat(kNever);
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    scan_lanes(values + i, max[0], bad);
    scan_lanes(values + i + kLanes, max[1], bad);
  }
  for (; i < n; i += kLanes) {
    float lanes[kLanes];
    load_tail(values + i, n - i, lanes);
    scan_lanes(lanes, max[0], bad);
  }
  Scan result{kNever, false};
  for (int v = 0; v < kVectors; ++v) {
    const Floats m = max[0][v] > max[1][v] ? max[0][v] : max[1][v];
    for (int lane = 0; lane < WIDTH; ++lane) {
      if (m[lane] > result.max) result.max = m[lane];
      result.is_bad |= bad[v][lane] != 0;
    }
  }
  return result;
}

inline void add_lanes(const float* values, float peak, float scale, Floats* sums) {
  for (int v = 0; v < kVectors; ++v) sums[v] += exp((load(values + v * WIDTH) - peak) * scale);
}

float exp_sum(const float* values, int64_t n, float peak, float scale) {
  Floats sums[kVectors] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) add_lanes(values + i, peak, scale, sums);
  if (i < n) {
    float lanes[kLanes];
    load_tail(values + i, n - i, lanes);
    add_lanes(lanes, peak, scale, sums);
  }
  float lanes[kLanes];
  for (int v = 0; v < kVectors; ++v) store(lanes + v * WIDTH, sums[v]);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

void exp_into(const float* values, int64_t n, float peak, float scale, float* weights) {
  int64_t i = 0;
  for (; i + WIDTH <= n; i += WIDTH) store(weights + i, exp((load(values + i) - peak) * scale));
  if (i < n) {
    float lanes[kLanes];
    load_tail(values + i, n - i, lanes);
    store(lanes, exp((load(lanes) - peak) * scale));
    std::memcpy(weights + i, lanes, sizeof(float) * static_cast<size_t>(n - i));
  }
}

void copy_allowed(const float* values, int64_t n, const uint32_t* words, float* target) {
  Ints lane_bits;
  for (int lane = 0; lane < WIDTH; ++lane) lane_bits[lane] = 1 << lane;
  int64_t i = 0;
  for (; i + WIDTH <= n; i += WIDTH) {
    const int32_t bits = static_cast<int32_t>(words[i / 32] >> (i % 32));
    store(target + i, ((bits - Ints{}) & lane_bits) != 0 ? load(values + i) : splat(kNever));
  }
  for (; i < n; ++i) target[i] = words[i / 32] >> (i % 32) & 1 ? values[i] : kNever;
}

}  // namespace
}  // namespace myna::sampling
