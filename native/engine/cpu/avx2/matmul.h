// A vector of 16 outputs as two AVX2 registers, with VNNI's dot product or without. Included by one file of
// each, like tiles.h.
#pragma once

#include <immintrin.h>

#include <bit>

#include "cpu/float_tiles.h"
#include "cpu/rows.h"

namespace myna {
namespace {

template <bool HasVnni>
struct Avx2 {
  static constexpr int kPanels = 1;
  static constexpr int kFewRows = 4;
  // Sums of pairs need registers of their own, of which there are too few for more rows at a time.
  static constexpr int kTokens = HasVnni ? 4 : 1;
  static constexpr int kFloatTokens = 4;
  static constexpr int kFloatRowPanels = 4;
  // Without VNNI, pairs of products are added in 16 bits, which unsigned bytes would overflow.
  static constexpr bool kSignedBytes = !HasVnni;

  struct Bytes {
    __m256i a, b;
  };
  using Int = Bytes;
  struct Float {
    __m256 a, b;
  };
  using Four = __m256i;

  static __m256i load_half_line(const std::uint8_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Bytes load_line(const std::uint8_t* p) { return {load_half_line(p), load_half_line(p + 32)}; }
  static Bytes load_offset_bytes(const std::uint8_t* p) {
    const Bytes line = load_line(p);
    if constexpr (HasVnni) return line;
    const __m256i flip = _mm256_set1_epi8(static_cast<char>(0x80));
    return {_mm256_xor_si256(line.a, flip), _mm256_xor_si256(line.b, flip)};
  }
  template <int N>
  static Bytes shift_right(Bytes x) {
    return {_mm256_srli_epi16(x.a, N), _mm256_srli_epi16(x.b, N)};
  }
  template <int N>
  static Bytes shift_left(Bytes x) {
    return {_mm256_slli_epi16(x.a, N), _mm256_slli_epi16(x.b, N)};
  }
  static Bytes masked(Bytes x, int bits) {
    const __m256i mask = _mm256_set1_epi8(static_cast<char>(bits));
    return {_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)};
  }
  template <int N>
  static Bytes low_bits(Bytes x) {
    return masked(x, (1 << N) - 1);
  }
  template <int LowMask, int HighMask>
  static Bytes join(Bytes low, Bytes high) {
    const Bytes x = masked(low, LowMask), y = masked(high, HighMask);
    return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
  }
  static __m256i load_table(const std::uint8_t* p) {
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Bytes look_up(__m256i table, Bytes codes) {
    return {_mm256_shuffle_epi8(table, codes.a), _mm256_shuffle_epi8(table, codes.b)};
  }

  static Int zero_int() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static Int all_int(const std::int32_t* p) { return {_mm256_set1_epi32(*p), _mm256_set1_epi32(*p)}; }
  static Four load_four(const std::int8_t* p) {
    int four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
  }

#if defined(__AVXVNNI__)
  template <int Bits>
  static Int dot(Int sum, Bytes w, Four x)
    requires HasVnni
  {
    return {_mm256_dpbusd_avx_epi32(sum.a, w.a, x), _mm256_dpbusd_avx_epi32(sum.b, w.b, x)};
  }
#endif

  // Without VNNI, a dot product is made of sums of pairs of products, which have 16 bits.
  template <int Bits>
  static __m256i pairs8(__m256i w, Four x) {
    // Signed weights lend x their sign.
    if constexpr (Bits == 8) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_maddubs_epi16(w, x);
  }
  template <int Bits>
  static Int pairs(Bytes w, Four x) {
    return {pairs8<Bits>(w.a, x), pairs8<Bits>(w.b, x)};
  }
  // A pair is at most 2 * 127 times the largest weight; of signed ones, 2 * 127 * 128. The greatest power of
  // two of such pairs whose sum is below 2^15.
  template <int Bits>
  static constexpr int kPairSums = Bits == 8 ? 1 : std::bit_floor(0x7fffu / (2 * 127 * ((1u << Bits) - 1)));
  static Int add_pairs(Int x, Int y)
    requires(!HasVnni)
  {
    return {_mm256_add_epi16(x.a, y.a), _mm256_add_epi16(x.b, y.b)};
  }
  static Int add_to(Int sum, Int pairs) {
    const __m256i ones = _mm256_set1_epi16(1);
    return {_mm256_add_epi32(sum.a, _mm256_madd_epi16(pairs.a, ones)),
            _mm256_add_epi32(sum.b, _mm256_madd_epi16(pairs.b, ones))};
  }

  static Float zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Float all(const float* p) { return {_mm256_broadcast_ss(p), _mm256_broadcast_ss(p)}; }
  static Float load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static __m128i load16(const std::uint8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static __m128i load8(const std::uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }
  static Float load_half(const std::uint8_t* p) {
    return {_mm256_cvtph_ps(load16(p)), _mm256_cvtph_ps(load16(p + 16))};
  }
  static __m256 bfloat8(const std::uint8_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load16(p)), 16));
  }
  static Float load_bfloat(const std::uint8_t* p) { return {bfloat8(p), bfloat8(p + 16)}; }
  static Float load_u8(const std::uint8_t* p) {
    return to_float({_mm256_cvtepu8_epi32(load8(p)), _mm256_cvtepu8_epi32(load8(p + 8))});
  }
  static Float load_s8(const std::uint8_t* p) {
    return to_float({_mm256_cvtepi8_epi32(load8(p)), _mm256_cvtepi8_epi32(load8(p + 8))});
  }
  static Float to_float(Int x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
  static Float negate(Float x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign)};
  }
  static Float mul(Float x, Float y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
  static Float fma(Float x, Float y, Float z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
  }

  static __m256i magnitudes(__m256 x) {
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
  }
  static __m256i integers(__m256 x, float inverse) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(inverse)));
  }
  static BlockSums quantize(const float* x, std::int8_t* values) {
    __m256 part[4];
    for (int i = 0; i < 4; ++i) part[i] = _mm256_loadu_ps(x + 8 * i);
    const __m256i eight = _mm256_max_epu32(_mm256_max_epu32(magnitudes(part[0]), magnitudes(part[1])),
                                           _mm256_max_epu32(magnitudes(part[2]), magnitudes(part[3])));
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0xb1));
    const BlockScale scale = block_scale(static_cast<std::uint32_t>(_mm_cvtsi128_si32(four)));
    // NaN converts to the lowest integer, which packing would saturate: such blocks become zero.
    if (scale.inverse == 0.0f) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), _mm256_setzero_si256());
      return {scale.scale, {0, 0}};
    }
    const __m256i low =
        _mm256_packs_epi32(integers(part[0], scale.inverse), integers(part[1], scale.inverse));
    const __m256i high =
        _mm256_packs_epi32(integers(part[2], scale.inverse), integers(part[3], scale.inverse));
    const __m256i all =
        _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), all);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), all);
    __m256i sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    sums = _mm256_hadd_epi32(sums, sums);
    sums = _mm256_hadd_epi32(sums, sums);
    return {scale.scale,
            {_mm_cvtsi128_si32(_mm256_castsi256_si128(sums)),
             _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1))}};
  }
  static void keep(float* p, Float x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
  }
  static void store(float* p, Float x, int count) {
    alignas(32) float all[16];
    keep(all, x);
    for (int i = 0; i < count; ++i) p[i] = all[i];
  }
};

}  // namespace
}  // namespace myna
