// The matrix products of the native engine: weights packed from GGUF bytes, activations quantised per row,
// and the table of kernels chosen for this processor. Knows nothing about models, files or sequences.
//
// Contract: an output's bits only depend on its row of activations and its row of weights, never on the
// number of rows, tiles, panels or threads; nor on the table chosen, except AMX's, which computes differently
// (avx512/matmul_amx.cpp). For quantised weights, all others compute exact integer dot products, and each
// output is one chain of fused multiply-adds over its 32-value blocks in index order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace myna {

class ThreadPool;

// The ids are those of GGUF.
enum class TensorType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ2_XXS = 16,
  IQ2_XS = 17,
  IQ3_XXS = 18,
  IQ1_S = 19,
  IQ4_NL = 20,
  IQ3_S = 21,
  IQ2_S = 22,
  IQ4_XS = 23,
  IQ1_M = 29,
  BF16 = 30,
  TQ1_0 = 34,
  TQ2_0 = 35,
  MXFP4 = 39,
  NVFP4 = 40,
};

inline constexpr std::int64_t kPanelRows = 16;  // outputs of a packed panel
inline constexpr std::int64_t kBlock = 32;      // values that share a scale in quantised activations

// How GGUF stores a type: `block_bytes` bytes hold `block_values` values of a row.
struct BlockGeometry {
  const char* name;
  std::int64_t block_values;
  std::int64_t block_bytes;
};

bool is_supported(std::uint32_t ggml_type);
bool is_float(TensorType type);
BlockGeometry geometry(TensorType type);
// Bytes of a row of `cols` values; throws std::invalid_argument if `cols` isn't whole blocks.
std::size_t row_bytes(TensorType type, std::int64_t cols);
// One row of GGUF bytes to float32, unoptimised: for embeddings, and as the reference in the kernels' tests.
void dequantize_row(TensorType type, const std::uint8_t* src, float* dst, std::int64_t cols);

// Memory for packed weights: zeroed, 64-byte aligned, in large slabs that may use huge pages.
// Not thread-safe. Matrices point into it, so it must outlive them.
class WeightArena {
 public:
  WeightArena();
  ~WeightArena();
  WeightArena(WeightArena&&) noexcept;
  WeightArena& operator=(WeightArena&&) noexcept;
  std::uint8_t* allocate(std::size_t bytes);  // throws std::bad_alloc
  std::size_t allocated_bytes() const { return allocated_; }

 private:
  struct Slab;
  std::vector<Slab> slabs_;
  std::size_t allocated_ = 0;
};

// What the codes of a packed type mean: the integers, also as unsigned with an offset of 128, and a power of
// two that belongs to their scales.
struct Codes {
  alignas(16) std::int8_t integers[16];
  alignas(16) std::uint8_t with_offset[16];
  int exponent;
  float factor;
};

// Weights in panels of 16 output rows, interleaved so that a vector lane is an output. A view into an arena.
struct Matrix {
  TensorType type = TensorType::F32;  // the one as which it is packed: several have the layout of another
  std::int64_t rows = 0;              // outputs
  std::int64_t cols = 0;              // inputs
  std::size_t panel_bytes = 0;
  const std::uint8_t* data = nullptr;
  const Codes* codes = nullptr;  // of types that have some

  std::int64_t num_panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  std::int64_t num_blocks() const { return (cols + kBlock - 1) / kBlock; }
  std::size_t packed_bytes() const { return panel_bytes * static_cast<std::size_t>(num_panels()); }
};

// Packs `rows` rows of GGUF bytes; integers and scales are kept exactly. The last panel is padded with zeros.
// Throws std::invalid_argument if `cols` isn't whole blocks of the type, or a scale has no place in the
// layout.
Matrix pack(WeightArena& arena, TensorType type, std::int64_t rows, std::int64_t cols,
            const std::uint8_t* src, ThreadPool* pool = nullptr);

// Rows of activations, prepared for weights of one kind: for quantised types int8 with a float scale per 32
// values or bfloat16, depending on the kernels; float32 for F32, F16 and BF16. Rows are grouped in tiles of
// 64, or 32 of bfloat16 (the last may be narrower), and a tile is stored by block, then row, so that kernels
// read contiguous memory.
class Activations {
 public:
  enum class Kind { kInt8, kBfloat, kFloat };

  // Allocates memory without keeping its contents. Memory is reused and only grows.
  void resize(Kind kind, std::int64_t rows, std::int64_t cols);
  // Rows [begin, end), in the memory of these, with tiles of their own. Only for rows that are written and
  // read in the same groups.
  Activations group(std::int64_t begin, std::int64_t end) const;

  Kind kind() const { return kind_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  std::int64_t num_blocks() const { return (cols_ + kBlock - 1) / kBlock; }

  std::int64_t tile_rows() const { return kind_ == Kind::kBfloat ? 32 : 64; }
  std::int64_t tile_width(std::int64_t row) const {
    return std::min(tile_rows(), rows_ - row / tile_rows() * tile_rows());
  }
  // The index of a row's block, in blocks; the next row of its tile follows it.
  std::int64_t index(std::int64_t block, std::int64_t row) const {
    return row / tile_rows() * tile_rows() * num_blocks() + block * tile_width(row) + row % tile_rows();
  }

  // [index][32]
  std::int8_t* values() { return values_; }
  const std::int8_t* values() const { return values_; }
  std::uint16_t* bfloats() { return bfloats_; }
  const std::uint16_t* bfloats() const { return bfloats_; }
  float* floats() { return floats_; }
  const float* floats() const { return floats_; }

  // [index]: the scale, the sum of the integers as a float, and the initial value of an accumulator, so that
  // weights stored with an offset (8, 16, 128; 32 for either half of a block) need no correction afterwards.
  enum Field { kScale, kSum, kStart4, kStart5, kStart8, kStart6Low, kStart6High, kNumFields };
  template <class T>
  T* field(Field f) {
    return reinterpret_cast<T*>(fields_ + f * field_stride_);
  }
  template <class T>
  const T* field(Field f) const {
    return reinterpret_cast<const T*>(fields_ + f * field_stride_);
  }

 private:
  struct Free {
    void operator()(void* p) const;
  };
  template <class T>
  struct Buffer {
    T* reserve(std::size_t count);  // aligned to cache lines

    std::unique_ptr<T[], Free> memory;
    std::size_t capacity = 0;
  };

  Kind kind_ = Kind::kInt8;
  std::int64_t rows_ = 0, cols_ = 0, field_stride_ = 0;
  std::int8_t* values_ = nullptr;
  std::uint16_t* bfloats_ = nullptr;
  float* floats_ = nullptr;
  std::int32_t* fields_ = nullptr;
  // Empty in groups.
  Buffer<std::int8_t> values_memory_;
  Buffer<std::uint16_t> bfloats_memory_;
  Buffer<float> floats_memory_;
  Buffer<std::int32_t> fields_memory_;
};

// What a gate's output becomes before the other one is multiplied by it.
enum class Gate { kSilu, kGelu };

// Two quantised matrices with the same type and shape, whose outputs, gated, are the activations of a third.
struct GatedProduct {
  const Matrix *gate, *up;  // with whole blocks of outputs
  Gate function;
  Activations* out;  // already sized
};

// The kernels of one instruction set.
struct KernelTable {
  const char* name;             // the value for MYNA_CPU
  Activations::Kind quantised;  // the form of activations for quantised weights
  // Fills rows [row_begin, row_end) of `out` (already sized) from src + row * stride. A row with an infinity
  // or a NaN in a block gives NaN outputs.
  void (*quantize)(const float* src, std::ptrdiff_t stride, std::int64_t row_begin, std::int64_t row_end,
                   Activations& out);
  // out[row * stride + output] for rows [row_begin, row_end) and the outputs of panels [panel_begin,
  // panel_end).
  void (*matmul)(const Matrix& weights, const Activations& x, std::int64_t row_begin, std::int64_t row_end,
                 std::int64_t panel_begin, std::int64_t panel_end, float* out, std::ptrdiff_t stride);
  // The same bits as two products, the vector table's function and `quantize`, without floats in memory; for
  // panels of whole blocks. Null if the instruction set has none.
  void (*matmul_gated)(const GatedProduct& product, const Activations& x, std::int64_t row_begin,
                       std::int64_t row_end, std::int64_t panel_begin, std::int64_t panel_end) = nullptr;

  Activations::Kind kind_for(TensorType weights) const {
    return is_float(weights) ? Activations::Kind::kFloat : quantised;
  }
};

// The fastest table that this processor supports, or the one that MYNA_CPU names ("int8": the fastest of
// those that give the same bits); throws std::runtime_error if it is unknown or not supported here.
const KernelTable& kernels();
// All supported tables, fastest first (amx, avx512vnni, avx2vnni, avx2, neon, portable).
std::vector<const KernelTable*> runnable_kernels();
const KernelTable& kernels_named(std::string_view name);

// Used by the graph: runs one step on all threads of a pool.
struct Product {
  const Matrix* weights;
  float* out;
  std::ptrdiff_t stride;  // floats from one row of `out` to the next
};
void quantize(ThreadPool& pool, Activations::Kind kind, const float* src, std::ptrdiff_t stride,
              std::int64_t rows, std::int64_t cols, Activations& out);
// Several products of the same activations (query, key and value; gate and up) in one fork and join.
void matmul(ThreadPool& pool, const Activations& x, std::span<const Product> products);
void matmul(ThreadPool& pool, const Activations& x, const GatedProduct& product);

}  // namespace myna
