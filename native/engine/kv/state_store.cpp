#include "kv/state_store.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>

namespace myna {

void StateStore::Unmap::operator()(float* memory) const { ::munmap(memory, bytes); }

StateStore::StateStore(const StateShape& shape) : shape_(shape), stride_((shape.floats + 15) / 16 * 16) {
  if (shape.num_slots < 2 * shape.max_sequences || shape.max_sequences < 1)
    throw std::invalid_argument("there are too few states for the sequences");
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(shape.num_slots),
                             static_cast<size_t>(stride_) * sizeof(float), &bytes))
    throw std::bad_alloc();
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = {static_cast<float*>(memory), Unmap{bytes}};
  sequences_.resize(static_cast<size_t>(shape.max_sequences));
  references_.resize(static_cast<size_t>(shape.num_slots));
  last_use_.resize(static_cast<size_t>(shape.num_slots));
}

// First every sequence gets its last state, for which there is always a slot: no sequence has more than two
// that this pass reads or writes. What is left serves the grid.
void StateStore::extend(std::span<const Extension> extensions, const std::vector<bool>& can_be_undone) {
  ++clock_;
  for (const Extension& extension : extensions) {
    Sequence& sequence = at(extension.sequence);
    forget_undo(sequence);
    if (!sequence.kept.empty()) last_use_[static_cast<size_t>(sequence.kept.back().slot)] = clock_;
  }
  for (size_t i = 0; i < extensions.size(); ++i) {
    const auto [index, start, count] = extensions[i];
    std::vector<Kept>& kept = at(index).kept;
    const bool is_replaced = !kept.empty() && start % shape_.grid != 0 && !can_be_undone[i] &&
                             references_[static_cast<size_t>(kept.back().slot)] == 1;
    if (is_replaced)
      kept.back().position = start + count;
    else
      kept.push_back({start + count, take()});
  }
  for (const auto& [index, start, count] : extensions) keep_on_grid(at(index), start);
}

// A state that isn't on the grid is only kept until its sequence goes on.
void StateStore::forget_undo(Sequence& sequence) {
  for (size_t i = 0; i + 1 < sequence.kept.size();) {
    const auto [position, slot] = sequence.kept[i];
    if (position % shape_.grid == 0) {
      ++i;
      continue;
    }
    release(slot);
    sequence.kept.erase(sequence.kept.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

// Adds what fits of the states within the extension that ends with the last one, and lists its segments.
void StateStore::keep_on_grid(Sequence& sequence, int64_t start) {
  const Kept last = sequence.kept.back();
  const bool is_replaced =
      sequence.kept.size() < 2 || sequence.kept[sequence.kept.size() - 2].position != start;
  const float* from = nullptr;
  if (start > 0) from = memory_of(is_replaced ? last.slot : sequence.kept[sequence.kept.size() - 2].slot);
  sequence.kept.pop_back();
  sequence.segments.clear();
  int64_t begin = start;
  for (int64_t end = (start / shape_.grid + 1) * shape_.grid; end < last.position; end += shape_.grid) {
    const int slot = take();
    if (slot < 0) break;
    sequence.kept.push_back({end, slot});
    sequence.segments.push_back({begin, end, from, memory_of(slot)});
    from = memory_of(slot);
    begin = end;
  }
  sequence.kept.push_back(last);
  sequence.segments.push_back({begin, last.position, from, memory_of(last.slot)});
}

int64_t StateStore::reusable(int sequence, int64_t num_tokens) const {
  int64_t found = 0;
  for (const Kept& kept : at(sequence).kept)
    if (kept.position <= num_tokens) found = kept.position;
  return found;
}

void StateStore::fork(int source, int target, int64_t num_tokens) {
  if (reusable(source, num_tokens) != num_tokens)
    throw std::invalid_argument("sequence " + std::to_string(source) + " has no state after " +
                                std::to_string(num_tokens) + " tokens");
  for (const Kept& kept : at(source).kept) {
    if (kept.position > num_tokens) break;
    at(target).kept.push_back(kept);
    ++references_[static_cast<size_t>(kept.slot)];
    last_use_[static_cast<size_t>(kept.slot)] = clock_;
  }
}

void StateStore::trim(int sequence, int64_t num_tokens) {
  std::vector<Kept>& kept = at(sequence).kept;
  if (reusable(sequence, num_tokens) != num_tokens)
    throw std::invalid_argument("sequence " + std::to_string(sequence) + " has no state after " +
                                std::to_string(num_tokens) + " tokens");
  for (; !kept.empty() && kept.back().position > num_tokens; kept.pop_back()) release(kept.back().slot);
}

// A slot for a new state, or -1 if all are the last of a sequence or in use by this call of extend.
int StateStore::take() {
  int slot;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else if (num_touched_ < shape_.num_slots) {
    slot = num_touched_++;
  } else {
    slot = least_recently_used();
    if (slot < 0) return slot;
    for (Sequence& sequence : sequences_)
      std::erase_if(sequence.kept, [&](const Kept& kept) { return kept.slot == slot; });
  }
  references_[static_cast<size_t>(slot)] = 1;
  last_use_[static_cast<size_t>(slot)] = clock_;
  return slot;
}

int StateStore::least_recently_used() const {
  std::vector<bool> is_needed(references_.size());
  for (const Sequence& sequence : sequences_)
    if (!sequence.kept.empty()) is_needed[static_cast<size_t>(sequence.kept.back().slot)] = true;
  int found = -1;
  for (size_t slot = 0; slot < references_.size(); ++slot) {
    if (is_needed[slot] || last_use_[slot] == clock_) continue;
    if (found < 0 || last_use_[slot] < last_use_[static_cast<size_t>(found)]) found = static_cast<int>(slot);
  }
  return found;
}

void StateStore::release(int slot) {
  if (--references_[static_cast<size_t>(slot)] == 0) free_.push_back(slot);
}

}  // namespace myna
