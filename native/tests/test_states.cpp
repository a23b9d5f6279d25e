// Random extensions, forks and trims of the store of states, in which a state is a checksum of all tokens
// before it: whatever is shared, kept or evicted, each segment starts from that of its own sequence.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "kv/state_store.h"

namespace myna::test {
namespace {

constexpr int kSequences = 5;
constexpr int64_t kGrid = 8;

using Tokens = std::vector<std::vector<int>>;

float add(float checksum, int token) {
  return static_cast<float>((static_cast<int64_t>(checksum) * 31 + token) % 65521);
}

float checksum(const std::vector<int>& tokens, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum = add(sum, tokens[static_cast<size_t>(i)]);
  return sum;
}

void run_segments(StateStore& store, int sequence, const std::vector<int>& tokens, int64_t start) {
  int64_t expected = start;
  for (const StateStore::Segment& segment : store.segments(sequence)) {
    CHECK(segment.begin == expected && segment.begin < segment.end);
    CHECK((segment.from == nullptr) == (segment.begin == 0));
    float sum = segment.from == nullptr ? 0.0f : segment.from[0];
    CHECK(sum == checksum(tokens, segment.begin));
    for (int64_t i = segment.begin; i < segment.end; ++i) sum = add(sum, tokens[static_cast<size_t>(i)]);
    segment.to[0] = sum;
    expected = segment.end;
  }
  CHECK(expected == std::ssize(tokens));
}

void extend_some(StateStore& store, Tokens& tokens, std::mt19937_64& random) {
  std::vector<Extension> extensions;
  std::vector<bool> can_be_undone;
  for (int s = 0; s < kSequences; ++s) {
    if (random() % 2 == 0) continue;
    auto& own = tokens[static_cast<size_t>(s)];
    extensions.push_back({s, std::ssize(own), 1 + static_cast<int64_t>(random() % 20)});
    can_be_undone.push_back(random() % 3 == 0);
    for (int64_t i = 0; i < extensions.back().count; ++i) own.push_back(static_cast<int>(random() % 1000));
  }
  store.extend(extensions, can_be_undone);
  for (size_t i = 0; i < extensions.size(); ++i) {
    const auto [sequence, start, count] = extensions[i];
    run_segments(store, sequence, tokens[static_cast<size_t>(sequence)], start);
    CHECK(store.reusable(sequence, start + count) == start + count);
    if (can_be_undone[i]) CHECK(store.reusable(sequence, start) == start);
  }
}

void random_histories(int num_slots) {
  std::mt19937_64 random(seed());
  StateStore store({3, num_slots, kSequences, kGrid});
  Tokens tokens(kSequences);
  for (int step = 0; step < 20000; ++step) {
    const int a = static_cast<int>(random() % kSequences), b = static_cast<int>(random() % kSequences);
    auto &from = tokens[static_cast<size_t>(a)], &to = tokens[static_cast<size_t>(b)];
    const int64_t kept = store.reusable(a, static_cast<int64_t>(random() % (from.size() + 1)));
    switch (random() % 4) {
      case 0:
        if (a == b) break;
        store.trim(b, 0);
        store.fork(a, b, kept);
        to.assign(from.begin(), from.begin() + kept);
        break;
      case 1:
        store.trim(a, kept);
        from.resize(static_cast<size_t>(kept));
        break;
      default:
        extend_some(store, tokens, random);
    }
    if (std::ssize(from) > 300) {
      store.trim(a, 0);
      from.clear();
    }
  }
}

void with_room_all_of_the_grid_is_kept() {
  StateStore store({3, 100, kSequences, kGrid});
  store.extend(std::vector<Extension>{{0, 0, 50}}, {false});
  for (int64_t n = 0; n <= 50; ++n) CHECK(store.reusable(0, n) == (n == 50 ? 50 : n / kGrid * kGrid));
  for (int64_t n = 50; n < 90; ++n) store.extend(std::vector<Extension>{{0, n, 1}}, {false});
  for (int64_t n = 0; n < 90; ++n) CHECK(store.reusable(0, n) == n / kGrid * kGrid);
}

void what_has_no_state_is_refused() {
  StateStore store({3, 100, kSequences, kGrid});
  store.extend(std::vector<Extension>{{0, 0, 20}}, {false});
  for (const bool is_fork : {false, true}) {
    bool is_refused = false;
    try {
      is_fork ? store.fork(0, 1, 17) : store.trim(0, 17);
    } catch (const std::invalid_argument&) {
      is_refused = true;
    }
    CHECK(is_refused);
  }
}

}  // namespace
}  // namespace myna::test

int main() {
  for (const int num_slots : {2 * myna::test::kSequences, 17, 200}) myna::test::random_histories(num_slots);
  myna::test::with_room_all_of_the_grid_is_kept();
  myna::test::what_has_no_state_is_refused();
  return 0;
}
