// The loops of every kernel, generic over an instruction set `V` that defines a vector of 16 outputs and its
// few operations. Included by one file per instruction set, each compiled with its own flags; hence the
// unnamed namespace: no copy of these functions may be shared between those files.
//
// An output's chain, for each block of 32 inputs (or each half of it, where halves have their own scales):
//   term  = float(integer dot product) * scale            [fma(activation sum, minimum, term) if there is
//   one] total = fma(term, activation scale, total)
// With halves: term = fma(float(second), second scale, float(first) * first scale) [fma(half's sum, its
// minimum,
//   term) of the first, then the second], then total as above.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels.h"
#include "cpu/layout.h"

namespace myna {
namespace {

using layout::kLine;

// Activation rows for which weights are unpacked once; their totals (kTileRows x panels x 64 bytes) and one
// block of them fit into the first-level cache.
constexpr int kTileRows = 64;

#if defined(MYNA_SANITIZED) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MYNA_UNROLL  // unrolled and instrumented code takes minutes to compile
#else
#define MYNA_UNROLL _Pragma("GCC unroll 16")
#endif

// One block of the rows of a tile.
struct BlockView {
  const std::int8_t* values;
  const float* scale;
  const float* sum;
  const std::int32_t* start[2];
};

// Rows of one tile of activations, from `row` on.
template <class R>
struct Rows {
  static constexpr Activations::Field kStart = R::kIntegerBits == 8   ? Activations::kStart8
                                               : R::kIntegerBits == 5 ? Activations::kStart5
                                                                      : Activations::kStart4;

  Rows(const Activations& x, std::int64_t row)
      : width(x.tile_width(row)),
        values(x.values() + x.index(0, row) * kBlock),
        scale(x.field<float>(Activations::kScale) + x.index(0, row)),
        sum(x.field<float>(Activations::kSum) + x.index(0, row)),
        start{x.field<std::int32_t>(R::kHasHalves ? Activations::kStart6Low : kStart) + x.index(0, row),
              x.field<std::int32_t>(Activations::kStart6High) + x.index(0, row)} {}

  BlockView at(std::int64_t block) const {
    const std::int64_t i = block * width;
    return {values + i * kBlock, scale + i, sum + i, {start[0] + i, start[1] + i}};
  }

  std::int64_t width;
  const std::int8_t* values;
  const float* scale;
  const float* sum;
  const std::int32_t* start[2];
};

// The integers and scales of one block of a panel, ready for dot products.
template <class V, class R>
struct Weights {
  typename V::Bytes group[8];
  typename V::Float scale[R::kScalesPerBlock];
  typename V::Float minimum[R::kScalesPerBlock];

  inline __attribute__((always_inline)) void load(const std::uint8_t* record, int sub, const Codes* codes) {
    load_integers(record + R::kLow + static_cast<std::size_t>(sub) * R::kLowBytes,
                  record + R::kHigh + static_cast<std::size_t>(sub) * R::kHighBytes, codes);
    if constexpr (R::kIsSuper) {
      typename V::Float d = V::load_half(record + R::kHeadScales);
      if constexpr (R::kHasCodes) d = V::mul(d, V::all(&codes->factor));
      MYNA_UNROLL for (int h = 0; h < R::kScalesPerBlock; ++h) {
        const std::uint8_t* s = record + R::kScales + 16 * (sub * R::kScalesPerBlock + h);
        // Exact: 11 bits of fraction times 8.
        scale[h] = V::mul(R::kHasSignedScales ? V::load_s8(s) : V::load_u8(s), d);
      }
      if constexpr (R::kHasMin) {
        const typename V::Float most = V::negate(V::load_half(record + R::kHeadMins));
        MYNA_UNROLL for (int h = 0; h < R::kScalesPerBlock; ++h) minimum[h] =
            V::mul(V::load_u8(record + R::kMins + 16 * (sub * R::kScalesPerBlock + h)), most);
      }
    } else {
      MYNA_UNROLL for (int h = 0; h < R::kScalesPerBlock; ++h) scale[h] =
          V::load_half(record + R::kHeadScales + 32 * (sub * R::kScalesPerBlock + h));
      if constexpr (R::kHasMin) minimum[0] = V::load_half(record + R::kHeadMins + 32 * sub);
    }
  }

  inline __attribute__((always_inline)) void load_integers(const std::uint8_t* low, const std::uint8_t* high,
                                                           const Codes* codes) {
    if constexpr (R::kLowBits == 8) {
      MYNA_UNROLL for (int g = 0; g < 8; ++g) group[g] = V::load_offset_bytes(low + g * kLine);
      return;
    } else if constexpr (R::kLowBits == 4) {
      MYNA_UNROLL for (int j = 0; j < 4; ++j) {
        const typename V::Bytes line = V::load_line(low + j * kLine);
        group[j] = line;
        group[j + 4] = V::template shift_right<4>(line);
      }
    } else {
      MYNA_UNROLL for (int j = 0; j < 2; ++j) {
        const typename V::Bytes line = V::load_line(low + j * kLine);
        group[4 * j] = line;
        group[4 * j + 1] = V::template shift_right<2>(line);
        group[4 * j + 2] = V::template shift_right<4>(line);
        group[4 * j + 3] = V::template shift_right<6>(line);
      }
    }
    if constexpr (R::kBits == R::kLowBits) {
      MYNA_UNROLL for (int g = 0; g < 8; ++g) group[g] = V::template low_bits<R::kLowBits>(group[g]);
    } else if constexpr (R::kBits == 6) {
      join<0, 2>(V::load_line(high), std::make_integer_sequence<int, 4>{});
      join<4, 2>(V::load_line(high + kLine), std::make_integer_sequence<int, 4>{});
    } else {
      join<0, 1>(V::load_line(high), std::make_integer_sequence<int, 8>{});
    }
    if constexpr (R::kHasCodes) {
      const auto* integers =
          V::kSignedBytes ? reinterpret_cast<const std::uint8_t*>(codes->integers) : codes->with_offset;
      const auto table = V::load_table(integers);
      MYNA_UNROLL for (int g = 0; g < 8; ++g) group[g] = V::look_up(table, group[g]);
    }
  }

 private:
  // Adds bits I * Width and up of `high` above the low bits of groups First + I.
  template <int First, int Width, int... I>
  inline __attribute__((always_inline)) void join(typename V::Bytes high, std::integer_sequence<int, I...>) {
    constexpr int kLowMask = (1 << R::kLowBits) - 1, kHighMask = ((1 << Width) - 1) << R::kLowBits;
    ((group[First + I] = V::template join<kLowMask, kHighMask>(group[First + I], move_bits<I * Width>(high))),
     ...);
  }
  template <int From>
  static inline __attribute__((always_inline)) typename V::Bytes move_bits(typename V::Bytes high) {
    constexpr int kTo = R::kLowBits;
    if constexpr (From < kTo) {
      return V::template shift_left<kTo - From>(high);
    } else if constexpr (From > kTo) {
      return V::template shift_right<From - kTo>(high);
    } else {
      return high;
    }
  }
};

// The initial value of an accumulator: what the weights' offset would add, or zero.
template <class V, class R>
inline __attribute__((always_inline)) typename V::Int start(const BlockView& x, int half, int row) {
  // What the activations have is for integers of so many bits.
  constexpr int kGiven = R::kHasHalves ? 6 : R::kIntegerBits < 4 ? 4 : R::kIntegerBits;
  if constexpr (R::kHasMin || (R::kIntegerBits == 8 && V::kSignedBytes)) {
    return V::zero_int();
  } else if constexpr (kGiven != R::kIntegerBits) {
    const std::int32_t other = x.start[half][row] * (1 << R::kIntegerBits) / (1 << kGiven);
    return V::all_int(&other);
  } else {
    return V::all_int(x.start[half] + row);
  }
}

template <class V, class R, int P, int T>
inline __attribute__((always_inline)) void dots(const Weights<V, R> (&w)[P], const BlockView& x, int row,
                                                int half, typename V::Int (&dot)[T][P]) {
  constexpr int kGroups = R::kHasHalves ? 4 : 8;
  MYNA_UNROLL for (int t = 0; t < T; ++t) {
    const typename V::Int first = start<V, R>(x, half, row + t);
    MYNA_UNROLL for (int p = 0; p < P; ++p) dot[t][p] = first;
  }
  if constexpr (requires(typename V::Int pairs) { V::add_pairs(pairs, pairs); }) {
    // Pairs of products are added in 16 bits as long as no sum can overflow.
    constexpr int kSums = std::min(kGroups, V::template kPairSums<R::kIntegerBits>);
    MYNA_UNROLL for (int first = half * kGroups; first < (half + 1) * kGroups; first += kSums) {
      typename V::Int pairs[T][P];
      MYNA_UNROLL for (int g = first; g < first + kSums; ++g) {
        MYNA_UNROLL for (int t = 0; t < T; ++t) {
          const typename V::Four four = V::load_four(x.values + (row + t) * kBlock + 4 * g);
          MYNA_UNROLL for (int p = 0; p < P; ++p) {
            const typename V::Int product = V::template pairs<R::kIntegerBits>(w[p].group[g], four);
            pairs[t][p] = g == first ? product : V::add_pairs(pairs[t][p], product);
          }
        }
      }
      MYNA_UNROLL for (int t = 0; t < T; ++t) {
        MYNA_UNROLL for (int p = 0; p < P; ++p) dot[t][p] = V::add_to(dot[t][p], pairs[t][p]);
      }
    }
  } else {
    MYNA_UNROLL for (int i = 0; i < kGroups; ++i) {
      const int g = half * kGroups + i;
      MYNA_UNROLL for (int t = 0; t < T; ++t) {
        const typename V::Four four = V::load_four(x.values + (row + t) * kBlock + 4 * g);
        MYNA_UNROLL for (int p = 0; p < P; ++p) dot[t][p] =
            V::template dot<R::kIntegerBits>(dot[t][p], w[p].group[g], four);
      }
    }
  }
}

// Adds one block to the totals of T rows and P panels.
template <class V, class R, int P, int T>
inline __attribute__((always_inline)) void add_block(const Weights<V, R> (&w)[P], const BlockView& x, int row,
                                                     typename V::Float (&total)[T][P]) {
  typename V::Int dot[T][P];
  typename V::Float term[T][P];
  dots<V, R, P, T>(w, x, row, 0, dot);
  MYNA_UNROLL for (int t = 0; t < T; ++t) {
    MYNA_UNROLL for (int p = 0; p < P; ++p) term[t][p] = V::mul(V::to_float(dot[t][p]), w[p].scale[0]);
  }
  if constexpr (R::kHasHalves) {
    dots<V, R, P, T>(w, x, row, 1, dot);
    MYNA_UNROLL for (int t = 0; t < T; ++t) {
      MYNA_UNROLL for (int p = 0; p < P; ++p) term[t][p] =
          V::fma(V::to_float(dot[t][p]), w[p].scale[1], term[t][p]);
    }
  }
  if constexpr (R::kHasMin && R::kHasHalves) {
    MYNA_UNROLL for (int h = 0; h < 2; ++h) {
      MYNA_UNROLL for (int t = 0; t < T; ++t) {  // a half's start is its sum times -32
        const float half_sum = static_cast<float>(x.start[h][row + t]) * -0x1p-5f;
        const typename V::Float sum = V::all(&half_sum);
        MYNA_UNROLL for (int p = 0; p < P; ++p) term[t][p] = V::fma(sum, w[p].minimum[h], term[t][p]);
      }
    }
  } else if constexpr (R::kHasMin) {
    MYNA_UNROLL for (int t = 0; t < T; ++t) {
      const typename V::Float sum = V::all(x.sum + row + t);
      MYNA_UNROLL for (int p = 0; p < P; ++p) term[t][p] = V::fma(sum, w[p].minimum[0], term[t][p]);
    }
  }
  MYNA_UNROLL for (int t = 0; t < T; ++t) {
    const typename V::Float scale = V::all(x.scale + row + t);
    MYNA_UNROLL for (int p = 0; p < P; ++p) total[t][p] = V::fma(term[t][p], scale, total[t][p]);
  }
}

// The output of a call, and where the last panel's padding begins.
struct Output {
  float* out;
  std::ptrdiff_t stride;
  std::int64_t num_outputs;
};

template <class V>
inline void store(const Output& o, std::int64_t row, std::int64_t panel, typename V::Float value) {
  const std::int64_t count = std::min(kPanelRows, o.num_outputs - panel * kPanelRows);
  V::store(o.out + row * o.stride + panel * kPanelRows, value, static_cast<int>(count));
}

// The weights to prefetch while a panel's block is read; `next` is the distance to the panel that is read
// after it. If panels are long, its own block of that number would be too far away: reading was 5 to 40 %
// slower with panels of 32 KB to 290 KB (Xeon with AMX). Weights are read from memory once per step, and
// hardware prefetchers stop at each 4 KiB page.
template <class R>
inline const std::uint8_t* ahead_of(const std::uint8_t* panel, std::int64_t block, std::size_t panel_bytes,
                                    std::size_t next) {
  constexpr std::size_t kNear = 4 << 10, kLongPanel = 24 << 10;
  const std::size_t at = static_cast<std::size_t>(block) * (R::kBytes / R::kBlocks);
  if (panel_bytes < kLongPanel) return panel + at + next;
  return panel + at + kNear + (at + kNear < panel_bytes ? 0 : next - panel_bytes);
}

template <class R>
constexpr std::size_t kBlockLines = (R::kBytes / R::kBlocks + kLine - 1) / kLine;

template <class R>
inline __attribute__((always_inline)) void prefetch(const std::uint8_t* block) {
  MYNA_UNROLL for (std::size_t i = 0; i < kBlockLines<R>; ++i) __builtin_prefetch(block + i * kLine, 0, 2);
}

// T rows (few), P panels at a time, totals in registers: bound by reading the weights. Two panels are two
// streams from memory: with a single one, more than half of the prefetches arrived too late (measured on a
// Xeon with AVX-512 VNNI).
template <class V, class R, int P, int T>
void few_rows(const Matrix& m, const Rows<R>& x, std::int64_t row, std::int64_t panel, const Output& o) {
  const std::uint8_t* data = m.data + static_cast<std::size_t>(panel) * m.panel_bytes;
  const std::int64_t num_blocks = m.num_blocks();
  typename V::Float total[T][P];
  MYNA_UNROLL for (int t = 0; t < T; ++t) { MYNA_UNROLL for (int p = 0; p < P; ++p) total[t][p] = V::zero(); }
  for (std::int64_t b = 0; b < num_blocks; ++b) {
    const std::uint8_t* record = data + b / R::kBlocks * static_cast<std::int64_t>(R::kBytes);
    const int sub = static_cast<int>(b % R::kBlocks);
    Weights<V, R> w[P];
    MYNA_UNROLL for (int p = 0; p < P; ++p) {
      prefetch<R>(ahead_of<R>(data + p * m.panel_bytes, b, m.panel_bytes, P * m.panel_bytes));
      w[p].load(record + p * m.panel_bytes, sub, m.codes);
    }
    add_block<V, R, P, T>(w, x.at(b), 0, total);
  }
  MYNA_UNROLL for (int t = 0; t < T; ++t) {
    MYNA_UNROLL for (int p = 0; p < P; ++p) store<V>(o, row + t, panel + p, total[t][p]);
  }
}

template <class V, class R, int T = V::kFewRows>
void few_rows_of(int rows, const Matrix& m, const Rows<R>& x, std::int64_t row, std::int64_t panel_begin,
                 std::int64_t panel_end, const Output& o) {
  if constexpr (T > 1) {
    if (rows < T) return few_rows_of<V, R, T - 1>(rows, m, x, row, panel_begin, panel_end, o);
  }
  constexpr int P = 2;
  std::int64_t panel = panel_begin;
  for (; panel + P <= panel_end; panel += P) few_rows<V, R, P, T>(m, x, row, panel, o);
  for (; panel < panel_end; ++panel) few_rows<V, R, 1, T>(m, x, row, panel, o);
}

// Up to kTileRows rows, totals in the first-level cache: bound by the dot products.
template <class V, class R, int P, int T>
inline __attribute__((always_inline)) void add_rows(const Weights<V, R> (&w)[P], const BlockView& x, int row,
                                                    float* totals) {
  typename V::Float total[T][P];
  MYNA_UNROLL for (int t = 0; t < T; ++t) {
    MYNA_UNROLL for (int p = 0; p < P; ++p) total[t][p] = V::load(totals + ((row + t) * P + p) * kPanelRows);
  }
  add_block<V, R, P, T>(w, x, row, total);
  MYNA_UNROLL for (int t = 0; t < T; ++t) {
    MYNA_UNROLL for (int p = 0; p < P; ++p) V::keep(totals + ((row + t) * P + p) * kPanelRows, total[t][p]);
  }
}

template <class V, class R, int P>
void tile(const Matrix& m, const Rows<R>& x, std::int64_t row, int rows, std::int64_t panel,
          const Output& o) {
  const std::uint8_t* data = m.data + static_cast<std::size_t>(panel) * m.panel_bytes;
  const std::int64_t num_blocks = m.num_blocks();
  alignas(64) float totals[kTileRows * P * kPanelRows];
  std::fill_n(totals, rows * P * kPanelRows, 0.0f);
  for (std::int64_t b = 0; b < num_blocks; ++b) {
    const std::uint8_t* record = data + b / R::kBlocks * static_cast<std::int64_t>(R::kBytes);
    const int sub = static_cast<int>(b % R::kBlocks);
    Weights<V, R> w[P];
    MYNA_UNROLL for (int p = 0; p < P; ++p) {
      prefetch<R>(ahead_of<R>(data + p * m.panel_bytes, b, m.panel_bytes, P * m.panel_bytes));
      w[p].load(record + p * m.panel_bytes, sub, m.codes);
    }
    const BlockView view = x.at(b);
    int t = 0;
    for (; t + V::kTokens <= rows; t += V::kTokens) add_rows<V, R, P, V::kTokens>(w, view, t, totals);
    for (; t < rows; ++t) add_rows<V, R, P, 1>(w, view, t, totals);
  }
  for (int t = 0; t < rows; ++t) {
    for (int p = 0; p < P; ++p) store<V>(o, row + t, panel + p, V::load(totals + (t * P + p) * kPanelRows));
  }
}

template <class V, class R>
void quantised(const Matrix& m, const Activations& a, std::int64_t row_begin, std::int64_t row_end,
               std::int64_t panel_begin, std::int64_t panel_end, const Output& o) {
  if constexpr (requires { V::template product<R>(m, a, row_begin, row_end, panel_begin, panel_end, o); })
    return V::template product<R>(m, a, row_begin, row_end, panel_begin, panel_end, o);
  constexpr int P = V::kPanels;
  for (std::int64_t row = row_begin, next; row < row_end; row = next) {
    next = std::min(row_end, (row / kTileRows + 1) * kTileRows);
    const int rows = static_cast<int>(next - row);
    const Rows<R> x(a, row);
    if (rows <= V::kFewRows) {
      few_rows_of<V, R>(rows, m, x, row, panel_begin, panel_end, o);
      continue;
    }
    std::int64_t panel = panel_begin;
    for (; panel + P <= panel_end; panel += P) tile<V, R, P>(m, x, row, rows, panel, o);
    for (; panel < panel_end; ++panel) tile<V, R, 1>(m, x, row, rows, panel, o);
  }
}

}  // namespace
}  // namespace myna
