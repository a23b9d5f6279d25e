#pragma once
// Products of several matrices with different rows of the same activations: mixtures of experts, whose rows
// are grouped by expert. A row's bits are those that it would have alone. Rows are stored in these groups
// (Activations::group): of a few rows within a tile of many, each block would be in the same few places of a
// cache.
#include <span>

#include "cpu/kernels.h"

namespace myna {

struct GroupedProduct {
  const Matrix* weights;
  std::int64_t row_begin, row_end;
  float* out;  // of row 0
  std::ptrdiff_t stride;
};

// All of them in one fork and join.
void matmul(ThreadPool& pool, const Activations& x, std::span<const GroupedProduct> products);

}  // namespace myna
