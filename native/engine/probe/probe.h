#pragma once
// What this machine can do at most, measured for a moment: reading memory, and products as the kernels do
// them.
#include "pool/pool.h"

namespace myna {

struct Limits {
  double bytes_per_s;  // read once, all threads together, from more than caches hold
  double ops_per_s;    // a multiplication and an addition are two; 0 where no probe knows the processor
};

// Takes about `seconds` for each of the two. Throws std::bad_alloc.
Limits probe(ThreadPool& pool, double seconds);

}  // namespace myna
