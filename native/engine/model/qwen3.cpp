// Qwen 3: no biases, norms over each query and key head.
#include "model/architectures.h"

namespace myna {

void build_qwen3(Build& build) {
  build.add_plain_layers();
  build.add_query_key_norms();
  build.model.ropes.push_back(build.rope(true, build.rope_base(), build.rope_linear_factor()));
}

}  // namespace myna
