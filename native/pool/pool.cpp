#include "pool/pool.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>

namespace myna {
namespace {

// About 20 to 60 microseconds: longer than the gaps within a step, much shorter than a time slice of the
// operating system.
constexpr int kSpins = 1500;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

constexpr std::uint64_t ticket(std::uint32_t epoch, std::uint32_t chunks) {
  return (static_cast<std::uint64_t>(epoch) << 32) | chunks;
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) : parts_(static_cast<std::size_t>(std::max(num_threads, 1))) {
  if (num_threads < 1) throw std::invalid_argument("a thread pool needs at least one thread");
  try {
    workers_.reserve(parts_.size() - 1);
    for (int thread = 1; thread < num_threads; ++thread)
      workers_.emplace_back([this, thread] { worker(thread); });
  } catch (const std::system_error& error) {
    const auto which = std::to_string(workers_.size() + 1) + " of " + std::to_string(num_threads);
    stop();
    throw std::runtime_error("thread " + which + " can't be started: " + error.code().message());
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::run(std::int64_t num_chunks, void* body, Call call) {
  if (num_chunks <= 0) return;
  if (num_chunks >= std::numeric_limits<std::int32_t>::max()) throw std::invalid_argument("too many chunks");
  if (workers_.empty() || num_chunks == 1) {
    for (std::int64_t chunk = 0; chunk < num_chunks; ++chunk) call(body, chunk, 0);
    return;
  }
  body_.store(body, std::memory_order_relaxed);
  call_.store(call, std::memory_order_relaxed);
  num_chunks_.store(num_chunks, std::memory_order_relaxed);
  unfinished_.store(static_cast<std::uint32_t>(num_chunks), std::memory_order_relaxed);
  const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  for (int part = 0; part < num_threads(); ++part) {
    const auto size = begin_of(part + 1, num_chunks) - begin_of(part, num_chunks);
    parts_[static_cast<std::size_t>(part)].tickets.store(ticket(epoch, static_cast<std::uint32_t>(size)),
                                                         std::memory_order_release);
  }
  // Sequentially consistent with the count of sleepers: either they see the new epoch, or we see them asleep.
  epoch_.store(epoch, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) epoch_.notify_all();

  work(epoch, 0);
  for (int spin = 0; spin < kSpins; ++spin) {
    if (unfinished_.load(std::memory_order_acquire) == 0) return;
    relax();
  }
  // Sleeping frees this core for a worker that was preempted on its own.
  for (;;) {
    const std::uint32_t left = unfinished_.load(std::memory_order_acquire);
    if (left == 0) return;
    unfinished_.wait(left, std::memory_order_acquire);
  }
}

void ThreadPool::work(std::uint32_t epoch, int thread) {
  std::uint32_t done = 0;
  for (int part = thread; part < num_threads(); ++part) done += work_on(part, epoch, thread);
  for (int part = 0; part < thread; ++part) done += work_on(part, epoch, thread);
  // Once for all of them: the counter's cache line is usually in another core's cache.
  if (done > 0 && unfinished_.fetch_sub(done, std::memory_order_acq_rel) == done) unfinished_.notify_one();
}

std::uint32_t ThreadPool::work_on(int part, std::uint32_t epoch, int thread) {
  std::atomic<std::uint64_t>& tickets = parts_[static_cast<std::size_t>(part)].tickets;
  std::uint64_t seen = tickets.load(std::memory_order_acquire);
  for (std::uint32_t done = 0;;) {
    const auto left = static_cast<std::uint32_t>(seen);
    if (static_cast<std::uint32_t>(seen >> 32) != epoch || left == 0) return done;
    if (!tickets.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    // We hold a chunk, so the run can't end, nor these change, before we count it as finished.
    const std::int64_t chunk = begin_of(part + 1, num_chunks_.load(std::memory_order_relaxed)) - left;
    call_.load(std::memory_order_relaxed)(body_.load(std::memory_order_relaxed), chunk, thread);
    ++done;
    seen = tickets.load(std::memory_order_acquire);
  }
}

void ThreadPool::worker(int thread) {
  std::uint32_t last = 0;
  for (;;) {
    std::uint32_t epoch = epoch_.load(std::memory_order_acquire);
    for (int spin = 0; epoch == last && spin < kSpins; ++spin) {
      relax();
      epoch = epoch_.load(std::memory_order_acquire);
    }
    if (epoch == last) {
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      epoch_.wait(last, std::memory_order_seq_cst);
      sleepers_.fetch_sub(1, std::memory_order_relaxed);
      continue;
    }
    if (stopping_.load(std::memory_order_acquire)) return;
    last = epoch;
    work(epoch, thread);
  }
}

}  // namespace myna
