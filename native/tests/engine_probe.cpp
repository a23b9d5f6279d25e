// Runs a model file and prints a hash of all logits, so that two builds of the engine can be compared to the
// last bit: engine_probe MODEL [THREADS].
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "engine.h"

namespace myna::test {
namespace {

// FNV-1a over the bytes.
std::uint64_t mix(std::uint64_t hash, const float* values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    for (int byte = 0; byte < 4; ++byte) hash = (hash ^ (bits >> 8 * byte & 0xff)) * 0x100000001b3ull;
  }
  return hash;
}

// A prompt in two chunks and a decode, together with another sequence.
std::uint64_t run(const char* path, int threads) {
  Engine engine(path, EngineOptions{512, 64 << 20, threads, 4});
  const auto vocabulary = engine.model().dimensions.vocabulary;
  std::mt19937 random(7);
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < 332; ++i)
    tokens.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(vocabulary)));
  std::uint64_t hash = 0xcbf29ce484222325ull;
  const auto step = [&](std::vector<Span> batch) {
    const std::int64_t rows = engine.forward(batch);
    hash = mix(hash, engine.logits()->get(), rows * vocabulary);
  };
  step({{0, tokens.data(), 290, 0, 280}});
  step({{0, tokens.data() + 290, 40, 290, 0}, {1, tokens.data(), 5, 0, 4}});
  step({{0, tokens.data() + 330, 1, 330, 0}, {1, tokens.data() + 5, 1, 5, 0}});
  return hash;
}

}  // namespace
}  // namespace myna::test

int main(int count, char** arguments) {
  if (count < 2) return 2;
  const auto hash = myna::test::run(arguments[1], count > 2 ? std::atoi(arguments[2]) : 2);
  std::printf("%016llx %s\n", static_cast<unsigned long long>(hash), myna::kernels().name);
}
