// Keys and values as integers of 8 bits. Included once by each file that stores them.
#pragma once
#include "attention/attention.h"
#include "cpu/lanes.h"

namespace myna::MYNA_ISA {

// The largest scale whose integers, times it, are finite as halves.
constexpr float kMaxScale = 515.5f;

// Up to 32 dimensions of a position as integers; returns their scale, as a half. A value that isn't a number,
// or is too large, becomes one of the largest integers.
inline uint16_t quantize_dimensions(const float* x, int count, int8_t* integers) {
  float largest = 0;
  for (int i = 0; i < count; ++i) {
    const float magnitude = __builtin_fabsf(x[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  uint16_t halves[16];
  float scales[16];
  store(halves, broadcast(largest / 127 < kMaxScale ? largest / 127 : kMaxScale));
  store(scales, load(halves));
  const float inverse = scales[0] > 0 ? 1 / scales[0] : 0;
  for (int i = 0; i < count; ++i) {
    float value = x[i] * inverse;
    value = value < 127 ? value : 127;  // also if it isn't a number
    value = value > -127 ? value : -127;
    integers[i] = static_cast<int8_t>(__builtin_nearbyintf(value));
  }
  return halves[0];
}

// Quantises a position's keys or values: place(d) is the index of dimension d in the block.
template <typename Place>
inline void store_q8(const float* x, int head_dim, int slot, uint16_t* block, Place&& place) {
  auto* to = reinterpret_cast<int8_t*>(block);
  uint16_t* scales = block + head_dim * kBlockTokens / 2;
  for (int d = 0; d < head_dim; d += kScaleDimensions, scales += kBlockTokens) {
    const int count = head_dim - d < kScaleDimensions ? head_dim - d : kScaleDimensions;
    int8_t integers[kScaleDimensions];
    scales[slot] = quantize_dimensions(x + d, count, integers);
    for (int i = 0; i < count; ++i) to[place(d + i)] = integers[i];
  }
}

}  // namespace myna::MYNA_ISA
