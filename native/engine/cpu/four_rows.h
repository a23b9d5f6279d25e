// Four rows at a time, one in each 32-bit field of a vector, for packing: a record has the same four inputs
// of neighbouring outputs adjacent. Plain vectors of 16 bytes, which every 64-bit processor has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/half.h"
#include "cpu/layout.h"

namespace myna::four_rows {

using Words = std::uint32_t __attribute__((vector_size(16)));
using Bytes = std::uint8_t __attribute__((vector_size(16)));

#if defined(__clang__)
#define MYNA_SHUFFLE(type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MYNA_SHUFFLE(type, a, b, ...) __builtin_shuffle(a, b, type{__VA_ARGS__})
#endif

// Word i of each of four rows, in field 0 to 3: `of[i]`.
struct Columns {
  Words of[4];
};

// The next 16 bytes of four rows that are `stride` bytes apart.
inline Columns load(const std::uint8_t* src, std::size_t stride) {
  const auto r0 = read<Words>(src), r1 = read<Words>(src + stride), r2 = read<Words>(src + 2 * stride),
             r3 = read<Words>(src + 3 * stride);
  const Words low01 = MYNA_SHUFFLE(Words, r0, r1, 0, 4, 1, 5),
              low23 = MYNA_SHUFFLE(Words, r2, r3, 0, 4, 1, 5),
              top01 = MYNA_SHUFFLE(Words, r0, r1, 2, 6, 3, 7),
              top23 = MYNA_SHUFFLE(Words, r2, r3, 2, 6, 3, 7);
  return {MYNA_SHUFFLE(Words, low01, low23, 0, 1, 4, 5), MYNA_SHUFFLE(Words, low01, low23, 2, 3, 6, 7),
          MYNA_SHUFFLE(Words, top01, top23, 0, 1, 4, 5), MYNA_SHUFFLE(Words, top01, top23, 2, 3, 6, 7)};
}

// Fetches that many bytes of the four rows after these.
inline void prefetch(const std::uint8_t* src, std::size_t stride, std::size_t bytes) {
  for (std::size_t row = 4; row < 8; ++row)
    for (std::size_t at = 0; at < bytes; at += layout::kLine) __builtin_prefetch(src + row * stride + at);
}

// Writes four inputs of outputs `lane` to `lane` + 3.
inline void put(std::uint8_t* lines, int line, int lane, Words four) {
  write(lines + static_cast<std::size_t>(line) * layout::kLine + static_cast<std::size_t>(lane) * 4, four);
}

// Inputs 0 to 15 of a block in the low half of each byte, 16 to 31 in the high half; `shift` is 0 or 4.
inline void put_nibbles(std::uint8_t* low, int lane, const Columns& first, const Columns& second,
                        unsigned shift) {
  for (int j = 0; j < 4; ++j)
    put(low, j, lane, (first.of[j] >> shift & 0x0f0f0f0fu) | (second.of[j] >> shift & 0x0f0f0f0fu) << 4);
}

// Writes the scales of outputs `lane` to `lane` + 3: four consecutive ones of a row are its word's bytes.
inline void put_scales(std::uint8_t* scales, int lane, Words four) {
  const auto rows = reinterpret_cast<Bytes>(four);  // a0 a1 a2 a3 b0 b1 ...
  const Bytes pairs = MYNA_SHUFFLE(Bytes, rows, rows, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  const Bytes sorted =
      MYNA_SHUFFLE(Bytes, pairs, pairs, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  const auto words = reinterpret_cast<Words>(sorted);
  for (int i = 0; i < 4; ++i) write(scales + i * 16 + lane, words[i]);
}

inline Words larger_bytes(Words a, Words b) {
  const auto x = reinterpret_cast<Bytes>(a), y = reinterpret_cast<Bytes>(b);
  const auto is_larger = reinterpret_cast<Bytes>(x > y);
  return reinterpret_cast<Words>((x & is_larger) | (y & ~is_larger));
}

// Of signed bytes, as unsigned ones.
inline Words magnitudes(Words four) {
  const Words signs = four >> 7 & 0x01010101u;
  const auto flips = reinterpret_cast<Bytes>(signs * 0xffu), bytes = reinterpret_cast<Bytes>(four);
  return reinterpret_cast<Words>(static_cast<Bytes>((bytes ^ flips) - flips));
}

// The largest byte of each row.
inline Words largest_byte(Words bytes) {
  bytes = larger_bytes(bytes, bytes >> 16);
  return larger_bytes(bytes, bytes >> 8) & 0xffu;
}

#undef MYNA_SHUFFLE

}  // namespace myna::four_rows
