// Attention over a paged cache, each of this processor's vector tables: `bench_attention [head_dim] [group]`.
// Cycles of processor time for a row and 64 positions, with one thread.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/vector_table.h"
#include "graph/buffer.h"

namespace myna::bench {
namespace {

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Nanoseconds for a row and a segment.
double measure(const VectorTable& table, int head_dim, int group, int queries, int64_t position) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, 1);
  const int64_t length = position + queries, blocks = (length + kBlockTokens - 1) / kBlockTokens;
  const int64_t stride = 2ll * head_dim * kBlockTokens;
  Buffer<uint16_t> memory;  // aligned like the cache
  std::fill_n(memory.reserve(static_cast<size_t>(blocks * stride)), blocks * stride, uint16_t{0});
  std::vector<int32_t> table_of_blocks;
  std::vector<float> key(static_cast<size_t>(head_dim)), value(key);
  for (int64_t i = 0; i < blocks; ++i) table_of_blocks.push_back(static_cast<int32_t>(i));
  for (int64_t t = 0; t < length; ++t) {
    for (auto* row : {&key, &value})
      for (float& x : *row) x = normal(random);
    uint16_t* block = memory.get() + t / kBlockTokens * stride;
    table.store_kv(key.data(), value.data(), head_dim, static_cast<int>(t % kBlockTokens), block,
                   block + stride / 2);
  }
  const int rows = queries * group;
  Buffer<float> packed, sums, weights, maximum, scratch;  // aligned like the graph's
  for (auto* buffer : {&packed, &sums}) buffer->reserve(static_cast<size_t>(padded_rows(rows) * head_dim));
  for (auto* buffer : {&weights, &maximum}) buffer->reserve(static_cast<size_t>(padded_rows(rows) * 16));
  scratch.reserve(static_cast<size_t>(attention_scratch_floats(head_dim, rows)));
  for (int i = 0; i < rows * head_dim; ++i)
    packed.get()[i] = normal(random) / std::sqrt(static_cast<float>(head_dim));
  const QueryRows all{packed.get(),
                      rows,
                      group,
                      head_dim,
                      position,
                      0,
                      table_of_blocks.data(),
                      {memory.get(), memory.get() + stride / 2, stride}};
  const auto run = [&] {
    for (int64_t part = 0; part < length; part += kPartTokens)
      table.attend(all, part, {sums.get(), weights.get(), maximum.get()}, scratch.get());
  };
  double best = 1e9;
  for (int i = 0; i < 7; ++i) {
    const double start = processor_seconds();
    int calls = 0;
    do {
      run();
      ++calls;
    } while (processor_seconds() - start < 0.02);
    best = std::min(best, (processor_seconds() - start) / calls);
  }
  const double segments = static_cast<double>((length + kSegmentTokens - 1) / kSegmentTokens);
  return best * 1e9 / segments / rows;
}

}  // namespace
}  // namespace myna::bench

int main(int argc, char** argv) {
  using namespace myna;
  const int head_dim = argc > 1 ? std::atoi(argv[1]) : 64, group = argc > 2 ? std::atoi(argv[2]) : 7;
  for (const int queries : {1, 2, 4, 6144 / head_dim / group})
    for (const int64_t position : {60, 1000, 8000}) {
      std::printf("%4d rows at %5ld:", queries * group, static_cast<long>(position));
      for (const KernelTable* kernel : runnable_kernels())
        for (const Precision precision : {Precision::kFloat, Precision::kBfloat, Precision::kSplitBfloat}) {
          const VectorTable& table = vectors_for(kernel->name, precision);
          if (precision != Precision::kFloat && &table == &vectors_for(kernel->name)) continue;
          std::printf("  %s%s %.0f ns", kernel->name,
                      precision == Precision::kFloat    ? ""
                      : precision == Precision::kBfloat ? ", bfloat"
                                                        : ", split bfloat",
                      bench::measure(table, head_dim, group, queries, position));
        }
      std::printf("\n");
    }
}
