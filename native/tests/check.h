// Assertions that report where and with which seed they failed.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

namespace myna::test {

// A fresh seed each run; MYNA_TEST_SEED repeats one.
inline std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char* given = std::getenv("MYNA_TEST_SEED");
    const std::uint64_t chosen =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::printf("MYNA_TEST_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    return chosen;
  }();
  return value;
}

inline void check(bool ok, const char* what, const char* file, int line, const std::string& detail = "") {
  if (ok) return;
  std::fprintf(stderr, "%s:%d: failed: %s %s (MYNA_TEST_SEED=%llu)\n", file, line, what, detail.c_str(),
               static_cast<unsigned long long>(seed()));
  std::exit(1);
}

}  // namespace myna::test

#define CHECK(condition, ...) \
  ::myna::test::check((condition), #condition, __FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__)
