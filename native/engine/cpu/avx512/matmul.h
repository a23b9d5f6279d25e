// A vector of 16 outputs as one AVX-512 register, with VNNI's dot product. Included like tiles.h.
#pragma once

#include <immintrin.h>

#include "cpu/float_tiles.h"
#include "cpu/rows.h"

namespace myna {
namespace {

struct Avx512Vnni {
  static constexpr int kPanels = 2;
  static constexpr int kFewRows = 8;
  static constexpr int kTokens = 2;
  static constexpr int kFloatTokens = 8;
  static constexpr int kFloatRowPanels = 8;
  static constexpr bool kSignedBytes = false;

  using Bytes = __m512i;
  using Int = __m512i;
  using Float = __m512;
  using Four = __m512i;

  static Bytes load_line(const std::uint8_t* p) { return _mm512_load_si512(p); }
  static Bytes load_offset_bytes(const std::uint8_t* p) { return load_line(p); }
  template <int N>
  static Bytes shift_right(Bytes b) {
    return _mm512_srli_epi16(b, N);
  }
  template <int N>
  static Bytes shift_left(Bytes b) {
    return _mm512_slli_epi16(b, N);
  }
  template <int N>
  static Bytes low_bits(Bytes b) {
    return _mm512_and_si512(b, _mm512_set1_epi8((1 << N) - 1));
  }
  template <int LowMask, int HighMask>
  static Bytes join(Bytes low, Bytes high) {
    constexpr int kSelect = 0xca;  // first ? second : third, bit by bit
    const Bytes both = _mm512_ternarylogic_epi32(_mm512_set1_epi8(LowMask), low, high, kSelect);
    return _mm512_and_si512(both, _mm512_set1_epi8(LowMask | HighMask));
  }
  static Bytes load_table(const std::uint8_t* p) {
    return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Bytes look_up(Bytes table, Bytes codes) { return _mm512_shuffle_epi8(table, codes); }

  static Int zero_int() { return _mm512_setzero_si512(); }
  static Int all_int(const std::int32_t* p) { return _mm512_set1_epi32(*p); }
  static Four load_four(const std::int8_t* p) {
    int four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
  }
  template <int Bits>
  static Int dot(Int sum, Bytes w, Four x) {
    return _mm512_dpbusd_epi32(sum, w, x);
  }

  static Float zero() { return _mm512_setzero_ps(); }
  static Float all(const float* p) { return _mm512_set1_ps(*p); }
  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static Float load_half(const std::uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Float load_bfloat(const std::uint8_t* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static Float load_u8(const std::uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Float load_s8(const std::uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Float to_float(Int x) { return _mm512_cvtepi32_ps(x); }
  static Float negate(Float x) { return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f)); }
  static Float mul(Float x, Float y) { return _mm512_mul_ps(x, y); }
  static Float fma(Float x, Float y, Float z) { return _mm512_fmadd_ps(x, y, z); }

  static std::uint32_t largest_of(__m512i x) {
    const __m256i eight = _mm256_max_epu32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0xb1));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(four));
  }
  static BlockSums quantize(const float* x, std::int8_t* values) {
    const __m512 first = _mm512_loadu_ps(x), second = _mm512_loadu_ps(x + 16);
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const BlockScale scale =
        block_scale(largest_of(_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(first), magnitude),
                                                _mm512_and_si512(_mm512_castps_si512(second), magnitude))));
    const __m512 inverse = _mm512_set1_ps(scale.inverse);
    const __m128i low = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(first, inverse)));
    const __m128i high = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(second, inverse)));
    const __m256i all = _mm256_set_m128i(high, low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), all);
    __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), all);
    sums = _mm256_hadd_epi32(sums, sums);
    sums = _mm256_hadd_epi32(sums, sums);
    return {scale.scale,
            {_mm_cvtsi128_si32(_mm256_castsi256_si128(sums)),
             _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1))}};
  }
  static void keep(float* p, Float x) { _mm512_storeu_ps(p, x); }
  static void store(float* p, Float x, int count) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), x);
  }
};

}  // namespace
}  // namespace myna
