// The pairs of panels that matmul_amx.cpp multiplies, and where their outputs go. Included once, there.
#pragma once

#include "cpu/avx512/matmul.h"
#include "cpu/avx512/unpack_amx.h"
#include "cpu/lanes.h"

namespace myna {
namespace {

constexpr float kActivationUnit = 0x1p90f, kSumUnit = 0x1p22f;  // 2^112 / 2^90
constexpr std::int64_t kMaxPairs = 16;                          // of panels that share a part's activations
constexpr std::size_t kMaxUnits = 8;                            // that share one unpacking
constexpr std::size_t kTileBytes = 1024, kSums = 256;

using Weights2 = std::uint8_t[2][kTileBytes];  // a block of a pair of panels
using UnitSums = float[2][2][kSums];           // of a unit's two tiles of rows, and two panels

struct Unit {
  std::int64_t row, rows;
};

inline const std::uint8_t* panel_of(const Matrix& m, std::int64_t panel) {
  return m.data + static_cast<std::size_t>(panel) * m.panel_bytes;
}

inline __m512 unit_of(const Matrix& m, std::int64_t panel) {
  return _mm512_load_ps(panel_of(m, panel + 1) - layout::kUnitBytes);
}

inline __m512 factor_of(const Matrix& m, std::int64_t panel) {
  return _mm512_div_ps(_mm512_set1_ps(kSumUnit), unit_of(m, panel));
}

// Two panels that are multiplied together.
struct Pair {
  Pair(const Matrix& first, std::int64_t first_panel, const Matrix& second, std::int64_t second_panel,
       std::size_t bytes_to_next)
      : panel_bytes(first.panel_bytes),
        next(bytes_to_next),
        codes{first.codes, second.codes},
        data{panel_of(first, first_panel), panel_of(second, second_panel)},
        exponent{_mm512_cvtxps_ph(_mm512_getexp_ps(unit_of(first, first_panel))),
                 _mm512_cvtxps_ph(_mm512_getexp_ps(unit_of(second, second_panel)))} {}

  std::size_t panel_bytes, next;  // `next`: the distance to the same panel of the next pair
  const Codes* codes[2];
  const std::uint8_t* data[2];
  __m256h exponent[2];
};

// Sixteen floats as activations; infinity times zero is NaN.
inline __m512 scaled(__m512 v) {
  return _mm512_fmadd_ps(v, _mm512_setzero_ps(), _mm512_mul_ps(v, _mm512_set1_ps(kActivationUnit)));
}

// A block as bfloat16, inputs 4 * g + 1 and 4 * g + 2 exchanged, as the pairs of weights have them.
inline void store_block(std::uint16_t* to, __m512 first, __m512 second) {
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(scaled(second), scaled(first)));
  _mm512_store_si512(to, _mm512_shuffle_epi8(both, order));
}

// The sums of some pairs of panels: sums[i * kMaxUnits] are those of the i-th pair.
struct PairSums {
  const float* at(std::int64_t pair, int row, int panel) const {
    return sums[static_cast<std::size_t>(pair) * kMaxUnits][row / kPanelRows][panel] +
           row % kPanelRows * kPanelRows;
  }

  const UnitSums* sums;
};

// The pairs of panels of a call, and where their outputs go. Those of `kGroup` pairs are written together,
// row by row: rows of the output are far apart.
class ConsecutivePanels {
 public:
  static constexpr std::int64_t kGroup = 4;

  ConsecutivePanels(const Matrix& m, std::int64_t begin, std::int64_t end, const Output& out)
      : m_(m), begin_(begin), end_(end), out_(out) {}

  std::int64_t num_blocks() const { return m_.num_blocks(); }
  std::int64_t num_pairs() const { return (end_ - begin_ + 1) / 2; }
  Pair pair(std::int64_t index) const {
    const std::int64_t panel = begin_ + 2 * index;
    return {m_, panel, m_, std::min(panel + 1, end_ - 1),
            2 * m_.panel_bytes};  // the last may be twice the same
  }

  // Writes the outputs of `num_pairs` pairs from `pair` on.
  class Writer {
   public:
    Writer(const ConsecutivePanels& panels, std::int64_t pair, std::int64_t num_pairs)
        : out_(panels.out_),
          first_(panels.begin_ + 2 * pair),
          count_(std::min(2 * num_pairs, panels.end_ - first_)) {
      for (std::int64_t p = 0; p < count_; ++p) factors_[p] = factor_of(panels.m_, first_ + p);
    }

    void write(PairSums sums, const Unit& unit, int row) const {
      for (std::int64_t p = 0; p < count_; ++p) {
        const __m512 sum = _mm512_load_ps(sums.at(p / 2, row, p % 2));
        store<Avx512Vnni>(out_, unit.row + row, first_ + p, _mm512_mul_ps(sum, factors_[p]));
      }
    }

   private:
    const Output& out_;
    std::int64_t first_, count_;
    __m512 factors_[2 * kGroup];
  };

 private:
  const Matrix& m_;
  std::int64_t begin_, end_;
  const Output& out_;
};

// A pair is a gate's panel and the one that it gates; two pairs are a block of activations.
class GatedPanels {
 public:
  static constexpr std::int64_t kGroup = 2;

  GatedPanels(const GatedProduct& product, std::int64_t begin, std::int64_t end)
      : product_(product), begin_(begin), end_(end) {}

  std::int64_t num_blocks() const { return product_.up->num_blocks(); }
  std::int64_t num_pairs() const { return end_ - begin_; }
  Pair pair(std::int64_t index) const {
    const std::int64_t panel = begin_ + index;
    return {*product_.gate, panel, *product_.up, panel, product_.up->panel_bytes};
  }

  class Writer {
   public:
    // Of a whole group.
    Writer(const GatedPanels& panels, std::int64_t pair, std::int64_t)
        : product_(panels.product_), block_((panels.begin_ + pair) / kGroup) {
      for (int p = 0; p < kGroup; ++p) {
        factors_[p][0] = factor_of(*product_.gate, panels.begin_ + pair + p);
        factors_[p][1] = factor_of(*product_.up, panels.begin_ + pair + p);
      }
    }

    void write(PairSums sums, const Unit& unit, int row) const {
      if (product_.function == Gate::kSilu)
        write_with(sums, unit, row, [](__m512 x) { return matmul_amx::times_sigmoid(x, x); });
      else
        write_with(sums, unit, row, matmul_amx::gelu_by_tanh);
    }

   private:
    template <class Function>
    void write_with(PairSums sums, const Unit& unit, int row, Function function) const {
      const auto value = [&](int p) {
        const auto of = [&](int which) {
          return _mm512_mul_ps(_mm512_load_ps(sums.at(p, row, which)), factors_[p][which]);
        };
        return _mm512_mul_ps(function(of(0)), of(1));
      };
      Activations& out = *product_.out;
      store_block(out.bfloats() + (out.index(block_, unit.row) + row) * kBlock, value(0), value(1));
    }

    const GatedProduct& product_;
    std::int64_t block_;
    __m512 factors_[kGroup][2];
  };

 private:
  const GatedProduct& product_;
  std::int64_t begin_, end_;
};

}  // namespace
}  // namespace myna
