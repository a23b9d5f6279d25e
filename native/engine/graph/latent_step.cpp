// Attention over latent vectors: queries are projected into their space head by head, and what attention
// reads is projected back. In between, it is attention with one key for all heads.
#include <algorithm>

#include "cpu/grouped.h"
#include "graph/graph.h"

namespace myna {

// out[matrix][row] = matrix * row_of(row, matrix), for all rows of the slice.
void Graph::multiply_each(const std::vector<Matrix>& matrices, const RowOf& row_of, float* out) {
  const Matrix& first = matrices.front();
  const auto count = std::ssize(matrices);
  Activations& ready = is_float(first.type) ? expert_floats_ : expert_narrow_;
  ready.resize(kernels_.kind_for(first.type), count * num_rows_, first.cols);
  const auto prepare = [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      const int64_t matrix = slot / num_rows_, row = slot % num_rows_;
      Activations own = ready.group(matrix * num_rows_, (matrix + 1) * num_rows_);
      kernels_.quantize(row_of(row, matrix), 0, row, row + 1, own);
    }
  };
  for_rows(count * num_rows_, first.cols, prepare, kQuantizedRows);
  std::vector<GroupedProduct> products;
  for (int64_t m = 0; m < count; ++m) {
    const Matrix& weights = matrices[static_cast<size_t>(m)];
    products.push_back({&weights, m * num_rows_, (m + 1) * num_rows_, out, weights.rows});
    count_product(weights, num_rows_);
  }
  matmul(pool_, ready, products);
}

// Fills the queries, the key and the value of each row, and leaves the residual's norm.
void Graph::project_latent(const Layer& layer, const Pending* pending) {
  const LatentSizes& sizes = model_.latent;
  const Latent& latent = layer.latent;
  const int64_t key_width = sizes.rank + sizes.rotated, query_width = layer.heads.num * sizes.query();
  const bool is_low_rank = sizes.query_rank > 0;
  const Matrix* down = is_low_rank ? &latent.query_down : &layer.query;
  const Matrix* consumers[] = {down, &latent.down};
  normalize(pending, layer.attention_norm, consumers);
  float* queries = head_queries_.reserve(static_cast<size_t>(num_rows_ * query_width));
  float* down_rows = is_low_rank ? query_.get() : queries;
  const Product products[] = {{down, down_rows, down->rows}, {&latent.down, value_.get(), key_width}};
  multiply(products);
  if (is_low_rank) {
    for_rows(num_rows_, sizes.query_rank, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        float* x = down_rows + row * sizes.query_rank;
        vectors_.rms_norm(x, latent.query_norm.data(), model_.norm_epsilon, x, sizes.query_rank);
      }
    });
    const Matrix* up[] = {&layer.query};
    quantize(down_rows, sizes.query_rank, up);
    const Product heads[] = {{&layer.query, queries, query_width}};
    multiply(heads);
  }
  const auto query_of = [&](int64_t row, int64_t head) {
    return queries + row * query_width + head * sizes.query();
  };
  float* absorbed = latents_.reserve(static_cast<size_t>(num_rows_ * layer.heads.num * sizes.rank));
  multiply_each(latent.key_up, query_of, absorbed);
  for_rows(num_rows_, layer.heads.query_width(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t head = 0; head < layer.heads.num; ++head) {
        float* query = query_.get() + (row * layer.heads.num + head) * key_width;
        std::copy_n(query_of(row, head) + sizes.plain, sizes.rotated, query);
        std::copy_n(absorbed + (head * num_rows_ + row) * sizes.rank, sizes.rank, query + sizes.rotated);
      }
      const float* found = value_.get() + row * key_width;  // the latent comes first
      float* key = key_.get() + row * key_width;
      vectors_.rms_norm(found, latent.norm.data(), model_.norm_epsilon, key + sizes.rotated, sizes.rank);
      std::copy_n(found + sizes.rank, sizes.rotated, key);
    }
  });
}

// Heads' values from what they have read, in place of the queries.
void Graph::project_back(const Layer& layer) {
  const LatentSizes& sizes = model_.latent;
  const int64_t key_width = sizes.rank + sizes.rotated, num_heads = layer.heads.num;
  float* values = latents_.reserve(static_cast<size_t>(num_rows_ * num_heads * sizes.value));
  const auto read_of = [&](int64_t row, int64_t head) {
    return attended_.get() + (row * num_heads + head) * key_width + sizes.rotated;
  };
  multiply_each(layer.latent.value_up, read_of, values);
  float* joined = head_queries_.reserve(static_cast<size_t>(num_rows_ * num_heads * sizes.value));
  for_rows(num_rows_, num_heads * sizes.value, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t head = 0; head < num_heads; ++head)
        std::copy_n(values + (head * num_rows_ + row) * sizes.value, sizes.value,
                    joined + (row * num_heads + head) * sizes.value);
  });
}

}  // namespace myna
