// Kernels for AVX2 with FMA.
#include "cpu/avx2/matmul.h"

#include "cpu/tables.h"

namespace myna {

extern const KernelTable kAvx2{"avx2", Activations::Kind::kInt8, prepare_rows<Avx2<false>>,
                               matmul_with<Avx2<false>>};

}  // namespace myna
