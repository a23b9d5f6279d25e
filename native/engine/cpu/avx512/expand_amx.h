// Keys and values of 8 bits as the tiles that attention multiplies. Included once, by attention_amx.cpp,
// which explains the numbers and the order of keys and values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "attention/attention.h"
#include "cpu/avx512/softmax_amx.h"
#include "cpu/lanes.h"

namespace myna {
namespace attention_amx {
namespace {

constexpr int kTileHalves = 512;

inline const int8_t* integers_of(const uint16_t* block) { return reinterpret_cast<const int8_t*>(block); }
inline const uint16_t* scales_of(const uint16_t* block, int head_dim) {
  return block + head_dim * kBlockTokens / 2;
}

// Thirty-two integers, times the scales of the first and of the last sixteen, as bfloat16.
inline __m512i scaled_bfloats(const int8_t* integers, Lanes first, Lanes last) {
  return to_bfloats(mul(load(integers), first), mul(load(integers + 16), last));
}

// A block's keys as bfloat16. The last step is padded with zeros.
void expand_keys(const uint16_t* block, int head_dim, int steps, uint16_t* to) {
  const int8_t* integers = integers_of(block);
  const uint16_t* scales = scales_of(block, head_dim);
  const __m512i first = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const __m512i last = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  const int halves = head_dim * kBlockTokens;
  for (int tile = 0; tile < halves; tile += kTileHalves, scales += kBlockTokens) {
    const Lanes all = load(scales);
    const Lanes low = _mm512_permutexvar_ps(first, all), high = _mm512_permutexvar_ps(last, all);
    for (int i = tile; i < std::min(tile + kTileHalves, halves); i += 32)
      _mm512_storeu_si512(to + i, scaled_bfloats(integers + i, low, high));
  }
  for (int i = halves; i < steps * kTileHalves; i += 32) _mm512_storeu_si512(to + i, _mm512_setzero_si512());
}

// A block's values as bfloat16.
void expand_values(const uint16_t* block, int head_dim, uint16_t* to) {
  const int8_t* integers = integers_of(block);
  const uint16_t* halves = scales_of(block, head_dim);
  for (int d = 0; d < head_dim; d += 16) {
    alignas(64) float scales[kBlockTokens];
    store(scales, load(halves + d / kScaleDimensions * kBlockTokens));
    for (int pair = 0; pair < kBlockTokens / 2; ++pair) {
      double both;
      std::memcpy(&both, scales + 2 * pair, sizeof both);
      const Lanes scale = _mm512_castpd_ps(_mm512_set1_pd(both));
      const int at = d * kBlockTokens + pair * 32;
      _mm512_storeu_si512(to + at, scaled_bfloats(integers + at, scale, scale));
    }
  }
}

// A block's keys as halves.
void expand_keys_to_halves(const uint16_t* block, int head_dim, uint16_t* to) {
  const int8_t* integers = integers_of(block);
  const uint16_t* scales = scales_of(block, head_dim);
  for (int i = 0; i < head_dim * kBlockTokens; i += 32) {
    const auto* own = reinterpret_cast<const __m256i*>(scales + i / kTileHalves * kBlockTokens);
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(own));
    const __m512i scale = _mm512_or_si512(wide, _mm512_slli_epi32(wide, 16));
    const __m512i x =
        _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(integers + i)));
    const __m512h product = _mm512_mul_ph(_mm512_cvtepi16_ph(x), _mm512_castsi512_ph(scale));
    _mm512_storeu_si512(to + i, _mm512_castph_si512(product));
  }
}

}  // namespace
}  // namespace attention_amx
}  // namespace myna
