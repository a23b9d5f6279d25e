// Reading and packing of types whose weights are codes: their codes are kept, with a byte or a half for each
// scale. Private to the table of types.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/blocks.h"
#include "cpu/codes.h"
#include "cpu/formats.h"
#include "cpu/half.h"
#include "cpu/panel.h"

namespace myna {

template <DecodeFn Decode, const Codes& kCodes>
void read_coded(const std::uint8_t* bytes, float* y) {
  CodedBlock block;
  Decode(bytes, block);
  const float d = half_to_float(block.scale) * kCodes.factor;
  for (int i = 0; i < 256; ++i)
    y[i] = d * static_cast<float>(block.half_scales[i / 16]) *
           static_cast<float>(kCodes.integers[block.codes[i]]);
}

// A scale for each half of a sub-block, or for all of it, which then is that of both halves.
template <class R, DecodeFn Decode, const Codes& kCodes, std::int64_t SourceBytes>
Peak pack_coded(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  Peak peak;
  for (std::int64_t b = 0; b < num_blocks; b += 8, src += SourceBytes, panel += R::kBytes) {
    CodedBlock block;
    Decode(src, block);
    const float d = half_to_float(block.scale) * kCodes.factor;
    write(panel + R::kHeadScales + lane * 2, block.scale);
    for (int s = 0; s < 8 * R::kScalesPerBlock; ++s) {
      const std::int8_t scale = block.half_scales[s * 2 / R::kScalesPerBlock];
      panel[R::kScales + s * 16 + lane] = static_cast<std::uint8_t>(scale);
      peak.add(d * static_cast<float>(scale * 256));
    }
    for (int s = 0; s < 8; ++s) {
      std::uint8_t codes[32];
      std::copy_n(block.codes + 32 * s, 32, codes);
      layout::put_block<R>(panel, s, lane, codes);
    }
  }
  return peak;
}

// A half for each scale: `scale_of(b, h)` and `codes_of(b, codes)` are those of the b-th block of 32.
template <class R, class ScaleOf, class CodesOf>
Peak pack_scaled(std::int64_t num_blocks, int lane, std::uint8_t* panel, ScaleOf scale_of, CodesOf codes_of) {
  Peak peak;
  for (std::int64_t b = 0; b < num_blocks; ++b) {
    std::uint8_t* record = panel + b / 2 * static_cast<std::int64_t>(R::kBytes);
    const int sub = static_cast<int>(b % 2);
    for (int h = 0; h < R::kScalesPerBlock; ++h) {
      const std::uint16_t scale = scale_of(b, h);
      write(record + R::kHeadScales + (sub * R::kScalesPerBlock + h) * 32 + lane * 2, scale);
      peak.add(half_to_float(scale) * 256);
    }
    std::uint8_t codes[32];
    codes_of(b, codes);
    layout::put_block<R>(record, sub, lane, codes);
  }
  return peak;
}

inline Peak pack_iq4_nl(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  return pack_scaled<layout::RecordIQ4_NL>(
      num_blocks, lane, panel, [&](std::int64_t b, int) { return read<std::uint16_t>(src + 18 * b); },
      [&](std::int64_t b, std::uint8_t* codes) { split_nibbles(src + 18 * b + 2, codes); });
}

inline Peak pack_nvfp4(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  const auto block = [&](std::int64_t b) { return src + b / 2 * 36; };
  return pack_scaled<layout::RecordNVFP4>(
      num_blocks, lane, panel,
      [&](std::int64_t b, int half) { return nvfp4_scale(block(b)[b % 2 * 2 + half]); },
      [&](std::int64_t b, std::uint8_t* codes) { split_nvfp4(block(b), static_cast<int>(b % 2), codes); });
}

// A power of two as a half, 0 below those that halves have.
inline std::uint16_t half_power_of_two(int exponent) {
  if (exponent < -24) return 0;
  return static_cast<std::uint16_t>(exponent < -14 ? 1 << (exponent + 24) : (exponent + 15) << 10);
}

// Larger and smaller scales don't fit, but those of zeros.
inline bool mxfp4_fits(const std::uint8_t* block) {
  const int exponent = mxfp4_exponent(block);
  if (exponent >= -24 && exponent <= 15) return true;
  return std::all_of(block + 1, block + 17, [](std::uint8_t byte) { return (byte & 0x77) == 0; });
}

inline Peak pack_mxfp4(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  return pack_scaled<layout::RecordIQ4_NL>(
      num_blocks, lane, panel,
      [&](std::int64_t b, int) { return half_power_of_two(std::min(15, mxfp4_exponent(src + 17 * b))); },
      [&](std::int64_t b, std::uint8_t* codes) { split_nibbles(src + 17 * b + 1, codes); });
}

}  // namespace myna
