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
// weights, in pairs of inputs. With few rows, tiles are multiplied between the instructions that unpack later
// weights; with many, weights are unpacked once for up to eight units of rows, where that brought nothing.
//
// The order of sums is the tile instruction's: within a block of 32, one chain over the even and one over the
// odd inputs of each pair, then both to the total. It is the same for any number of rows.
#define MYNA_ISA matmul_amx
#include <memory>
#include <optional>
#include <span>

#include "cpu/avx512/panels_amx.h"
#include "cpu/avx512/tile_registers.h"

namespace myna {
namespace {

constexpr std::int64_t kMaxTurn = 14;   // blocks unpacked at a time: they stay in the first-level cache
constexpr std::int64_t kMaxPart = 32;   // blocks of all rows' activations that stay in the second-level cache
constexpr std::int64_t kUnitRows = 32;  // rows of two tiles
constexpr std::size_t kFewUnits = 2;    // so many are faster one after the other: their sums stay in tiles

struct alignas(64) Scratch {
  Weights2 weights[kMaxTurn];
  UnitSums sums[kMaxPairs][kMaxUnits], unused;
};

Scratch& scratch_of_thread() {
  static thread_local const auto scratch = std::make_unique<Scratch>();
  return *scratch;
}

inline void zero_sums() {
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  zero_tile<3>();
}

template <bool HasTwo>
inline void store_sums(UnitSums& sums) {
  store_tile<0>(sums[0][0], 64);
  store_tile<1>(sums[0][1], 64);
  if constexpr (!HasTwo) return;
  store_tile<2>(sums[1][0], 64);
  store_tile<3>(sums[1][1], 64);
}

// A block's steps: adds it to the sums of a unit, whose second tile of rows is skipped unless HasTwo.
template <bool HasTwo>
constexpr int kNumSteps = HasTwo ? 8 : 5;

template <bool HasTwo, int Step>
inline __attribute__((always_inline)) void multiply_step(const std::uint16_t* rows, const Weights2& weights) {
  if constexpr (Step == 0) load_tile<4>(rows, 64);
  if constexpr (Step == 1) load_tile<6>(weights[0], 64);
  if constexpr (Step == 2) multiply_tiles<0, 4, 6>();
  if constexpr (Step == (HasTwo ? 5 : 3)) load_tile<7>(weights[1], 64);
  if constexpr (Step == (HasTwo ? 6 : 4)) multiply_tiles<1, 4, 7>();
  if constexpr (!HasTwo) return;
  if constexpr (Step == 3) load_tile<5>(rows + kPanelRows * kBlock, 64);
  if constexpr (Step == 4) multiply_tiles<2, 5, 6>();
  if constexpr (Step == 7) multiply_tiles<3, 5, 7>();
}

template <bool HasTwo>
inline __attribute__((always_inline)) void multiply(const std::uint16_t* rows, const Weights2& weights) {
  [&]<int... Step>(std::integer_sequence<int, Step...>) __attribute__((always_inline)) {
    (multiply_step<HasTwo, Step>(rows, weights), ...);
  }(std::make_integer_sequence<int, kNumSteps<HasTwo>>{});
}

// As above with both tiles of rows, which come from the second-level cache. Calls `before` with the tile of
// each sum before it is used.
template <class Before>
inline __attribute__((always_inline)) void multiply_streamed(const std::uint16_t* rows,
                                                             const Weights2& weights, Before before) {
  before(std::integral_constant<int, 0>{});
  stream_tile<4>(rows, 64);
  load_tile<6>(weights[0], 64);
  multiply_tiles<0, 4, 6>();
  before(std::integral_constant<int, 1>{});
  load_tile<7>(weights[1], 64);
  multiply_tiles<1, 4, 7>();
  before(std::integral_constant<int, 2>{});
  stream_tile<5>(rows + kPanelRows * kBlock, 64);
  multiply_tiles<2, 5, 6>();
  before(std::integral_constant<int, 3>{});
  multiply_tiles<3, 5, 7>();
}

constexpr auto kNothing = [](auto) {};

// A block of one of the pair's panels; see `unpack`.
template <class R, class Between>
inline __attribute__((always_inline)) void unpack_panel(const Pair& pair, int panel, std::int64_t block,
                                                        Weights2& out, Between between) {
  const std::int64_t at = block / R::kBlocks * static_cast<std::int64_t>(R::kBytes);
  unpack<R>(pair.data[panel] + at, static_cast<int>(block % R::kBlocks), pair.exponent[panel],
            ahead_of<R>(pair.data[panel], block, pair.panel_bytes, pair.next), pair.codes[panel], out[panel],
            between);
}

// Unpacks a block of both panels while another is multiplied. With two tiles of rows, a step comes after
// every few of the 32 vectors (the second panel's weights may just have been written, and are read late);
// with one, all steps come at the end, which was faster there.
template <class R, bool HasTwo>
inline __attribute__((always_inline)) void unpack_and_multiply(const Pair& pair, std::int64_t block,
                                                               Weights2& out, const std::uint16_t* rows,
                                                               const Weights2& weights) {
  constexpr int kFirst = 5, kEvery = 16 / kFirst;  // steps while the first panel is unpacked
  unpack_panel<R>(pair, 0, block, out, [&](auto vector) __attribute__((always_inline)) {
    constexpr int at = decltype(vector)::value;
    if constexpr (HasTwo && at % kEvery == kEvery - 1 && at / kEvery < kFirst)
      multiply_step<HasTwo, at / kEvery>(rows, weights);
  });
  unpack_panel<R>(pair, 1, block, out, [&](auto vector) __attribute__((always_inline)) {
    constexpr int at = decltype(vector)::value, step = kFirst + at / 4;
    if constexpr (HasTwo && at % 4 == 3 && step < kNumSteps<HasTwo>)
      multiply_step<HasTwo, step>(rows, weights);
  });
  if constexpr (!HasTwo) multiply<HasTwo>(rows, weights);
}

// One unit of rows: sums stay in their tiles. A block is multiplied while the next is unpacked.
template <class R, bool HasTwo, class Panels>
void few_rows(const Panels& panels, const Activations& x, const Unit& unit, Scratch& s) {
  const std::int64_t num_blocks = panels.num_blocks(), num_pairs = panels.num_pairs();
  const std::int64_t next_block = x.tile_width(unit.row) * kBlock;
  const std::uint16_t* first = x.bfloats() + x.index(0, unit.row) * kBlock;
  std::int64_t turn = 0;  // of the two places for weights
  const auto place = [&](std::int64_t i) -> Weights2& { return s.weights[i % 2]; };
  Pair pair = panels.pair(0);
  unpack_panel<R>(pair, 0, 0, place(0), kNothing);
  unpack_panel<R>(pair, 1, 0, place(0), kNothing);
  // The outputs of a group are written later than its sums, so that nothing waits for these.
  const auto keep = [&](std::int64_t end) {
    const std::int64_t begin = (end - 1) / Panels::kGroup * Panels::kGroup;
    const typename Panels::Writer writer(panels, begin, end - begin);
    for (int row = 0; row < unit.rows; ++row) writer.write({&s.sums[begin % kMaxPairs][0]}, unit, row);
  };
  for (std::int64_t index = 0; index < num_pairs; ++index) {
    const std::uint16_t* rows = first;
    zero_sums();
    for (std::int64_t block = 1; block < num_blocks; ++block, ++turn, rows += next_block)
      unpack_and_multiply<R, HasTwo>(pair, block, place(turn + 1), rows, place(turn));
    if (index + 1 < num_pairs) {
      pair = panels.pair(index + 1);
      unpack_and_multiply<R, HasTwo>(pair, 0, place(turn + 1), rows, place(turn));
    } else {
      multiply<HasTwo>(rows, place(turn));
    }
    ++turn;
    store_sums<HasTwo>(s.sums[index % kMaxPairs][0]);
    if (index > 0 && index % Panels::kGroup == 0) keep(index);
  }
  keep(num_pairs);
}

// Outputs whose sums are complete, written a row at a time while later ones are multiplied.
template <class Panels>
class Pending {
 public:
  explicit Pending(std::span<const Unit> units) : units_(units), unit_(units.size()) {}

  void start(const Panels& panels, std::int64_t pair, std::int64_t num_pairs, const UnitSums* sums) {
    finish();
    writer_.emplace(panels, pair, num_pairs);
    sums_ = sums;
    unit_ = 0;
  }
  inline __attribute__((always_inline)) void write_row() {
    if (unit_ == units_.size()) return;
    writer_->write({sums_ + unit_}, units_[unit_], row_);
    if (++row_ < units_[unit_].rows) return;
    row_ = 0;
    ++unit_;
  }
  void finish() {
    while (unit_ < units_.size()) write_row();
  }

 private:
  std::span<const Unit> units_;
  std::size_t unit_;
  int row_ = 0;
  const UnitSums* sums_ = nullptr;
  std::optional<typename Panels::Writer> writer_;
};

// A turn of one pair for all units.
template <bool IsFirst, class Panels>
void multiply_units(std::span<const Unit> units, const Activations& x, std::int64_t block, std::int64_t count,
                    const Weights2* weights, UnitSums* sums, UnitSums& unused, Pending<Panels>& pending) {
  UnitSums* before = &unused;
  for (std::size_t u = 0; u < units.size(); ++u) {
    const std::int64_t next_block = x.tile_width(units[u].row) * kBlock;
    const std::uint16_t* rows = x.bfloats() + x.index(block, units[u].row) * kBlock;
    // The previous unit's sums are stored one by one, so that nothing waits for all products.
    multiply_streamed(rows, weights[0], [&]<int Tile>(std::integral_constant<int, Tile>) {
      store_tile<Tile>((*before)[Tile / 2][Tile % 2], 64);
      if constexpr (IsFirst)
        zero_tile<Tile>();
      else
        load_tile<Tile>(sums[u][Tile / 2][Tile % 2], 64);
    });
    for (std::int64_t i = 1; i < count; ++i) {
      rows += next_block;
      pending.write_row();
      multiply_streamed(rows, weights[i], kNothing);
    }
    before = &sums[u];
  }
  store_sums<true>(*before);
}

// Several units: one part of the inputs after the other, so that its activations stay in the second-level
// cache for all pairs; in turns of blocks, between which sums go back to memory.
template <class R, class Panels>
void many_rows(const Panels& panels, const Activations& x, std::span<const Unit> units, std::int64_t begin,
               std::int64_t end, Scratch& s) {
  const std::int64_t num_blocks = panels.num_blocks();
  const std::int64_t num_turns = (num_blocks + kMaxTurn - 1) / kMaxTurn,
                     turn = (num_blocks + num_turns - 1) / num_turns;
  const std::int64_t part_blocks = std::max(kMaxPart / turn, std::int64_t{1}) * turn;
  Pending<Panels> pending(units);
  for (std::int64_t part = 0; part < num_blocks; part += part_blocks) {
    const std::int64_t part_end = std::min(num_blocks, part + part_blocks);
    for (std::int64_t index = begin; index < end; ++index) {
      const Pair pair = panels.pair(index);
      UnitSums* sums = s.sums[index - begin];
      for (std::int64_t block = part; block < part_end; block += turn) {
        const std::int64_t count = std::min(part_end - block, turn);
        for (std::int64_t i = 0; i < count; ++i)
          for (const int panel : {0, 1}) unpack_panel<R>(pair, panel, block + i, s.weights[i], kNothing);
        const auto multiply_all = block == 0 ? multiply_units<true, Panels> : multiply_units<false, Panels>;
        multiply_all(units, x, block, count, s.weights, sums, s.unused, pending);
      }
      const std::int64_t done = index + 1 - begin, group = (done - 1) / Panels::kGroup * Panels::kGroup;
      if (part_end == num_blocks && (done % Panels::kGroup == 0 || index + 1 == end))
        pending.start(panels, begin + group, done - group, s.sums[group]);
    }
  }
  pending.finish();
}

// Only the rows in use: smaller tiles are faster.
TileConfig tiles_for(std::int64_t rows) {
  TileConfig config;
  const auto first = static_cast<std::uint8_t>(std::min(rows, kPanelRows));
  const auto second = static_cast<std::uint8_t>(std::max<std::int64_t>(rows - kPanelRows, 1));
  for (const int tile : {0, 1, 4}) config.rows[tile] = first;
  for (const int tile : {2, 3, 5}) config.rows[tile] = second;
  return config;
}

template <class R, class Panels>
void multiply_panels(const Panels& panels, const Activations& x, std::int64_t row_begin,
                     std::int64_t row_end) {
  Scratch& scratch = scratch_of_thread();
  const std::int64_t num_pairs = panels.num_pairs();
  for (std::int64_t row = row_begin; row < row_end;) {
    Unit units[kMaxUnits];
    std::size_t count = 0;
    for (; row < row_end && count < kMaxUnits; ++count) {
      const std::int64_t tile_end = std::min(row_end, (row / kUnitRows + 1) * kUnitRows);
      units[count] = {row, tile_end - row};
      row = tile_end;
    }
    if (count <= kFewUnits) {
      for (const Unit& unit : std::span(units, count)) {
        const TileConfig config = tiles_for(unit.rows);
        const TileSession session(config);
        if (unit.rows > kPanelRows)
          few_rows<R, true>(panels, x, unit, scratch);
        else
          few_rows<R, false>(panels, x, unit, scratch);
      }
      continue;
    }
    const TileConfig config = tiles_for(kUnitRows);
    const TileSession session(config);
    for (std::int64_t pair = 0; pair < num_pairs; pair += kMaxPairs)
      many_rows<R>(panels, x, std::span(units, count), pair, std::min(num_pairs, pair + kMaxPairs), scratch);
  }
}

struct Amx : Avx512Vnni {
  template <class R>
  static void product(const Matrix& m, const Activations& x, std::int64_t row_begin, std::int64_t row_end,
                      std::int64_t panel_begin, std::int64_t panel_end, const Output& o) {
    multiply_panels<R>(ConsecutivePanels(m, panel_begin, panel_end, o), x, row_begin, row_end);
  }
};

void matmul_gated(const GatedProduct& product, const Activations& x, std::int64_t row_begin,
                  std::int64_t row_end, std::int64_t panel_begin, std::int64_t panel_end) {
  const GatedPanels panels(product, panel_begin, panel_end);
  with_record(product.up->type,
              [&]<class R>(std::type_identity<R>) { multiply_panels<R>(panels, x, row_begin, row_end); });
}

void quantize_rows(const float* src, std::ptrdiff_t stride, std::int64_t row_begin, std::int64_t row_end,
                   Activations& out) {
  if (out.kind() == Activations::Kind::kFloat) return copy_rows(src, stride, row_begin, row_end, out);
  for (std::int64_t row = row_begin; row < row_end; ++row) {
    const float* from = src + row * stride;
    for (std::int64_t b = 0; b < out.num_blocks(); ++b, from += kBlock)
      store_block(out.bfloats() + out.index(b, row) * kBlock, _mm512_loadu_ps(from),
                  _mm512_loadu_ps(from + 16));
  }
}

}  // namespace

extern const KernelTable kAmx{"amx", Activations::Kind::kBfloat, quantize_rows, matmul_with<Amx>,
                              matmul_gated};

}  // namespace myna
