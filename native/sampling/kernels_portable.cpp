#define WIDTH 4
#include "kernels_impl.h"

namespace myna::sampling {
const Kernels kPortable = {"portable", scan, exp_sum, exp_into, copy_allowed};
}
