// Attention of a tile of query rows, segment by segment. Included once by each instruction set's file.
// T is the element type of keys and values: halves as stored, or floats where a tile is large enough to
// convert a segment once. Conversion is exact, so both give the same bits.
#include "attention/attention.h"
#include "cpu/lanes.h"

namespace myna::MYNA_ISA {

constexpr int kMaxTileRows = 8;
static_assert(kTileRows <= kMaxTileRows && kTileVectors <= kSegmentBlocks);

// scores[row][16 * j + lane] = query . key; one chain over the dimensions for each score.
template <int R, int V, typename T>
inline void score_tile(const float* queries, int head_dim, const T* const* keys, float* scores) {
  Lanes sums[R][V];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < V; ++j) sums[r][j] = broadcast(0);
  for (int d = 0; d < head_dim; ++d) {
    Lanes key[V];
    for (int j = 0; j < V; ++j) key[j] = load(keys[j] + d * kBlockTokens);
    for (int r = 0; r < R; ++r) {
      const Lanes query = broadcast(queries[r * head_dim + d]);
      for (int j = 0; j < V; ++j) sums[r][j] = fma(query, key[j], sums[r][j]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < V; ++j) store(scores + r * kSegmentTokens + 16 * j, sums[r][j]);
}

// sums[row] += weight[row][t] * value[t] for t in [begin, end), in this order, over V vectors of dimensions.
template <int R, int V, typename T>
inline void weigh_tile(const float* weights, int head_dim, const T* const* values, int begin, int end,
                       float* out) {
  Lanes sums[R][V];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < V; ++j) sums[r][j] = load(out + r * head_dim + 16 * j);
  for (int t = begin; t < end; ++t) {
    const T* row = values[t / kBlockTokens] + (t % kBlockTokens) * head_dim;
    Lanes value[V];
    for (int j = 0; j < V; ++j) value[j] = load(row + 16 * j);
    for (int r = 0; r < R; ++r) {
      const Lanes weight = broadcast(weights[r * kSegmentTokens + t]);
      for (int j = 0; j < V; ++j) sums[r][j] = fma(weight, value[j], sums[r][j]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < V; ++j) store(out + r * head_dim + 16 * j, sums[r][j]);
}

template <int R, typename T>
inline void score_rows(const float* queries, int head_dim, const T* const* keys, int num_blocks,
                       float* scores) {
  for (int j = 0; j < num_blocks; j += kTileVectors) {
    const T* const* from = keys + j;
    float* to = scores + 16 * j;
    switch (num_blocks - j) {
      case 1:
        score_tile<R, 1>(queries, head_dim, from, to);
        break;
      case 2:
        score_tile < R, kTileVectors<2 ? kTileVectors : 2>(queries, head_dim, from, to);
        break;
      case 3:
        score_tile < R, kTileVectors<3 ? kTileVectors : 3>(queries, head_dim, from, to);
        break;
      default:
        score_tile<R, kTileVectors>(queries, head_dim, from, to);
    }
  }
}

template <int R, typename T>
inline void weigh_rows(const float* weights, int head_dim, const T* const* values, int begin, int end,
                       float* out) {
  if (begin >= end) return;
  const int num_vectors = head_dim / 16;
  for (int j = 0; j < num_vectors; j += kTileVectors) {
    const T* from[kSegmentBlocks];
    for (int b = 0; b < kSegmentBlocks; ++b) from[b] = values[b] + 16 * j;
    switch (num_vectors - j) {
      case 1:
        weigh_tile<R, 1>(weights, head_dim, from, begin, end, out + 16 * j);
        break;
      case 2:
        weigh_tile < R, kTileVectors<2 ? kTileVectors : 2>(weights, head_dim, from, begin, end, out + 16 * j);
        break;
      case 3:
        weigh_tile < R, kTileVectors<3 ? kTileVectors : 3>(weights, head_dim, from, begin, end, out + 16 * j);
        break;
      default:
        weigh_tile<R, kTileVectors>(weights, head_dim, from, begin, end, out + 16 * j);
    }
  }
}

// Turns a row's scores into weights relative to the running maximum, and rescales the previous sums.
inline void soften(float* scores, Visible seen, int num_blocks, int head_dim, float* sums, float* weights,
                   float* maximum) {
  Lanes score[kSegmentBlocks];
  Lanes largest = broadcast(kMinusInfinity);
  for (int b = 0; b < num_blocks; ++b) {
    score[b] = load(scores + 16 * b);
    const int begin = seen.begin - 16 * b, end = seen.end - 16 * b;
    if (begin > 0 || end < 16) score[b] = keep_range(score[b], begin, end, kMinusInfinity);
    largest = max(largest, score[b]);
  }
  const float segment_maximum = reduce_max(largest);
  const float updated = segment_maximum > *maximum ? segment_maximum : *maximum;
  if (updated != *maximum) {
    const Lanes factor = exp(broadcast(*maximum - updated));
    store(weights, mul(load(weights), factor));
    for (int d = 0; d < head_dim; d += 16) store(sums + d, mul(load(sums + d), factor));
    *maximum = updated;
  }
  Lanes total = load(weights);
  for (int b = 0; b < num_blocks; ++b) {
    score[b] = exp(sub(score[b], broadcast(updated)));
    total = add(total, score[b]);
    store(scores + 16 * b, score[b]);
  }
  store(weights, total);
}

inline void cap_scores(float* scores, int count, float cap) {
  const Lanes limit = broadcast(cap);
  for (int i = 0; i < count; i += 16) store(scores + i, mul(limit, tanh(div(load(scores + i), limit))));
}

template <int R, typename T>
void fold_tile(const QueryRows& rows, int row, int64_t segment, const T* const* keys, const T* const* values,
               Partial part, float* scores) {
  const int head_dim = rows.head_dim;
  Visible seen[R];
  int begin = 0, end = kSegmentTokens, last = 0;
  for (int r = 0; r < R; ++r) {
    seen[r] = visible(rows, rows.first_position + (row + r) / rows.group, segment);
    begin = seen[r].begin > begin ? seen[r].begin : begin;
    end = seen[r].end < end ? seen[r].end : end;
    last = seen[r].end > last ? seen[r].end : last;
  }
  if (last == 0) return;
  const int num_blocks = (last + kBlockTokens - 1) / kBlockTokens;
  float* sums = part.sums + static_cast<int64_t>(row) * head_dim;
  score_rows<R>(rows.queries + static_cast<int64_t>(row) * head_dim, head_dim, keys, num_blocks, scores);
  if (rows.score_cap > 0)
    for (int r = 0; r < R; ++r) cap_scores(scores + r * kSegmentTokens, 16 * num_blocks, rows.score_cap);
  for (int r = 0; r < R; ++r)
    if (seen[r].begin < seen[r].end)
      soften(scores + r * kSegmentTokens, seen[r], num_blocks, head_dim, sums + r * head_dim,
             part.weights + (row + r) * 16, part.maximum + row + r);
  // Positions that all rows see are processed as a tile, those before and after row by row, always ascending.
  for (int r = 0; r < R; ++r) {
    const int stop = begin < end ? begin : seen[r].end;
    weigh_rows<1>(scores + r * kSegmentTokens, head_dim, values, seen[r].begin, stop, sums + r * head_dim);
  }
  if (begin >= end) return;
  weigh_rows<R>(scores, head_dim, values, begin, end, sums);
  for (int r = 0; r < R; ++r)
    weigh_rows<1>(scores + r * kSegmentTokens, head_dim, values, end, seen[r].end, sums + r * head_dim);
}

template <typename T>
void fold_segment(const QueryRows& rows, int64_t segment, const T* const* keys, const T* const* values,
                  Partial part, float* scores) {
  int tiles = (rows.num_rows + kTileRows - 1) / kTileRows;
  for (int row = 0; tiles > 0; --tiles) {
    const int count = (rows.num_rows - row + tiles - 1) / tiles;
    switch (count) {
      case 1:
        fold_tile<1>(rows, row, segment, keys, values, part, scores);
        break;
      case 2:
        fold_tile<2>(rows, row, segment, keys, values, part, scores);
        break;
      case 3:
        fold_tile < kTileRows<3 ? kTileRows : 3>(rows, row, segment, keys, values, part, scores);
        break;
      case 4:
        fold_tile < kTileRows<4 ? kTileRows : 4>(rows, row, segment, keys, values, part, scores);
        break;
      case 5:
        fold_tile < kTileRows<5 ? kTileRows : 5>(rows, row, segment, keys, values, part, scores);
        break;
      default:
        fold_tile<kTileRows>(rows, row, segment, keys, values, part, scores);
    }
    row += count;
  }
}

inline void convert(const uint16_t* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) store(to + i, load(from + i));
}

// The numbers of integers in a block, which floats hold exactly.
inline void expand_keys(const uint16_t* from, int head_dim, float* to) {
  const auto* integers = reinterpret_cast<const int8_t*>(from);
  const uint16_t* scales = from + head_dim * kBlockTokens / 2;
  for (int d = 0; d < head_dim; ++d) {
    const Lanes scale = load(scales + d / kScaleDimensions * kBlockTokens);
    store(to + d * kBlockTokens, mul(load(integers + d * kBlockTokens), scale));
  }
}

inline void expand_values(const uint16_t* from, int head_dim, float* to) {
  const auto* integers = reinterpret_cast<const int8_t*>(from);
  const uint16_t* halves = from + head_dim * kBlockTokens / 2;
  for (int first = 0; first < head_dim; first += kScaleDimensions, halves += kBlockTokens) {
    const int end = head_dim - first < kScaleDimensions ? head_dim : first + kScaleDimensions;
    float scales[kBlockTokens];
    store(scales, load(halves));
    for (int t = 0; t < kBlockTokens; ++t)
      for (int d = first; d < end; d += 16)
        store(to + t * head_dim + d, mul(load(integers + t * head_dim + d), broadcast(scales[t])));
  }
}

inline void fetch(const uint16_t* from, int64_t count) {
  for (int64_t i = 0; i < count; i += 32) __builtin_prefetch(from + i);
}

template <CacheType kType>
void attend(const QueryRows& rows, int64_t part_begin, Partial part, float* scratch) {
  const int head_dim = rows.head_dim;
  for (int r = 0; r < rows.num_rows; ++r) {
    part.maximum[r] = kMinusInfinity;
    store(part.weights + r * 16, broadcast(0));
    for (int d = 0; d < head_dim; d += 16)
      store(part.sums + static_cast<int64_t>(r) * head_dim + d, broadcast(0));
  }
  const int64_t last = visible_end(rows, rows.first_position + (rows.num_rows - 1) / rows.group) - 1;
  const int64_t first = rows.window > 0 ? rows.first_position - rows.window + 1 : 0;
  const int64_t block_values = static_cast<int64_t>(kBlockTokens) * head_dim;
  const bool converts = kType == CacheType::kQ8 || rows.num_rows > 2 * kTileRows;
  float* scores = scratch + 2 * kSegmentBlocks * block_values;
  for (int64_t segment = part_begin; segment < part_begin + kPartTokens && segment <= last;
       segment += kSegmentTokens) {
    if (segment + kSegmentTokens <= first) continue;
    const uint16_t *keys[kSegmentBlocks] = {}, *values[kSegmentBlocks] = {};
    const float *float_keys[kSegmentBlocks] = {}, *float_values[kSegmentBlocks] = {};
    for (int b = 0; b < kSegmentBlocks; ++b) {
      const int64_t position = segment + b * kBlockTokens;
      const int64_t block = rows.blocks[(position <= last ? position : last) / kBlockTokens];
      keys[b] = rows.head.keys + block * rows.head.block_stride;
      values[b] = rows.head.values + block * rows.head.block_stride;
      if (!converts) {  // few rows are memory-bound: prefetch values while keys are read
        if (position <= last)
          fetch(values[b],
                (last - position + 1 < kBlockTokens ? last - position + 1 : kBlockTokens) * head_dim);
        continue;
      }
      float_keys[b] = scratch + 2 * b * block_values;
      float_values[b] = scratch + (2 * b + 1) * block_values;
      if (position > last) continue;
      float *to_keys = scratch + 2 * b * block_values, *to_values = to_keys + block_values;
      if constexpr (kType == CacheType::kQ8) {
        expand_keys(keys[b], head_dim, to_keys);
        expand_values(values[b], head_dim, to_values);
      } else {
        convert(keys[b], to_keys, block_values);
        convert(values[b], to_values, block_values);
      }
    }
    if (converts)
      fold_segment(rows, segment, float_keys, float_values, part, scores);
    else
      fold_segment(rows, segment, keys, values, part, scores);
  }
}

void merge(int num_rows, int head_dim, Partial into, Partial part) {
  for (int first = 0; first < num_rows; first += 16) {
    const int count = num_rows - first < 16 ? num_rows - first : 16;
    // The factors of sixteen rows at once. Those of rows that see nothing aren't used.
    float before[16] = {}, other[16] = {}, updated[16] = {}, keep[16], take[16];
    for (int i = 0; i < count; ++i) {
      before[i] = into.maximum[first + i];
      other[i] = part.maximum[first + i];
      updated[i] = before[i] > other[i] ? before[i] : other[i];
    }
    store(keep, exp(sub(load(before), load(updated))));
    store(take, exp(sub(load(other), load(updated))));
    for (int i = 0; i < count; ++i) {
      if (other[i] == kMinusInfinity) continue;
      const int64_t row = first + i;
      float *weights = into.weights + row * 16, *sums = into.sums + row * head_dim;
      const float *new_weights = part.weights + row * 16, *new_sums = part.sums + row * head_dim;
      into.maximum[row] = updated[i];
      if (before[i] == kMinusInfinity) {
        std::memcpy(weights, new_weights, 16 * sizeof(float));
        std::memcpy(sums, new_sums, head_dim * sizeof(float));
        continue;
      }
      const Lanes kept = broadcast(keep[i]), taken = broadcast(take[i]);
      store(weights, fma(load(new_weights), taken, mul(load(weights), kept)));
      for (int d = 0; d < head_dim; d += 16)
        store(sums + d, fma(load(new_sums + d), taken, mul(load(sums + d), kept)));
    }
  }
}

void add_sink(int row, int head_dim, Partial part, float score) {
  const float before = part.maximum[row], updated = before > score ? before : score;
  const Lanes keep = exp(broadcast(before - updated)), joined = exp(broadcast(score - updated));
  float *weights = part.weights + row * 16, *sums = part.sums + static_cast<int64_t>(row) * head_dim;
  store(weights, add(mul(load(weights), keep), keep_range(joined, 0, 1, 0.0f)));
  for (int d = 0; d < head_dim; d += 16) store(sums + d, mul(load(sums + d), keep));
  part.maximum[row] = updated;
}

void finish(int row, int head_dim, Partial part, float* out) {
  const Lanes total = broadcast(reduce_sum(load(part.weights + row * 16)));
  const float* sums = part.sums + static_cast<int64_t>(row) * head_dim;
  for (int d = 0; d < head_dim; d += 16) store(out + d, div(load(sums + d), total));
}

}  // namespace myna::MYNA_ISA
