// Kernels for processors with matrix tiles (AMX): AVX-512's, except where rows fill a tile. A tile
// instruction then does the integer dot products of a block for 16 rows and 16 outputs; its sums go through
// the first-level cache to the same chain of float operations, so the bits are the same.
//
// Tile and vector instructions hardly overlap: both want port 5. So the two take turns, a few blocks each, as
// many as the cache holds.
#include "kernels/avx512vnni.h"
#include "kernels/tables.h"

namespace myna {
namespace {

// A tile register has 16 rows of 64 bytes: of sums, of a block of activations (half of each row), or of the
// eight lines of a block of weights. Sums in 0 to 3, activations in 4 and 5, weights in 6 and 7.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t unused[15] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 32, 32, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 8, 8};
};
constexpr TileConfig kTileConfig;

// Tile registers for the calling thread. Released ones cost nothing at a switch of threads.
class TileSession {
 public:
  TileSession() { _tile_loadconfig(&kTileConfig); }
  ~TileSession() { _tile_release(); }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;
};

constexpr int kLeastRows = 12;                          // below, vector instructions are faster
constexpr int kTurnBlocks = 4;                          // blocks of one turn
constexpr int kUnitRows = 32;                           // rows of one turn: two tiles
constexpr int kSums = kPanelRows * kPanelRows;          // of a tile
constexpr std::size_t kBlockBytes = 8 * layout::kLine;  // of a block of a panel

// What two panels need in the first-level cache.
struct alignas(64) Scratch {
  std::int32_t sums[kTurnBlocks][2][2][kSums];  // of a tile of rows and a panel
  std::uint8_t bytes[kTurnBlocks][2][kBlockBytes];
  float scale[kTurnBlocks][2][kPanelRows], minimum[kTurnBlocks][2][kPanelRows];
  float totals[kTileRows][2][kPanelRows];
};

struct Amx : Avx512Vnni {
  // Panels in pairs, as many as there are; gives the first that is left.
  template <class R>
  static std::int64_t tiles(const Matrix& m, const Rows<R>& x, std::int64_t row, int rows, std::int64_t panel,
                            std::int64_t panel_end, const Output& o);
};

// The integers of a block of two panels as signed bytes, offsets subtracted, and the scales.
template <class R>
inline __attribute__((always_inline)) void unpack(const Matrix& m, std::int64_t panel, std::int64_t block,
                                                  int i, Scratch& s) {
  constexpr int kOffset = R::kHasMin ? 0 : 1 << (R::kBits - 1);
  const std::uint8_t* record = m.data + static_cast<std::size_t>(panel) * m.panel_bytes +
                               block / R::kBlocks * static_cast<std::int64_t>(R::kBytes);
  const int sub = static_cast<int>(block % R::kBlocks);
  for (int p = 0; p < 2; ++p, record += m.panel_bytes) {
    prefetch<R, 2>(record, sub, 2 * m.panel_bytes);  // the scratch fills the first level
    Weights<Amx, R> w;
    w.load(record, sub);
    MYNA_UNROLL for (int g = 0; g < 8; ++g) {
      if constexpr (kOffset != 0)
        w.group[g] = _mm512_sub_epi8(w.group[g], _mm512_set1_epi8(static_cast<char>(kOffset)));
      _mm512_store_si512(s.bytes[i][p] + g * kLine, w.group[g]);
    }
    Amx::keep(s.scale[i][p], w.scale[0]);
    if constexpr (R::kHasMin) Amx::keep(s.minimum[i][p], w.minimum);
  }
}

// The dot products of N blocks for 32 rows (or for 16: the second tile is then left out) and two panels. Sums
// are stored one block late, so that a store needn't wait for its product.
template <int N, bool HasTwo>
inline __attribute__((always_inline)) void multiply(const std::int8_t* rows, std::int64_t next_block,
                                                    Scratch& s) {
  MYNA_UNROLL for (int i = 0; i < N; ++i) {
    const std::int8_t* values = rows + i * next_block;
    if (i > 0) _tile_stored(0, s.sums[i - 1][0][0], 64);
    _tile_zero(0);
    _tile_loadd(4, values, kBlock);
    _tile_loadd(6, s.bytes[i][0], 64);
    _tile_dpbssd(0, 4, 6);
    if (i > 0) _tile_stored(1, s.sums[i - 1][0][1], 64);
    _tile_zero(1);
    _tile_loadd(7, s.bytes[i][1], 64);
    _tile_dpbssd(1, 4, 7);
    if constexpr (!HasTwo) continue;
    if (i > 0) _tile_stored(2, s.sums[i - 1][1][0], 64);
    _tile_zero(2);
    _tile_loadd(5, values + kPanelRows * kBlock, kBlock);
    _tile_dpbssd(2, 5, 6);
    if (i > 0) _tile_stored(3, s.sums[i - 1][1][1], 64);
    _tile_zero(3);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_stored(0, s.sums[N - 1][0][0], 64);
  _tile_stored(1, s.sums[N - 1][0][1], 64);
  if constexpr (!HasTwo) return;
  _tile_stored(2, s.sums[N - 1][1][0], 64);
  _tile_stored(3, s.sums[N - 1][1][1], 64);
}

// Adds N blocks to the totals of eight rows; `first` counts from the start of the 64, `at` from the turn's.
template <class R, int N>
inline __attribute__((always_inline)) void scale_rows(const Rows<R>& x, std::int64_t block, int first, int at,
                                                      Scratch& s) {
  constexpr int T = 8;
  float* totals = s.totals[first][0];
  asm("" : "+r"(totals));  // one register: GCC would keep sixteen addresses
  __m512 total[T][2];
  MYNA_UNROLL for (int t = 0; t < T; ++t) {
    MYNA_UNROLL for (int p = 0; p < 2; ++p) total[t][p] =
        block == 0 ? _mm512_setzero_ps() : _mm512_load_ps(totals + (2 * t + p) * kPanelRows);
  }
  const float* scales = x.scale + block * x.width + first;
  const float* row_sums = x.sum + block * x.width + first;
  const std::int32_t* sums = s.sums[0][at / kPanelRows][0] + at % kPanelRows * kPanelRows;
  MYNA_UNROLL for (int i = 0; i < N; ++i, scales += x.width, row_sums += x.width, sums += 4 * kSums) {
    __m512 scale[2], minimum[2];
    MYNA_UNROLL for (int p = 0; p < 2; ++p) scale[p] = _mm512_load_ps(s.scale[i][p]);
    if constexpr (R::kHasMin) {
      MYNA_UNROLL for (int p = 0; p < 2; ++p) minimum[p] = _mm512_load_ps(s.minimum[i][p]);
    }
    MYNA_UNROLL for (int t = 0; t < T; ++t) {
      const __m512 factor = _mm512_set1_ps(scales[t]), sum = _mm512_set1_ps(row_sums[t]);
      MYNA_UNROLL for (int p = 0; p < 2; ++p) {
        const __m512i dot = _mm512_load_si512(sums + p * kSums + t * kPanelRows);
        __m512 term = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), scale[p]);
        if constexpr (R::kHasMin) term = _mm512_fmadd_ps(sum, minimum[p], term);
        total[t][p] = _mm512_fmadd_ps(term, factor, total[t][p]);
      }
    }
  }
  MYNA_UNROLL for (int t = 0; t < T; ++t) {
    MYNA_UNROLL for (int p = 0; p < 2; ++p) _mm512_store_ps(totals + (2 * t + p) * kPanelRows, total[t][p]);
  }
}

// One turn: N blocks of up to 64 rows and two panels.
template <class R, int N>
void turn(const Matrix& m, const Rows<R>& x, int rows, std::int64_t panel, std::int64_t block, Scratch& s) {
  MYNA_UNROLL for (int i = 0; i < N; ++i) unpack<R>(m, panel, block + i, i, s);
  for (int first = 0; first < rows; first += kUnitRows) {
    const int left = std::min(kUnitRows, rows - first);
    const std::int8_t* values = x.values + (block * x.width + first) * kBlock;
    if (left > kPanelRows)
      multiply<N, true>(values, x.width * kBlock, s);
    else
      multiply<N, false>(values, x.width * kBlock, s);
    // In eights: rows behind the last are computed from whatever lies there, and never stored.
    for (int at = 0; at < left; at += 8) scale_rows<R, N>(x, block, first + at, at, s);
  }
}

template <class R>
void pair(const Matrix& m, const Rows<R>& x, std::int64_t row, int rows, std::int64_t panel, Scratch& s,
          const Output& o) {
  const std::int64_t num_blocks = m.num_blocks();
  std::int64_t block = 0;
  for (; block + 4 <= num_blocks; block += 4) turn<R, 4>(m, x, rows, panel, block, s);
  for (; block + 2 <= num_blocks; block += 2) turn<R, 2>(m, x, rows, panel, block, s);
  if (block < num_blocks) turn<R, 1>(m, x, rows, panel, block, s);
  float* out = o.out + row * o.stride + panel * kPanelRows;
  const int count = static_cast<int>(std::min(kPanelRows, o.num_outputs - (panel + 1) * kPanelRows));
  for (int t = 0; t < rows; ++t, out += o.stride) {
    Amx::keep(out, Amx::load(s.totals[t][0]));
    Amx::store(out + kPanelRows, Amx::load(s.totals[t][1]), count);
  }
}

template <class R>
std::int64_t Amx::tiles(const Matrix& m, const Rows<R>& x, std::int64_t row, int rows, std::int64_t panel,
                        std::int64_t panel_end, const Output& o) {
  // Halves of a block have their own scales: twice the sums, each of half the depth, gain nothing.
  if constexpr (!R::kHasHalves) {
    if (rows < kLeastRows) return panel;
    const TileSession session;
    Scratch scratch;
    for (; panel + 2 <= panel_end; panel += 2) pair<R>(m, x, row, rows, panel, scratch, o);
  }
  return panel;
}

}  // namespace

extern const KernelTable kAmx{"amx", prepare_rows<Amx>, matmul_with<Amx>};

}  // namespace myna
