// The thread pool: every chunk runs once, whatever the number of threads; results are visible to the caller.
#include <atomic>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__linux__) && !defined(MYNA_SANITIZED)
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#endif

#include "check.h"
#include "pool/pool.h"

namespace myna::test {
namespace {

void every_chunk_runs_once() {
  std::mt19937_64 random(seed());
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.num_threads() == threads);
    for (int run = 0; run < 2000; ++run) {
      const auto num_chunks = static_cast<std::int64_t>(random() % 40);
      std::vector<int> counts(static_cast<std::size_t>(num_chunks));  // plain: a race would show
      std::vector<int> by_thread(static_cast<std::size_t>(threads) * 64);
      pool.parallel_for(num_chunks, [&](std::int64_t chunk, int thread) {
        ++counts[static_cast<std::size_t>(chunk)];
        ++by_thread[static_cast<std::size_t>(thread) * 64];
      });
      std::int64_t total = 0;
      for (const int count : by_thread) total += count;
      for (const int count : counts) CHECK(count == 1);
      CHECK(total == num_chunks);
    }
  }
}

// Prefetching relies on it: a thread takes the chunks of a part in ascending order.
void parts_are_taken_in_order() {
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    for (const std::int64_t num_chunks : {1, 2, 7, 60}) {
      std::vector<std::vector<std::int64_t>> taken(static_cast<std::size_t>(threads));
      pool.parallel_for(num_chunks, [&](std::int64_t chunk, int thread) {
        taken[static_cast<std::size_t>(thread)].push_back(chunk);
      });
      for (const auto& chunks : taken) {
        for (int part = 0; part < threads; ++part) {
          std::int64_t last = -1;
          for (const std::int64_t chunk : chunks) {
            if (chunk < part * num_chunks / threads || chunk >= (part + 1) * num_chunks / threads) continue;
            CHECK(chunk > last);
            last = chunk;
          }
        }
      }
    }
  }
}

// Runs with pauses between them, so that workers fall asleep in every state.
void sleepers_wake() {
  ThreadPool pool(4);
  std::mt19937_64 random(seed() + 1);
  for (int run = 0; run < 200; ++run) {
    std::atomic<int> done{0};
    pool.parallel_for(8, [&](std::int64_t, int) { done.fetch_add(1, std::memory_order_relaxed); });
    CHECK(done.load() == 8);
    std::atomic<unsigned> idle{0};
    for (unsigned spin = static_cast<unsigned>(random() % 200000); idle.load() < spin;) idle.fetch_add(1);
  }
}

void pools_come_and_go() {
  for (int i = 0; i < 200; ++i) {
    ThreadPool pool(1 + i % 5);
    if (i % 3 == 0) continue;
    int sum = 0;
    pool.parallel_for(1, [&](std::int64_t, int) { sum = 7; });
    CHECK(sum == 7);
  }
}

void usable_threads_are_counted() {
  CHECK(usable_threads() >= 1);
  CHECK(usable_threads() <= static_cast<int>(std::thread::hardware_concurrency()));
}

// Sanitizers reserve more address space than any limit allows.
void a_thread_that_cannot_start_is_an_error() {
#if defined(__linux__) && !defined(MYNA_SANITIZED)
  constexpr rlim_t kStackBytes = rlim_t{256} << 20;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  CHECK(pthread_setattr_default_np(&attributes) == 0);
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before;
  getrlimit(RLIMIT_AS, &before);
  const rlimit three_stacks{pages * 4096 + kStackBytes * 7 / 2, before.rlim_max};
  CHECK(setrlimit(RLIMIT_AS, &three_stacks) == 0);
  void* eight_stacks = mmap(nullptr, kStackBytes * 8, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (eight_stacks != MAP_FAILED) {  // qemu ignores the limit
    munmap(eight_stacks, kStackBytes * 8);
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    return;
  }
  std::string message;
  try {
    ThreadPool pool(8);
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  CHECK(message.find("of 8 can't be started") != std::string::npos, message);
  CHECK(setrlimit(RLIMIT_AS, &before) == 0);
  ThreadPool pool(8);
  std::atomic<int> done{0};
  pool.parallel_for(8, [&](std::int64_t, int) { done.fetch_add(1); });
  CHECK(done.load() == 8);
#endif
}

}  // namespace
}  // namespace myna::test

int main() {
  using namespace myna::test;
  every_chunk_runs_once();
  parts_are_taken_in_order();
  sleepers_wake();
  pools_come_and_go();
  usable_threads_are_counted();
  a_thread_that_cannot_start_is_an_error();
  std::puts("ok");
}
