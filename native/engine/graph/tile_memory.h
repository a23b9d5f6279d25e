#pragma once
// What each thread computes the attention of a tile in: two partial results, the packed queries, and the
// kernel's own memory.
#include <algorithm>
#include <cstdint>

#include "attention/attention.h"
#include "graph/buffer.h"
#include "model/model.h"

namespace myna {

// Of one work item of attention: as many as fit into the CPU cache.
inline int64_t queries_per_tile(const Heads& heads) {
  return std::max<int64_t>(1, 6144 / heads.dim / heads.group());
}

class TileMemory {
 public:
  // For layers with such heads, besides others; what was in the memory is lost.
  void reserve(const Heads& heads, int num_threads) {
    use(heads);
    const int64_t floats =
        2 * partial_floats() + num_rows_ * dim_ + attention_scratch_floats(dim_, num_rows_);
    thread_floats_ = std::max(thread_floats_, (floats + 63) / 64 * 64);
    memory_.reserve(static_cast<size_t>(thread_floats_ * num_threads));
  }
  // The heads of the tiles from now on.
  void use(const Heads& heads) {
    dim_ = heads.dim;
    num_queries_ = queries_per_tile(heads);
    num_rows_ = padded_rows(num_queries_ * heads.group());
  }

  int64_t num_queries() const { return num_queries_; }
  int64_t partial_floats() const { return num_rows_ * (dim_ + 32ll); }
  Partial partial_at(float* base) const {
    return {base, base + num_rows_ * dim_, base + num_rows_ * (dim_ + 16ll)};
  }
  Partial partial(int thread, int which) const { return partial_at(of(thread) + which * partial_floats()); }
  float* queries(int thread) const { return of(thread) + 2 * partial_floats(); }
  float* kernel(int thread) const { return queries(thread) + num_rows_ * dim_; }

 private:
  float* of(int thread) const { return memory_.get() + thread * thread_floats_; }

  Buffer<float> memory_;
  int dim_ = 0;
  int64_t num_queries_ = 0, num_rows_ = 0, thread_floats_ = 0;
};

}  // namespace myna
