// Kernels for AVX-512 with VNNI.
#include "kernels/avx512vnni.h"

#include "kernels/tables.h"

namespace myna {

extern const KernelTable kAvx512Vnni{"avx512vnni", Activations::Kind::kInt8, prepare_rows<Avx512Vnni>,
                                     matmul_with<Avx512Vnni>};

}  // namespace myna
