// Kernels for processors with matrix tiles (AMX) and half-precision arithmetic (AVX-512 FP16): weights of
// quantised types are converted to bfloat16 as they are read, and tiles multiply them by bfloat16 activations
// with float32 sums over all inputs. No scales have to be applied afterwards, which with 8-bit tiles costs
// more than the products.
//
// A weight is computed as half(integer * scale + minimum), with an output's scales and minimums times a power
// of two of its own (its unit), so that all stay within a half's range; then rounded to 8 bits of fraction. A
// half's exponent, moved to where bfloat16 has its own, means 2^-112; activations are times 2^90 meanwhile,
// so that no product is flushed to zero; what is left is taken off at the end. All three are powers of two:
// exact.
//
// Of the tile registers, 0 to 3 hold sums, 4 and 5 a block of activations each, and 6 and 7 a block of
// weights, in pairs of inputs.
//
// The order of sums is the tile instruction's: within a block of 32, one chain over the even and one over the
// odd inputs of each pair, then both to the total. It is the same for any number of rows.
#include <memory>
#include <span>

#include "cpu/avx512/matmul.h"
#include "cpu/avx512/tile_registers.h"
#include "cpu/tables.h"

namespace myna {
namespace {

constexpr float kActivationUnit = 0x1p90f, kSumUnit = 0x1p22f;  // 2^112 / 2^90
constexpr std::int64_t kTurnBlocks = 8;                         // blocks unpacked at a time
constexpr std::int64_t kUnitRows = 32;                          // rows of two tiles
constexpr std::size_t kMaxUnits = 8;                            // that share one unpacking
constexpr std::int64_t kMaxPairs = 3;                           // of panels that share a turn's activations
constexpr std::size_t kTileBytes = 1024, kSums = 256;

struct alignas(64) Scratch {
  std::uint8_t weights[kTurnBlocks][2][kTileBytes];
  float sums[kMaxPairs][kMaxUnits][2][2][kSums], unused[2][2][kSums];
};

struct Unit {
  std::int64_t row, rows;
};

Scratch& scratch_of_thread() {
  static thread_local const auto scratch = std::make_unique<Scratch>();
  return *scratch;
}

inline __m512 unit_of(const Matrix& m, std::int64_t panel) {
  return _mm512_load_ps(m.data + static_cast<std::size_t>(panel + 1) * m.panel_bytes - layout::kUnitBytes);
}

// One or two panels that are multiplied together.
struct Panels {
  Panels(const Matrix& m, std::int64_t panel, std::int64_t end, std::size_t bytes_ahead)
      : count(panel + 1 < end ? 2 : 1), ahead(bytes_ahead), codes(m.codes) {
    for (int p = 0; p < count; ++p) {
      data[p] = m.data + static_cast<std::size_t>(panel + p) * m.panel_bytes;
      exponent[p] = _mm512_cvtxps_ph(_mm512_getexp_ps(unit_of(m, panel + p)));
    }
  }

  int count;
  std::size_t ahead;  // distance from the block being read to the one being prefetched
  const Codes* codes;
  const std::uint8_t* data[2];
  __m256h exponent[2];
};

struct Amx : Avx512Vnni {
  template <class R>
  static void product(const Matrix& m, const Activations& x, std::int64_t row_begin, std::int64_t row_end,
                      std::int64_t panel_begin, std::int64_t panel_end, const Output& o);
};

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

template <class R, int... I>
inline __attribute__((always_inline)) void unpack_vectors(const std::uint8_t* low, const std::uint8_t* high,
                                                          const __m512i (&scale)[2],
                                                          const __m512i (&minimum)[2], std::uint8_t* out,
                                                          const std::uint8_t* later, const Codes* codes,
                                                          std::integer_sequence<int, I...>) {
  // Prefetched one at a time: many at once would fill the buffers that loads need.
  constexpr int kLines = static_cast<int>((R::kBytes / R::kBlocks + kLine - 1) / kLine);
  constexpr int kEvery = static_cast<int>(sizeof...(I)) / kLines;
  Lines<R> lines;
  lines.load(low, high, codes);
  const auto keep = [&]<int At>(std::integral_constant<int, At>) {
    constexpr int half = R::kHasHalves ? At / 8 : 0;
    if constexpr (At % kEvery == 0 && At / kEvery < kLines)
      _mm_prefetch(later + At / kEvery * kLine, _MM_HINT_T1);
    const __m512h weight =
        _mm512_fmadd_ph(_mm512_castsi512_ph(integers<R, At>(lines)), _mm512_castsi512_ph(scale[half]),
                        _mm512_castsi512_ph(minimum[half]));
    // (x * 2^12 + 2^14) >> 15: three bits of fraction less, rounded. The sign was copied into the new
    // exponent.
    const __m512i rounded = _mm512_mulhrs_epi16(_mm512_castph_si512(weight), _mm512_set1_epi16(1 << 12));
    _mm512_store_si512(out + At * kLine,
                       _mm512_and_si512(rounded, _mm512_set1_epi16(static_cast<short>(0x8fff))));
  };
  (keep(std::integral_constant<int, I>{}), ...);
}

// A block of a panel as a tile of bfloat16. `exponent` is that of the outputs' units; the block `ahead` bytes
// further on is prefetched into the second-level cache meanwhile.
template <class R>
inline __attribute__((always_inline)) void unpack(const std::uint8_t* record, int sub, __m256h exponent,
                                                  std::size_t ahead, const Codes* codes, std::uint8_t* out) {
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
                    record + static_cast<std::size_t>(sub) * (R::kBytes / R::kBlocks) + ahead, codes,
                    std::make_integer_sequence<int, 16>{});
}

// A block of both panels, or of the only one.
template <class R>
inline __attribute__((always_inline)) void unpack_pair(const Panels& w, std::int64_t block,
                                                       std::uint8_t (&out)[2][kTileBytes]) {
  const std::int64_t at = block / R::kBlocks * static_cast<std::int64_t>(R::kBytes);
  const int sub = static_cast<int>(block % R::kBlocks);
  for (int p = 0; p < w.count; ++p) unpack<R>(w.data[p] + at, sub, w.exponent[p], w.ahead, w.codes, out[p]);
}

inline void zero_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

using UnitSums = float[2][2][kSums];  // of a unit's two tiles of rows, and two panels

inline void store_sums(UnitSums& sums) {
  _tile_stored(0, sums[0][0], 64);
  _tile_stored(1, sums[0][1], 64);
  _tile_stored(2, sums[1][0], 64);
  _tile_stored(3, sums[1][1], 64);
}

// Adds a block to the sums of a unit; its second tile of rows is skipped unless HasTwo.
template <bool HasTwo>
inline __attribute__((always_inline)) void multiply(const std::uint16_t* rows,
                                                    const std::uint8_t (&weights)[2][kTileBytes]) {
  _tile_loadd(4, rows, 64);
  _tile_loadd(6, weights[0], 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(7, weights[1], 64);
  _tile_dpbf16ps(1, 4, 7);
  if constexpr (!HasTwo) return;
  _tile_loadd(5, rows + kPanelRows * kBlock, 64);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

// As above with both tiles of rows, for the first block of a turn: the previous unit's sums are stored one by
// one and this unit's are loaded (or zeroed), so that neither waits for all products.
template <bool IsFirst>
inline __attribute__((always_inline)) void multiply_next(const std::uint16_t* rows,
                                                         const std::uint8_t (&weights)[2][kTileBytes],
                                                         UnitSums& before, const UnitSums& sums) {
  _tile_stored(0, before[0][0], 64);
  if constexpr (IsFirst)
    _tile_zero(0);
  else
    _tile_loadd(0, sums[0][0], 64);
  _tile_loadd(4, rows, 64);
  _tile_loadd(6, weights[0], 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_stored(1, before[0][1], 64);
  if constexpr (IsFirst)
    _tile_zero(1);
  else
    _tile_loadd(1, sums[0][1], 64);
  _tile_loadd(7, weights[1], 64);
  _tile_dpbf16ps(1, 4, 7);
  _tile_stored(2, before[1][0], 64);
  if constexpr (IsFirst)
    _tile_zero(2);
  else
    _tile_loadd(2, sums[1][0], 64);
  _tile_loadd(5, rows + kPanelRows * kBlock, 64);
  _tile_dpbf16ps(2, 5, 6);
  _tile_stored(3, before[1][1], 64);
  if constexpr (IsFirst)
    _tile_zero(3);
  else
    _tile_loadd(3, sums[1][1], 64);
  _tile_dpbf16ps(3, 5, 7);
}

// Writes the outputs of one unit: sums[i] are those of the i-th pair of panels, row by row, since rows of the
// output are far apart.
void keep(const UnitSums* sums, std::size_t next_pair, const Unit& unit, const Matrix& m,
          std::int64_t panel_begin, std::int64_t panel_end, const Output& o) {
  __m512 factors[2 * kMaxPairs];
  const std::int64_t count = panel_end - panel_begin;
  for (std::int64_t p = 0; p < count; ++p)
    factors[p] = _mm512_div_ps(_mm512_set1_ps(kSumUnit), unit_of(m, panel_begin + p));
  for (int t = 0; t < unit.rows; ++t)
    for (std::int64_t p = 0; p < count; ++p) {
      const float* sum = sums[static_cast<std::size_t>(p / 2) * next_pair][t / kPanelRows][p % 2] +
                         t % kPanelRows * kPanelRows;
      store<Amx>(o, unit.row + t, panel_begin + p, _mm512_mul_ps(_mm512_load_ps(sum), factors[p]));
    }
}

// One unit of rows: sums stay in their tiles. A block is multiplied while the next is unpacked.
template <class R, bool HasTwo>
void few_rows(const Matrix& m, const Activations& x, const Unit& unit, std::int64_t panel_begin,
              std::int64_t panel_end, Scratch& s, const Output& o) {
  const std::int64_t num_blocks = m.num_blocks(), next_block = x.tile_width(unit.row) * kBlock;
  const std::uint16_t* first = x.bfloats() + x.index(0, unit.row) * kBlock;
  for (std::int64_t panel = panel_begin; panel < panel_end; panel += 2) {
    const Panels w(m, panel, panel_end, 2 * m.panel_bytes);
    const std::uint16_t* rows = first;
    zero_sums();
    unpack_pair<R>(w, 0, s.weights[0]);
    for (std::int64_t block = 1; block < num_blocks; ++block, rows += next_block) {
      unpack_pair<R>(w, block, s.weights[block % kTurnBlocks]);
      multiply<HasTwo>(rows, s.weights[(block - 1) % kTurnBlocks]);
    }
    multiply<HasTwo>(rows, s.weights[(num_blocks - 1) % kTurnBlocks]);
    store_sums(s.sums[0][0]);
    keep(&s.sums[0][0], 0, unit, m, panel, panel + w.count, o);
  }
}

// Several units: a turn of blocks of some panels after the other, so that the turn's activations stay in the
// second-level cache; sums go back to memory between turns.
template <class R>
void many_rows(const Matrix& m, const Activations& x, std::span<const Unit> units, std::int64_t panel_begin,
               std::int64_t panel_end, Scratch& s, const Output& o) {
  const std::int64_t num_blocks = m.num_blocks();
  for (std::int64_t block = 0; block < num_blocks; block += kTurnBlocks) {
    const std::int64_t count = std::min(kTurnBlocks, num_blocks - block);
    for (std::int64_t panel = panel_begin; panel < panel_end; panel += 2) {
      const Panels w(m, panel, panel_end, 2 * m.panel_bytes);
      for (std::int64_t i = 0; i < count; ++i) unpack_pair<R>(w, block + i, s.weights[i]);
      UnitSums(&sums)[kMaxUnits] = s.sums[(panel - panel_begin) / 2];
      UnitSums* before = &s.unused;
      for (std::size_t u = 0; u < units.size(); ++u) {
        const std::int64_t next_block = x.tile_width(units[u].row) * kBlock;
        const std::uint16_t* rows = x.bfloats() + x.index(block, units[u].row) * kBlock;
        if (block == 0)
          multiply_next<true>(rows, s.weights[0], *before, sums[u]);
        else
          multiply_next<false>(rows, s.weights[0], *before, sums[u]);
        for (std::int64_t i = 1; i < count; ++i) multiply<true>(rows + i * next_block, s.weights[i]);
        before = &sums[u];
      }
      store_sums(*before);
    }
  }
  for (std::size_t u = 0; u < units.size(); ++u)
    keep(&s.sums[0][u], kMaxUnits, units[u], m, panel_begin, panel_end, o);
}

template <class R>
void Amx::product(const Matrix& m, const Activations& x, std::int64_t row_begin, std::int64_t row_end,
                  std::int64_t panel_begin, std::int64_t panel_end, const Output& o) {
  const TileConfig config;
  const TileSession session(config);
  Scratch& scratch = scratch_of_thread();
  for (std::int64_t row = row_begin; row < row_end;) {
    Unit units[kMaxUnits];
    std::size_t count = 0;
    for (; row < row_end && count < kMaxUnits; ++count) {
      const std::int64_t tile_end = std::min(row_end, (row / kTileRows + 1) * kTileRows);
      units[count] = {row, std::min(kUnitRows, tile_end - row)};
      row += units[count].rows;
    }
    if (count == 1 && units[0].rows > kPanelRows) {
      few_rows<R, true>(m, x, units[0], panel_begin, panel_end, scratch, o);
    } else if (count == 1) {
      few_rows<R, false>(m, x, units[0], panel_begin, panel_end, scratch, o);
    } else {
      for (std::int64_t panel = panel_begin, next; panel < panel_end; panel = next) {
        next = std::min(panel_end, panel + 2 * kMaxPairs);
        many_rows<R>(m, x, std::span(units, count), panel, next, scratch, o);
      }
    }
  }
}

// Rows as bfloat16, inputs 4 * g + 1 and 4 * g + 2 of each block exchanged, as the pairs of weights have
// them.
void quantize_rows(const float* src, std::ptrdiff_t stride, std::int64_t row_begin, std::int64_t row_end,
                   Activations& out) {
  if (out.kind() == Activations::Kind::kFloat) return copy_rows(src, stride, row_begin, row_end, out);
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  const __m512 unit = _mm512_set1_ps(kActivationUnit), zero = _mm512_setzero_ps();
  // Infinity times zero is NaN.
  const auto scaled = [&](const float* p) {
    const __m512 v = _mm512_loadu_ps(p);
    return _mm512_fmadd_ps(v, zero, _mm512_mul_ps(v, unit));
  };
  for (std::int64_t row = row_begin; row < row_end; ++row) {
    const float* from = src + row * stride;
    for (std::int64_t b = 0; b < out.num_blocks(); ++b, from += kBlock) {
      const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(scaled(from + 16), scaled(from)));
      _mm512_store_si512(out.bfloats() + out.index(b, row) * kBlock, _mm512_shuffle_epi8(both, order));
    }
  }
}

}  // namespace

extern const KernelTable kAmx{"amx", Activations::Kind::kBfloat, quantize_rows, matmul_with<Amx>};

}  // namespace myna
