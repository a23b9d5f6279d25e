// The engine's threads: work in small chunks taken from shared counters. Knows nothing of what a chunk does.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace myna {

// Cores this process may really use: its affinity, bounded by its cgroup's quota; at least 1.
int usable_threads();

// `num_threads` threads work, the caller being one of them. A thread that is not scheduled (a neighbour took
// its core) delays nobody unless it holds a chunk. Idle threads spin for some tens of microseconds, then
// sleep. parallel_for is called from one thread at a time and doesn't nest.
class ThreadPool {
 public:
  // Throws std::runtime_error where the system can't start that many threads; then none is left running.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(parts_.size()); }

  // fn(chunk, thread) for each chunk in [0, num_chunks), once, in any order; returns when all are done.
  // A thread takes chunks in their order from a part of its own, so that it may fetch ahead what the next one
  // reads; then it helps others with theirs. fn must not throw.
  template <class Fn>
  void parallel_for(std::int64_t num_chunks, Fn&& fn) {
    using Body = std::remove_reference_t<Fn>;
    run(num_chunks, const_cast<void*>(static_cast<const void*>(&fn)),
        [](void* body, std::int64_t chunk, int thread) { (*static_cast<Body*>(body))(chunk, thread); });
  }

 private:
  using Call = void (*)(void* body, std::int64_t chunk, int thread);

  // Ends and joins the workers that were started.
  void stop();
  void run(std::int64_t num_chunks, void* body, Call call);
  // Chunks of the thread's own part, then of all others', until none is left.
  void work(std::uint32_t epoch, int thread);
  // Chunks of one part until none is left; how many.
  std::uint32_t work_on(int part, std::uint32_t epoch, int thread);
  void worker(int thread);
  // The first chunk of a part; that of the part behind the last one is their number.
  std::int64_t begin_of(int part, std::int64_t num_chunks) const { return part * num_chunks / num_threads(); }

  // One part for each thread. The epoch (high half) and the chunks not yet taken (low half) are one word, so
  // that a thread that wakes late can't take a chunk of a later run by mistake.
  struct alignas(64) Part {
    std::atomic<std::uint64_t> tickets{0};
  };
  std::vector<Part> parts_;
  // Written by the caller, read by many.
  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> num_chunks_{0};
  std::atomic<void*> body_{nullptr};
  std::atomic<Call> call_{nullptr};
  alignas(64) std::atomic<std::uint32_t> unfinished_{0};
  alignas(64) std::atomic<std::int32_t> sleepers_{0};
  std::vector<std::thread> workers_;
};

}  // namespace myna
