#pragma once
// What distinguishes an architecture from a plain block, as data: adding one is adding a row to families.cpp.
#include <span>
#include <string>

#include "model/model.h"

namespace myna {

struct Build;

// Which layers rotate queries and keys.
enum class Roped { kAll, kThreeOfFour, kWindowed, kNone };
// The rope of windowed layers: the model's, the model's without scaling, or one with a base of its own.
enum class LocalRope { kSame, kUnscaled, kOwnBase };

struct Family {
  const char* name;  // "general.architecture"

  bool rotates_halves = true;
  bool is_multimodal_rope = false;  // sections of a rope for images; they rotate halves, text as usual
  Roped roped = Roped::kAll;
  LocalRope local_rope = LocalRope::kSame;

  NormKind norm = NormKind::kRms;
  const char* attention_norm = "attn_norm";  // null: the residual is used as it is
  const char* ffn_norm = "ffn_norm";         // null: as above, or the attention's norm if `is_parallel`
  bool is_parallel = false;                  // attention and feed-forward share one norm
  bool has_post_norms = false;

  enum class HeadNorms { kNone, kPerHead, kPerHeadIfAny, kAfterRope, kWhole } head_norms = HeadNorms::kNone;
  bool has_joined_gate = false;  // "ffn_up" holds the gate's rows, then those of up
  Activation activation = Activation::kSilu;
  bool has_gate() const { return activation != Activation::kSquaredRelu; }

  bool has_value_norms = false;  // of root mean squares, without weights

  bool has_sinks = false;
  bool layers_differ = false;    // in their numbers of heads, the heads' lengths or the feed-forward's width
  bool has_lone_blocks = false;  // a layer is attention, recurrent or a feed-forward, each with "attn_norm"
  bool has_layer_inputs = false;
  bool has_altup = false;  // with LAuReL, and gates that are sparse in some layers
  bool has_latent = false;

  // Layers without keys and values are recurrent.
  Recurrence recurrence = Recurrence::kNone;
  bool shares_keys_at_distance = false;  // see RecurrentSizes
  bool has_query_gate = false;           // "attn_q" has a gate after each head's query
  const char* output_norm = "output_norm";

  // A mixture of experts in the layers that have a router, unless the file says otherwise about its routing.
  bool is_mixture = false;
  Routing::Scores scores = Routing::Scores::kSoftmax;
  bool renormalizes = true;
  bool has_dense_beside_experts = false;  // each part with norms of its own
  bool has_guessing_layers = false;       // the last layers may be only for guessing further tokens: not run

  // Windows: `pattern` n makes all but every n-th layer windowed (0: all, 1: none), unless the file says
  // otherwise; without `window` there are none unless the file has them.
  bool has_windows = false;
  int64_t window = 0;
  int pattern = 0;

  std::span<const char* const> keys = {};  // honoured besides the common ones
  void (*finish)(Build&) = nullptr;        // what isn't data
};

std::span<const Family> families();
// Throws UnsupportedModel for an unknown name.
const Family& find_family(const std::string& name);

}  // namespace myna
