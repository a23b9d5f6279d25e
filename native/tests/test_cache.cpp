// Random forks, trims and extensions of the paged cache, compared with a simple model of its contents.
#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "check.h"
#include "errors.h"
#include "kv/paged_cache.h"

namespace myna::test {
namespace {

constexpr int kSequences = 6, kBlocks = 24;

// The expected contents of each sequence's positions: a number written when the position was computed.
using Contents = std::vector<std::vector<uint16_t>>;

uint16_t* slot(const PagedCache& cache, int sequence, int64_t position) {
  const PagedHead head = cache.head(1, 1);
  const int64_t block = cache.blocks(sequence)[position / kBlockTokens];
  return head.values + block * head.block_stride + position % kBlockTokens * cache.shape().layers[1].head_dim;
}

void expect_contents(const PagedCache& cache, const Contents& contents) {
  for (int s = 0; s < kSequences; ++s) {
    const auto& expected = contents[static_cast<size_t>(s)];
    CHECK(cache.length(s) == std::ssize(expected));
    for (int64_t i = 0; i < std::ssize(expected); ++i)
      CHECK(*slot(cache, s, i) == expected[static_cast<size_t>(i)]);
  }
}

void extend_some(PagedCache& cache, Contents& contents, std::mt19937_64& random, uint16_t& stamp) {
  std::vector<Extension> extensions;
  for (int s = 0; s < kSequences; ++s)
    if (random() % 2 == 0)
      extensions.push_back({s, cache.length(s), 1 + static_cast<int64_t>(random() % 40)});
  const int64_t free = cache.free_blocks();
  try {
    cache.extend(extensions);
  } catch (const OutOfRoom&) {
    CHECK(cache.free_blocks() == free);
    expect_contents(cache, contents);
    return;
  }
  for (const Extension& e : extensions)
    for (int64_t i = e.start; i < e.start + e.count; ++i) {
      contents[static_cast<size_t>(e.sequence)].push_back(++stamp);
      *slot(cache, e.sequence, i) = stamp;
    }
}

void random_histories() {
  std::mt19937_64 random(seed());
  PagedCache cache({{{1, 32}, {2, 16}}, kBlocks, kSequences});
  Contents contents(kSequences);
  uint16_t stamp = 0;
  for (int step = 0; step < 20000; ++step) {
    const int a = static_cast<int>(random() % kSequences), b = static_cast<int>(random() % kSequences);
    auto &from = contents[static_cast<size_t>(a)], &to = contents[static_cast<size_t>(b)];
    const auto kept = static_cast<int64_t>(random() % (from.size() + 1));
    switch (random() % 4) {
      case 0:
        extend_some(cache, contents, random, stamp);
        break;
      case 1:
        cache.free(b);
        to.clear();
        if (a == b) break;
        cache.fork(a, b, kept);
        to.assign(from.begin(), from.begin() + kept);
        break;
      default:
        cache.trim(a, kept);
        from.resize(static_cast<size_t>(kept));
    }
    if (step % 16 == 0) expect_contents(cache, contents);
  }
  for (int s = 0; s < kSequences; ++s) cache.free(s);
  CHECK(cache.free_blocks() == kBlocks);
}

// Preparing memory ends, gives no block away, and changes nothing that is stored.
void prepared_blocks_stay_free() {
  PagedCache cache({{{1, 32}, {2, 16}}, kBlocks, kSequences});
  const Extension first[] = {{0, 0, 20}};
  cache.extend(first);
  for (int64_t i = 0; i < 20; ++i) *slot(cache, 0, i) = static_cast<uint16_t>(i + 1);
  const int64_t free = cache.free_blocks();
  int steps = 0;
  while (cache.prepare_block()) CHECK(++steps <= kBlocks);
  CHECK(steps > 0 && cache.free_blocks() == free);
  for (int64_t i = 0; i < 20; ++i) CHECK(*slot(cache, 0, i) == i + 1);
  const Extension second[] = {{1, 0, free * kBlockTokens}};
  cache.extend(second);
  CHECK(cache.free_blocks() == 0 && !cache.prepare_block());
}

}  // namespace
}  // namespace myna::test

int main() {
  myna::test::random_histories();
  myna::test::prepared_blocks_stay_free();
  return 0;
}
