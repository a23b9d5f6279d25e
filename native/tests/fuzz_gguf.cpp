// A fuzz target over the GGUF reader. With clang: -fsanitize=fuzzer. Elsewhere main() mutates seed files
// itself: fuzz_gguf <seconds> <seed.gguf>...
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include "check.h"
#include "errors.h"
#include "gguf/gguf.h"

namespace myna::test {

using Bytes = std::vector<unsigned char>;

// Copied to memory of exactly this size, so that a sanitizer detects reads past the end.
void parse_once(const unsigned char* data, size_t size) {
  const Bytes copy(data, data + size);
  try {
    const gguf::Header header = gguf::parse(std::as_bytes(std::span(copy)));
    unsigned sum = 0;
    for (const auto& [name, tensor] : header.tensors)
      if (!tensor.data.empty())
        sum += static_cast<unsigned>(tensor.data.front()) + static_cast<unsigned>(tensor.data.back());
    for (const auto& [key, value] : header.metadata)
      if (const auto* text = std::get_if<std::string_view>(&value); text != nullptr && !text->empty())
        sum += static_cast<unsigned>(text->back());
    if (sum == 0xdeadbeef) std::puts("");  // so that the reads happen
  } catch (const CorruptFile&) {
  } catch (const UnsupportedModel&) {
  }
}

Bytes mutated(const Bytes& seed, std::mt19937_64& random) {
  static constexpr std::uint64_t kEdges[] = {0,          1,          2,          0x7f,  0xff,
                                             0x7fffffff, 0xffffffff, 1ull << 63, ~0ull, ~0ull - 31};
  Bytes bytes = seed;
  const auto header = std::min<size_t>(bytes.size(), 4096);
  for (std::uint64_t n = 1 + random() % 6; n > 0 && bytes.size() > 16; --n) {
    const size_t at = random() % std::min(header, bytes.size() - 8);
    switch (random() % 6) {
      case 0:
        bytes[at] = static_cast<unsigned char>(random());
        break;
      case 1:
        bytes[at] ^= static_cast<unsigned char>(1u << random() % 8);
        break;
      case 2:
        std::memcpy(&bytes[at], &kEdges[random() % std::size(kEdges)], random() % 2 != 0 ? 4 : 8);
        break;
      case 3:
        bytes.resize(at + random() % (bytes.size() - at));
        break;
      case 4:
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      default: {
        const size_t from = random() % (bytes.size() - 8), count = 1 + random() % 32;
        const Bytes piece(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                          bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), from + count)));
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
      }
    }
  }
  return bytes;
}

}  // namespace myna::test

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  myna::test::parse_once(data, size);
  return 0;
}

#ifndef MYNA_LIBFUZZER
int main(int count, char** arguments) {
  using namespace myna::test;
  const auto seconds = std::chrono::seconds(count > 1 ? std::atol(arguments[1]) : 1);
  std::vector<Bytes> seeds;
  for (int i = 2; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    Bytes bytes(1 << 16);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<size_t>(file.gcount()));
    seeds.push_back(std::move(bytes));
  }
  // One tensor of 32 floats and one string, by hand, so that the target needs no file.
  seeds.push_back([] {
    Bytes bytes = {'G', 'G', 'U', 'F', 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    const auto number = [&](std::uint64_t value, int width) {
      for (int i = 0; i < width; ++i) bytes.push_back(static_cast<unsigned char>(value >> 8 * i));
    };
    number(1, 8), number('k', 1), number(8, 4), number(1, 8), number('v', 1);
    number(1, 8), number('t', 1), number(1, 4), number(32, 8), number(0, 4), number(0, 8);
    bytes.resize((bytes.size() + 31) / 32 * 32 + 128);
    return bytes;
  }());
  std::mt19937_64 random(seed());
  std::uint64_t runs = 0;
  for (const auto end = std::chrono::steady_clock::now() + seconds; std::chrono::steady_clock::now() < end;
       ++runs) {
    const Bytes bytes = mutated(seeds[random() % seeds.size()], random);
    parse_once(bytes.data(), bytes.size());
  }
  std::printf("%llu inputs, nothing found\n", static_cast<unsigned long long>(runs));
  return 0;
}
#endif
