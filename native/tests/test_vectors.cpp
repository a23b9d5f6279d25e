// The float operations: every instruction set gives the same bits as the portable table, and attention equals
// a simple double-precision softmax, however rows and parts are split.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#define MYNA_ISA test_halves
#include "check.h"
#include "cpu/kernels.h"
#include "cpu/portable/half.h"
#include "cpu/vector_table.h"
#include "graph/tile_memory.h"

namespace myna::test {
namespace {

using Floats = std::vector<float>;

Floats random_floats(std::mt19937_64& random, size_t count, float scale = 1) {
  std::normal_distribution<float> normal(0, scale);
  Floats values(count);
  for (float& value : values) value = normal(random);
  return values;
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<const VectorTable*> tables(CacheType type = CacheType::kFloat16) {
  std::vector<const VectorTable*> found;
  for (const KernelTable* kernel : runnable_kernels())
    found.push_back(&vectors_for(kernel->name, Precision::kFloat, type));
  return found;
}

// Those whose attention rounds differently: each must be exact enough, and agree with itself.
std::vector<const VectorTable*> tables_with_tiles(CacheType type) {
  for (const KernelTable* kernel : runnable_kernels())
    if (std::strcmp(kernel->name, "amx") == 0)
      return {&vectors_for("amx", Precision::kBfloat, type),
              &vectors_for("amx", Precision::kSplitBfloat, type)};
  return {};
}

// Operations of some architectures, against their definitions too.
void rarer_operations_agree(std::mt19937_64& random) {
  const VectorTable& plain = vectors_for("portable");
  for (const int64_t n : {1, 15, 16, 64, 100, 896}) {
    const Floats x = random_floats(random, n), y = random_floats(random, n, 6);
    double mean = 0, variance = 0;
    for (const float v : x) mean += v / static_cast<double>(n);
    for (const float v : x) variance += (v - mean) * (v - mean) / static_cast<double>(n);
    for (const VectorTable* table : tables()) {
      Floats a(n), b(n);
      plain.layer_norm(x.data(), y.data(), 1e-5f, a.data(), n);
      table->layer_norm(x.data(), y.data(), 1e-5f, b.data(), n);
      CHECK(same_bits(a, b));
      for (int64_t i = 0; i < n; ++i)
        CHECK(std::abs(b[i] - (x[i] - mean) / std::sqrt(variance + 1e-5) * y[i]) <= 1e-4);
      a = b = y;
      plain.soft_cap(a.data(), 2.5f, n);
      table->soft_cap(b.data(), 2.5f, n);
      CHECK(same_bits(a, b));
      for (int64_t i = 0; i < n; ++i) CHECK(std::abs(b[i] - 2.5 * std::tanh(y[i] / 2.5)) <= 1e-6);
      a = b = y;
      plain.add_scaled(a.data(), x.data(), 0.3f, n);
      table->add_scaled(b.data(), x.data(), 0.3f, n);
      CHECK(same_bits(a, b));
      for (int64_t i = 0; i < n; ++i) CHECK(std::abs(b[i] - (y[i] + 0.3 * x[i])) <= 1e-5);
      if (n > 1) {
        a = b = x;
        plain.sparsify(a.data(), 0.7f, n);
        table->sparsify(b.data(), 0.7f, n);
        CHECK(same_bits(a, b));
        const double unbiased = std::sqrt(variance * static_cast<double>(n) / static_cast<double>(n - 1));
        for (int64_t i = 0; i < n; ++i)
          CHECK(std::abs(b[i] - std::max(0.0, x[i] - mean - 0.7 * unbiased)) <= 1e-5);
        b[0] = std::numeric_limits<float>::quiet_NaN();
        table->sparsify(b.data(), 0.7f, n);
        CHECK(std::isnan(b[0]) && std::isnan(b[n - 1]));
      }
      a = b = y;
      plain.clipped_silu_multiply(a.data(), x.data(), n);
      table->clipped_silu_multiply(b.data(), x.data(), n);
      CHECK(same_bits(a, b));
      for (int64_t i = 0; i < n; ++i) {
        const double gate = std::min<double>(y[i], 7);
        const double exact = gate / (1 + std::exp(-1.702 * gate)) * (std::clamp<double>(x[i], -7, 7) + 1);
        CHECK(std::abs(b[i] - exact) <= 1e-5 * std::abs(exact) + 1e-6);
      }
    }
  }
}

void row_operations_agree(std::mt19937_64& random) {
  const VectorTable& plain = vectors_for("portable");
  for (const int64_t n : {1, 15, 16, 63, 64, 100, 576, 896, 1537}) {
    const Floats x = random_floats(random, n), y = random_floats(random, n, 3);
    for (const VectorTable* table : tables()) {
      Floats a(n), b(n);
      plain.rms_norm(x.data(), y.data(), 1e-5f, a.data(), n);
      table->rms_norm(x.data(), y.data(), 1e-5f, b.data(), n);
      CHECK(same_bits(a, b));
      a = b = y;
      plain.silu_multiply(a.data(), x.data(), n);
      table->silu_multiply(b.data(), x.data(), n);
      CHECK(same_bits(a, b));
      for (int64_t i = 0; i < n; ++i) {
        const double exact = y[i] / (1 + std::exp(-static_cast<double>(y[i]))) * x[i];
        CHECK(std::abs(b[i] - exact) <= 1e-6 * std::abs(exact) + 1e-30);
      }
      a = b = y;
      plain.gelu_multiply(a.data(), x.data(), n);
      table->gelu_multiply(b.data(), x.data(), n);
      CHECK(same_bits(a, b));
      plain.layer_norm(x.data(), y.data(), 1e-5f, a.data(), n);
      table->layer_norm(x.data(), y.data(), 1e-5f, b.data(), n);
      CHECK(same_bits(a, b));
      a = b = y;
      plain.relu_multiply(a.data(), a.data(), n);
      table->relu_multiply(b.data(), b.data(), n);
      CHECK(same_bits(a, b));
      for (int64_t i = 0; i < n; ++i) CHECK(b[i] == std::max(y[i], 0.0f) * y[i]);
      a = b = y;
      plain.gelu(a.data(), n);
      table->gelu(b.data(), n);
      CHECK(same_bits(a, b));
      for (int64_t i = 0; i < n; ++i) {
        const double exact = y[i] / 2.0 * (1 + std::erf(y[i] / std::sqrt(2.0)));
        CHECK(std::abs(b[i] - exact) <= 1e-6);
      }
      const Floats cosines = random_floats(random, n / 2), sines = random_floats(random, n / 2);
      a = b = x;
      plain.rotate_halves(a.data(), cosines.data(), sines.data(), n / 2);
      table->rotate_halves(b.data(), cosines.data(), sines.data(), n / 2);
      CHECK(same_bits(a, b));
      plain.rotate_pairs(a.data(), cosines.data(), sines.data(), n / 2);
      table->rotate_pairs(b.data(), cosines.data(), sines.data(), n / 2);
      CHECK(same_bits(a, b));
    }
  }
}

// What integers of 8 bits make of rows: 32 dimensions share a scale, which is a half.
Floats as_integers(const Floats& rows, int head_dim) {
  Floats rounded = rows;
  for (size_t row = 0; row < rows.size(); row += head_dim)
    for (int first = 0; first < head_dim; first += 32) {
      float* x = &rounded[row + first];
      const int count = std::min(32, head_dim - first);
      float largest = 0;
      for (int i = 0; i < count; ++i) largest = std::max(largest, std::abs(x[i]));
      const float scale = test_halves::half_to_float(test_halves::float_to_half(largest / 127));
      for (int i = 0; i < count; ++i)
        x[i] = std::clamp(std::nearbyint(x[i] / scale), -127.0f, 127.0f) * scale;
    }
  return rounded;
}

// A sequence's keys and values in scattered blocks, as the cache holds them; unused slots hold NaN, or for
// tiles, which multiply them by 0, the largest number.
struct Stored {
  int head_dim;
  int64_t length;
  Floats keys, values;
  std::vector<int32_t> blocks;
  std::vector<uint16_t> memory;
  int64_t stride;

  Stored(const VectorTable& table, std::mt19937_64& random, int head_dim, int64_t length, CacheType type)
      : head_dim(head_dim), length(length), stride(2 * head_block_halves(type, head_dim)) {
    keys = random_floats(random, length * head_dim);
    values = random_floats(random, length * head_dim);
    const int64_t count = (length + kBlockTokens - 1) / kBlockTokens;
    for (int64_t i = 0; i < count; ++i) blocks.push_back(static_cast<int32_t>(i * 7 % count));
    if (count % 7 == 0)
      for (int64_t i = 0; i < count; ++i) blocks[i] = static_cast<int32_t>(i);
    memory.resize(count * stride);
    store(table, 0x7e00);
  }

  void store(const VectorTable& table, uint16_t unused) {
    std::fill(memory.begin(), memory.end(), unused);
    for (int64_t i = 0; i < length; ++i) {
      uint16_t* block = memory.data() + blocks[i / kBlockTokens] * stride;
      table.store_kv(&keys[i * head_dim], &values[i * head_dim], head_dim, static_cast<int>(i % kBlockTokens),
                     block, block + stride / 2);
    }
  }

  QueryRows rows(const Floats& queries, int64_t first, int count, int group, int64_t window, float score_cap,
                 bool is_causal) {
    return {queries.data(), count * group,
            group,          head_dim,
            first,          window,
            blocks.data(),  {memory.data(), memory.data() + stride / 2, stride},
            score_cap,      is_causal ? 0 : length};
  }
};

struct Result {
  Floats sums, weights, maximum;
  Result(int rows, int head_dim)
      : sums(padded_rows(rows) * head_dim), weights(padded_rows(rows) * 16), maximum(padded_rows(rows)) {}
  Partial partial() { return {sums.data(), weights.data(), maximum.data()}; }
};

Floats attend_all(const VectorTable& table, const QueryRows& rows) {
  Floats scratch(attention_scratch_floats(rows.head_dim, rows.num_rows)), out(rows.num_rows * rows.head_dim);
  Result merged(rows.num_rows, rows.head_dim), part(rows.num_rows, rows.head_dim);
  const int64_t last =
      rows.length > 0 ? rows.length - 1 : rows.first_position + (rows.num_rows - 1) / rows.group;
  for (int64_t begin = 0; begin <= last; begin += kPartTokens) {
    table.attend(rows, begin, begin == 0 ? merged.partial() : part.partial(), scratch.data());
    if (begin != 0) table.merge(rows.num_rows, rows.head_dim, merged.partial(), part.partial());
  }
  for (int r = 0; r < rows.num_rows; ++r)
    table.finish(r, rows.head_dim, merged.partial(), &out[r * rows.head_dim]);
  return out;
}

void expect_softmax(const Stored& stored, CacheType type, const QueryRows& rows, const Floats& out,
                    double tolerance) {
  const int head_dim = stored.head_dim;
  const bool is_q8 = type == CacheType::kQ8;
  const Floats keys = is_q8 ? as_integers(stored.keys, head_dim) : stored.keys;
  const Floats values = is_q8 ? as_integers(stored.values, head_dim) : stored.values;
  for (int r = 0; r < rows.num_rows; ++r) {
    const int64_t position = rows.first_position + r / rows.group;
    const int64_t first = rows.window > 0 ? std::max<int64_t>(0, position - rows.window + 1) : 0;
    std::vector<double> sums(head_dim);
    double total = 0;
    const int64_t after = rows.window > 0 ? std::min(rows.length, position + rows.window) : rows.length;
    for (int64_t t = first; t < (rows.length > 0 ? after : position + 1); ++t) {
      double score = 0;
      for (int d = 0; d < head_dim; ++d)
        score += static_cast<double>(rows.queries[r * head_dim + d]) * keys[t * head_dim + d];
      if (rows.score_cap > 0) score = rows.score_cap * std::tanh(score / rows.score_cap);
      const double weight = std::exp(score);
      total += weight;
      for (int d = 0; d < head_dim; ++d) sums[d] += weight * values[t * head_dim + d];
    }
    for (int d = 0; d < head_dim; ++d) CHECK(std::abs(out[r * head_dim + d] - sums[d] / total) < tolerance);
  }
}

// Each query alone has the bits that it has among all.
void expect_same_alone(const VectorTable& table, Stored& stored, const QueryRows& rows, const Floats& all) {
  const int width = rows.group * rows.head_dim;
  for (int i = 0; i < rows.num_rows / rows.group; ++i) {
    const Floats alone(rows.queries + i * width, rows.queries + (i + 1) * width);
    const Floats out = attend_all(table, stored.rows(alone, rows.first_position + i, 1, rows.group,
                                                     rows.window, rows.score_cap, rows.length == 0));
    CHECK(std::memcmp(out.data(), &all[i * width], out.size() * sizeof(float)) == 0);
  }
}

void attention_agrees(std::mt19937_64& random, CacheType type) {
  const VectorTable& plain = vectors_for("portable", Precision::kFloat, type);
  for (const int head_dim : {16, 48, 64, 80, 128, 256})
    for (const int64_t window : {0, 1, 40, 300}) {
      const int64_t length = 1 + static_cast<int64_t>(random() % 600);
      const int group = 1 + static_cast<int>(random() % 8);
      const int count = 1 + static_cast<int>(random() % std::min<int64_t>(length, 20));
      const float score_cap = random() % 2 == 0 ? 0.0f : 2.0f;
      Stored stored(plain, random, head_dim, length, type);
      const Floats queries = random_floats(random, count * group * head_dim, 1 / std::sqrt(float(head_dim)));
      const bool is_causal = random() % 2 == 0;
      const int64_t from = is_causal ? length - count : static_cast<int64_t>(random() % (length - count + 1));
      const QueryRows rows = stored.rows(queries, from, count, group, window, score_cap, is_causal);
      const Floats expected = attend_all(plain, rows);
      expect_softmax(stored, type, rows, expected, 5e-3);
      const auto with_tiles = tables_with_tiles(type);
      for (const VectorTable* table : tables(type)) {
        CHECK(same_bits(attend_all(*table, rows), expected));
        expect_same_alone(*table, stored, rows, expected);
      }
      for (const VectorTable* table : with_tiles) {
        Stored own = stored;
        own.store(*table, 0x7bff);
        const QueryRows of_own = own.rows(queries, from, count, group, window, score_cap, is_causal);
        const Floats all = attend_all(*table, of_own);
        // bfloat16 is off by up to 2e-2 at 4, in keys and queries, too.
        expect_softmax(own, type, of_own, all, 5e-2);
        expect_same_alone(*table, own, of_own, all);
      }
    }
}

// The most queries that are attended at a time, and the last positions of a long context: the bits are those
// of each query alone.
void large_items_agree(std::mt19937_64& random, CacheType type) {
  const VectorTable& plain = vectors_for("portable", Precision::kFloat, type);
  const auto compare = [&](int head_dim, int group, int64_t first, int64_t count, int64_t window) {
    Stored stored(plain, random, head_dim, first + count, type);
    const Floats queries = random_floats(random, count * group * head_dim, 1 / std::sqrt(float(head_dim)));
    const auto rows_of = [&](Stored& from) {
      return from.rows(queries, first, static_cast<int>(count), group, window, 0, true);
    };
    const auto expect_same_some = [&](const VectorTable& table, Stored& from, const Floats& all) {
      const int64_t width = static_cast<int64_t>(group) * head_dim;
      for (const int64_t i : {int64_t{0}, count / 2, count - 1}) {
        const Floats query(queries.begin() + i * width, queries.begin() + (i + 1) * width);
        const Floats alone = attend_all(table, from.rows(query, first + i, 1, group, window, 0, true));
        CHECK(std::memcmp(alone.data(), &all[i * width], alone.size() * sizeof(float)) == 0);
      }
    };
    const Floats expected = attend_all(plain, rows_of(stored));
    for (const VectorTable* table : tables(type)) {
      CHECK(same_bits(attend_all(*table, rows_of(stored)), expected));
      expect_same_some(*table, stored, expected);
    }
    for (const VectorTable* table : tables_with_tiles(type)) {
      Stored own = stored;
      own.store(*table, 0x7bff);
      expect_same_some(*table, own, attend_all(*table, rows_of(own)));
    }
  };
  for (const auto& [head_dim, group] : {std::pair{16, 7}, {80, 1}, {96, 7}, {112, 64}, {256, 3}}) {
    const int64_t count = queries_of({group, 1, head_dim}, kMostFloats);
    const auto before = static_cast<int64_t>(random() % 70);
    compare(head_dim, group, before, count, random() % 2 == 0 ? 0 : 100);
  }
  compare(16, 7, (1 << 17) - 3, 3, 0);
}

// What is too large or isn't a number becomes finite, and zeros stay zeros.
void integers_are_finite() {
  constexpr int kWidth = 64;
  constexpr CacheType type = CacheType::kQ8;
  for (const auto& found : {tables(type), tables_with_tiles(type)})
    for (const VectorTable* table : found) {
      Floats key(kWidth), value(kWidth, 0.0f), query(kWidth, 0.0f);
      key[3] = std::numeric_limits<float>::quiet_NaN();
      key[40] = std::numeric_limits<float>::infinity();
      value[0] = 1e30f;
      value[1] = -1e30f;
      std::vector<uint16_t> block(2 * head_block_halves(type, kWidth));
      const int64_t half = std::ssize(block) / 2;
      table->store_kv(key.data(), value.data(), kWidth, 5, block.data(), block.data() + half);
      table->store_kv(query.data(), query.data(), kWidth, 0, block.data(), block.data() + half);
      const int32_t blocks[] = {0};
      const QueryRows rows{
          query.data(), 1, 1, kWidth, 5, 1, blocks, {block.data(), block.data() + half, 2 * half}};
      const Floats out = attend_all(*table, rows);
      CHECK(out[0] > 65000 && out[0] < 66000 && out[1] == -out[0]);
      for (int d = 2; d < kWidth; ++d) CHECK(out[d] == 0);
    }
}

}  // namespace
}  // namespace myna::test

int main() {
  std::mt19937_64 random(myna::test::seed());
  myna::test::row_operations_agree(random);
  myna::test::rarer_operations_agree(random);
  for (const auto type : {myna::CacheType::kFloat16, myna::CacheType::kQ8})
    for (int i = 0; i < 4; ++i) myna::test::attention_agrees(random, type);
  for (const auto type : {myna::CacheType::kFloat16, myna::CacheType::kQ8})
    myna::test::large_items_agree(random, type);
  myna::test::integers_are_finite();
  return 0;
}
