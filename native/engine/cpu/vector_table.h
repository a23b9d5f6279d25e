#pragma once
// The float operations between the matrix products, one table per instruction set. All give the same bits,
// except that attention in matrix tiles (AMX) rounds differently.
#include <cstdint>

#include "attention/attention.h"

namespace myna {

// Columns of a head's matrix that are updated together and are next to each other in memory: [row][column].
// The last ones of a head are fewer, in groups of sixteen.
constexpr int64_t kStateColumns = 64;

// One position's part in a head's matrix, which becomes decay * matrix + key * change.
struct StateUpdate {
  const float *key, *query;
  float decay, rate;
};

struct VectorTable {
  // out = x / rms(x) * weight over n values.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, float* out, int64_t n);
  // out = (x - mean) / deviation * weight
  void (*layer_norm)(const float* x, const float* weight, float epsilon, float* out, int64_t n);
  void (*add)(float* x, const float* y, int64_t n);
  void (*scale)(float* x, float factor, int64_t n);
  // x = cap * tanh(x / cap)
  void (*soft_cap)(float* x, float cap, int64_t n);
  // gate = activation(gate) * up
  void (*silu_multiply)(float* gate, const float* up, int64_t n);
  void (*gelu_multiply)(float* gate, const float* up, int64_t n);
  void (*relu_multiply)(float* gate, const float* up, int64_t n);  // squares if both are the same
  // gate = (up + 1) * SiLU(1.702 gate) / 1.702, both clipped at 7
  void (*clipped_silu_multiply)(float* gate, const float* up, int64_t n);
  // x = x times the normal distribution's share below x
  void (*gelu)(float* x, int64_t n);
  // Rotates pairs (i, i + half), or (2i, 2i + 1), by angles with the given cosines and sines.
  void (*rotate_halves)(float* x, const float* cosines, const float* sines, int64_t half);
  void (*rotate_pairs)(float* x, const float* cosines, const float* sines, int64_t half);
  // Stores one position's key and value in slot `slot` of a block.
  void (*store_kv)(const float* key, const float* value, int head_dim, int slot, uint16_t* block_keys,
                   uint16_t* block_values);
  // `part` = attention over the positions [part_begin, part_begin + kPartTokens) that each row sees.
  void (*attend)(const QueryRows& rows, int64_t part_begin, Partial part, float* scratch);
  // into = into merged with part, in this order.
  void (*merge)(int num_rows, int head_dim, Partial into, Partial part);
  // A position with that score and no value joins the row.
  void (*add_sink)(int row, int head_dim, Partial part, float score);
  // out row = sums / weight of the row.
  void (*finish)(int row, int head_dim, Partial part, float* out);
  void (*multiply)(float* x, const float* y, int64_t n);
  void (*silu)(float* x, int64_t n);
  // x = x * sigmoid(gate)
  void (*sigmoid_multiply)(float* x, const float* gate, int64_t n);
  // out = sum of taps[t] * (weights + t * stride)
  void (*convolve)(const float* const* taps, int num_taps, const float* weights, int64_t stride, float* out,
                   int64_t n);
  // `to` = the state after one more position, out = query * to, for up to `kStateColumns` columns. The change
  // is rate * value, or rate * (value - decay * key * from).
  void (*add_to_state)(const float* from, float* to, int64_t rows, int64_t columns, const StateUpdate& update,
                       const float* value, float* out);
  void (*correct_state)(const float* from, float* to, int64_t rows, int64_t columns,
                        const StateUpdate& update, const float* value, float* out);
  // x = x + factor * y
  void (*add_scaled)(float* x, const float* y, float factor, int64_t n);
  // x = max(0, x - mean - `deviations` times the standard deviation) over n values.
  void (*sparsify)(float* x, float deviations, int64_t n);
};

// By type of cache.
extern const VectorTable kVectors_portable[2];
#if defined(__x86_64__)
extern const VectorTable kVectors_avx2[2], kVectors_avx512[2], kVectors_amx[2], kVectors_amx_split[2];
#elif defined(__aarch64__)
extern const VectorTable kVectors_neon[2];
#endif

// What attention in matrix tiles may round queries, keys, weights and values to. Other tables have float32
// only.
enum class Precision {
  kFloat,
  kBfloat,       // where they are sums of products of bfloat16 values
  kSplitBfloat,  // also, but keys and queries have components that are far larger than the others
};

// The table for a matrix kernel's instruction set ("amx", "avx512vnni", "avx2vnni", "avx2", "neon", otherwise
// portable).
const VectorTable& vectors_for(const char* kernel_name, Precision precision = Precision::kFloat,
                               CacheType type = CacheType::kFloat16);

}  // namespace myna
