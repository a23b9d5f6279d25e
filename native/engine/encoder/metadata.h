#pragma once
// A file's metadata as the numbers of an encoder, checked. What would change the arithmetic and isn't known
// is refused by name.
#include "encoder/encoder.h"
#include "gguf/gguf.h"

namespace myna {

// What an architecture's metadata may say.
struct EncoderFamily {
  const char* name;  // "general.architecture"
  bool has_layer_norms = false;
  bool has_rope = false;
  bool has_windows = false;
  bool has_dense = false;
  bool is_causal = false;  // unless the file says otherwise
};

// Fills in everything but layers and tensors. Throws CorruptFile or UnsupportedModel.
void read_metadata(const gguf::Model& file, const EncoderFamily& family, Encoder& model);

}  // namespace myna
