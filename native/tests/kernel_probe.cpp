// Runs kernels for other programs to check: reads a problem from standard input and writes each step's
// results.   in:  int64 type, outputs, inputs, rows; the weights' GGUF bytes; float32 activations   out:
// float32 weights, dequantised; int8 activations and their float32 scales by row; int64 number of   tables;
// of each table int64 1 if its activations are bfloat16, and its float32 product, rows by outputs
#include <cstdio>
#include <cstdlib>

#include "cpu/kernels.h"

namespace {

void get(void* to, std::size_t bytes) {
  if (std::fread(to, 1, bytes, stdin) != bytes) std::exit(2);
}

template <class T>
void put(const std::vector<T>& values) {
  std::fwrite(values.data(), sizeof(T), values.size(), stdout);
}

}  // namespace

int main() {
  using namespace myna;
  std::int64_t header[4];
  get(header, sizeof header);
  const auto type = static_cast<TensorType>(header[0]);
  const std::int64_t outputs = header[1], inputs = header[2], rows = header[3];
  std::vector<std::uint8_t> bytes(row_bytes(type, inputs) * static_cast<std::size_t>(outputs));
  std::vector<float> x(static_cast<std::size_t>(rows * inputs));
  get(bytes.data(), bytes.size());
  get(x.data(), x.size() * sizeof(float));

  std::vector<float> weights(static_cast<std::size_t>(outputs * inputs));
  for (std::int64_t o = 0; o < outputs; ++o)
    dequantize_row(type, bytes.data() + static_cast<std::size_t>(o) * row_bytes(type, inputs),
                   weights.data() + o * inputs, inputs);
  put(weights);

  Activations a;
  a.resize(Activations::Kind::kInt8, rows, inputs);
  kernels_named("portable").quantize(x.data(), inputs, 0, rows, a);
  std::vector<std::int8_t> values;
  std::vector<float> scales;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t b = 0; b < a.num_blocks(); ++b) {
      const std::int64_t i = a.index(b, r);
      values.insert(values.end(), a.values() + i * kBlock, a.values() + (i + 1) * kBlock);
      scales.push_back(a.field<float>(Activations::kScale)[i]);
    }
  }
  put(values);
  put(scales);

  WeightArena arena;
  const Matrix matrix = pack(arena, type, outputs, inputs, bytes.data());
  const auto tables = runnable_kernels();
  put(std::vector<std::int64_t>{static_cast<std::int64_t>(tables.size())});
  for (const KernelTable* table : tables) {
    a.resize(table->kind_for(type), rows, inputs);
    table->quantize(x.data(), inputs, 0, rows, a);
    std::vector<float> out(static_cast<std::size_t>(rows * outputs));
    table->matmul(matrix, a, 0, rows, 0, matrix.num_panels(), out.data(), outputs);
    put(std::vector<std::int64_t>{a.kind() == Activations::Kind::kBfloat ? 1 : 0});
    put(out);
  }
}
