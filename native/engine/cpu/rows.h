// Quantisation of activation rows, in blocks of 32: scale = largest magnitude / 127, integers rounded to
// nearest even; the same bits on every instruction set. `V::quantize` is the vectorised part. Included like
// tiles.h.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "cpu/kernels.h"

namespace myna {
namespace {

struct BlockScale {
  float scale, inverse;
};

// From the bits of the largest magnitude: as integers, magnitudes compare like floats, and infinities and
// NaNs are larger than all numbers; they make the scale NaN and the integers (times 0, converted) zero.
inline BlockScale block_scale(std::uint32_t largest) {
  const float peak = std::bit_cast<float>(largest);
  if (largest >= 0x7f800000u) return {std::numeric_limits<float>::quiet_NaN(), 0.0f};
  // Below this 127 / peak could overflow; such a block is zero.
  if (peak < std::numeric_limits<float>::min() * 128.0f) return {0.0f, 0.0f};
  return {peak / 127.0f, 127.0f / peak};
}

struct BlockSums {
  float scale;
  std::int32_t half[2];  // of the integers
};

// Unoptimised, for instruction sets without a faster version.
inline BlockSums quantize_plainly(const float* x, std::int8_t* values) {
  std::uint32_t largest = 0;
  for (int k = 0; k < kBlock; ++k) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(x[k]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  const BlockScale scale = block_scale(largest);
  BlockSums out{scale.scale, {0, 0}};
  // Adding 1.5 * 2^23 rounds to nearest even, and leaves the integer in the low bits.
  constexpr float kRound = 12582912.0f;
  for (int k = 0; k < kBlock; ++k) {
    const float scaled = scale.inverse == 0.0f ? 0.0f : x[k] * scale.inverse;
    const std::int32_t q = std::bit_cast<std::int32_t>(scaled + kRound) - std::bit_cast<std::int32_t>(kRound);
    values[k] = static_cast<std::int8_t>(q);
    out.half[k / (kBlock / 2)] += q;
  }
  return out;
}

// Rows processed together, so that the output of one of their blocks fills whole cache lines.
constexpr std::int64_t kGroupRows = 16;

inline void keep_sums(const BlockSums* sums, std::int64_t count, std::int64_t i, Activations& out) {
  const auto field = [&]<class T>(Activations::Field f, T of) {
    auto* to = out.field<decltype(of(sums[0]))>(f) + i;
    for (std::int64_t r = 0; r < count; ++r) to[r] = of(sums[r]);
  };
  field(Activations::kScale, [](const BlockSums& s) { return s.scale; });
  field(Activations::kSum, [](const BlockSums& s) { return static_cast<float>(s.half[0] + s.half[1]); });
  field(Activations::kStart4, [](const BlockSums& s) { return -8 * (s.half[0] + s.half[1]); });
  field(Activations::kStart5, [](const BlockSums& s) { return -16 * (s.half[0] + s.half[1]); });
  field(Activations::kStart8, [](const BlockSums& s) { return -128 * (s.half[0] + s.half[1]); });
  field(Activations::kStart6Low, [](const BlockSums& s) { return -32 * s.half[0]; });
  field(Activations::kStart6High, [](const BlockSums& s) { return -32 * s.half[1]; });
}

template <class V>
void quantize_rows(const float* src, std::ptrdiff_t stride, std::int64_t row_begin, std::int64_t row_end,
                   Activations& out) {
  for (std::int64_t row = row_begin, next; row < row_end; row = next) {
    next = std::min(row_end, (row / kGroupRows + 1) * kGroupRows);
    for (std::int64_t b = 0; b < out.num_blocks(); ++b) {
      const std::int64_t i = out.index(b, row);
      BlockSums sums[kGroupRows];
      for (std::int64_t r = 0; r < next - row; ++r)
        sums[r] = V::quantize(src + (row + r) * stride + b * kBlock, out.values() + (i + r) * kBlock);
      keep_sums(sums, next - row, i, out);
    }
  }
}

inline void copy_rows(const float* src, std::ptrdiff_t stride, std::int64_t row_begin, std::int64_t row_end,
                      Activations& out) {
  for (std::int64_t row = row_begin; row < row_end; ++row) {
    for (std::int64_t b = 0; b < out.num_blocks(); ++b) {
      const std::int64_t left = out.cols() - b * kBlock;
      const std::int64_t count = left < kBlock ? left : kBlock;
      float* to = out.floats() + out.index(b, row) * kBlock;
      std::memcpy(to, src + row * stride + b * kBlock, static_cast<std::size_t>(count) * sizeof(float));
      for (std::int64_t k = count; k < kBlock; ++k) to[k] = 0.0f;
    }
  }
}

template <class V>
void prepare_rows(const float* src, std::ptrdiff_t stride, std::int64_t row_begin, std::int64_t row_end,
                  Activations& out) {
  if (out.kind() == Activations::Kind::kInt8) return quantize_rows<V>(src, stride, row_begin, row_end, out);
  copy_rows(src, stride, row_begin, row_end, out);
}

}  // namespace
}  // namespace myna
