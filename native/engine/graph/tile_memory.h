#pragma once
// What each thread computes the attention of a tile in: two partial results, the packed queries, and the
// kernel's own memory.
#include <algorithm>
#include <cstdint>

#include "attention/attention.h"
#include "graph/buffer.h"
#include "model/model.h"

namespace myna {

// A work item of attention reads keys and values once for all of its queries. With few, more items can be
// computed at the same time; the results of the most fit into the second-level cache.
constexpr int64_t kFewFloats = 6144, kMostFloats = 32768;

inline int64_t queries_of(const Heads& heads, int64_t floats) {
  return std::max<int64_t>(1, floats / heads.dim / heads.group());
}

// The queries of each item, where there are so many for all key/value heads: each thread gets several items,
// since those of a prompt's end take longer than those of its start.
inline int64_t queries_per_item(const Heads& heads, int64_t num_queries, int num_threads) {
  return std::clamp<int64_t>(num_queries / (8ll * num_threads), queries_of(heads, kFewFloats),
                             queries_of(heads, kMostFloats));
}

class TileMemory {
 public:
  // For layers with such heads, besides others; what was in the memory is lost.
  void reserve(const Heads& heads, int num_threads) {
    use(heads);
    const int64_t floats =
        2 * partial_floats(num_rows_) + num_rows_ * dim_ + attention_scratch_floats(dim_, num_rows_);
    thread_floats_ = std::max(thread_floats_, (floats + 63) / 64 * 64);
    memory_.reserve(static_cast<size_t>(thread_floats_ * num_threads));
  }
  // The heads of the tiles from now on.
  void use(const Heads& heads) {
    dim_ = heads.dim;
    few_queries_ = queries_of(heads, kFewFloats);
    few_rows_ = padded_rows(few_queries_ * heads.group());
    num_rows_ = padded_rows(queries_of(heads, kMostFloats) * heads.group());
  }

  // Of items whose results are kept until all are there.
  int64_t few_queries() const { return few_queries_; }
  int64_t few_partial_floats() const { return partial_floats(few_rows_); }
  Partial few_partial_at(float* base) const { return partial_at(base, few_rows_); }
  Partial partial(int thread, int which) const {
    return partial_at(of(thread) + which * partial_floats(num_rows_), num_rows_);
  }
  float* queries(int thread) const { return of(thread) + 2 * partial_floats(num_rows_); }
  float* kernel(int thread) const { return queries(thread) + num_rows_ * dim_; }

 private:
  float* of(int thread) const { return memory_.get() + thread * thread_floats_; }
  int64_t partial_floats(int64_t num_rows) const { return num_rows * (dim_ + 32ll); }
  Partial partial_at(float* base, int64_t num_rows) const {
    return {base, base + num_rows * dim_, base + num_rows * (dim_ + 16ll)};
  }

  Buffer<float> memory_;
  int dim_ = 0;
  int64_t few_queries_ = 0, few_rows_ = 0, num_rows_ = 0, thread_floats_ = 0;
};

}  // namespace myna
