#include "cpu/codes.h"

#include <bit>

#include "cpu/grids.h"

namespace myna {
namespace {

// Eight codes of `bits` each from an entry of a codebook, with the signs as a bit above.
void put_codes(std::uint32_t entry, int bits, std::uint32_t signs, int count, std::uint8_t* codes) {
  for (int i = 0; i < count; ++i)
    codes[i] =
        static_cast<std::uint8_t>((entry >> (bits * i) & ((1u << bits) - 1)) | (signs >> i & 1) << bits);
}

// Seven signs, and an eighth that makes their number even.
std::uint32_t even_signs(std::uint32_t seven) {
  seven &= 127;
  return seven | static_cast<std::uint32_t>(std::popcount(seven) & 1) << 7;
}

// Of four bits: 2 * n + 1.
std::int8_t odd(int n) { return static_cast<std::int8_t>(2 * (n & 15) + 1); }

void set_scales_by_halves(const std::uint8_t* nibbles, CodedBlock& block) {
  for (int half = 0; half < 16; ++half) block.half_scales[half] = odd(nibbles[half / 2] >> (4 * (half % 2)));
}

void set_scale_of_sub(int sub, std::int8_t scale, CodedBlock& block) {
  block.half_scales[2 * sub] = block.half_scales[2 * sub + 1] = scale;
}

}  // namespace

void decode_iq4_xs(const std::uint8_t* bytes, CodedBlock& block) {
  block.scale = read<std::uint16_t>(bytes);
  const auto high = read<std::uint16_t>(bytes + 2);
  for (int sub = 0; sub < 8; ++sub) {
    const int low = bytes[4 + sub / 2] >> (4 * (sub % 2)) & 15;
    set_scale_of_sub(sub, static_cast<std::int8_t>((low | (high >> (2 * sub) & 3) << 4) - 32), block);
    split_nibbles(bytes + 8 + 16 * sub, block.codes + 32 * sub);
  }
}

void decode_iq3_s(const std::uint8_t* bytes, CodedBlock& block) {
  const std::uint8_t *low = bytes + 2, *high = bytes + 66, *signs = bytes + 74, *scales = bytes + 106;
  block.scale = read<std::uint16_t>(bytes);
  for (int sub = 0; sub < 8; ++sub) set_scale_of_sub(sub, odd(scales[sub / 2] >> (4 * (sub % 2))), block);
  for (int i = 0; i < 64; ++i) {
    const int entry = low[i] | (high[i / 8] >> (i % 8) & 1) << 8;
    put_codes(kGridIQ3S[entry], 3, signs[i / 2] >> (4 * (i % 2)), 4, block.codes + 4 * i);
  }
}

void decode_iq3_xxs(const std::uint8_t* bytes, CodedBlock& block) {
  block.scale = read<std::uint16_t>(bytes);
  for (int sub = 0; sub < 8; ++sub) {
    const auto word = read<std::uint32_t>(bytes + 66 + 4 * sub);
    set_scale_of_sub(sub, odd(static_cast<int>(word >> 28)), block);
    for (int i = 0; i < 8; ++i) {
      const std::uint32_t signs = even_signs(word >> (7 * (i / 2))) >> (4 * (i % 2));
      put_codes(kGridIQ3XXS[bytes[2 + 8 * sub + i]], 3, signs, 4, block.codes + 32 * sub + 4 * i);
    }
  }
}

void decode_iq2_s(const std::uint8_t* bytes, CodedBlock& block) {
  block.scale = read<std::uint16_t>(bytes);
  set_scales_by_halves(bytes + 74, block);
  for (int i = 0; i < 32; ++i) {
    const int entry = bytes[2 + i] | (bytes[66 + i / 4] >> (2 * (i % 4)) & 3) << 8;
    put_codes(kGridIQ2S[entry], 2, bytes[34 + i], 8, block.codes + 8 * i);
  }
}

void decode_iq2_xs(const std::uint8_t* bytes, CodedBlock& block) {
  block.scale = read<std::uint16_t>(bytes);
  set_scales_by_halves(bytes + 66, block);
  for (int i = 0; i < 32; ++i) {
    const auto word = read<std::uint16_t>(bytes + 2 + 2 * i);
    put_codes(kGridIQ2XS[word & 511], 2, even_signs(word >> 9), 8, block.codes + 8 * i);
  }
}

void decode_iq2_xxs(const std::uint8_t* bytes, CodedBlock& block) {
  block.scale = read<std::uint16_t>(bytes);
  for (int sub = 0; sub < 8; ++sub) {
    const std::uint8_t* entries = bytes + 2 + 8 * sub;
    const auto word = read<std::uint32_t>(entries + 4);
    set_scale_of_sub(sub, odd(static_cast<int>(word >> 28)), block);
    for (int i = 0; i < 4; ++i)
      put_codes(kGridIQ2XXS[entries[i]], 2, even_signs(word >> (7 * i)), 8, block.codes + 32 * sub + 8 * i);
  }
}

void decode_iq1_s(const std::uint8_t* bytes, CodedBlock& block) {
  block.scale = read<std::uint16_t>(bytes);
  for (int sub = 0; sub < 8; ++sub) {
    const auto high = read<std::uint16_t>(bytes + 34 + 2 * sub);
    set_scale_of_sub(sub, odd(high >> 12 & 7), block);
    for (int i = 0; i < 4; ++i) {
      const int entry = bytes[2 + 4 * sub + i] | (high >> (3 * i) & 7) << 8;
      put_codes(kGridIQ1[entry], 2, (high & 0x8000) != 0 ? 255 : 0, 8, block.codes + 32 * sub + 8 * i);
    }
  }
}

void decode_iq1_m(const std::uint8_t* bytes, CodedBlock& block) {
  block.scale = 0;
  for (int i = 0; i < 4; ++i) {
    const auto word = read<std::uint16_t>(bytes + 48 + 2 * i);
    block.scale = static_cast<std::uint16_t>(block.scale | (word & 0xf000) >> (12 - 4 * i));
    for (int j = 0; j < 4; ++j) block.half_scales[4 * i + j] = odd(word >> (3 * j) & 7);
  }
  for (int i = 0; i < 32; ++i) {
    const int high = bytes[32 + i / 2] >> (4 * (i % 2)) & 15;
    put_codes(kGridIQ1[bytes[i] | (high & 7) << 8], 2, (high & 8) != 0 ? 255 : 0, 8, block.codes + 8 * i);
  }
}

std::uint16_t nvfp4_scale(std::uint8_t byte) {
  const int exponent = byte >> 3 & 15, fraction = byte & 7;
  if (byte == 0x7f) return 0;
  // Halves have a bias of 15, these of 7 and half the value; those without an exponent are
  // numbers of 2^-10.
  if (exponent > 0) return static_cast<std::uint16_t>((exponent + 7) << 10 | fraction << 7);
  if (fraction == 0) return 0;
  const int top = std::bit_width(static_cast<unsigned>(fraction)) - 1;
  return static_cast<std::uint16_t>((top + 5) << 10 | (fraction << (10 - top) & 0x3ff));
}

}  // namespace myna
