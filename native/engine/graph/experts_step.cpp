// The experts of one layer over a slice: every row chooses its own, then rows are grouped by expert, so that
// each expert that anyone chose is read once. The bits of a row don't depend on who else chose its experts.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "cpu/grouped.h"
#include "graph/graph.h"

namespace myna {
namespace {

constexpr double kLeastSum = 6.103515625e-5;  // of weights that are renormalised

// Turns scores into their softmax.
void soften(float* scores, int count) {
  const float largest = *std::max_element(scores, scores + count);
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += std::exp(static_cast<double>(scores[i]) - largest);
  for (int i = 0; i < count; ++i)
    scores[i] = static_cast<float>(std::exp(static_cast<double>(scores[i]) - largest) / sum);
}

// Of the groups, only those whose best two experts add up to the most may be chosen from.
void forbid_other_groups(const Routing& routing, std::vector<float>& ranks) {
  const int size = routing.num_experts / routing.num_groups;
  std::vector<std::pair<float, int>> groups;
  for (int g = 0; g < routing.num_groups; ++g) {
    std::vector<float> members(ranks.begin() + g * size, ranks.begin() + (g + 1) * size);
    std::partial_sort(members.begin(), members.begin() + std::min(2, size), members.end(), std::greater<>());
    groups.emplace_back(size > 1 ? -(members[0] + members[1]) : -members[0], g);
  }
  std::sort(groups.begin(), groups.end());
  for (size_t i = static_cast<size_t>(routing.num_groups_used); i < groups.size(); ++i)
    std::fill_n(ranks.begin() + groups[i].second * size, size, -std::numeric_limits<float>::infinity());
}

}  // namespace

void Graph::choose_experts(const Layer& layer) {
  const Routing& routing = model_.routing;
  float* scores = scores_.reserve(static_cast<size_t>(num_rows_ * routing.num_experts));
  const Product product[] = {{&layer.experts.router, scores, routing.num_experts}};
  multiply(product);
  choices_.resize(static_cast<size_t>(num_rows_ * routing.num_used));
  for_rows(num_rows_, 16ll * routing.num_experts, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      choose_for_row(layer.experts, scores + row * routing.num_experts,
                     choices_.data() + row * routing.num_used);
  });
}

void Graph::choose_for_row(const Experts& experts, float* scores, Choice* chosen) {
  using Scores = Routing::Scores;
  const Routing& routing = model_.routing;
  const int count = routing.num_experts, used = routing.num_used;
  if (!experts.router_bias.empty()) vectors_.add(scores, experts.router_bias.data(), count);
  if (routing.scores == Scores::kSoftmax) soften(scores, count);
  if (routing.scores == Scores::kSigmoid)
    for (int i = 0; i < count; ++i)
      scores[i] = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(scores[i]))));
  std::vector<float> ranks(scores, scores + count);
  if (!experts.choice_bias.empty()) vectors_.add(ranks.data(), experts.choice_bias.data(), count);
  for (float& rank : ranks)  // which must have an order
    if (std::isnan(rank)) rank = -std::numeric_limits<float>::infinity();
  if (routing.num_groups > 1) forbid_other_groups(routing, ranks);
  std::vector<int> order(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) order[static_cast<size_t>(i)] = i;
  std::partial_sort(order.begin(), order.begin() + used, order.end(), [&](int a, int b) {
    const float x = ranks[static_cast<size_t>(a)], y = ranks[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  std::vector<float> weights(static_cast<size_t>(used));
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = scores[order[i]];
  if (routing.scores == Scores::kSoftmaxOfChosen) soften(weights.data(), used);
  double sum = 1;
  if (routing.renormalizes) {
    sum = 0;
    for (const float weight : weights) sum += weight;
    sum = std::max(sum, kLeastSum);
  }
  for (size_t i = 0; i < weights.size(); ++i)
    chosen[i] = {order[i], static_cast<float>(weights[i] / sum) * routing.scale};
}

// Counts, then places: slots of one expert are in the order of their rows.
void Graph::group_by_expert() {
  const int used = model_.routing.num_used;
  groups_.assign(static_cast<size_t>(model_.routing.num_experts), {});
  for (const Choice& choice : choices_) ++groups_[static_cast<size_t>(choice.expert)].end;
  int64_t at = 0;
  for (SlotGroup& group : groups_) {
    const int64_t count = group.end;
    group = {at, at};
    at += count;
  }
  slot_row_.resize(choices_.size());
  slot_of_.resize(choices_.size());
  for (size_t i = 0; i < choices_.size(); ++i) {
    const int64_t slot = groups_[static_cast<size_t>(choices_[i].expert)].end++;
    slot_row_[static_cast<size_t>(slot)] = static_cast<int64_t>(i) / used;
    slot_of_[i] = slot;
  }
}

template <typename Function>
void Graph::for_groups(int64_t begin, int64_t end, Function&& function) const {
  auto group = std::upper_bound(groups_.begin(), groups_.end(), begin,
                                [](int64_t slot, const SlotGroup& one) { return slot < one.end; });
  for (; begin < end; ++group) {
    const int64_t next = std::min(end, group->end);
    if (begin < next) function(static_cast<size_t>(group - groups_.begin()), begin, next);
    begin = next;
  }
}

// The norm of each slot's row, prepared for the experts' matrices.
void Graph::gather_rows(const Experts& experts) {
  const int64_t width = model_.dimensions.embedding, count = std::ssize(slot_row_);
  const Matrix* consumers[] = {experts.gate.empty() ? &experts.up.front() : &experts.gate.front(),
                               &experts.up.front()};
  bool narrow = false, floats = false;
  for (const Matrix* matrix : consumers) (is_float(matrix->type) ? floats : narrow) = true;
  if (narrow) expert_narrow_.resize(kernels_.quantised, count, width);
  if (floats) expert_floats_.resize(Activations::Kind::kFloat, count, width);
  const auto gather = [&](size_t expert, int64_t begin, int64_t end) {
    const auto [first, last] = groups_[expert];
    for (const auto& [is_read, ready] :
         {std::pair(narrow, &expert_narrow_), std::pair(floats, &expert_floats_)}) {
      if (!is_read) continue;
      Activations own = ready->group(first, last);
      for (int64_t slot = begin; slot < end; ++slot) {
        const float* row = normed_.get() + slot_row_[static_cast<size_t>(slot)] * width;
        kernels_.quantize(row, 0, slot - first, slot - first + 1, own);
      }
    }
  };
  const auto gather_all = [&](int64_t begin, int64_t end) { for_groups(begin, end, gather); };
  for_rows(count, width, gather_all, kQuantizedRows);
}

// out[slot] = matrix of the slot's expert * the slot's activations, for all of `stacks` in one run if they
// read the same activations.
void Graph::multiply_experts(std::span<const ExpertProduct> stacks) {
  for (const bool floats : {false, true}) {
    std::vector<GroupedProduct> products;
    for (const auto& [matrices, out] : stacks) {
      for (size_t e = 0; e < matrices->size() && is_float(matrices->front().type) == floats; ++e) {
        const Matrix& weights = (*matrices)[e];
        const auto [begin, end] = groups_[e];
        if (begin == end) continue;
        products.push_back({&weights, begin, end, out, weights.rows});
        count_product(weights, end - begin);
      }
    }
    if (!products.empty()) matmul(pool_, floats ? expert_floats_ : expert_narrow_, products);
  }
}

void Graph::activate_experts(const Layer& layer) {
  const Experts& experts = layer.experts;
  const int64_t width = experts.up.front().rows, count = std::ssize(slot_row_);
  const TensorType type = experts.down.front().type;
  Activations& ready = is_float(type) ? expert_floats_ : expert_narrow_;
  const auto activation = this->activation();
  ready.resize(kernels_.kind_for(type), count, width);
  const auto activate = [&](size_t expert, int64_t begin, int64_t end) {
    const auto [first, last] = groups_[expert];
    const int64_t bias = static_cast<int64_t>(expert) * width;
    for (int64_t slot = begin; slot < end; ++slot) {
      float* gate = expert_gate_.get() + slot * width;
      float* up = experts.gate.empty() ? gate : expert_up_.get() + slot * width;
      if (!experts.gate_bias.empty()) vectors_.add(gate, experts.gate_bias.data() + bias, width);
      if (!experts.up_bias.empty()) vectors_.add(up, experts.up_bias.data() + bias, width);
      activation(gate, up, width);
    }
    Activations own = ready.group(first, last);
    kernels_.quantize(expert_gate_.get() + first * width, width, begin - first, end - first, own);
  };
  const auto activate_all = [&](int64_t begin, int64_t end) { for_groups(begin, end, activate); };
  for_rows(count, 2 * width, activate_all, kQuantizedRows);
}

// delta = the shared expert, if there is one, + each chosen expert by its weight, in the order of choice. The
// two parts may have norms of their own.
void Graph::add_experts(const Layer& layer) {
  const int64_t width = model_.dimensions.embedding;
  const int used = model_.routing.num_used;
  const Experts& experts = layer.experts;
  const Vector& shared_gate = experts.shared_gate;
  const bool has_norm = !experts.post_norm.empty();
  for_rows(num_rows_, (used + 1) * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* delta = delta_.get() + row * width;
      if (layer.up.rows == 0) std::fill_n(delta, width, 0.0f);
      if (!experts.post_shared_norm.empty())
        vectors_.rms_norm(delta, experts.post_shared_norm.data(), model_.norm_epsilon, delta, width);
      if (!shared_gate.empty()) {
        double score = 0;
        for (int64_t i = 0; i < width; ++i)
          score += static_cast<double>(normed_.get()[row * width + i]) * shared_gate[static_cast<size_t>(i)];
        vectors_.scale(delta, static_cast<float>(1 / (1 + std::exp(-score))), width);
      }
      float* first = expert_out_.get() + slot_of_[static_cast<size_t>(row * used)] * width;
      float* sum = has_norm ? first : delta;
      for (int i = 0; i < used; ++i) {
        const auto index = static_cast<size_t>(row * used + i);
        const auto [expert, weight] = choices_[index];
        float* out = expert_out_.get() + slot_of_[index] * width;
        if (!experts.down_bias.empty()) vectors_.add(out, experts.down_bias.data() + expert * width, width);
        if (!experts.down_scale.empty())
          vectors_.scale(out, experts.down_scale[static_cast<size_t>(expert)], width);
        vectors_.scale(out, weight, width);
        if (out != sum) vectors_.add(sum, out, width);
      }
      if (!has_norm) continue;
      vectors_.rms_norm(sum, experts.post_norm.data(), model_.norm_epsilon, sum, width);
      vectors_.add(delta, sum, width);
    }
  });
}

void Graph::run_experts(const Layer& layer) {
  const Experts& experts = layer.experts;
  group_by_expert();
  gather_rows(experts);
  const size_t count = slot_row_.size();
  const auto width = static_cast<size_t>(experts.up.front().rows);
  float* gate = expert_gate_.reserve(count * width);
  float* up = experts.gate.empty() ? gate : expert_up_.reserve(count * width);
  const ExpertProduct gate_and_up[] = {{&experts.gate, gate}, {&experts.up, up}};
  multiply_experts(gate_and_up);
  activate_experts(layer);
  const auto embedding = static_cast<size_t>(model_.dimensions.embedding);
  const ExpertProduct down[] = {{&experts.down, expert_out_.reserve(count * embedding)}};
  multiply_experts(down);
  add_experts(layer);
}

}  // namespace myna
