// Matrix products at the shapes and formats of the catalog's models, compared with short probes of this
// machine's limits in the same run: `bench_kernels [threads] [format] [rows]`.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "cpu/kernels.h"
#include "pool/pool.h"
#include "weights.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace myna::bench {
namespace {

// With one thread, processor time: other processes then have little influence.
struct Clock {
  using time_point = std::chrono::duration<double>;
  static inline bool is_cpu_time = false;
  static time_point now() {
    timespec t{};
    clock_gettime(is_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return time_point(static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9);
  }
};

double seconds_since(Clock::time_point from) { return (Clock::now() - from).count(); }

// The best of several runs of fn, in seconds per call.
template <class Fn>
double best_of(int runs, double least_s, Fn fn) {
  double best = 1e9;
  for (int run = 0; run < runs; ++run) {
    const auto start = Clock::now();
    int calls = 0;
    do {
      fn();
      ++calls;
    } while (seconds_since(start) < least_s);
    best = std::min(best, seconds_since(start) / calls);
  }
  return best;
}

#if defined(__x86_64__)
// Twelve independent accumulators; written out, since compilers spill arrays of them.
constexpr int kDotSteps = 8000, kDotsAStep = 12;
__attribute__((target("avx512f,avx512vnni,avx512bw"))) int dot_pass(int salt) {
  const __m512i a = _mm512_set1_epi8(static_cast<char>(salt)), b = _mm512_set1_epi8(3);
  for (int i = 0; i < kDotSteps; ++i) {
    asm volatile(
        "vpdpbusd %0, %1, %%zmm20\n vpdpbusd %0, %1, %%zmm21\n vpdpbusd %0, %1, %%zmm22\n"
        "vpdpbusd %0, %1, %%zmm23\n vpdpbusd %0, %1, %%zmm24\n vpdpbusd %0, %1, %%zmm25\n"
        "vpdpbusd %0, %1, %%zmm26\n vpdpbusd %0, %1, %%zmm27\n vpdpbusd %0, %1, %%zmm28\n"
        "vpdpbusd %0, %1, %%zmm29\n vpdpbusd %0, %1, %%zmm30\n vpdpbusd %0, %1, %%zmm31\n"
        :
        : "v"(a), "v"(b)
        : "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26", "zmm27", "zmm28", "zmm29", "zmm30",
          "zmm31");
  }
  return salt;
}

__attribute__((target("avx512f"))) long read_pass(const std::uint8_t* p, std::size_t bytes) {
  __m512i s[4] = {};
  for (std::size_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) s[j] = _mm512_xor_si512(s[j], _mm512_load_si512(p + i + 64 * j));
    _mm_prefetch(reinterpret_cast<const char*>(p + i + 4096), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(p + i + 4160), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(p + i + 4224), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(p + i + 4288), _MM_HINT_T0);
  }
  return _mm512_reduce_add_epi64(
      _mm512_xor_si512(_mm512_xor_si512(s[0], s[1]), _mm512_xor_si512(s[2], s[3])));
}
#endif

struct Limits {
  double gops = 0, bytes_per_s = 0;
};

volatile long sink;

Limits probe(ThreadPool& pool, const std::uint8_t* memory, std::size_t bytes) {
  Limits out;
#if defined(__x86_64__)
  if (std::strncmp(kernels().name, "avx512", 6) != 0 && std::strcmp(kernels().name, "amx") != 0) return out;
  const int n = pool.num_threads();
  const double dot_s = best_of(5, 0.05, [&] {
    pool.parallel_for(n * 4, [&](std::int64_t c, int) { sink = dot_pass(static_cast<int>(c)); });
  });
  out.gops = 4.0 * n * kDotSteps * kDotsAStep * 64 * 2 / dot_s / 1e9;
  const std::size_t piece = std::size_t{256} << 10;
  const double read_s = best_of(5, 0.1, [&] {
    pool.parallel_for(static_cast<std::int64_t>(bytes / piece), [&](std::int64_t c, int) {
      sink = read_pass(memory + static_cast<std::size_t>(c) * piece, piece);
    });
  });
  out.bytes_per_s = static_cast<double>(bytes / piece * piece) / read_s;
#endif
  return out;
}

struct Shape {
  const char* model;
  TensorType type;
  std::int64_t outputs, inputs;
  int copies;  // the number of such matrices, streamed in turn so that no cache holds them
};

constexpr Shape kShapes[] = {
    {"0.5b gate", TensorType::Q5_0, 4864, 896, 24},     {"0.5b down", TensorType::Q6_K, 896, 4864, 24},
    {"0.5b down", TensorType::Q4_K, 896, 4864, 24},     {"0.5b q", TensorType::Q5_0, 896, 896, 96},
    {"0.5b output", TensorType::Q8_0, 151936, 896, 1},  {"smollm2 gate", TensorType::Q4_1, 1536, 576, 150},
    {"smollm2 down", TensorType::Q4_1, 576, 1536, 150}, {"1.5b gate", TensorType::Q4_K, 8960, 1536, 12},
    {"1.5b down", TensorType::Q6_K, 1536, 8960, 12},    {"1.5b down", TensorType::Q4_K, 1536, 8960, 12},
    {"4 bit", TensorType::Q4_0, 4864, 896, 32},         {"5 bit", TensorType::Q5_1, 4864, 896, 24},
    {"5 bit", TensorType::Q5_K, 1536, 8960, 12},        {"half", TensorType::F16, 4864, 896, 12},
    {"bfloat", TensorType::BF16, 4864, 896, 12},        {"float", TensorType::F32, 4864, 896, 6},
};
constexpr int kRows[] = {1, 2, 4, 8, 16, 32, 128, 256, 512};

// One block of random weights, repeated: the values don't influence the time.
std::vector<std::uint8_t> some_weights(const Shape& s) {
  test::Random random(1);
  const auto inputs = (s.inputs + geometry(s.type).block_values - 1) / geometry(s.type).block_values *
                      geometry(s.type).block_values;
  return test::random_weights(s.type, s.outputs, inputs, random);
}

void run(ThreadPool& pool, const Shape& s, int only_rows) {
  const std::int64_t unit = geometry(s.type).block_values;
  const std::int64_t inputs = (s.inputs + unit - 1) / unit * unit;
  const auto bytes = some_weights(s);
  WeightArena arena;
  std::vector<Matrix> copies;
  const auto start = Clock::now();
  const int num_copies = std::getenv("CACHED") != nullptr ? 1 : s.copies;
  for (int i = 0; i < num_copies; ++i)
    copies.push_back(pack(arena, s.type, s.outputs, inputs, bytes.data(), &pool));
  const double pack_s = seconds_since(start);
  const std::size_t total = copies[0].packed_bytes() * static_cast<std::size_t>(s.copies);
  std::uint8_t* memory = arena.allocate(total);
  std::memset(memory, 1, total);
  const Limits limits = probe(pool, memory, total);
  std::printf("%-13s %-4s %6ld x %5ld: pack %4.2f GB/s; peak %5.0f GOPS, %5.1f GB/s\n", s.model,
              geometry(s.type).name, static_cast<long>(s.outputs), static_cast<long>(inputs),
              static_cast<double>(bytes.size()) * num_copies / pack_s / 1e9, limits.gops,
              limits.bytes_per_s / 1e9);
  test::Random random(2);
  for (const int rows : kRows) {
    if (only_rows != 0 && rows != only_rows) continue;
    if (s.outputs > 100000 && rows > 128) continue;
    const auto x = test::random_rows(rows, inputs, random);
    Activations a;
    quantize(pool, kernels().kind_for(s.type), x.data(), inputs, rows, inputs, a);
    std::vector<float> out(static_cast<std::size_t>(rows * s.outputs));
    std::size_t turn = 0;
    const double each_s = best_of(5, 0.03, [&] {
      const Product product{&copies[turn++ % copies.size()], out.data(), s.outputs};
      matmul(pool, a, {&product, 1});
    });
    const double quantize_s = best_of(
        3, 0.005, [&] { quantize(pool, kernels().kind_for(s.type), x.data(), inputs, rows, inputs, a); });
    const double gops = 2.0 * rows * static_cast<double>(s.outputs * inputs) / each_s / 1e9;
    const double read = static_cast<double>(copies[0].packed_bytes()) / each_s;
    std::printf("  rows %3d: %8.1f us (quantise %6.1f)  %6.0f GOPS %3.0f %%   %6.1f GB/s %3.0f %%\n", rows,
                each_s * 1e6, quantize_s * 1e6, gops, limits.gops > 0 ? gops / limits.gops * 100 : 0,
                read / 1e9, limits.bytes_per_s > 0 ? read / limits.bytes_per_s * 100 : 0);
  }
}

// The cost of an empty fork and join.
void run_pool(ThreadPool& pool) {
  const double s = best_of(5, 0.02, [&] { pool.parallel_for(4, [](std::int64_t, int) {}); });
  std::printf("%s, %d threads; fork and join %.2f us\n", kernels().name, pool.num_threads(), s * 1e6);
}

}  // namespace
}  // namespace myna::bench

int main(int argc, char** argv) {
  using namespace myna;
  ThreadPool pool(argc > 1 ? std::atoi(argv[1]) : usable_threads());
  const std::string format = argc > 2 ? argv[2] : "all";
  bench::Clock::is_cpu_time = pool.num_threads() == 1;
  bench::run_pool(pool);
  for (const auto& shape : bench::kShapes)
    if (format == "all" || format == geometry(shape.type).name)
      bench::run(pool, shape, argc > 3 ? std::atoi(argv[3]) : 0);
}
