#pragma once
// What attention over the paged cache computes. Positions are walked in fixed absolute segments; segments of
// a part are folded in order by an online softmax, and parts are merged in order. A row's bits therefore
// depend on its query and on the stored keys and values alone, not on batch, chunking, threads or reuse.
#include <cstdint>

namespace myna {

constexpr int kBlockTokens = 16;    // positions in a KV block
constexpr int kSegmentTokens = 64;  // positions folded at once
constexpr int kSegmentBlocks = kSegmentTokens / kBlockTokens;
constexpr int64_t kPartTokens = 256;  // positions that one work item walks when a long sequence is shared out

// One key/value head of one layer. Keys lie [block][head_dim][16 positions], values [block][16][head_dim], in
// half precision.
struct PagedHead {
  uint16_t* keys;
  uint16_t* values;
  int64_t block_stride;  // halves from one block to the next
};

// Queries that share a key/value head: row r stands at `first_position + r / group`. Scaled by
// 1/sqrt(head_dim) already. `window` 0 sees all earlier positions, else a row sees the last `window` ones,
// its own included.
struct QueryRows {
  const float* queries;  // [num_rows][head_dim]
  int num_rows;
  int group;
  int head_dim;  // a multiple of 16
  int64_t first_position;
  int64_t window;
  const int32_t* blocks;  // the sequence's block table
  PagedHead head;
};

// A part's result, or several parts merged: out = sums / reduce(weights). `maximum` is -inf where nothing has
// been seen.
struct Partial {
  float* sums;     // [num_rows][head_dim]
  float* weights;  // [num_rows][16]
  float* maximum;  // [num_rows]
};

// Scratch of one thread, in floats.
constexpr int64_t attention_scratch_floats(int head_dim) {
  return 2ll * kSegmentTokens * head_dim + 8ll * kSegmentTokens;
}

}  // namespace myna
