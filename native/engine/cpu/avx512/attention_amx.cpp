// Attention in matrix tiles: up to 16 rows of queries against a segment of 64 positions.
//
// Tiles multiply bfloat16 and sum in float32: queries, keys, weights and values are rounded to bfloat16. That
// is the error that they have anyway, since they are sums of products of bfloat16 values. Only a key's bias
// is added exactly: models that have one (Qwen2) use it to make some scores very large, of which bfloat16
// would lose more than the softmax forgives. For them, keys are stored as halves, and a key and a query are
// the sum of a high and a low part: a score is high * high + high * low + low * high. A half's 11 bits fit
// into two parts exactly; of a query's 24, 16 remain.
//
// As in matmul_amx.cpp, a half becomes a bfloat16 by moving its exponent, which means 2^-112; queries are
// scaled up by a power of two, and scores are scaled back: exact. What is stored is finite, so that positions
// with weight 0 add exactly 0.
//
// A row's sums are those of its own row of the tiles, added up segment by segment, so that its bits don't
// depend on the other rows.
//
// In the cache, keys are [dimension / 2][16 positions][2], values [dimension / 16][position / 2][16
// dimensions][2]: tiles, but for the keys of an odd number of 16 dimensions, whose last tile ends in what
// follows them. The queries' zeros cancel that. Integers have the same order, and become such tiles segment
// by segment.
#define MYNA_ISA attention_amx
#include <algorithm>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include "attention/attention.h"
#include "attention/quantize.h"
#include "cpu/avx512/expand_amx.h"
#include "cpu/avx512/softmax_amx.h"
#include "cpu/avx512/tile_registers.h"
#include "cpu/lanes.h"
#include "cpu/vector_table.h"

namespace myna {
namespace attention_amx {
namespace {

constexpr float kSplitUnit = 0x1p100f, kSplitScoreUnit = 0x1p12f;  // of queries; 2^112 / 2^100
constexpr int kStep = 32;                                          // dimensions of one tile product
constexpr int kValueBuffers = 3;                                   // segments whose values are needed at once

// The tile registers. Sums are 0 to 3; there are two of each kind of factor except for values.
constexpr int kQueryTile = 4, kKeyTile = 5, kWeightTile = 6, kValueTile = 7;

TileConfig tiles(int rows) {
  TileConfig config(rows);
  config.rows[kKeyTile] = kMaxRows;
  config.row_bytes[kWeightTile] = 2 * kBlockTokens;
  config.rows[kValueTile] = kBlockTokens / 2;
  return config;
}

// Of one thread: the parts of a segment's keys, values that were integers, the scores of two tiles of rows,
// the weights of one, and all queries of the call.
struct Scratch {
  Scratch(float* floats, int head_dim) : steps((head_dim + kStep - 1) / kStep) {
    auto* next = reinterpret_cast<uint16_t*>(floats);
    const auto take = [&](int halves) { return std::exchange(next, next + halves); };
    high = take(kSegmentBlocks * steps * kTileHalves);
    low = take(kSegmentBlocks * steps * kTileHalves);
    for (uint16_t*& segment : values) segment = take(kSegmentTokens * head_dim);
    for (float*& tile : scores) tile = reinterpret_cast<float*>(take(2 * kMaxRows * kSegmentTokens));
    weights = take(kMaxRows * kSegmentTokens);
    queries = next;
  }

  int query_halves() const { return 2 * steps * kStep; }  // of one row

  int steps;             // tile products for all dimensions
  uint16_t *high, *low;  // [block][step][tile]
  uint16_t* values[kValueBuffers];
  float* scores[2];   // [row][position]
  uint16_t* weights;  // [row][position]
  uint16_t* queries;  // [row][high, low][dimension]
};

inline __m512i bfloats(__m512i halves) {
  return _mm512_and_si512(_mm512_srai_epi16(halves, 3), _mm512_set1_epi16(static_cast<short>(0x8fff)));
}

// The two parts of a block's keys. The last step is padded with zeros.
void split_keys(const uint16_t* keys, int head_dim, int steps, uint16_t* high, uint16_t* low) {
  const int halves = head_dim * kBlockTokens;
  for (int i = 0; i < halves; i += 32) {
    const __m512i x = _mm512_loadu_si512(keys + i);
    const __m512i top = _mm512_and_si512(x, _mm512_set1_epi16(~7));
    const __m512h rest = _mm512_sub_ph(_mm512_castsi512_ph(x), _mm512_castsi512_ph(top));
    _mm512_storeu_si512(high + i, bfloats(x));
    _mm512_storeu_si512(low + i, bfloats(_mm512_castph_si512(rest)));
  }
  for (int i = halves; i < steps * kTileHalves; i += 32) {
    _mm512_storeu_si512(high + i, _mm512_setzero_si512());
    _mm512_storeu_si512(low + i, _mm512_setzero_si512());
  }
}

inline Lanes from_bfloats(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

// A query as bfloat16, in two parts if kIsSplit. The last step is padded with zeros.
template <bool kIsSplit>
void convert_query(const float* query, int head_dim, int steps, uint16_t* high) {
  uint16_t* low = high + steps * kStep;
  const Lanes unit = broadcast(kIsSplit ? kSplitUnit : 1.0f);
  for (int d = 0; d < head_dim; d += kStep) {
    const Lanes first = mul(load(query + d), unit);
    const Lanes second = d + 16 < head_dim ? mul(load(query + d + 16), unit) : broadcast(0);
    const __m512i top = to_bfloats(first, second);
    _mm512_storeu_si512(high + d, top);
    if constexpr (!kIsSplit) continue;
    const Lanes first_rest = sub(first, from_bfloats(_mm512_castsi512_si256(top)));
    const Lanes second_rest = sub(second, from_bfloats(_mm512_extracti64x4_epi64(top, 1)));
    _mm512_storeu_si512(low + d, to_bfloats(first_rest, second_rest));
  }
}

// Calls function with the constants 0 to 3 that are less than `count`: tiles are named by constants.
template <typename Function>
inline __attribute__((always_inline)) void for_tiles(int count, Function&& function) {
  function(std::integral_constant<int, 0>{});
  if (count > 1) function(std::integral_constant<int, 1>{});
  if (count > 2) function(std::integral_constant<int, 2>{});
  if (count > 3) function(std::integral_constant<int, 3>{});
}

// The keys or values of a segment that is read later. Few rows are bound by memory, so these are prefetched,
// a share after each tile that is loaded: all at once, they would fill the buffers that loads need.
class Ahead {
 public:
  Ahead() = default;
  Ahead(int num_blocks, const uint16_t* const* blocks, int64_t block_halves, int num_shares)
      : num_blocks_(num_blocks),
        num_lines_(static_cast<int>((block_halves + kLineHalves - 1) / kLineHalves)),
        share_((num_lines_ + num_shares - 1) / num_shares) {
    std::copy_n(blocks, num_blocks, blocks_);
  }

  void prefetch(int block, int share) const {
    if (block >= num_blocks_) return;
    const int end = std::min(num_lines_, (share + 1) * share_);
    for (int line = share * share_; line < end; ++line) prefetch_here(blocks_[block] + line * kLineHalves);
  }

 private:
  static constexpr int kLineHalves = 32;

  int num_blocks_ = 0, num_lines_ = 0, share_ = 0;
  const uint16_t* blocks_[kSegmentBlocks] = {};
};

// Turns a segment's integers into tiles, or into halves if keys are split, which it then refers to.
template <bool kIsSplit>
void expand(const Scratch& s, int head_dim, Segment& segment) {
  uint16_t* values = s.values[segment.first / kSegmentTokens % kValueBuffers];
  for (int b = 0; b < segment.num_blocks; ++b, values += kBlockTokens * head_dim) {
    uint16_t* keys = s.high + b * s.steps * kTileHalves;
    if constexpr (kIsSplit)
      expand_keys_to_halves(segment.keys[b], head_dim, keys);
    else
      expand_keys(segment.keys[b], head_dim, s.steps, keys);
    expand_values(segment.values[b], head_dim, values);
    segment.keys[b] = keys;
    segment.values[b] = values;
  }
}

// Products of the same sums are four apart, since each waits for the one before.
template <bool kIsSplit>
void score_tile(const Scratch& s, const Unit& unit, const Ahead& ahead, float* scores) {
  const uint16_t* queries = s.queries + unit.row * s.query_halves();
  const int stride = s.query_halves() * 2;
  for_tiles(unit.num_blocks, [](auto block) { zero_tile<block.value>(); });
  for (int step = 0; step < s.steps; ++step) {
    const auto add = [&](auto&& keys, const Ahead& fetched = {}) {
      for_tiles(unit.num_blocks, [&](auto block) {
        load_tile<kKeyTile>(keys(block.value) + step * kTileHalves, 64);
        fetched.prefetch(block.value, step);
        multiply_tiles<block.value, kQueryTile, kKeyTile>();
      });
    };
    const auto high = [&](int block) { return s.high + block * s.steps * kTileHalves; };
    const auto low = [&](int block) { return s.low + block * s.steps * kTileHalves; };
    load_tile<kQueryTile>(queries + step * kStep, stride);
    if constexpr (kIsSplit) {
      add(high, ahead);
      add(low);
      load_tile<kQueryTile>(queries + (s.steps + step) * kStep, stride);
      add(high);
    } else {
      add([&](int block) { return unit.segment.keys[block]; }, ahead);
    }
  }
  for_tiles(unit.num_blocks, [&](auto block) {
    store_tile<block.value>(scores + kBlockTokens * block.value, kSegmentTokens * sizeof(float));
  });
}

// Adds the weighted values to the rows' sums, or starts them, up to 64 dimensions at a time.
void weigh_tile(const Unit& unit, bool is_first, const uint16_t* weights, int head_dim, const Ahead& ahead,
                float* sums) {
  const int64_t stride = head_dim * static_cast<int64_t>(sizeof(float));
  for (int first = 0; first < head_dim / 16; first += 4) {
    const int count = head_dim / 16 - first;
    for_tiles(count, [&](auto i) {
      if (is_first)
        zero_tile<i.value>();
      else
        load_tile<i.value>(sums + 16 * (first + i.value), stride);
    });
    for (int b = 0; b < unit.num_blocks; ++b) {
      load_tile<kWeightTile>(weights + b * kBlockTokens, kSegmentTokens * 2);
      for_tiles(count, [&](auto i) {
        load_tile<kValueTile>(unit.segment.values[b] + (first + i.value) * 16 * kBlockTokens, 64);
        ahead.prefetch(b, first + i.value);
        multiply_tiles<i.value, kWeightTile, kValueTile>();
      });
    }
    for_tiles(count, [&](auto i) { store_tile<i.value>(sums + 16 * (first + i.value), stride); });
  }
}

// Sixteen floats as bfloat16; what would be infinite or isn't a number becomes finite.
inline void store_finite(const float* from, uint16_t* to) {
  const Lanes largest = broadcast(0x1.fep127f);  // the largest bfloat16
  // The maximum of a NaN and a number is the number.
  const Lanes finite = min(max(load(from), sub(broadcast(0), largest)), largest);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(finite)));
}

}  // namespace

template <bool kIsSplit, CacheType kType>
void store_kv(const float* key, const float* value, int head_dim, int slot, uint16_t* block_keys,
              uint16_t* block_values) {
  const auto key_place = [&](int d) { return (d / 2 * kBlockTokens + slot) * 2 + d % 2; };
  const auto value_place = [&](int d) {
    return d / 16 * 16 * kBlockTokens + slot / 2 * 32 + d % 16 * 2 + slot % 2;
  };
  if constexpr (kType == CacheType::kQ8) {
    store_q8(key, head_dim, slot, block_keys, key_place);
    store_q8(value, head_dim, slot, block_values, value_place);
    return;
  }
  for (int d = 0; d < head_dim; d += 16) {
    uint16_t keys[16], values[16];
    if constexpr (kIsSplit)
      store(keys, load(key + d));
    else
      store_finite(key + d, keys);
    store_finite(value + d, values);
    for (int i = 0; i < 16; ++i) {
      block_keys[key_place(d + i)] = keys[i];
      block_values[value_place(d + i)] = values[i];
    }
  }
}

template <bool kIsSplit, CacheType kType>
void attend(const QueryRows& rows, int64_t part_begin, Partial part, float* scratch) {
  const int head_dim = rows.head_dim;
  const auto num_rows = static_cast<int>(padded_rows(rows.num_rows));
  std::fill_n(part.maximum, num_rows, kMinusInfinity);
  std::fill_n(part.weights, num_rows * 16, 0.0f);
  const int64_t length = visible_end(rows, rows.first_position + (rows.num_rows - 1) / rows.group);
  const int64_t end = std::min(part_begin + kPartTokens, length);
  const int64_t first = rows.window > 0 ? std::max<int64_t>(0, rows.first_position - rows.window + 1) : 0;
  const int64_t begin = std::max(part_begin, first / kSegmentTokens * kSegmentTokens);
  if (begin >= end) return;

  const Scratch s(scratch, head_dim);
  for (int r = 0; r < rows.num_rows; ++r)
    convert_query<kIsSplit>(rows.queries + static_cast<int64_t>(r) * head_dim, head_dim, s.steps,
                            s.queries + r * s.query_halves());
  std::fill_n(s.queries + rows.num_rows * s.query_halves(), (num_rows - rows.num_rows) * s.query_halves(),
              uint16_t{0});
  const int tile_rows = std::min(kMaxRows, rows.num_rows);
  const TileSession session(tiles(tile_rows));
  const auto prepare = [&](Segment& segment) {
    if constexpr (kType == CacheType::kQ8) expand<kIsSplit>(s, head_dim, segment);
    if constexpr (!kIsSplit) return;
    for (int b = 0; b < segment.num_blocks; ++b) {
      const int at = b * s.steps * kTileHalves;
      split_keys(segment.keys[b], head_dim, s.steps, s.high + at, s.low + at);
    }
  };
  // In place: copying a unit that was just written would wait for all of its writes.
  std::optional<Unit> units[3];
  const auto unit_at = [&](int i) -> std::optional<Unit>& { return units[i % 3]; };
  // The next unit of which a row sees something.
  const auto add_after = [&](int i) {
    std::optional<Unit>& next = unit_at(i + 1);
    int row = unit_at(i)->row + kMaxRows;
    Segment segment = unit_at(i)->segment;
    for (;; row += kMaxRows) {
      if (row >= rows.num_rows) {
        if (segment.first + kSegmentTokens >= end) break;
        segment = Segment(rows, segment.first + kSegmentTokens, length);
        prepare(segment);
        row = 0;
      }
      next.emplace(rows, row, segment);
      if (next->num_blocks > 0) return;
    }
    next.reset();
  };
  // A row sees nothing before what the row before it sees.
  const auto is_first = [&](const Unit& unit) {
    const int64_t position = rows.first_position + unit.row / rows.group;
    return unit.segment.first == begin ||
           (rows.window > 0 && position - rows.window + 1 >= unit.segment.first);
  };
  const auto ahead = [&](const uint16_t*(Segment::* kind)[kSegmentBlocks], int64_t from, int num_shares) {
    if (rows.num_rows > kMaxRows || from >= length) return Ahead();
    const Segment later(rows, from, length);
    return Ahead(later.num_blocks, later.*kind, head_block_halves(kType, head_dim), num_shares);
  };
  // `prepare` reads integers, or keys that are split, a segment earlier than tiles are.
  constexpr bool kAreIntegers = kType == CacheType::kQ8;
  const auto score = [&](const Unit& unit, float* scores) {
    const int64_t from = unit.segment.first + (kAreIntegers ? kSegmentTokens : 0);
    score_tile<kIsSplit>(s, unit, ahead(&Segment::values, from, s.steps), scores);
  };
  const auto weigh = [&](const Unit& unit) {
    const int64_t from = unit.segment.first + (kIsSplit || kAreIntegers ? 3 : 2) * kSegmentTokens;
    weigh_tile(unit, is_first(unit), s.weights, head_dim, ahead(&Segment::keys, from, head_dim / 16),
               part.sums + static_cast<int64_t>(unit.row) * head_dim);
  };
  constexpr float kScoreUnit = kIsSplit ? kSplitScoreUnit : 1.0f;
  // What was just written is read as tiles only after other work: until then, writes are under way.
  Segment nearest(rows, begin, length);
  prepare(nearest);
  unit_at(0).emplace(rows, 0, nearest);
  score(*unit_at(0), s.scores[0]);
  add_after(0);
  for (int i = 0; unit_at(i); ++i) {
    const Unit& unit = *unit_at(i);
    const bool has_next = unit_at(i + 1).has_value();
    if (has_next) score(*unit_at(i + 1), s.scores[(i + 1) % 2]);
    if (rows.score_cap > 0) cap_tile(s.scores[i % 2], kScoreUnit, tile_rows, unit.num_blocks, rows.score_cap);
    const auto soften = unit.sees_all ? soften_tile<true> : soften_tile<false>;
    soften(unit, s.scores[i % 2], kScoreUnit, tile_rows, head_dim, s.weights, part);
    if (has_next) add_after(i + 1);
    weigh(unit);
  }
}

#define MYNA_FOR_CACHE(is_split, type)                                                                \
  template void store_kv<is_split, type>(const float*, const float*, int, int, uint16_t*, uint16_t*); \
  template void attend<is_split, type>(const QueryRows&, int64_t, Partial, float*);
MYNA_FOR_CACHE(false, CacheType::kFloat16)
MYNA_FOR_CACHE(false, CacheType::kQ8)
MYNA_FOR_CACHE(true, CacheType::kFloat16)
MYNA_FOR_CACHE(true, CacheType::kQ8)

}  // namespace attention_amx
}  // namespace myna
