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
// Panels that many rows are multiplied by at a time, in tiles: a thread reads the rows' activations into its
// second-level cache for each chunk.
constexpr std::int64_t kManyRows = 65, kMostPanels = 28;

std::int64_t round_up(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }

// An even number, since kernels process two panels at a time; of each of `num_matrices` like `m`.
std::int64_t chunk_panels(const Matrix& m, std::int64_t rows, int num_threads, int num_matrices = 1) {
  const bool by_tiles = kernels().kind_for(m.type) == Activations::Kind::kBfloat;
  if (by_tiles && rows >= kManyRows) {
    const std::int64_t most = kMostPanels / num_matrices;
    const std::int64_t num_chunks = round_up((m.num_panels() + most - 1) / most, num_threads);
    return round_up((m.num_panels() + num_chunks - 1) / num_chunks, 2);
  }
  const std::int64_t by_bytes =
      kChunkBytes / static_cast<std::int64_t>(std::max<std::size_t>(m.panel_bytes, 1));
  const std::int64_t by_products = kChunkProducts * (by_tiles ? kTilesAreFaster : 1) /
                                   std::max<std::int64_t>(kPanelRows * m.cols * rows * num_matrices, 1);
  const std::int64_t panels = std::max<std::int64_t>(std::min(by_bytes, by_products), 1);
  return round_up(panels, 2);
}

struct Part {
  GroupedProduct product;
  std::int64_t first_chunk, panels;
};

class Parts {
 public:
  Parts(ThreadPool& pool, std::size_t count) : pool_(pool) { parts_.reserve(count); }

  void add(const GroupedProduct& product) {
    const std::int64_t panels =
        chunk_panels(*product.weights, product.row_end - product.row_begin, pool_.num_threads());
    parts_.push_back({product, num_chunks_, panels});
    num_chunks_ += (product.weights->num_panels() + panels - 1) / panels;
  }

  void run(const Activations& x) const {
    const auto fn = kernels().matmul;
    pool_.parallel_for(num_chunks_, [&](std::int64_t chunk, int) {
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
  ThreadPool& pool_;
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
  Parts parts(pool, products.size());
  for (const Product& p : products) parts.add({p.weights, 0, x.rows(), p.out, p.stride});
  parts.run(x);
}

void matmul(ThreadPool& pool, const Activations& x, const GatedProduct& product) {
  if (x.rows() == 0) return;
  const Matrix& m = *product.up;
  const std::int64_t panels = chunk_panels(m, x.rows(), pool.num_threads(), 2);  // whole blocks of outputs
  const auto fn = kernels().matmul_gated;
  pool.parallel_for((m.num_panels() + panels - 1) / panels, [&](std::int64_t chunk, int) {
    fn(product, x, 0, x.rows(), chunk * panels, std::min(m.num_panels(), (chunk + 1) * panels));
  });
}

void matmul(ThreadPool& pool, const Activations& x, std::span<const GroupedProduct> products) {
  Parts parts(pool, products.size());
  for (const GroupedProduct& p : products)
    if (p.row_begin < p.row_end) parts.add(p);
  parts.run(x);
}

}  // namespace myna
