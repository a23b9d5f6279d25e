#include "graph/row_steps.h"

#include <array>

namespace myna {

RowSteps::RowSteps(ThreadPool& pool, Precision precision, CacheType cache_type)
    : pool_(pool), kernels_(kernels()), vectors_(vectors_for(kernels_.name, precision, cache_type)) {}

void RowSteps::resize_inputs(std::span<const Matrix* const> consumers, int64_t num_rows, int64_t columns) {
  has_narrow_inputs_ = has_float_inputs_ = false;
  for (const Matrix* matrix : consumers)
    (is_float(matrix->type) ? has_float_inputs_ : has_narrow_inputs_) = true;
  if (has_narrow_inputs_) narrow_.resize(kernels_.quantised, num_rows, columns);
  if (has_float_inputs_) floats_.resize(Activations::Kind::kFloat, num_rows, columns);
}

void RowSteps::set_inputs(const float* source, int64_t columns, int64_t begin, int64_t end) {
  if (has_narrow_inputs_) kernels_.quantize(source, columns, begin, end, narrow_);
  if (has_float_inputs_) kernels_.quantize(source, columns, begin, end, floats_);
}

void RowSteps::prepare(const float* source, int64_t num_rows, int64_t columns,
                       std::span<const Matrix* const> consumers) {
  resize_inputs(consumers, num_rows, columns);
  for_rows(num_rows, columns, [&](int64_t begin, int64_t end) { set_inputs(source, columns, begin, end); });
}

void RowSteps::multiply(std::span<const Product> products) {
  std::array<Product, 5> kept;
  for (const bool floats : {false, true}) {
    const Activations& inputs = floats ? floats_ : narrow_;
    size_t count = 0;
    for (const Product& product : products) {
      if (is_float(product.weights->type) != floats) continue;
      count_product(*product.weights, inputs.rows());
      kept[count++] = product;
    }
    if (count > 0) matmul(pool_, inputs, std::span(kept).first(count));
  }
}

void RowSteps::count_product(const Matrix& weights, int64_t num_rows) {
  ++work_.products;
  work_.weight_bytes += static_cast<int64_t>(weights.packed_bytes());
  work_.multiply_adds += weights.rows * weights.cols * num_rows;
}

}  // namespace myna
