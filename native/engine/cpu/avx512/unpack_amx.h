// Quantised weights to tiles of bfloat16. Included once, by matmul_amx.cpp, which explains the numbers.
#pragma once

#include <immintrin.h>

#include <utility>

#include "cpu/avx512/matmul.h"
#include "cpu/avx512/tile_registers.h"
#include "cpu/layout.h"
#include "cpu/tiles.h"

namespace myna {
namespace {

// Moves a field from bit From of each 16-bit lane to bit To; the other bits are undefined.
template <int From, int To>
inline __attribute__((always_inline)) __m512i shifted(__m512i x) {
  if constexpr (From > To) return _mm512_srli_epi16(x, From - To);
  if constexpr (From < To) return _mm512_slli_epi16(x, To - From);
  return x;
}

// The same on another port. While tiles are in use, vector multiplications run at half the rate (measured:
// 2.0 times as long, of which 1.2 is the clock), on the port that also shifts.
template <int From, int To>
inline __attribute__((always_inline)) __m512i rotated(__m512i x) {
  if constexpr (From == To) return x;
  constexpr std::uint64_t kEachByte = 0x0101010101010101, kBytes = 0x3830282018100800;
  constexpr std::uint64_t kFromBits = kBytes + kEachByte * static_cast<std::uint64_t>(64 + From - To);
  return _mm512_multishift_epi64_epi8(_mm512_set1_epi64(static_cast<long long>(kFromBits)), x);
}

// The lines of a block's integers: as stored, or one for each group where these are codes.
template <class R>
struct Lines {
  static constexpr bool kIsByGroup = R::kIntegerBits == 8;
  static constexpr int kCount = kIsByGroup ? 8 : R::kLowBits;

  inline __attribute__((always_inline)) void load(const std::uint8_t* from, const std::uint8_t* from_high,
                                                  const Codes* codes) {
    if constexpr (R::kHasCodes) {
      Weights<Avx512Vnni, R> weights;
      weights.load_integers(from, from_high, codes);
      MYNA_UNROLL for (int g = 0; g < 8; ++g) low[g] = weights.group[g];
      return;
    }
    MYNA_UNROLL for (int j = 0; j < kCount; ++j) low[j] = _mm512_load_si512(from + j * kLine);
    MYNA_UNROLL for (int j = 0; j < static_cast<int>(R::kHighBytes / kLine); ++j) high[j] =
        _mm512_load_si512(from_high + j * kLine);
  }

  __m512i low[kCount], high[2] = {};
};

// The integers of a block, two inputs of 16 outputs a vector, as the top bits of a half's fraction: a
// subnormal of integer * 2^-(14 + bits). Vector 2 * g + b has inputs 4 * g + b and 4 * g + b + 2.
template <class R, int I>
inline __attribute__((always_inline)) __m512i integers(const Lines<R>& lines) {
  constexpr int g = I / 2, byte = I % 2 * 8, kBits = R::kIntegerBits, kTo = 10 - kBits;
  constexpr int kMask = ((1 << kBits) - 1) << kTo;
  const __m512i mask = _mm512_set1_epi16(kMask);
  if constexpr (Lines<R>::kIsByGroup) {
    return _mm512_and_si512(rotated<byte, kTo>(lines.low[g]), mask);
  } else {
    constexpr bool kAreNibbles = R::kLowBits == 4;
    const __m512i field =
        rotated<byte + (kAreNibbles ? g / 4 * 4 : g % 4 * 2), kTo>(lines.low[kAreNibbles ? g % 4 : g / 4]);
    if constexpr (kBits == R::kLowBits) return _mm512_and_si512(field, mask);
    constexpr int kSelect = 0xca;  // first ? second : third, bit by bit
    constexpr int kWidth = kBits - R::kLowBits, kHighMask = ((1 << kWidth) - 1) << (kTo + R::kLowBits);
    constexpr int kFrom = byte + (kBits == 6 ? g % 4 * 2 : g);
    const __m512i top = shifted<kFrom, kTo + R::kLowBits>(lines.high[kBits == 6 ? g / 4 : 0]);
    return _mm512_and_si512(_mm512_ternarylogic_epi32(_mm512_set1_epi16(kHighMask), top, field, kSelect),
                            mask);
  }
}

inline __m256h load_halves(const std::uint8_t* p) {
  return _mm256_castsi256_ph(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

inline __m128i load_bytes(const std::uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

// Sixteen halves, each twice: for the two inputs of an output in a vector.
inline __m512i twice(__m256h x) {
  const __m512i index = _mm512_mullo_epi32(
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), _mm512_set1_epi32(0x10001));
  return _mm512_permutexvar_epi16(index, _mm512_castsi256_si512(_mm256_castph_si256(x)));
}

template <class R, class Between, int... I>
inline __attribute__((always_inline)) void unpack_vectors(const std::uint8_t* low, const std::uint8_t* high,
                                                          const __m512i (&scale)[2],
                                                          const __m512i (&minimum)[2], std::uint8_t* out,
                                                          const std::uint8_t* ahead, const Codes* codes,
                                                          Between between, std::integer_sequence<int, I...>) {
  // Prefetched one at a time: one row is 4 to 10 % slower if compilers move prefetches together.
  constexpr int kLines = static_cast<int>(kBlockLines<R>), kEvery = static_cast<int>(sizeof...(I)) / kLines;
  Lines<R> lines;
  lines.load(low, high, codes);
  const auto keep = [&]<int At>(std::integral_constant<int, At>) {
    constexpr int half = R::kHasHalves ? At / 8 : 0;
    if constexpr (At % kEvery == 0 && At / kEvery < kLines) prefetch_here(ahead + At / kEvery * kLine);
    const __m512h weight =
        _mm512_fmadd_ph(_mm512_castsi512_ph(integers<R, At>(lines)), _mm512_castsi512_ph(scale[half]),
                        _mm512_castsi512_ph(minimum[half]));
    // (x * 2^12 + 2^14) >> 15: three bits of fraction less, rounded. The sign was copied into the new
    // exponent.
    const __m512i rounded = _mm512_mulhrs_epi16(_mm512_castph_si512(weight), _mm512_set1_epi16(1 << 12));
    _mm512_store_si512(out + At * kLine,
                       _mm512_and_si512(rounded, _mm512_set1_epi16(static_cast<short>(0x8fff))));
    between(std::integral_constant<int, At>{});
  };
  (keep(std::integral_constant<int, I>{}), ...);
}

// A block of a panel as a tile of bfloat16. `exponent` is that of the outputs' units; another block is
// prefetched meanwhile. Calls `between` with each vector's index.
template <class R, class Between>
inline __attribute__((always_inline)) void unpack(const std::uint8_t* record, int sub, __m256h exponent,
                                                  const std::uint8_t* ahead, const Codes* codes,
                                                  std::uint8_t* out, Between between) {
  constexpr int kIntegerExponent = 14 + R::kIntegerBits;
  const __m256h scale_exponent = _mm256_add_ph(exponent, _mm256_set1_ph(kIntegerExponent));
  __m256h scales[2], minimum[2];
  if constexpr (R::kIsSuper) {
    __m256h head_exponent = scale_exponent;
    if constexpr (R::kHasCodes)
      head_exponent = _mm256_add_ph(head_exponent, _mm256_set1_ph(static_cast<_Float16>(codes->exponent)));
    const __m256h d = _mm256_scalef_ph(load_halves(record + R::kHeadScales), head_exponent);
    MYNA_UNROLL for (int h = 0; h < R::kScalesPerBlock; ++h) {
      const __m128i s = load_bytes(record + R::kScales + 16 * (sub * R::kScalesPerBlock + h));
      scales[h] = _mm256_mul_ph(
          _mm256_cvtepi16_ph(R::kHasSignedScales ? _mm256_cvtepi8_epi16(s) : _mm256_cvtepu8_epi16(s)), d);
    }
    if constexpr (R::kHasMin) {
      const __m256h most = _mm256_scalef_ph(load_halves(record + R::kHeadMins), exponent);
      MYNA_UNROLL for (int h = 0; h < R::kScalesPerBlock; ++h) {
        const __m128i m = load_bytes(record + R::kMins + 16 * (sub * R::kScalesPerBlock + h));
        const __m256h count = _mm256_cvtepi16_ph(_mm256_cvtepu8_epi16(m));
        minimum[h] = _mm256_fnmadd_ph(count, most, _mm256_setzero_ph());
      }
    }
  } else {
    MYNA_UNROLL for (int h = 0; h < R::kScalesPerBlock; ++h) {
      const std::uint8_t* at = record + R::kHeadScales + 32 * (sub * R::kScalesPerBlock + h);
      scales[h] = _mm256_scalef_ph(load_halves(at), scale_exponent);
    }
    if constexpr (R::kHasMin)
      minimum[0] = _mm256_scalef_ph(load_halves(record + R::kHeadMins + 32 * sub), exponent);
  }
  __m512i scale[2], minimums[2];
  MYNA_UNROLL for (int h = 0; h < R::kScalesPerBlock; ++h) {
    // Without a minimum, integers have half their range subtracted.
    if constexpr (!R::kHasMin) minimum[h] = _mm256_mul_ph(scales[h], _mm256_set1_ph(-0x1p-15f));
    minimums[h] = twice(minimum[h]);
    scale[h] = twice(scales[h]);
  }
  unpack_vectors<R>(record + R::kLow + static_cast<std::size_t>(sub) * R::kLowBytes,
                    record + R::kHigh + static_cast<std::size_t>(sub) * R::kHighBytes, scale, minimums, out,
                    ahead, codes, between, std::make_integer_sequence<int, 16>{});
}

}  // namespace
}  // namespace myna
