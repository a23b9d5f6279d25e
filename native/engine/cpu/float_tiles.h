// Like tiles.h, for weights that are floats (F32, F16, BF16): one chain of fused multiply-adds per output
// over the inputs in index order.
#pragma once

#include <type_traits>

#include "cpu/tiles.h"

namespace myna {
namespace {

template <class V, TensorType Type>
inline __attribute__((always_inline)) typename V::Float load_weights(const std::uint8_t* p,
                                                                     std::int64_t input) {
  if constexpr (Type == TensorType::F32) {
    return V::load(reinterpret_cast<const float*>(p) + input * kPanelRows);
  } else if constexpr (Type == TensorType::F16) {
    return V::load_half(p + input * kPanelRows * 2);
  } else {
    return V::load_bfloat(p + input * kPanelRows * 2);
  }
}

template <class V, TensorType Type, int P, int T>
void float_tile(const Matrix& m, const Activations& x, std::int64_t row, std::int64_t panel,
                const Output& o) {
  const std::uint8_t* data = m.data + static_cast<std::size_t>(panel) * m.panel_bytes;
  typename V::Float total[T][P];
  MYNA_UNROLL for (int t = 0; t < T; ++t) { MYNA_UNROLL for (int p = 0; p < P; ++p) total[t][p] = V::zero(); }
  for (std::int64_t b = 0; b < m.num_blocks(); ++b) {
    const float* values = x.floats() + x.index(b, row) * kBlock;
    for (std::int64_t k = 0; k < kBlock; ++k) {
      typename V::Float w[P];
      MYNA_UNROLL for (int p = 0; p < P; ++p) w[p] =
          load_weights<V, Type>(data + static_cast<std::size_t>(p) * m.panel_bytes, b * kBlock + k);
      MYNA_UNROLL for (int t = 0; t < T; ++t) {
        const typename V::Float value = V::all(values + t * kBlock + k);
        MYNA_UNROLL for (int p = 0; p < P; ++p) total[t][p] = V::fma(w[p], value, total[t][p]);
      }
    }
  }
  MYNA_UNROLL for (int t = 0; t < T; ++t) {
    MYNA_UNROLL for (int p = 0; p < P; ++p) store<V>(o, row + t, panel + p, total[t][p]);
  }
}

template <class V, TensorType Type, int P>
void float_panels(const Matrix& m, const Activations& x, std::int64_t row_begin, std::int64_t row_end,
                  std::int64_t panel, const Output& o) {
  constexpr int T = V::kFloatTokens;
  for (std::int64_t row = row_begin; row < row_end;) {
    const std::int64_t tile_end = std::min(row_end, (row / kTileRows + 1) * kTileRows);
    for (; row + T <= tile_end; row += T) float_tile<V, Type, P, T>(m, x, row, panel, o);
    for (; row < tile_end; ++row) float_tile<V, Type, P, 1>(m, x, row, panel, o);
  }
}

template <class V, TensorType Type>
void floating(const Matrix& m, const Activations& x, std::int64_t row_begin, std::int64_t row_end,
              std::int64_t panel_begin, std::int64_t panel_end, const Output& o) {
  std::int64_t panel = panel_begin;
  if (row_end - row_begin == 1) {  // one row: more panels at a time, since each is one dependent chain
    constexpr int P = V::kFloatRowPanels;
    for (; panel + P <= panel_end; panel += P) float_tile<V, Type, P, 1>(m, x, row_begin, panel, o);
  }
  constexpr int P = V::kPanels;
  for (; panel + P <= panel_end; panel += P) float_panels<V, Type, P>(m, x, row_begin, row_end, panel, o);
  for (; panel < panel_end; ++panel) float_panels<V, Type, 1>(m, x, row_begin, row_end, panel, o);
}

// Calls function with the layout of a quantised type, as a std::type_identity.
template <class Function>
void with_record(TensorType type, Function&& function) {
  switch (type) {
    case TensorType::Q4_0:
      return function(std::type_identity<layout::RecordQ4_0>{});
    case TensorType::Q4_1:
      return function(std::type_identity<layout::RecordQ4_1>{});
    case TensorType::Q5_0:
      return function(std::type_identity<layout::RecordQ5_0>{});
    case TensorType::Q5_1:
      return function(std::type_identity<layout::RecordQ5_1>{});
    case TensorType::Q8_0:
      return function(std::type_identity<layout::RecordQ8_0>{});
    case TensorType::Q4_K:
      return function(std::type_identity<layout::RecordQ4_K>{});
    case TensorType::Q5_K:
      return function(std::type_identity<layout::RecordQ5_K>{});
    case TensorType::Q6_K:
      return function(std::type_identity<layout::RecordQ6_K>{});
    case TensorType::Q2_K:
      return function(std::type_identity<layout::RecordQ2_K>{});
    case TensorType::Q3_K:
      return function(std::type_identity<layout::RecordQ3_K>{});
    case TensorType::TQ2_0:
      return function(std::type_identity<layout::RecordTQ2_0>{});
    case TensorType::IQ4_NL:
      return function(std::type_identity<layout::RecordIQ4_NL>{});
    case TensorType::NVFP4:
      return function(std::type_identity<layout::RecordNVFP4>{});
    case TensorType::IQ4_XS:
      return function(std::type_identity<layout::RecordIQ4_XS>{});
    case TensorType::IQ2_XS:
      return function(std::type_identity<layout::RecordIQ2_XS>{});
    default:  // packed as one of the above
      return;
  }
}

template <class V>
void matmul_with(const Matrix& m, const Activations& x, std::int64_t row_begin, std::int64_t row_end,
                 std::int64_t panel_begin, std::int64_t panel_end, float* out, std::ptrdiff_t stride) {
  const Output o{out, stride, m.rows};
  const auto go = [&](auto fn) { fn(m, x, row_begin, row_end, panel_begin, panel_end, o); };
  switch (m.type) {
    case TensorType::F32:
      return go(floating<V, TensorType::F32>);
    case TensorType::F16:
      return go(floating<V, TensorType::F16>);
    case TensorType::BF16:
      return go(floating<V, TensorType::BF16>);
    default:
      return with_record(m.type, [&]<class R>(std::type_identity<R>) { go(quantised<V, R>); });
  }
}

}  // namespace
}  // namespace myna
