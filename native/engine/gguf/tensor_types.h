#pragma once
// ggml's tensor types, known at compile time: what a file's lengths are checked with, and which of them the
// kernels may ask for.
#include <cstdint>

namespace myna::gguf {

// `block_bytes` bytes hold `block_values` values of a row.
struct TensorTypeTraits {
  uint32_t type;  // ggml's number
  const char* name;
  uint32_t block_values, block_bytes;
};

inline constexpr TensorTypeTraits kTensorTypes[] = {
#define TENSOR_TYPE(number, name, block_values, block_bytes) {number, #name, block_values, block_bytes},
#include "ggml_types.def"
#undef TENSOR_TYPE
};

// Null for a number that the table lacks.
constexpr const TensorTypeTraits* traits_of(uint32_t type) {
  for (const TensorTypeTraits& traits : kTensorTypes)
    if (traits.type == type) return &traits;
  return nullptr;
}

}  // namespace myna::gguf
