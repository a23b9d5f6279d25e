// Splits the work of one step into chunks for a pool's threads.
#include <algorithm>

#include "cpu/grouped.h"
#include "pool/pool.h"

namespace myna {
namespace {

// A chunk takes some 10 to 50 microseconds: long compared to taking it from the counter, short compared to a
// step.
constexpr std::int64_t kChunkBytes = 96 << 10;     // of weights to read, if there are few rows
constexpr std::int64_t kChunkProducts = 16 << 20;  // of multiplications, if there are many rows
constexpr std::int64_t kTilesAreFaster = 4;        // by this factor: tiles of bfloat16

std::int64_t chunk_panels(const Matrix& m, std::int64_t rows) {
  const std::int64_t by_bytes =
      kChunkBytes / static_cast<std::int64_t>(std::max<std::size_t>(m.panel_bytes, 1));
  const bool by_tiles = kernels().kind_for(m.type) == Activations::Kind::kBfloat;
  const std::int64_t by_products = kChunkProducts * (by_tiles ? kTilesAreFaster : 1) /
                                   std::max<std::int64_t>(kPanelRows * m.cols * rows, 1);
  const std::int64_t panels = std::max<std::int64_t>(std::min(by_bytes, by_products), 1);
  return (panels + 1) / 2 * 2;  // kernels process two panels at a time
}

struct Part {
  GroupedProduct product;
  std::int64_t first_chunk, panels;
};

class Parts {
 public:
  explicit Parts(std::size_t count) { parts_.reserve(count); }

  void add(const GroupedProduct& product) {
    const std::int64_t panels = chunk_panels(*product.weights, product.row_end - product.row_begin);
    parts_.push_back({product, num_chunks_, panels});
    num_chunks_ += (product.weights->num_panels() + panels - 1) / panels;
  }

  void run(ThreadPool& pool, const Activations& x) const {
    const auto fn = kernels().matmul;
    pool.parallel_for(num_chunks_, [&](std::int64_t chunk, int) {
      const auto after = std::upper_bound(parts_.begin(), parts_.end(), chunk,
                                          [](std::int64_t c, const Part& p) { return c < p.first_chunk; });
      const Part& part = *std::prev(after);
      const GroupedProduct& p = part.product;
      const std::int64_t begin = (chunk - part.first_chunk) * part.panels;
      const std::int64_t end = std::min(p.weights->num_panels(), begin + part.panels);
      const Activations rows = x.group(p.row_begin, p.row_end);
      fn(*p.weights, rows, 0, rows.rows(), begin, end, p.out + p.row_begin * p.stride, p.stride);
    });
  }

 private:
  std::vector<Part> parts_;
  std::int64_t num_chunks_ = 0;
};

}  // namespace

void quantize(ThreadPool& pool, Activations::Kind kind, const float* src, std::ptrdiff_t stride,
              std::int64_t rows, std::int64_t cols, Activations& out) {
  out.resize(kind, rows, cols);
  const auto fn = kernels().quantize;
  // Whole groups of rows, so that no two threads write to the same cache line.
  const std::int64_t chunk = 16 * std::max<std::int64_t>(1, (2 << 10) / std::max<std::int64_t>(cols, 1));
  pool.parallel_for((rows + chunk - 1) / chunk, [&](std::int64_t c, int) {
    fn(src, stride, c * chunk, std::min(rows, (c + 1) * chunk), out);
  });
}

void matmul(ThreadPool& pool, const Activations& x, std::span<const Product> products) {
  if (x.rows() == 0) return;
  Parts parts(products.size());
  for (const Product& p : products) parts.add({p.weights, 0, x.rows(), p.out, p.stride});
  parts.run(pool, x);
}

void matmul(ThreadPool& pool, const Activations& x, const GatedProduct& product) {
  if (x.rows() == 0) return;
  const Matrix& m = *product.up;
  const std::int64_t panels = (chunk_panels(m, 2 * x.rows()) + 1) / 2 * 2;  // whole blocks of outputs
  const auto fn = kernels().matmul_gated;
  pool.parallel_for((m.num_panels() + panels - 1) / panels, [&](std::int64_t chunk, int) {
    fn(product, x, 0, x.rows(), chunk * panels, std::min(m.num_panels(), (chunk + 1) * panels));
  });
}

void matmul(ThreadPool& pool, const Activations& x, std::span<const GroupedProduct> products) {
  Parts parts(products.size());
  for (const GroupedProduct& p : products)
    if (p.row_begin < p.row_end) parts.add(p);
  parts.run(pool, x);
}

}  // namespace myna
