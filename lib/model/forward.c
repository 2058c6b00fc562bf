/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one decoder.  The residual stream x and one buffer y of the same size carry everything: a
 * block reads its normed input and leaves its output in y, which the next norm adds onto x.  What a
 * block needs besides is on the arena's stack until it ends.
 */
#include "model/model_int.h"
#include "sample/sample_kernels.h"

typedef struct pass {               /* one call of forward() */
    lls_exec_t        *x;
    const lls_model_t *m;
    const lls_batch_t *b;
    lls_tensor_t       stream, y;   /* [n_tokens, hidden] */
    lls_tensor_t       angles[LLS_MAX_ROPE_TABLES];     /* [n_tokens, rot_dim] */
} pass_t;

static lls_tensor_t tmp(pass_t *p, uint32_t rows, uint32_t cols)
{
    return lls_tmp(p->x, LLS_F32, rows, cols);
}

/* ---- Beginning ------------------------------------------------------------------------------ */

static void embed(pass_t *p)
{
    const lls_traits_t *t = &p->m->traits;
    size_t              mark;

    p->stream = tmp(p, p->b->n_tokens, t->hidden);
    mark = p->x->used;
    if (t->embed_dim == t->hidden) {
        LLS_OP(p->x, embed, &p->stream, p->b, p->m->embed, t->embed_scale);
    } else {
        lls_tensor_t e = tmp(p, p->b->n_tokens, t->embed_dim);

        LLS_OP(p->x, embed, &e, p->b, p->m->embed, t->embed_scale);
        LLS_OP(p->x, linear, &p->stream, &e, &p->m->project_in);
        p->x->used = mark;
    }
    if (t->position == LLS_POS_LEARNED)
        LLS_OP(p->x, embed_pos, &p->stream, p->b, p->m->positions, t->position_offset);
}

static void make_angles(pass_t *p)
{
    for (uint32_t i = 0; i < p->m->traits.n_rope_tables; i++) {
        /* while planning before load the tables of the arena are not there yet */
        lls_rope_table_t table = {NULL, p->m->traits.rope[i].rot_dim, p->m->traits.rope[i].factor};

        table.inv_freq = p->m->rope[i].inv_freq;
        p->angles[i] = tmp(p, p->b->n_tokens, table.rot_dim);
        LLS_OP(p->x, rope_angles, &p->angles[i], p->b, &table);
    }
}

/* ---- Blocks: from `in` to p->y; `in` may be p->y -------------------------------------------- */

static void attention(pass_t *p, const lls_layer_t *l, const lls_tensor_t *in)
{
    lls_exec_t  *x = p->x;
    size_t       mark = x->used;
    lls_tensor_t qkv = tmp(p, p->b->n_tokens, l->qkv.out), heads = tmp(p, p->b->n_tokens, l->o.in);

    LLS_OP(x, linear, &qkv, in, &l->qkv);
    if (p->m->traits.position == LLS_POS_ROPE)
        lls_do_rope_write(x, &qkv, &p->angles[l->traits.rope_table], &l->rope, p->b, &l->pages,
                          &l->attend);
    else
        LLS_OP(x, kv_write, &qkv, p->b, &l->pages, &l->attend);
    LLS_OP(x, attend, &heads, &qkv, p->b, &l->pages, &l->attend);
    LLS_OP(x, linear, &p->y, &heads, &l->o);
    x->used = mark;
}

static void mlp(pass_t *p, const lls_layer_t *l, const lls_tensor_t *in)
{
    lls_exec_t  *x = p->x;
    size_t       mark = x->used;
    lls_tensor_t wide = tmp(p, p->b->n_tokens, l->gate_up.out);

    LLS_OP(x, linear, &wide, in, &l->gate_up);
    LLS_OP(x, act, &wide, p->m->traits.act);
    LLS_OP(x, linear, &p->y, &wide, &l->down);
    x->used = mark;
}

static void experts(pass_t *p, const lls_layer_t *l, const lls_tensor_t *in, const lls_glu_t *glu)
{
    const lls_route_t *route = &p->m->traits.route;
    lls_exec_t        *x = p->x;
    uint32_t           n = p->b->n_tokens;
    size_t             mark = x->used;
    lls_tensor_t ids = lls_tmp(x, LLS_I32, n, route->top_k), weights = tmp(p, n, route->top_k);
    lls_tensor_t scores = tmp(p, n, route->n_experts);
    lls_tensor_t out = tmp(p, n * route->top_k, p->m->traits.hidden);

    LLS_OP(x, linear, &scores, in, &l->router);
    LLS_OP(x, route, &ids, &weights, &scores, route);
    lls_do_glu(x, &out, in, &ids, glu);
    LLS_OP(x, expert_sum, &p->y, &out, &weights);
    x->used = mark;
}

static void feed_forward(pass_t *p, const lls_layer_t *l, const lls_tensor_t *in)
{
    lls_glu_t glu = { .gate_up = &l->gate_up, .down = &l->down, .act = p->m->traits.act };

    if (l->traits.ffn == LLS_FFN_MOE)
        experts(p, l, in, &glu);
    else if (l->traits.ffn == LLS_FFN_GLU)
        lls_do_glu(p->x, &p->y, in, NULL, &glu);
    else
        mlp(p, l, in);
}

/* ---- Layers --------------------------------------------------------------------------------- */

static bool cancelled(lls_exec_t *x)
{
    if (!x->planning && x->cancel != NULL &&
        atomic_load_explicit(x->cancel, memory_order_relaxed) != 0)
        lls_exec_fail(x, LLM_ERR_CANCELLED);
    return x->status != LLM_OK;
}

/* Norms before the blocks, and behind them too in a sandwich.  y comes in normed and goes out
 * normed by `next`. */
static void layer_pre(pass_t *p, const lls_layer_t *l, const lls_norm_t *next)
{
    bool sandwich = p->m->traits.place == LLS_PLACE_SANDWICH;

    attention(p, l, &p->y);
    if (sandwich)
        LLS_OP(p->x, norm, &p->y, &p->y, &l->norm_attn_out);
    lls_do_add_norm(p->x, &p->y, &p->stream, &p->y, &l->norm_mid);
    feed_forward(p, l, &p->y);
    if (sandwich)
        LLS_OP(p->x, norm, &p->y, &p->y, &l->norm_ffn_out);
    if (next != NULL)
        lls_do_add_norm(p->x, &p->y, &p->stream, &p->y, next);
    else
        LLS_OP(p->x, add, &p->stream, &p->y, 1.0f);
}

static void add_then_norm(pass_t *p, const lls_norm_t *norm)
{
    LLS_OP(p->x, add, &p->stream, &p->y, 1.0f);
    LLS_OP(p->x, norm, &p->stream, &p->stream, norm);
}

static void layer_post(pass_t *p, const lls_layer_t *l)
{
    attention(p, l, &p->stream);
    add_then_norm(p, &l->norm_in);
    feed_forward(p, l, &p->stream);
    add_then_norm(p, &l->norm_mid);
}

/* Returns what the head reads: y if a norm ends the model, else the stream. */
static lls_tensor_t *run_layers(pass_t *p)
{
    const lls_model_t *m = p->m;
    const lls_norm_t  *final = m->traits.final_norm ? &m->final_norm : NULL;

    if (m->traits.place != LLS_PLACE_POST)
        LLS_OP(p->x, norm, &p->y, &p->stream, &m->layers[0].norm_in);
    for (uint32_t i = 0; i < m->traits.n_layers && !cancelled(p->x); i++) {
        if (m->traits.place == LLS_PLACE_POST)
            layer_post(p, &m->layers[i]);
        else
            layer_pre(p, &m->layers[i],
                      i + 1 < m->traits.n_layers ? &m->layers[i + 1].norm_in : final);
    }
    return final != NULL && m->traits.place != LLS_PLACE_POST ? &p->y : &p->stream;
}

/* ---- End ------------------------------------------------------------------------------------ */

void lls_model_head(lls_exec_t *x, const lls_model_t *m, const lls_tensor_t *hidden,
                    lls_tensor_t *logits, lls_tensor_t *peaks)
{
    const lls_traits_t *t = &m->traits;
    const lls_tensor_t *in = hidden;
    lls_tensor_t        narrow, none = { 0 };
    size_t              mark;

    *logits = lls_tmp(x, LLS_F32, hidden->shape[0], t->n_vocab);
    if (peaks != NULL)
        *peaks = t->final_softcap != 0
                     ? none
                     : lls_tmp(x, LLS_F32, hidden->shape[0], lls_sample_n_peaks(t->n_vocab));
    mark = x->used;
    if (t->embed_dim != t->hidden) {
        narrow = lls_tmp(x, LLS_F32, hidden->shape[0], t->embed_dim);
        LLS_OP(x, linear, &narrow, hidden, &m->project_out);
        in = &narrow;
    }
    if (peaks != NULL && peaks->n_dims != 0)
        lls_do_linear_peaks(x, logits, peaks, in, &m->head);
    else
        LLS_OP(x, linear, logits, in, &m->head);
    if (t->final_softcap != 0)
        LLS_OP(x, scale, logits, 1.0f, t->final_softcap);
    x->used = mark;
}

void lls_model_forward(lls_exec_t *x, const lls_model_t *m, const lls_batch_t *batch,
                       lls_tensor_t *logits, lls_tensor_t *peaks, lls_tensor_t *hidden)
{
    pass_t        p = { .x = x, .m = m, .b = batch };
    lls_tensor_t *last, chosen;

    embed(&p);
    p.y = tmp(&p, batch->n_tokens, m->traits.hidden);
    make_angles(&p);
    last = run_layers(&p);
    if (hidden != NULL)
        *hidden = *last;
    chosen = tmp(&p, batch->n_logits, m->traits.hidden);
    if (batch->n_logits != 0)
        LLS_OP(x, gather, &chosen, last, batch->logit_token, batch->n_logits);
    lls_model_head(x, m, &chosen, logits, peaks);
}
