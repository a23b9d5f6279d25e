#pragma once
// Sixteen float lanes on every instruction set, so that all have the same summation order and give the same
// bits. Only for translation units that define MYNA_ISA, the namespace that keeps their code separate.
#include <cstdint>
#include <cstring>

#ifndef MYNA_ISA
#error "define MYNA_ISA before including lanes.h"
#endif

#if defined(__AVX512F__)
#include "cpu/avx512/lanes.h"
#elif defined(__AVX2__)
#include "cpu/avx2/lanes.h"
#elif defined(__aarch64__)
#include "cpu/neon/lanes.h"
#else
#include "cpu/portable/lanes.h"
#endif

namespace myna::MYNA_ISA {

// e^x to 2 units in the last place for x in [-87.3, 88.3]; 0 below, the value at 88.3 above. Cody-Waite
// reduction by ln 2 and a polynomial of degree 6 (Cephes' coefficients).
inline Lanes exp(Lanes x) {
  const Lanes low = broadcast(-87.3f);
  const Lanes clamped = min(max(x, low), broadcast(88.3f));
  const Lanes n = round(mul(clamped, broadcast(1.44269504088896341f)));
  Lanes r = fma(n, broadcast(-0.693359375f), clamped);
  r = fma(n, broadcast(2.12194440e-4f), r);
  Lanes p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = add(fma(p, mul(r, r), r), broadcast(1.0f));
  return zero_below(mul(p, power_of_two(n)), x, low);
}

// x / (1 + e^-t): SiLU for t = x.
inline Lanes times_sigmoid(Lanes x, Lanes t) {
  return div(x, add(broadcast(1.0f), exp(sub(broadcast(0.0f), t))));
}

// The tanh form of GELU: x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 x^3)).
inline Lanes gelu_by_tanh(Lanes x) {
  const Lanes inner = mul(x, fma(mul(x, x), broadcast(0.044715f), broadcast(1.0f)));
  return times_sigmoid(x, mul(inner, broadcast(1.59576912160573f)));
}

// tanh(x), off by at most 2^-23 whatever its size.
inline Lanes tanh(Lanes x) {
  const Lanes one = broadcast(1.0f), twice = exp(add(x, x));
  return sub(one, div(broadcast(2.0f), add(twice, one)));
}

}  // namespace myna::MYNA_ISA
