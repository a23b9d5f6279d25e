// myna._sampling: reads and fills arrays. Checks every index before any row is read.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "pool/pool.h"
#include "sampler.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace myna::sampling {
namespace {

template <typename T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
// Rows may be strided; the numbers of a row must be contiguous.
using Logits = nb::ndarray<const float, nb::ndim<2>, nb::device::cpu>;

std::vector<const Kernels*> available() {
  std::vector<const Kernels*> tables;
#ifdef MYNA_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    tables.push_back(&kAvx512);
  if (__builtin_cpu_supports("avx2")) tables.push_back(&kAvx2);
#endif
  tables.push_back(&kPortable);
  return tables;
}

const Kernels& kernels_named(const std::string& name) {
  for (const Kernels* table : available())
    if (name.empty() || name == table->name) return *table;
  throw std::invalid_argument("this machine can't run the instruction set " + name);
}

void require(bool is_right, const char* message) {
  if (!is_right) throw std::invalid_argument(message);
}

template <typename T>
std::span<T> span_of(const Vector<T>& array) {
  return {array.data(), array.size()};
}

void require_tokens(std::span<const int32_t> tokens, int64_t vocab_size, const char* message) {
  for (const int32_t token : tokens) require(token >= 0 && token < vocab_size, message);
}

// Entries of list i are those from offsets[i] to offsets[i + 1]; absent arrays are null.
template <typename T>
struct Ragged {
  const int32_t* offsets = nullptr;
  const int32_t* tokens = nullptr;
  const T* values = nullptr;

  Ragged(const Vector<const int32_t>& offset, const Vector<const int32_t>& token,
         const Vector<const T>& value, size_t num_lists, int64_t vocab_size) {
    if (!offset.is_valid() || !token.is_valid() || !value.is_valid()) return;
    offsets = offset.data(), tokens = token.data(), values = value.data();
    require(offset.size() == num_lists + 1 && token.size() == value.size() && offsets[0] == 0 &&
                static_cast<size_t>(offsets[num_lists]) == token.size(),
            "offsets of counts, prompts or biases don't match their entries");
    for (size_t i = 0; i < num_lists; ++i) require(offsets[i] <= offsets[i + 1], "offsets must not decrease");
    require_tokens(span_of(token), vocab_size, "a count, prompt or bias has a token outside the vocabulary");
  }

  // Of a negative list: none.
  std::span<const int32_t> tokens_of(int64_t list) const {
    if (list < 0) return {};
    return {tokens + offsets[list], static_cast<size_t>(offsets[list + 1] - offsets[list])};
  }
};

int64_t vocab_of(const Logits& logits) {
  require(logits.shape(1) > 0 && (logits.shape(1) == 1 || logits.stride(1) == 1),
          "rows of logits must be non-empty and contiguous");
  return static_cast<int64_t>(logits.shape(1));
}

const float* row_of(const Logits& logits, int64_t row) { return logits.data() + row * logits.stride(0); }

// The output arrays: one entry per draw; `top_*` are as wide as the largest number of log-probabilities.
struct Answers {
  Vector<int32_t> tokens;
  Vector<uint8_t> status;
  Vector<float> logprobs;
  Matrix<int32_t> top_tokens;
  Matrix<float> top_logprobs;

  void check(size_t num_draws) const {
    require(tokens.size() == num_draws && status.size() == num_draws && logprobs.size() == num_draws &&
                top_tokens.shape(0) == num_draws && top_logprobs.shape(0) == num_draws &&
                top_tokens.shape(1) == top_logprobs.shape(1),
            "the output arrays don't match the batch");
  }

  Report report(size_t draw, size_t num_top) const {
    const size_t width = top_tokens.shape(1), count = std::min(num_top, width);
    return {logprobs.data() + draw,
            {top_tokens.data() + draw * width, count},
            {top_logprobs.data() + draw * width, count}};
  }
};

// Threads that last between calls, each with its scratch memory.
class Threads {
 public:
  explicit Threads(int count) : pool_(count), buffers_(static_cast<size_t>(count)) {}

  // Calls fn(index, buffers) for [0, count), and throws what one of them threw.
  template <typename Function>
  void for_each(size_t count, const Function& fn) {
    const std::lock_guard lock(is_used_);
    std::exception_ptr error;
    std::mutex changes_error;
    pool_.parallel_for(static_cast<int64_t>(count), [&](int64_t index, int thread) {
      try {
        fn(static_cast<size_t>(index), buffers_[static_cast<size_t>(thread)]);
      } catch (...) {
        const std::lock_guard own(changes_error);
        error = std::current_exception();
      }
    });
    if (error) std::rethrow_exception(error);
  }

 private:
  ThreadPool pool_;
  std::vector<Buffers> buffers_;
  std::mutex is_used_;
};

// Fewer rows take less time than waking a thread up.
constexpr size_t kRowsForThreads = 4;

template <typename Function>
void for_rows(Threads* threads, size_t count, const Function& fn) {
  if (threads != nullptr && count >= kRowsForThreads) return threads->for_each(count, fn);
  thread_local Buffers buffers;
  for (size_t i = 0; i < count; ++i) fn(i, buffers);
}

void sample(Logits logits, Vector<const int32_t> row, Vector<const float> temperature,
            Vector<const float> top_p, Vector<const int32_t> top_k, Vector<const float> min_p,
            Vector<const float> repetition_penalty, Vector<const float> presence_penalty,
            Vector<const float> frequency_penalty, Vector<const uint64_t> seed, Vector<const uint32_t> choice,
            Vector<const uint32_t> position, Vector<const int32_t> num_logprobs,
            Vector<const int32_t> count_offsets, Vector<const int32_t> count_tokens,
            Vector<const int32_t> count_values, Vector<const int32_t> prompt_offsets,
            Vector<const int32_t> prompt_tokens, Vector<const int32_t> prompt_row,
            Vector<const int32_t> bias_offsets, Vector<const int32_t> bias_tokens,
            Vector<const float> bias_values, Vector<const int32_t> bias_row, Vector<const int32_t> mask_row,
            Matrix<const uint32_t> masks, Vector<int32_t> tokens, Vector<uint8_t> status,
            Vector<float> logprobs, Matrix<int32_t> top_tokens, Matrix<float> top_logprobs,
            const std::string& instruction_set, Threads* threads) {
  const int64_t vocab_size = vocab_of(logits);
  const size_t num_draws = row.size();
  const Kernels& kernels = kernels_named(instruction_set);
  for (const size_t size : {temperature.size(), top_p.size(), top_k.size(), min_p.size(),
                            repetition_penalty.size(), presence_penalty.size(), frequency_penalty.size(),
                            seed.size(), choice.size(), position.size(), num_logprobs.size()})
    require(size == num_draws, "every parameter, temperature to num_logprobs, must be one number per draw");
  for (size_t i = 0; i < num_draws; ++i) {
    require(row(i) >= 0 && static_cast<size_t>(row(i)) < logits.shape(0),
            "a draw's row is not a row of the logits");
    for (const float number : {temperature(i), top_p(i), min_p(i)})
      require(std::isfinite(number) && number >= 0, "temperature, top-p and min-p must be at least 0");
    require(std::isfinite(presence_penalty(i)) && std::isfinite(frequency_penalty(i)),
            "penalties must be finite");
    require(std::isfinite(repetition_penalty(i)) && repetition_penalty(i) > 0,
            "a repetition penalty must be above 0");
  }
  const Ragged<int32_t> counts(count_offsets, count_tokens, count_values, num_draws, vocab_size);
  const auto num_lists = [](const Vector<const int32_t>& offsets) {
    return offsets.is_valid() ? std::max<size_t>(offsets.size(), 1) - 1 : 0;
  };
  const auto check_rows = [&](const Vector<const int32_t>& rows, size_t count) {
    require(rows.is_valid() && rows.size() == num_draws, "prompts and biases need a row for every draw");
    for (const int32_t list : span_of(rows))
      require(list < static_cast<int64_t>(count), "a draw's prompt or bias is not one of the lists");
  };
  const size_t num_prompts = num_lists(prompt_offsets), num_biases = num_lists(bias_offsets);
  // The tokens of prompts have no values.
  const Ragged<int32_t> prompts(prompt_offsets, prompt_tokens, prompt_tokens, num_prompts, vocab_size);
  const Ragged<float> biases(bias_offsets, bias_tokens, bias_values, num_biases, vocab_size);
  if (prompts.offsets != nullptr) check_rows(prompt_row, num_prompts);
  if (biases.offsets != nullptr) {
    check_rows(bias_row, num_biases);
    for (const float bias : span_of(bias_values))
      require(bias < std::numeric_limits<float>::infinity(), "a bias must be below infinity");
  }
  if (masks.is_valid()) {
    require(mask_row.is_valid() && mask_row.size() == num_draws, "masks need a mask_row for every draw");
    require(static_cast<int64_t>(masks.shape(1)) * 32 >= vocab_size,
            "the masks have fewer bits than the vocabulary has tokens");
    for (const int32_t mask : span_of(mask_row))
      require(mask < static_cast<int64_t>(masks.shape(0)), "a draw's mask is not a row of the masks");
  }
  const Answers answers{tokens, status, logprobs, top_tokens, top_logprobs};
  answers.check(num_draws);

  nb::gil_scoped_release release;
  for_rows(threads, num_draws, [&](size_t i, Buffers& buffers) {
    Sampler sampler(kernels, vocab_size, buffers);
    auto& changes = sampler.changes();
    changes.clear();
    if (repetition_penalty(i) != 1.0f) {
      const auto penalise = [&](const auto& lists, int64_t list) {
        for (const int32_t token : lists.tokens_of(list))
          changes.push_back({static_cast<uint32_t>(token), Change::kRepetition, repetition_penalty(i)});
      };
      if (prompts.offsets != nullptr) penalise(prompts, prompt_row(i));
      if (counts.offsets != nullptr) penalise(counts, static_cast<int64_t>(i));
    }
    const auto add = [&](int32_t token, float value) {  // in this order, after the repetition penalty
      changes.push_back({static_cast<uint32_t>(token), static_cast<uint32_t>(changes.size()) + 1, value});
    };
    if (counts.offsets != nullptr)
      for (int32_t at = counts.offsets[i]; at < counts.offsets[i + 1]; ++at)
        if (counts.values[at] > 0)
          add(counts.tokens[at],
              -(static_cast<float>(counts.values[at]) * frequency_penalty(i) + presence_penalty(i)));
    if (biases.offsets != nullptr && bias_row(i) >= 0)
      for (int32_t at = biases.offsets[bias_row(i)]; at < biases.offsets[bias_row(i) + 1]; ++at)
        add(biases.tokens[at], biases.values[at]);
    const bool is_masked = masks.is_valid() && mask_row(i) >= 0;
    const uint32_t* mask =
        is_masked ? masks.data() + static_cast<size_t>(mask_row(i)) * masks.shape(1) : nullptr;
    const Parameters parameters{temperature(i), top_p(i),  min_p(i),   top_k(i),
                                seed(i),        choice(i), position(i)};
    const Report report = answers.report(i, static_cast<size_t>(std::max(num_logprobs(i), 0)));
    const Outcome outcome =
        sampler.draw(row_of(logits, row(i)), mask, parameters, num_logprobs(i) >= 0 ? &report : nullptr);
    answers.tokens(i) = outcome.token;
    answers.status(i) = static_cast<uint8_t>(outcome.status);
  });
}

void score(Logits logits, Vector<const int32_t> targets, Vector<int32_t> tokens, Vector<uint8_t> status,
           Vector<float> logprobs, Matrix<int32_t> top_tokens, Matrix<float> top_logprobs,
           const std::string& instruction_set, Threads* threads) {
  const int64_t vocab_size = vocab_of(logits);
  const Kernels& kernels = kernels_named(instruction_set);
  require(targets.size() == logits.shape(0), "there must be one target for every row of logits");
  require_tokens(span_of(targets), vocab_size, "a target is outside the vocabulary");
  const Answers answers{tokens, status, logprobs, top_tokens, top_logprobs};
  answers.check(targets.size());

  nb::gil_scoped_release release;
  for_rows(threads, targets.size(), [&](size_t i, Buffers& buffers) {
    Sampler sampler(kernels, vocab_size, buffers);
    const Status outcome = sampler.score(row_of(logits, static_cast<int64_t>(i)), targets(i),
                                         answers.report(i, top_tokens.shape(1)));
    answers.status(i) = static_cast<uint8_t>(outcome);
    answers.tokens(i) = outcome == Status::kOk ? targets(i) : -1;
  });
}

}  // namespace
}  // namespace myna::sampling

NB_MODULE(_sampling, module) {
  using namespace myna::sampling;
  module.doc() = "Tokens and log-probabilities from rows of logits; see myna/decoding/sampling.py.";
  module.def("instruction_sets", [] {
    std::vector<std::string> names;
    for (const Kernels* table : available()) names.emplace_back(table->name);
    return names;
  });
  nb::class_<Threads>(module, "Threads").def(nb::init<int>(), "count"_a);
  module.def("sample", &sample, "logits"_a.noconvert(), "row"_a.noconvert(), "temperature"_a.noconvert(),
             "top_p"_a.noconvert(), "top_k"_a.noconvert(), "min_p"_a.noconvert(),
             "repetition_penalty"_a.noconvert(), "presence_penalty"_a.noconvert(),
             "frequency_penalty"_a.noconvert(), "seed"_a.noconvert(), "choice"_a.noconvert(),
             "position"_a.noconvert(), "num_logprobs"_a.noconvert(), "count_offsets"_a.noconvert().none(),
             "count_tokens"_a.noconvert().none(), "count_values"_a.noconvert().none(),
             "prompt_offsets"_a.noconvert().none(), "prompt_tokens"_a.noconvert().none(),
             "prompt_row"_a.noconvert().none(), "bias_offsets"_a.noconvert().none(),
             "bias_tokens"_a.noconvert().none(), "bias_values"_a.noconvert().none(),
             "bias_row"_a.noconvert().none(), "mask_row"_a.noconvert().none(), "masks"_a.noconvert().none(),
             "tokens"_a.noconvert(), "status"_a.noconvert(), "logprobs"_a.noconvert(),
             "top_tokens"_a.noconvert(), "top_logprobs"_a.noconvert(), "instruction_set"_a = "",
             "threads"_a.none() = nb::none());
  module.def("score", &score, "logits"_a.noconvert(), "targets"_a.noconvert(), "tokens"_a.noconvert(),
             "status"_a.noconvert(), "logprobs"_a.noconvert(), "top_tokens"_a.noconvert(),
             "top_logprobs"_a.noconvert(), "instruction_set"_a = "", "threads"_a.none() = nb::none());
}
