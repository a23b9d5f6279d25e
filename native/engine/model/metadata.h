#pragma once
// A file's metadata as the numbers of a model, checked. What would change the arithmetic and isn't known is
// refused by name.
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "model/family.h"

namespace myna {

// The integer at `key`; throws CorruptFile if it is missing or out of bounds.
int64_t bounded(const gguf::Model& file, const std::string& key, int64_t least, int64_t most);
int64_t bounded_or(const gguf::Model& file, const std::string& key, int64_t otherwise, int64_t most);
// A finite number of at least `least`; throws CorruptFile.
double number_or(const gguf::Model& file, const std::string& key, double otherwise, double least);

// Those of the layers, of which `windowed` are; equal unless the family's may differ.
std::vector<Heads> read_heads(const gguf::Model& file, const Family& family, const Dimensions& dimensions,
                              const std::vector<bool>& windowed);
std::vector<int64_t> read_feed_forward(const gguf::Model& file, const Family& family,
                                       const Dimensions& dimensions);
Dimensions read_dimensions(const gguf::Model& file, const Family& family);
// Which layers are recurrent: all that have no keys and values.
std::vector<bool> recurrent_layers(const gguf::Model& file, const Family& family, int num_layers);
RecurrentSizes read_recurrent_sizes(const gguf::Model& file, const Family& family);
// Which layers have a window: by the metadata at `key`, a number n for all but every n-th or one truth value
// per layer, or as for the number `otherwise`.
std::vector<bool> windowed_layers(const gguf::Model& file, const std::string& key, int otherwise,
                                  int num_layers);
std::span<const char* const> recurrent_keys(Recurrence recurrence);
LatentSizes read_latent(const gguf::Model& file, const Family& family, const Dimensions& dimensions);
Routing read_routing(const gguf::Model& file, const Family& family);
float read_epsilon(const gguf::Model& file, const Family& family);
// Throws UnsupportedModel, naming the key, for metadata of the architecture that the engine neither honours
// nor can ignore.
void refuse_unknown_keys(const gguf::Model& file, const Family& family);

// The names, without the architecture, that are honoured for a family.
std::vector<std::string> honoured_keys(const Family& family);

}  // namespace myna
