#define WIDTH 8
#include "kernels_impl.h"

namespace myna::sampling {
const Kernels kAvx2 = {"avx2", scan, exp_sum, exp_into, copy_allowed};
}
