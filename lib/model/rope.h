/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rope - frequencies of rotary embeddings, scaling of every kind folded in.
 */
#ifndef LLS_MODEL_ROPE_H
#define LLS_MODEL_ROPE_H

#include "model/config.h"
#include "model/traits.h"

typedef struct lls_rope_ask {
    uint32_t head_dim, max_positions, max_model_len;
    double   theta;                 /* where neither params nor config name one */
    bool     yarn_is_longrope;      /* Phi-3's old name of it */
} lls_rope_ask_t;

/* params: rope_parameters or rope_scaling, or NULL; what it lacks is looked up in c->at.  Fills
 * *out; the caller frees out->inv_freq, also after a failure, which sticks in c. */
void lls_rope_read(lls_config_t *c, lls_mem_t *mem, const json_t *params, const lls_rope_ask_t *ask,
                   lls_rope_traits_t *out);
/* The context that a config of max_position_embeddings stands for with this scaling. */
uint32_t lls_rope_context(lls_config_t *c, const json_t *params, uint32_t max_positions);

#endif
