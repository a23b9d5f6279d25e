#define WIDTH 16
#include "kernels_impl.h"

namespace myna::sampling {
const Kernels kAvx512 = {"avx512", scan, exp_sum, exp_into, copy_allowed};
}
