#pragma once
// What graphs have in common: steps over rows, and products of the rows that were prepared for them.
#include <algorithm>
#include <cstdint>
#include <span>

#include "cpu/kernels.h"
#include "cpu/vector_table.h"
#include "pool/pool.h"

namespace myna {

// The work of steps, counted rather than measured: the same on every machine.
struct Work {
  int64_t products = 0;      // of one matrix with the rows of one slice
  int64_t weight_bytes = 0;  // of the packed matrices, each read once per slice
  int64_t multiply_adds = 0;
  int64_t cache_bytes = 0;  // of keys and values; read once for all sequences that share them
};

class RowSteps {
 public:
  const Work& work() const { return work_; }  // in total

 protected:
  RowSteps(ThreadPool& pool, Precision precision, CacheType cache_type);

  // Makes room for rows of `columns` values, in the forms that the consumers read. `set_inputs` fills rows
  // [begin, end) of them, `prepare` all.
  void resize_inputs(std::span<const Matrix* const> consumers, int64_t num_rows, int64_t columns);
  void set_inputs(const float* source, int64_t columns, int64_t begin, int64_t end);
  void prepare(const float* source, int64_t num_rows, int64_t columns,
               std::span<const Matrix* const> consumers);
  // At most five, of the rows that are prepared.
  void multiply(std::span<const Product> products);
  void count_product(const Matrix& weights, int64_t num_rows);

  static constexpr int64_t kSerialCost =
      16 << 10;  // in values; below it, fork and join cost more than they save
  // Calls function(begin, end) for parts of the rows, on all threads if they cost enough.
  template <typename Function>
  void for_rows(int64_t num_rows, int64_t row_cost, Function&& function, int64_t unit = 1) {
    if (num_rows * row_cost <= kSerialCost) {
      function(0, num_rows);
      return;
    }
    const int64_t chunk = (std::max<int64_t>(1, kSerialCost / 2 / row_cost) + unit - 1) / unit * unit;
    pool_.parallel_for((num_rows + chunk - 1) / chunk, [&](int64_t index, int) {
      function(index * chunk, std::min(num_rows, (index + 1) * chunk));
    });
  }

  ThreadPool& pool_;
  const KernelTable& kernels_;
  const VectorTable& vectors_;
  Activations narrow_, floats_;  // for quantised weights and for float weights
  bool has_narrow_inputs_ = false, has_float_inputs_ = false;
  Work work_;
};

}  // namespace myna
