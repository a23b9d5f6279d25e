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

// One key/value head of one layer. Keys are [block][head_dim][16 positions], values [block][16][head_dim], in
// half precision.
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

// The result of one part, or of several merged ones: out = sums / reduce(weights). `maximum` is -inf if a row
// has seen no position.
struct Partial {
  float* sums;     // [num_rows][head_dim]
  float* weights;  // [num_rows][16]
  float* maximum;  // [num_rows]
};

// Scratch memory of one thread, in floats.
constexpr int64_t attention_scratch_floats(int head_dim) {
  return 2ll * kSegmentTokens * head_dim + 8ll * kSegmentTokens;
}

}  // namespace myna
