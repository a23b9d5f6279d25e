// The strings of vocabularies for Python: hundreds of thousands, for which a loop in Python takes most of the
// time that reading a header takes.
#pragma once

#include <nanobind/nanobind.h>

namespace myna {

// The next `count` strings of a GGUF header from `start` on, each after its length in 8 bytes, as (list of
// bytes, position after the last one); fewer if the data ends before that.
nanobind::tuple read_strings(nanobind::bytes data, std::size_t start, std::size_t count);

// Merges (a list of bytes) as pairs of strings, cut at the first space that isn't the first character; those
// without one are left out. What isn't UTF-8 is replaced.
nanobind::list merge_pairs(nanobind::list merges);

// The bytes of the tokens (a list of bytes) of kind 1, written in GPT-2's alphabet of a character for each
// byte; the others as they are. None if one of them has other characters.
nanobind::object byte_level_pieces(nanobind::list texts, nanobind::bytes kinds);

}  // namespace myna
