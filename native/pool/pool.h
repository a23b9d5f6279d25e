// The engine's thread pool: work in small chunks, taken from shared counters. Knows nothing about the work.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace myna {

// The number of cores that this process may use: its affinity, limited by its cgroup's quota; at least 1.
int usable_threads();

// `num_threads` threads work, including the caller. A preempted thread delays the others only if it holds a
// chunk. Idle threads spin for a few dozen microseconds, then sleep. parallel_for must be called from one
// thread at a time and can't be nested.
class ThreadPool {
 public:
  // Throws std::runtime_error if the system can't start that many threads; none is left running then.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(parts_.size()); }

  // Calls fn(chunk, thread) once for each chunk in [0, num_chunks), in any order; returns when all are done.
  // Each thread first takes the chunks of its own part in order, so that it can prefetch for the next one,
  // and then helps others. fn must not throw.
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
  // Runs the chunks of the thread's own part, then of all others, until none is left.
  void work(std::uint32_t epoch, int thread);
  // Runs chunks of one part until none is left; returns how many.
  std::uint32_t work_on(int part, std::uint32_t epoch, int thread);
  void worker(int thread);
  // The first chunk of a part; for the part after the last, the number of chunks.
  std::int64_t begin_of(int part, std::int64_t num_chunks) const { return part * num_chunks / num_threads(); }

  // One part per thread. The epoch (high half) and the remaining chunks (low half) share one word, so that a
  // thread that wakes up late can't take a chunk of a later run.
  struct alignas(64) Part {
    std::atomic<std::uint64_t> tickets{0};
  };
  std::vector<Part> parts_;
  // Written by the caller, read by all threads.
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
