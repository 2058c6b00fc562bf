/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family - the rows of the table of known models: defaults, names of tensors, and what is peculiar.
 *
 * Config keys of a checkpoint always win over a row.  In names '#' stands for the layer, '*' for
 * the expert and a leading '~' for one of the family's prefixes; ".weight" or ".bias" is appended.
 * A slot may have several names: the first that the checkpoint has is taken.
 */
#ifndef LLS_MODEL_FAMILY_H
#define LLS_MODEL_FAMILY_H

#include "model/config.h"
#include "model/traits.h"

enum lls_slot {
    LLS_SLOT_EMBED, LLS_SLOT_POSITIONS, LLS_SLOT_PROJECT_IN, LLS_SLOT_PROJECT_OUT,
    LLS_SLOT_FINAL_NORM, LLS_SLOT_HEAD,
    /* of a layer; POST placement has its norms behind the block of the same place */
    LLS_SLOT_NORM_IN, LLS_SLOT_NORM_ATTN_OUT, LLS_SLOT_NORM_MID, LLS_SLOT_NORM_FFN_OUT,
    LLS_SLOT_QKV, LLS_SLOT_Q, LLS_SLOT_K, LLS_SLOT_V, LLS_SLOT_Q_NORM, LLS_SLOT_K_NORM, LLS_SLOT_O,
    LLS_SLOT_GATE_UP, LLS_SLOT_GATE, LLS_SLOT_UP, LLS_SLOT_DOWN,
    LLS_SLOT_ROUTER, LLS_SLOT_EXPERT_GATE_UP, LLS_SLOT_EXPERT_GATE, LLS_SLOT_EXPERT_UP,
    LLS_SLOT_EXPERT_DOWN,
    LLS_N_SLOTS
};

enum lls_name_flags {
    LLS_NAME_TRANSPOSED = 1,        /* [in, out] */
    LLS_NAME_STACKED = 2,           /* all experts in one tensor [experts, out, in] */
    LLS_NAME_BARE = 4,              /* no ".weight" behind it */
    LLS_NAME_INTERLEAVED = 8,       /* rows of a head ordered for rotation of neighbours */
    LLS_NAME_PLUS_ONE = 16          /* the norm multiplies by 1 + w */
};

typedef struct lls_name {
    const char *name;               /* NULL ends a list */
    uint8_t     slot, flags;
} lls_name_t;

enum lls_window_rule {              /* layers with a window where the config has no layer_types */
    LLS_WINDOW_NONE,
    LLS_WINDOW_ALL,
    LLS_WINDOW_LATE,                /* use_sliding_window: from layer max_window_layers on */
    LLS_WINDOW_FLAG,                /* use_sliding_window: all */
    LLS_WINDOW_EVEN,
    LLS_WINDOW_PATTERN              /* all but every sliding_window_pattern-th */
};

typedef struct lls_family {
    const char       *model_type;
    const char       *prefixes;     /* alternatives for '~', each ended by '|' */
    const lls_name_t *names[3];     /* of Hugging Face checkpoints */
    const lls_name_t *gguf[3];
    const char       *ignore; /* endings of names that may be left unused, each ended by '|' */
    const char       *act;
    double            eps, theta;
    uint32_t          head_dim, window; /* where the config has none; head_dim 0: hidden / heads */
    uint8_t           norm, place, position, ffn, window_rule;
    uint8_t           qk_norm, tied, bias_qkv, bias_o, bias_mlp;
    uint8_t           yarn_is_longrope;     /* an old name in its checkpoints */
    void            (*fixup)(lls_config_t *c, lls_traits_t *t);
} lls_family_t;

/* NULL if the type is not in the table. */
const lls_family_t *lls_family_find(const char *model_type);
/* The types of the table, "llama, mistral, ..."; returns text. */
const char         *lls_family_list(char *text, size_t size);

#endif
