// What a tile of query rows sees of a segment of positions, and its scores to weights. Included once, by
// attention_amx.cpp, which explains the numbers.
#pragma once

#include <algorithm>
#include <cstdint>

#include "attention/attention.h"
#include "cpu/lanes.h"

namespace myna {
namespace attention_amx {
namespace {

constexpr float kMasked = -0x1p100f;  // a score whose weight is 0, before scaling
constexpr float kLog2E = 1.44269504088896341f;
constexpr int kMaxRows = kRowTile;

inline __m512i to_bfloats(Lanes first, Lanes second) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
}

// A segment's blocks in the cache, those up to the last position of the call.
struct Segment {
  Segment(const QueryRows& rows, int64_t first_position, int64_t length) : first(first_position) {
    for (; num_blocks < kSegmentBlocks && first + num_blocks * kBlockTokens < length; ++num_blocks) {
      const int64_t at = rows.blocks[first / kBlockTokens + num_blocks] * rows.head.block_stride;
      keys[num_blocks] = rows.head.keys + at;
      values[num_blocks] = rows.head.values + at;
    }
  }

  int64_t first;
  int num_blocks = 0;
  const uint16_t *keys[kSegmentBlocks], *values[kSegmentBlocks];
};

// A tile of rows, a segment, and what the rows see of it.
struct Unit {
  Unit(const QueryRows& rows, int first_row, const Segment& of)
      : segment(of), row(first_row), num_rows(std::min(kMaxRows, rows.num_rows - first_row)) {
    int64_t position = rows.first_position + row / rows.group;
    const int64_t last_position = rows.first_position + (row + num_rows - 1) / rows.group;
    // What a row sees neither begins nor ends earlier than what the row before it sees.
    sees_all = visible(rows, position, segment.first).end == kSegmentTokens &&
               visible(rows, last_position, segment.first).begin == 0;
    if (sees_all) {
      num_blocks = kSegmentBlocks;
      return;
    }
    int left = rows.group - row % rows.group, last = 0;
    for (int r = 0; r < num_rows; ++r) {
      seen[r] = visible(rows, position, segment.first);
      if (seen[r].begin < seen[r].end) last = std::max(last, seen[r].end);
      if (--left > 0) continue;
      left = rows.group;
      ++position;
    }
    num_blocks = (last + kBlockTokens - 1) / kBlockTokens;
  }

  // The rows that see something, as bits. Others only fill up the tile, or see only other segments.
  uint32_t seeing() const {
    uint32_t bits = 0;
    for (int r = 0; r < num_rows; ++r)
      if (sees_all || seen[r].begin < seen[r].end) bits |= 1u << r;
    return bits;
  }

  Segment segment;
  int row, num_rows;
  int num_blocks;            // 0 if the rows see nothing
  bool sees_all;             // whether all rows see the whole segment
  Visible seen[kMaxRows]{};  // unless all see all
};

// 2^x for x <= 0, to 5e-5 (bfloat16 rounds to 2e-3): its Taylor polynomial of degree 4 between -1/2 and 1/2.
inline Lanes power_of_2(Lanes x) {
  const Lanes n = round(x), f = sub(x, n);
  Lanes p = fma(broadcast(0.00961812911f), f, broadcast(0.0555041087f));
  p = fma(p, f, broadcast(0.240226507f));
  p = fma(p, f, broadcast(0.693147181f));
  p = fma(p, f, broadcast(1.0f));
  return _mm512_scalef_ps(p, n);
}

// The largest value of each of sixteen vectors.
inline Lanes largest_of_each(const Lanes (&x)[kMaxRows]) {
  const auto pair = [](Lanes a, Lanes b) {
    return _mm512_castps_pd(max(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
  };
  Lanes four[4];  // of four vectors: each quarter has their largest values in that quarter
  for (int i = 0; i < 4; ++i) {
    const __m512d first = pair(x[4 * i], x[4 * i + 1]), second = pair(x[4 * i + 2], x[4 * i + 3]);
    four[i] = max(_mm512_castpd_ps(_mm512_unpacklo_pd(first, second)),
                  _mm512_castpd_ps(_mm512_unpackhi_pd(first, second)));
  }
  const auto quarters = [](Lanes a, Lanes b) {
    return max(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  return quarters(quarters(four[0], four[1]), quarters(four[2], four[3]));
}

// Scores, in units of `score_unit`, become cap * tanh(score / cap).
void cap_tile(float* scores, float score_unit, int num_rows, int num_blocks, float cap) {
  const Lanes inner = broadcast(score_unit / cap), outer = broadcast(cap / score_unit);
  for (int r = 0; r < num_rows; ++r)
    for (int b = 0; b < num_blocks; ++b) {
      float* at = scores + r * kSegmentTokens + b * kBlockTokens;
      store(at, mul(outer, tanh(mul(load(at), inner))));
    }
}

// Updates the running maxima of the rows in `seeing`, and rescales the sums of those that grew. All rows at
// once, since one row's maximum and exponential would wait for each other. Writes the exponent (of 2) that
// turns scores into weights relative to each row's maximum.
void update_maxima(const Unit& unit, Lanes found, uint32_t seeing, int head_dim, Partial part,
                   float* offsets) {
  float* maximum = part.maximum + unit.row;
  const Lanes before = load(maximum);
  const __mmask16 grow = _mm512_mask_cmp_ps_mask(static_cast<__mmask16>(seeing), found, before, _CMP_GT_OQ);
  const Lanes updated = _mm512_mask_mov_ps(before, grow, found);
  store(maximum, updated);
  store(offsets, mul(updated, broadcast(-kLog2E)));
  // Rows that have seen nothing yet have sums of 0.
  uint32_t rescaled = _mm512_mask_cmp_ps_mask(grow, before, broadcast(kMinusInfinity), _CMP_NEQ_OQ);
  if (rescaled == 0) return;
  float factors[kMaxRows];
  store(factors, exp(sub(before, updated)));
  for (; rescaled != 0; rescaled &= rescaled - 1) {
    const int r = __builtin_ctz(rescaled), row = unit.row + r;
    const Lanes factor = broadcast(factors[r]);
    float* weight_sums = part.weights + row * 16;
    store(weight_sums, mul(load(weight_sums), factor));
    float* sums = part.sums + static_cast<int64_t>(row) * head_dim;
    for (int d = 0; d < head_dim; d += 16) store(sums + d, mul(load(sums + d), factor));
  }
}

// Turns a tile's scores, in units of `score_unit`, into weights relative to each row's running maximum.
template <bool kSeesAll>
void soften_tile(const Unit& unit, const float* scores, float score_unit, int num_rows, int head_dim,
                 uint16_t* weights, Partial part) {
  const int num_blocks = kSeesAll ? kSegmentBlocks : unit.num_blocks;
  const auto score = [&](int r, int b) {
    const Lanes all = load(scores + r * kSegmentTokens + b * kBlockTokens);
    if constexpr (kSeesAll) return all;
    const auto [begin, end] = unit.seen[r];
    return keep_range(all, begin - kBlockTokens * b, end - kBlockTokens * b, kMasked);
  };
  const uint32_t seeing = unit.seeing();
  Lanes largest[kMaxRows];
  for (int r = 0; r < kMaxRows; ++r) {
    largest[r] = broadcast(kMasked);
    if (r >= unit.num_rows) continue;
    for (int b = 0; b < num_blocks; ++b) largest[r] = max(largest[r], score(r, b));
  }
  float offsets[kMaxRows];
  update_maxima(unit, mul(largest_of_each(largest), broadcast(score_unit)), seeing, head_dim, part, offsets);

  const Lanes log2_unit = broadcast(score_unit * kLog2E);
  for (int r = 0; r < num_rows; ++r) {
    uint16_t* own = weights + r * kSegmentTokens;
    if ((seeing >> r & 1) == 0) {
      std::fill_n(own, kSegmentTokens, uint16_t{0});
      continue;
    }
    const Lanes offset = broadcast(offsets[r]);
    float* weight_sums = part.weights + (unit.row + r) * 16;
    Lanes total = load(weight_sums);
    const auto weight = [&](int b) {
      const Lanes power = power_of_2(fma(score(r, b), log2_unit, offset));
      total = add(total, power);
      return power;
    };
    for (int b = 0; b < num_blocks; b += 2) {
      const Lanes first = weight(b), second = b + 1 < num_blocks ? weight(b + 1) : broadcast(0);
      _mm512_storeu_si512(own + kBlockTokens * b, to_bfloats(first, second));
    }
    store(weight_sums, total);
  }
}

}  // namespace
}  // namespace attention_amx
}  // namespace myna
