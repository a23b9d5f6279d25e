// The kernel tables of this build; dispatch.cpp decides which of them the processor supports.
#pragma once

#include "cpu/kernels.h"

namespace myna {

extern const KernelTable kPortable;
#if defined(__x86_64__)
extern const KernelTable kAvx2;
extern const KernelTable kAvx2Vnni;
extern const KernelTable kAvx512Vnni;
extern const KernelTable kAmx;
#elif defined(__aarch64__)
extern const KernelTable kNeon;
#endif

}  // namespace myna
