// Quantisation of activation rows, in blocks of 32: scale = largest magnitude / 127, integers rounded to
// nearest even. Written so that any compiler vectorises it and every instruction set gives the same bits.
// Included like tiles.h.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/kernels.h"

namespace myna {
namespace {

constexpr std::uint32_t kInfinityBits = 0x7f800000u;

inline void quantize_block(const float* src, int count, Activations& out, std::int64_t i) {
  float x[kBlock] = {};
  std::memcpy(x, src, static_cast<std::size_t>(count) * sizeof(float));
  // As integers, magnitudes compare like floats, and a NaN is larger than all numbers.
  std::uint32_t largest = 0;
  for (int k = 0; k < kBlock; ++k) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(x[k]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  const bool is_finite = largest < kInfinityBits;
  const float peak = std::bit_cast<float>(largest);
  // Below the normal range 127 / peak would overflow; such a block is zero.
  const bool is_zero = !is_finite || peak < std::numeric_limits<float>::min() * 128.0f;
  const float inverse = is_zero ? 0.0f : 127.0f / peak;
  // Adding and taking away 1.5 * 2^23 rounds to nearest even, and leaves the integer in the low bits.
  constexpr float kRound = 12582912.0f;
  std::int8_t* values = out.values() + i * kBlock;
  std::int32_t sum[2] = {0, 0};
  for (int half = 0; half < 2; ++half) {
    std::int32_t half_sum = 0;
    for (int k = 0; k < kBlock / 2; ++k) {
      const float scaled = is_finite ? x[half * (kBlock / 2) + k] * inverse : 0.0f;
      const std::int32_t q =
          std::bit_cast<std::int32_t>(scaled + kRound) - std::bit_cast<std::int32_t>(kRound);
      values[half * (kBlock / 2) + k] = static_cast<std::int8_t>(q);
      half_sum += q;
    }
    sum[half] = half_sum;
  }
  const std::int32_t all = sum[0] + sum[1];
  out.field<float>(Activations::kScale)[i] =
      is_finite ? (is_zero ? 0.0f : peak / 127.0f) : std::numeric_limits<float>::quiet_NaN();
  out.field<float>(Activations::kSum)[i] = static_cast<float>(all);
  out.field<std::int32_t>(Activations::kStart4)[i] = -8 * all;
  out.field<std::int32_t>(Activations::kStart5)[i] = -16 * all;
  out.field<std::int32_t>(Activations::kStart8)[i] = -128 * all;
  out.field<std::int32_t>(Activations::kStart6Low)[i] = -32 * sum[0];
  out.field<std::int32_t>(Activations::kStart6High)[i] = -32 * sum[1];
}

void quantize_rows(const float* src, std::ptrdiff_t stride, std::int64_t row_begin, std::int64_t row_end,
                   Activations& out) {
  for (std::int64_t row = row_begin; row < row_end; ++row) {
    const float* x = src + row * stride;
    for (std::int64_t b = 0; b < out.num_blocks(); ++b, x += kBlock) {
      const std::int64_t left = out.cols() - b * kBlock;
      const int count = static_cast<int>(left < kBlock ? left : kBlock);
      const std::int64_t i = b * out.rows() + row;
      if (out.kind() == Activations::Kind::kInt8) {
        quantize_block(x, count, out, i);
        continue;
      }
      float* to = out.floats() + i * kBlock;
      std::memcpy(to, x, static_cast<std::size_t>(count) * sizeof(float));
      for (int k = count; k < kBlock; ++k) to[k] = 0.0f;
    }
  }
}

}  // namespace
}  // namespace myna
