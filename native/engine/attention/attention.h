#pragma once
// Attention over the paged cache. Positions are processed in fixed, absolute segments; the segments of a part
// are folded in order by an online softmax, and parts are merged in order. A row's bits therefore only depend
// on its query and on the stored keys and values, not on batch, chunking, threads or prefix reuse.
#include <cstdint>

namespace myna {

constexpr int kBlockTokens = 16;    // positions in a KV block
constexpr int kSegmentTokens = 64;  // positions folded at once
constexpr int kSegmentBlocks = kSegmentTokens / kBlockTokens;
constexpr int64_t kPartTokens = 256;  // positions of one work item when a long sequence is split over threads

constexpr float kMinusInfinity = -__builtin_inff();

// How keys and values are stored: as 16-bit floats, or as integers of 8 bits, of which 32 dimensions of a
// position share a scale (as in GGUF's Q8_0).
enum class CacheType { kFloat16, kQ8 };
constexpr int kScaleDimensions = 32;

// The size of a head's keys, or its values, in one block, in halves. Integers come before their scales, which
// are halves: [head_dim / 32][16 positions].
constexpr int64_t head_block_halves(CacheType type, int head_dim) {
  if (type == CacheType::kFloat16) return static_cast<int64_t>(kBlockTokens) * head_dim;
  const int num_scales = (head_dim + kScaleDimensions - 1) / kScaleDimensions;
  return static_cast<int64_t>(kBlockTokens) * (head_dim / 2 + num_scales);
}

// One key/value head of one layer. Keys are [block][head_dim][16 positions], values [block][16][head_dim], as
// halves or integers; the order within a block is the vector table's own (AMX has another).
struct PagedHead {
  uint16_t* keys;
  uint16_t* values;
  int64_t block_stride;  // halves from one block to the next
};

// Queries that share a key/value head: row r has the position `first_position + r / group`. Already scaled by
// 1/sqrt(head_dim). With `window` 0 a row sees all earlier positions, otherwise the last `window` ones,
// including its own; with `length`, that of the sequence, as many later ones, too.
struct QueryRows {
  const float* queries;  // [num_rows][head_dim]
  int num_rows;
  int group;
  int head_dim;  // a multiple of 16
  int64_t first_position;
  int64_t window;
  const int32_t* blocks;  // the sequence's block table
  PagedHead head;
  float score_cap = 0;  // scores become cap * tanh(score / cap); 0: unlimited
  int64_t length = 0;   // 0: no row sees later positions
};

// Results may be computed in tiles of rows: their memory has room for whole tiles.
constexpr int kRowTile = 16;
constexpr int64_t padded_rows(int64_t num_rows) { return (num_rows + kRowTile - 1) / kRowTile * kRowTile; }

// The result of one part, or of several merged ones: out = sums / reduce(weights). `maximum` is -inf if a row
// has seen no position. All have room for `padded_rows`.
struct Partial {
  float* sums;     // [num_rows][head_dim]
  float* weights;  // [num_rows][16]
  float* maximum;  // [num_rows]
};

// Scratch memory of one thread, in floats, for up to `num_rows` rows: a segment's keys and values as floats
// and the scores of a few rows; or, as tiles, a segment's keys in two parts, three segments' values, two
// segments' scores, weights and queries (cpu/avx512/attention_amx.cpp).
constexpr int64_t attention_scratch_floats(int head_dim, int64_t num_rows) {
  const int64_t padded = (head_dim + 31ll) / 32 * 32;
  return 5 * kSegmentTokens / 2 * padded + 40 * kSegmentTokens + padded_rows(num_rows) * padded;
}

// The part of a segment that a row sees: positions [begin, end), relative to the segment's start.
struct Visible {
  int begin, end;
};

// The position after the last that a row at `position` sees.
inline int64_t visible_end(const QueryRows& rows, int64_t position) {
  if (rows.length == 0) return position + 1;
  return rows.window > 0 && position + rows.window < rows.length ? position + rows.window : rows.length;
}

inline Visible visible(const QueryRows& rows, int64_t position, int64_t segment) {
  const int64_t first = rows.window > 0 ? position - rows.window + 1 : 0;
  const auto within = [](int64_t x) {
    return static_cast<int>(x < 0 ? 0 : x > kSegmentTokens ? kSegmentTokens : x);
  };
  return {within(first - segment), within(visible_end(rows, position) - segment)};
}

}  // namespace myna
