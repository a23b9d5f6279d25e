// Every kernel table is compared with a simple reference in double, bit by bit with the others of its kind,
// and with itself for other numbers of rows, tiles and panel splits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "check.h"
#include "cpu/formats.h"
#include "cpu/half.h"
#include "cpu/kernels.h"
#include "cpu/layout.h"
#include "cpu/vector_table.h"
#include "pool/pool.h"
#include "weights.h"

namespace myna::test {
namespace {

constexpr float kUntouched = -12345.0f;

struct Case {
  TensorType type;
  std::int64_t outputs, cols, rows;
  std::string text() const {
    return std::string(geometry(type).name) + " outputs " + std::to_string(outputs) + " inputs " +
           std::to_string(cols) + " rows " + std::to_string(rows);
  }
};

struct Problem {
  Problem(const Case& c, Random& random)
      : bytes(random_weights(c.type, c.outputs, c.cols, random)),
        x(random_rows(c.rows, c.cols, random)),
        weights(pack(arena, c.type, c.outputs, c.cols, bytes.data())) {}

  WeightArena arena;
  std::vector<std::uint8_t> bytes;
  std::vector<float> x;
  Matrix weights;
};

Activations quantised(const KernelTable& table, const Case& c, const float* x, std::int64_t rows) {
  Activations out;
  out.resize(table.kind_for(c.type), rows, c.cols);
  table.quantize(x, c.cols, 0, rows, out);
  return out;
}

std::vector<float> product(const KernelTable& table, const Case& c, const Problem& p) {
  const Activations x = quantised(table, c, p.x.data(), c.rows);
  std::vector<float> out(static_cast<std::size_t>(c.rows * c.outputs), kUntouched);
  table.matmul(p.weights, x, 0, c.rows, 0, p.weights.num_panels(), out.data(), c.outputs);
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// The activations as the kernels see them.
double activation(const Activations& x, std::int64_t row, std::int64_t col) {
  const std::int64_t i = x.index(col / kBlock, row);
  if (x.kind() == Activations::Kind::kFloat) return x.floats()[i * kBlock + col % kBlock];
  if (x.kind() == Activations::Kind::kBfloat) {  // the middle two of four exchanged, times 2^90
    const std::int64_t at = col % 4 == 1 || col % 4 == 2 ? col ^ 3 : col;
    return bfloat_to_float(x.bfloats()[i * kBlock + at % kBlock]) * 0x1p-90;
  }
  return static_cast<double>(x.values()[i * kBlock + col % kBlock]) * x.field<float>(Activations::kScale)[i];
}

// Of a quantised output's scales (times the number of integers) and minimums: at most this.
double peak_of(const Matrix& weights, std::int64_t output) {
  const auto panel = static_cast<std::size_t>(output / kPanelRows + 1) * weights.panel_bytes;
  float unit = 0;
  std::memcpy(&unit, weights.data + panel - layout::kUnitBytes + output % kPanelRows * 4, sizeof unit);
  return 2.0 / static_cast<double>(unit);
}

// Within float rounding of the exact sum: one ulp of the sum of magnitudes for each step of the chain.
// Weights converted to bfloat16 are also off by half an ulp of it, and of the halves that they were before.
void check_close(const KernelTable& table, const Case& c, const Problem& p, const std::vector<float>& got) {
  const Activations x = quantised(table, c, p.x.data(), c.rows);
  const bool are_rounded = x.kind() == Activations::Kind::kBfloat;
  std::vector<float> w(static_cast<std::size_t>(c.cols));
  const std::size_t row = row_bytes(c.type, c.cols);
  for (std::int64_t o = 0; o < c.outputs; ++o) {
    dequantize_row(c.type, p.bytes.data() + static_cast<std::size_t>(o) * row, w.data(), c.cols);
    const double peak = are_rounded ? peak_of(p.weights, o) : 0;
    for (std::int64_t r = 0; r < c.rows; ++r) {
      double sum = 0, magnitude = 0, rounding = 0;
      for (std::int64_t k = 0; k < c.cols; ++k) {
        const double value = activation(x, r, k);
        const double term = static_cast<double>(w[static_cast<std::size_t>(k)]) * value;
        sum += term;
        magnitude += std::abs(term);
        if (are_rounded) rounding += std::abs(term) * 0x1.4p-8 + std::abs(value) * peak * 0x1p-11;
      }
      const double error = std::abs(got[static_cast<std::size_t>(r * c.outputs + o)] - sum);
      const double steps =
          is_float(c.type) ? static_cast<double>(c.cols) : static_cast<double>(c.cols) / 16 + 4;
      // Offsets and minimums cancel: their own magnitude, up to 32 times the weights', bounds the rounding.
      CHECK(error <= magnitude * steps * 0x1p-24 * 4 + rounding + 1e-30,
            c.text() + " error " + std::to_string(error));
    }
  }
}

// Of rows that are stored in groups, some of more than a tile; all are written before any is read.
std::vector<float> product_of_groups(const KernelTable& table, const Case& c, const Problem& p,
                                     Random& random) {
  std::vector<float> out(static_cast<std::size_t>(c.rows * c.outputs), kUntouched);
  Activations x;
  x.resize(table.kind_for(c.type), c.rows, c.cols);
  std::vector<std::int64_t> begins{0};
  while (begins.back() < c.rows)
    begins.push_back(
        std::min<std::int64_t>(c.rows, begins.back() + 1 + random.below(random.below(2) ? 5 : 80)));
  for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
    Activations group = x.group(begins[i], begins[i + 1]);
    table.quantize(p.x.data() + begins[i] * c.cols, c.cols, 0, group.rows(), group);
  }
  for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
    const Activations group = x.group(begins[i], begins[i + 1]);
    table.matmul(p.weights, group, 0, group.rows(), 0, p.weights.num_panels(),
                 out.data() + begins[i] * c.outputs, c.outputs);
  }
  return out;
}

// Single rows, odd groups of rows and odd groups of panels must give the same bits as the whole.
void check_invariant(const KernelTable& table, const Case& c, const Problem& p,
                     const std::vector<float>& whole, Random& random) {
  std::vector<float> alone(whole.size(), kUntouched), pieces(whole.size(), kUntouched);
  for (std::int64_t r = 0; r < c.rows; ++r) {
    const Activations one = quantised(table, c, p.x.data() + r * c.cols, 1);
    table.matmul(p.weights, one, 0, 1, 0, p.weights.num_panels(), alone.data() + r * c.outputs, c.outputs);
  }
  CHECK(same_bits(alone, whole), c.text() + " one by one, " + table.name);
  const Activations x = quantised(table, c, p.x.data(), c.rows);
  for (std::int64_t r = 0; r < c.rows;) {
    const std::int64_t rows = std::min<std::int64_t>(c.rows - r, 1 + random.below(9));
    for (std::int64_t q = 0; q < p.weights.num_panels();) {
      const std::int64_t panels = std::min<std::int64_t>(p.weights.num_panels() - q, 1 + random.below(4));
      table.matmul(p.weights, x, r, r + rows, q, q + panels, pieces.data(), c.outputs);
      q += panels;
    }
    r += rows;
  }
  CHECK(same_bits(pieces, whole), c.text() + " in pieces, " + table.name);
  CHECK(same_bits(product_of_groups(table, c, p, random), whole), c.text() + " in groups, " + table.name);
}

void check_case(const Case& c, Random& random) {
  const Problem p(c, random);
  const std::vector<float> reference = product(kernels_named("portable"), c, p);
  for (const KernelTable* table : runnable_kernels()) {
    const std::vector<float> got = product(*table, c, p);
    check_close(*table, c, p, got);
    if (table->kind_for(c.type) != Activations::Kind::kBfloat)
      CHECK(same_bits(got, reference), c.text() + " " + table->name + " against portable");
    check_invariant(*table, c, p, got, random);
  }
}

void all_tables_agree() {
  Random random(seed());
  for (const TensorType type : all_types()) {
    const std::int64_t unit = geometry(type).block_values;
    for (const std::int64_t outputs : {1, 15, 16, 17, 48, 71}) {
      const std::int64_t cols = unit == 1 ? 1 + random.below(200) : unit * (1 + random.below(5));
      check_case({type, outputs, cols, 1 + random.below(11)}, random);
    }
    check_case({type, 33, unit == 1 ? 70 : unit * 3, 150}, random);
    for (int i = 0; i < 3; ++i)  // numbers of rows that fill some matrix tiles and part of the last
      check_case({type, 16 + random.below(60), unit * (1 + random.below(7)), 12 + random.below(60)}, random);
    check_case({type, 16, unit == 1 ? 64 : unit * 2, 0}, random);
  }
  // More rows, inputs and outputs than matrix tiles are multiplied in at a time.
  for (const TensorType type : {TensorType::Q5_0, TensorType::Q4_K})
    check_case({type, 547, 1280, 270}, random);
}

// Gated rows in pieces must be the bits of two products, the vector table's function and `quantize`.
void check_gated(const KernelTable& table, const Case& c, TensorType gate_type, Gate function,
                 Random& random) {
  const Problem gate({gate_type, c.outputs, c.cols, c.rows}, random), up(c, random);
  const Activations x = quantised(table, c, gate.x.data(), c.rows);
  std::vector<float> expected = product(table, c, gate), factors(expected.size());
  table.matmul(up.weights, x, 0, c.rows, 0, up.weights.num_panels(), factors.data(), c.outputs);
  const VectorTable& vectors = vectors_for(table.name);
  const auto multiply = function == Gate::kSilu ? vectors.silu_multiply : vectors.gelu_multiply;
  multiply(expected.data(), factors.data(), std::ssize(expected));
  Activations whole, pieces;
  for (Activations* a : {&whole, &pieces}) a->resize(table.quantised, c.rows, c.outputs);
  table.quantize(expected.data(), c.outputs, 0, c.rows, whole);
  const GatedProduct product{&gate.weights, &up.weights, function, &pieces};
  for (std::int64_t row = 0, rows; row < c.rows; row += rows) {
    rows = std::min<std::int64_t>(c.rows - row, 1 + random.below(90));
    for (std::int64_t panel = 0, panels; panel < up.weights.num_panels(); panel += panels) {
      panels = std::min<std::int64_t>(up.weights.num_panels() - panel, 2 + 2 * random.below(6));
      table.matmul_gated(product, x, row, row + rows, panel, panel + panels);
    }
  }
  const auto count = static_cast<std::size_t>(c.rows * c.outputs) * sizeof(std::uint16_t);
  CHECK(std::memcmp(whole.bfloats(), pieces.bfloats(), count) == 0, c.text() + " gated");
}

void gated_products_change_no_bit() {
  Random random(seed() + 4);
  for (const KernelTable* table : runnable_kernels()) {
    if (table->matmul_gated == nullptr) continue;
    for (const TensorType type : all_types()) {
      if (is_float(type)) continue;
      const std::int64_t unit = geometry(type).block_values;
      for (const std::int64_t rows : {1, 16, 17, 32, 33, 150, 300})
        check_gated(*table, {type, 32 * (1 + random.below(8)), unit * (1 + random.below(9)), rows}, type,
                    rows % 2 != 0 ? Gate::kSilu : Gate::kGelu, random);
    }
    // Packed alike, with codes of their own.
    check_gated(*table, {TensorType::IQ4_NL, 64, 96, 33}, TensorType::MXFP4, Gate::kSilu, random);
  }
}

// The largest integers of each format and of the activations, where 16-bit sums would overflow.
void extremes_are_exact() {
  Random random(seed() + 1);
  for (const TensorType type : all_types()) {
    if (is_float(type)) continue;
    const Case c{type, 16, 512, 3};
    Problem p(c, random);
    const auto size = static_cast<std::size_t>(geometry(type).block_bytes);
    for (std::size_t at = 0; at < p.bytes.size(); at += size) {
      const std::vector<std::uint8_t> scales(p.bytes.begin() + at, p.bytes.begin() + at + size);
      const std::uint8_t fill = type == TensorType::Q8_0 ? 0x80 : 0xff;
      std::fill_n(p.bytes.begin() + at, size, fill);
      auto [from, count] = scale_bytes(type);
      if (type == TensorType::Q4_K || type == TensorType::Q5_K) count = 16;
      std::copy_n(scales.begin() + from, count, p.bytes.begin() + at + from);
      if (type == TensorType::Q4_1 || type == TensorType::Q5_1) write(p.bytes.data() + at + 2, random.half());
    }
    for (float& x : p.x) x = random.below(2) != 0 ? 1.0f : -1.0f;
    for (std::int64_t k = 0; k < c.cols; ++k) p.x[static_cast<std::size_t>(k)] = 1.0f;
    p.weights = pack(p.arena, c.type, c.outputs, c.cols, p.bytes.data());
    const std::vector<float> reference = product(kernels_named("portable"), c, p);
    for (const KernelTable* table : runnable_kernels()) {
      const std::vector<float> got = product(*table, c, p);
      check_close(*table, c, p, got);
      if (table->quantised != Activations::Kind::kBfloat)
        CHECK(same_bits(got, reference), c.text() + " extremes " + table->name);
    }
  }
}

void bad_rows_stay_in_their_row() {
  Random random(seed() + 2);
  const Case c{TensorType::Q5_0, 20, 96, 4};
  Problem p(c, random);
  std::vector<float> other = p.x;  // the rows as they were
  p.x[static_cast<std::size_t>(c.cols) + 40] = std::numeric_limits<float>::infinity();
  p.x[static_cast<std::size_t>(c.cols) * 2 + 1] = std::numeric_limits<float>::quiet_NaN();
  std::fill_n(p.x.begin() + c.cols * 3, c.cols, 1e-42f);
  for (const KernelTable* table : runnable_kernels()) {
    const std::vector<float> after = product(*table, c, p);
    std::swap(p.x, other);
    const std::vector<float> before = product(*table, c, p);
    std::swap(p.x, other);
    for (std::size_t o = 0; o < 20; ++o) {
      CHECK(after[o] == before[o]);
      CHECK(std::isnan(after[20 + o]) && std::isnan(after[40 + o]));
      CHECK(after[60 + o] == 0.0f);
    }
  }
}

// Also with more threads than work, and with so many rows that chunks have another size.
void threads_change_no_bit() {
  Random random(seed() + 3);
  for (const std::int64_t rows : {37, 150}) {
    const Case c{TensorType::Q4_K, 500, 512, rows}, d{TensorType::Q8_0, 7, 512, rows};
    const Problem p(c, random);
    Problem q(d, random);
    q.x = p.x;
    const std::vector<float> expected[] = {product(kernels(), c, p), product(kernels(), d, q)};
    for (const int threads : {1, 2, 3, 8}) {
      ThreadPool pool(threads);
      Activations x;
      quantize(pool, kernels().quantised, p.x.data(), c.cols, c.rows, c.cols, x);
      std::vector<float> first(expected[0].size()), second(expected[1].size());
      const Product products[] = {{&p.weights, first.data(), c.outputs},
                                  {&q.weights, second.data(), d.outputs}};
      matmul(pool, x, products);
      CHECK(same_bits(first, expected[0]) && same_bits(second, expected[1]));
      WeightArena arena;
      const Matrix packed = pack(arena, c.type, c.outputs, c.cols, p.bytes.data(), &pool);
      CHECK(std::memcmp(packed.data, p.weights.data, packed.packed_bytes()) == 0);
    }
  }
}

// Also for bytes that no quantiser writes, such as infinite scales.
void four_rows_are_packed_like_each_alone() {
  Random random(seed() + 4);
  constexpr std::int64_t kCols = 768;
  int num_formats = 0;
  for (const Format& format : formats()) {
    if (format.pack_four == nullptr) continue;
    ++num_formats;
    const std::size_t row = row_bytes(format.type, kCols);
    const std::int64_t blocks = kCols / kBlock;
    for (const bool is_noise : {false, true}) {
      std::vector<std::uint8_t> bytes = random_weights(format.type, kPanelRows, kCols, random);
      if (is_noise)
        for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.below(256));
      const auto panel_bytes = static_cast<std::size_t>(blocks / format.record_blocks) * format.record_bytes;
      std::vector<std::uint8_t> alone(panel_bytes), together(panel_bytes);
      for (int lane = 0; lane < kPanelRows; lane += 4) {
        const std::uint8_t* first = bytes.data() + static_cast<std::size_t>(lane) * row;
        Peak peaks[4];
        format.pack_four(first, row, blocks, lane, together.data(), peaks);
        for (int i = 0; i < 4; ++i) {
          const Peak peak =
              format.pack(first + static_cast<std::size_t>(i) * row, blocks, lane + i, alone.data());
          CHECK(std::bit_cast<std::uint32_t>(peak.unit()) == std::bit_cast<std::uint32_t>(peaks[i].unit()),
                geometry(format.type).name);
        }
      }
      CHECK(alone == together, geometry(format.type).name);
    }
  }
  CHECK(num_formats >= 8);
}

void bad_shapes_and_names_are_errors() {
  const auto refuses = [](auto fn) {
    try {
      fn();
    } catch (const std::exception&) {
      return true;
    }
    return false;
  };
  CHECK(refuses([] { return row_bytes(TensorType::Q4_0, 33); }));
  CHECK(refuses([] { return row_bytes(TensorType::Q4_K, 128); }));
  CHECK(refuses([] { return kernels_named("mmx").name; }));
  CHECK(kernels_named("int8").quantised == Activations::Kind::kInt8);
  CHECK(!is_supported(9) && !is_supported(1000) && is_supported(14));
  CHECK(refuses([] {  // an exponent that no half has, of numbers that aren't zero
    WeightArena arena;
    std::vector<std::uint8_t> block(17, 0x11);
    block[0] = 255;
    return pack(arena, TensorType::MXFP4, 1, 32, block.data()).rows;
  }));
}

}  // namespace
}  // namespace myna::test

int main() {
  using namespace myna::test;
  std::printf("tables:");
  for (const auto* table : myna::runnable_kernels()) std::printf(" %s", table->name);
  std::printf("\n");
  all_tables_agree();
  extremes_are_exact();
  bad_rows_stay_in_their_row();
  four_rows_are_packed_like_each_alone();
  threads_change_no_bit();
  gated_products_change_no_bit();
  bad_shapes_and_names_are_errors();
  std::puts("ok");
}
