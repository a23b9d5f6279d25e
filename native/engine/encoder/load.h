#pragma once
// An encoder from a file: the rows of load.cpp's table say how, each architecture's part is one function.
#include <memory>
#include <string>
#include <vector>

#include "encoder/encoder.h"
#include "gguf/gguf.h"
#include "model/weights.h"
#include "pool/pool.h"

namespace myna {

// Throws CorruptFile or UnsupportedModel. The result refers to `file`, which must outlive it.
std::unique_ptr<Encoder> load_encoder(const gguf::Model& file, ThreadPool& pool);

// The architectures that load_encoder knows.
std::vector<std::string> encoder_architectures();

}  // namespace myna
