#pragma once
// The functions of one instruction set's namespace, in the order of VectorTable, for a type of cache.
#define MYNA_VECTOR_TABLE(isa, type) \
  {isa::rms_norm,                    \
   isa::layer_norm,                  \
   isa::add_to,                      \
   isa::scale_by,                    \
   isa::soft_cap,                    \
   isa::silu_multiply,               \
   isa::gelu_multiply,               \
   isa::relu_multiply,               \
   isa::clipped_silu_multiply,       \
   isa::gelu,                        \
   isa::rotate_halves,               \
   isa::rotate_pairs,                \
   isa::store_kv<type>,              \
   isa::attend<type>,                \
   isa::merge,                       \
   isa::add_sink,                    \
   isa::finish,                      \
   isa::multiply_by,                 \
   isa::silu,                        \
   isa::sigmoid_multiply,            \
   isa::convolve,                    \
   isa::update_state<false>,         \
   isa::update_state<true>,          \
   isa::add_scaled,                  \
   isa::sparsify}

// Tables for all types of caches.
#define MYNA_VECTOR_TABLES(isa) \
  {MYNA_VECTOR_TABLE(isa, CacheType::kFloat16), MYNA_VECTOR_TABLE(isa, CacheType::kQ8)}
