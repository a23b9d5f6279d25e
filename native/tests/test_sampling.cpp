// Compares the sampling loops with simple ones in double and every table bit by bit with the others; the
// checksum of draws is the same on any processor.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "philox.h"
#include "sampler.h"

namespace myna::test {
namespace {

using namespace myna::sampling;
using Random = std::mt19937_64;

// Our own arithmetic, since distributions differ between standard libraries.
double unit(Random& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

std::vector<float> random_row(int64_t n, Random& random) {
  std::vector<float> row(static_cast<size_t>(n));
  for (float& value : row) {
    value = static_cast<float>((unit(random) + unit(random) + unit(random) - 1.5) * 16.0);
    if (random() % 17 == 0) value = kNever;
    if (random() % 5 == 0) value = std::nearbyint(value);
  }
  return row;
}

void check_kernels(const Kernels& table, int64_t n, Random& random) {
  const std::string detail = std::string(table.name) + " n " + std::to_string(n);
  const auto row = random_row(n, random);
  const Scan seen = table.scan(row.data(), n);
  CHECK(seen.max == *std::max_element(row.begin(), row.end()) && !seen.is_bad, detail);
  const float peak = seen.max == kNever ? 0.0f : seen.max, scale = 0.5f;
  std::vector<float> weights(row.size());
  table.exp_into(row.data(), n, peak, scale, weights.data());
  double sum = 0.0;
  for (size_t i = 0; i < row.size(); ++i) {
    const double exact = std::exp(static_cast<double>((row[i] - peak) * scale));
    CHECK(std::abs(weights[i] - exact) <= exact * 3e-7 + 1e-37, detail);
    CHECK(row[i] != kNever || weights[i] == 0.0f, detail);
    sum += exact;
  }
  CHECK(std::abs(table.exp_sum(row.data(), n, peak, scale) - sum) <= sum * 1e-6, detail);

  std::vector<uint32_t> words(static_cast<size_t>(n + 31) / 32);
  for (uint32_t& word : words) word = static_cast<uint32_t>(random());
  std::vector<float> allowed(row.size());
  table.copy_allowed(row.data(), n, words.data(), allowed.data());
  for (size_t i = 0; i < row.size(); ++i)
    CHECK(allowed[i] == (words[i / 32] >> (i % 32) & 1 ? row[i] : kNever), detail);

  auto bad = row;
  bad[random() % bad.size()] = random() % 2 ? std::nanf("") : INFINITY;
  CHECK(table.scan(bad.data(), n).is_bad, detail);
}

// All results of a table for random draws, folded into one number.
uint64_t draws_of(const Kernels& table, uint64_t seed) {
  Random random(seed);
  uint64_t checksum = 0;
  Buffers buffers;
  for (int round = 0; round < 200; ++round) {
    const int64_t n = 1 + static_cast<int64_t>(random() % 5000);
    const auto row = random_row(n, random);
    std::vector<uint32_t> words(static_cast<size_t>(n + 31) / 32);
    for (uint32_t& word : words) word = static_cast<uint32_t>(random() | random());
    Sampler sampler(table, n, buffers);
    for (int change = static_cast<int>(random() % 20); change > 0; --change)
      sampler.changes().push_back({static_cast<uint32_t>(random() % static_cast<uint64_t>(n)),
                                   static_cast<uint32_t>(change), random() % 2 ? -100.0f : 1.5f});
    constexpr float kTemperatures[] = {0.0f, 0.5f, 1.0f, 2.0f, 100.0f}, kShares[] = {0.0f, 0.3f, 0.95f, 1.0f};
    const Parameters parameters{kTemperatures[random() % 5],
                                kShares[random() % 4],
                                random() % 3 ? 0.0f : 0.1f,
                                random() % 3 ? 0 : static_cast<int32_t>(random() % 3000),
                                random(),
                                static_cast<uint32_t>(random() % 8),
                                static_cast<uint32_t>(random() % 4096)};
    const Outcome outcome =
        sampler.draw(row.data(), random() % 2 ? words.data() : nullptr, parameters, nullptr);
    CHECK(outcome.token < n && (outcome.token >= 0) == (outcome.status == Status::kOk), table.name);
    checksum = checksum * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(outcome.token + 2);
  }
  return checksum;
}

// Above 1, no token would be left; it means only the most likely one, as 1 does.
void min_p_above_one_keeps_the_likeliest(const Kernels& table) {
  Buffers buffers;
  const std::vector<float> row = {0.5f, 3.0f, -1.0f, 2.9f};
  for (const float min_p : {1.0f, 1.5f, 1e30f}) {
    Sampler sampler(table, 4, buffers);
    float logprob = 0.0f;
    const Report report{&logprob, {}, {}};
    const Outcome outcome = sampler.draw(row.data(), nullptr, {0.8f, 1.0f, min_p, 0, 7, 0, 0}, &report);
    CHECK(outcome.status == Status::kOk && outcome.token == 1, table.name);
    CHECK(logprob < 0.0f, table.name);
  }
}

// A token in the prompt and in the output is penalised once, before other changes.
void repetition_is_penalised_once(const Kernels& table) {
  Buffers buffers;
  const std::vector<float> row = {3.0f, 2.0f, -1.0f, -1.5f};
  const auto greedy = [&](std::vector<Change> changes) {
    Sampler sampler(table, 4, buffers);
    sampler.changes() = std::move(changes);
    return sampler.draw(row.data(), nullptr, {0.0f, 1.0f, 0.0f, 0, 7, 0, 0}, nullptr).token;
  };
  const Change seen{0, Change::kRepetition, 1.25f};
  CHECK(greedy({seen}) == 0, table.name);                       // 2.4 against 2
  CHECK(greedy({{0, 3, -0.3f}, seen, seen}) == 0, table.name);  // 2.1: 1.62 if penalised twice
  CHECK(greedy({{0, 3, -0.5f}, seen, seen}) == 1, table.name);  // 1.9: 2 if penalised after the addition
  const Change below{2, Change::kRepetition, 2.0f};
  const Change off0{0, 1, -INFINITY}, off1{1, 1, -INFINITY};
  CHECK(greedy({off0, off1}) == 2, table.name);
  CHECK(greedy({off0, off1, below}) == 3, table.name);  // -2 against -1.5
}

}  // namespace
}  // namespace myna::test

int main() {
  using namespace myna::test;
  using namespace myna::sampling;
  // Random123's known answer for a counter and a key of zeros, as a fraction.
  CHECK(uniform(0, 0, 0) == static_cast<double>(uint64_t{0xE169C58D6627E8D5} >> 11) * 0x1p-53);

  Random random(seed());
  std::vector<const Kernels*> tables = {&kPortable};
#ifdef MYNA_X86
  if (__builtin_cpu_supports("avx2")) tables.push_back(&kAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    tables.push_back(&kAvx512);
#endif
  const uint64_t fresh = random();
  for (const Kernels* table : tables) {
    for (const int64_t n : {1, 2, 15, 16, 17, 31, 32, 33, 63, 1000, 1024}) check_kernels(*table, n, random);
    min_p_above_one_keeps_the_likeliest(*table);
    repetition_is_penalised_once(*table);
    CHECK(draws_of(*table, fresh) == draws_of(kPortable, fresh), table->name);
    // The same on x86-64 and arm64; it may only change together with the answers to a request and its seed.
    CHECK(draws_of(*table, 20260101) == 2003933737968712771u, table->name);
  }
  std::printf("sampling: %zu tables agree\n", tables.size());
}
