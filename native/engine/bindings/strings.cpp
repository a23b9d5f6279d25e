#include "bindings/strings.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

namespace nb = nanobind;

namespace myna {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kAlphabetEnd = 256 + 68;
constexpr char kNormal = 1;  // the kind of tokens that are written in it

nb::object text(std::string_view bytes) {
  PyObject* made = PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace");
  if (made == nullptr) throw nb::python_error();
  return nb::steal(made);
}

std::string_view bytes_of(nb::handle object) {
  if (!PyBytes_Check(object.ptr())) throw std::invalid_argument("a string is not bytes");
  return {PyBytes_AS_STRING(object.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(object.ptr()))};
}

// By character, the byte that GPT-2's alphabet uses it for; -1 for the others. Bytes that can't be shown are
// the characters from 256 on.
std::array<std::int16_t, kAlphabetEnd> alphabet() {
  std::array<std::int16_t, kAlphabetEnd> byte_of;
  byte_of.fill(-1);
  std::size_t next = 256;
  for (std::int16_t byte = 0; byte < 256; ++byte) {
    const bool is_shown = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    byte_of[is_shown ? static_cast<std::size_t>(byte) : next++] = byte;
  }
  return byte_of;
}

// The bytes of a text in that alphabet, whose characters take one or two bytes; false if it has others.
bool decode_byte_level(std::string_view text, std::string& out) {
  static const std::array<std::int16_t, kAlphabetEnd> byte_of = alphabet();
  out.clear();
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::size_t character = static_cast<unsigned char>(text[at]);
    if (character >= 0x80) {
      if (character < 0xc2 || character > 0xc5 || at + 1 == text.size()) return false;
      const std::size_t rest = static_cast<unsigned char>(text[++at]);
      if (rest < 0x80 || rest > 0xbf) return false;
      character = (character & 0x1f) << 6 | (rest & 0x3f);
    }
    if (character >= kAlphabetEnd || byte_of[character] < 0) return false;
    out += static_cast<char>(byte_of[character]);
  }
  return true;
}

}  // namespace

nb::tuple read_strings(nb::bytes data, std::size_t start, std::size_t count) {
  const char* bytes = data.c_str();
  const std::size_t size = data.size();
  nb::list out;
  std::size_t at = start;
  for (std::size_t i = 0; i < count && at <= size && size - at >= kLengthBytes; ++i) {
    std::uint64_t length;
    std::memcpy(&length, bytes + at, kLengthBytes);
    if (length > size - at - kLengthBytes) break;
    out.append(nb::bytes(bytes + at + kLengthBytes, length));
    at += kLengthBytes + length;
  }
  return nb::make_tuple(out, at);
}

nb::list merge_pairs(nb::list merges) {
  nb::list out;
  for (nb::handle merge : merges) {
    const std::string_view line = bytes_of(merge);
    const std::size_t space = line.find(' ', 1);
    if (space == std::string_view::npos) continue;
    out.append(nb::make_tuple(text(line.substr(0, space)), text(line.substr(space + 1))));
  }
  return out;
}

nb::object byte_level_pieces(nb::list texts, nb::bytes kinds) {
  if (kinds.size() != texts.size()) throw std::invalid_argument("there must be a kind for each token");
  nb::list out;
  std::string piece;
  std::size_t token = 0;
  for (nb::handle text : texts) {
    if (kinds.c_str()[token++] != kNormal) {
      out.append(text);
    } else if (decode_byte_level(bytes_of(text), piece)) {
      out.append(nb::bytes(piece.data(), piece.size()));
    } else {
      return nb::none();
    }
  }
  return out;
}

}  // namespace myna
