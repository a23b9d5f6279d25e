// Splits the work of one step into chunks for a pool's threads.
#include <algorithm>

#include "cpu/kernels.h"
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
  const Product* product;
  std::int64_t first_chunk, panels;
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
  const auto fn = kernels().matmul;
  std::vector<Part> parts;
  std::int64_t num_chunks = 0;
  for (const Product& p : products) {
    const std::int64_t panels = chunk_panels(*p.weights, x.rows());
    parts.push_back({&p, num_chunks, panels});
    num_chunks += (p.weights->num_panels() + panels - 1) / panels;
  }
  pool.parallel_for(num_chunks, [&](std::int64_t chunk, int) {
    std::size_t i = parts.size() - 1;
    while (parts[i].first_chunk > chunk) --i;
    const Part& part = parts[i];
    const Matrix& m = *part.product->weights;
    const std::int64_t begin = (chunk - part.first_chunk) * part.panels;
    fn(m, x, 0, x.rows(), begin, std::min(m.num_panels(), begin + part.panels), part.product->out,
       part.product->stride);
  });
}

}  // namespace myna
