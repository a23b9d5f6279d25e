#pragma once
// Briefly measures this machine's limits: memory bandwidth, and products as the kernels compute them.
#include "pool/pool.h"

namespace myna {

struct Limits {
  double bytes_per_s;  // read once, by all threads together, from more than the caches hold
  double ops_per_s;    // a multiplication and an addition are two; 0 if there is no probe for the processor
};

// Takes about `seconds` for each. Throws std::bad_alloc.
Limits probe(ThreadPool& pool, double seconds);

}  // namespace myna
