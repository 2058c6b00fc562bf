/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binding: every tensor of the checkpoint to its place in the model.  What the traits ask for must
 * be there in the right shape, and what is there must be asked for.
 */
#include "model/model_int.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES 160u
#define WEIGHT ".weight"
#define BIAS ".bias"

typedef struct binder {
    lls_model_t  *m;
    char          prefix[32];
    uint8_t      *used;             /* [tensors of the checkpoint] */
    llm_status_t  status;
    llm_error_t  *err;
} binder_t;

typedef struct piece {              /* of a matrix: one source, `out` rows of each expert */
    uint32_t slot, out;
} piece_t;

/* ---- Names ---------------------------------------------------------------------------------- */

static void expand(const binder_t *b, const lls_name_t *n, const char *suffix, uint32_t layer,
                   uint32_t expert, char name[NAME_BYTES])
{
    size_t at = 0;

    for (const char *p = n->name; *p != '\0' && at < NAME_BYTES; p++) {
        if (*p == '~')
            at += (size_t)snprintf(name + at, NAME_BYTES - at, "%s", b->prefix);
        else if (*p == '#' || *p == '*')
            at += (size_t)snprintf(name + at, NAME_BYTES - at, "%u", *p == '#' ? layer : expert);
        else
            name[at++] = *p;
    }
    if ((n->flags & LLS_NAME_BARE) != 0)
        suffix = "";
    lls_assert(at + strlen(suffix) < NAME_BYTES);
    snprintf(name + at, NAME_BYTES - at, "%s", suffix);
}

/* The first name of the slot that the checkpoint has; if none, NULL and the first of all. */
static const lls_weight_t *find(const binder_t *b, uint32_t slot, const char *suffix,
                                uint32_t layer, uint32_t expert, uint32_t *flags,
                                char name[NAME_BYTES])
{
    const lls_family_t *f = b->m->traits.family;
    bool                gguf = lls_weights_gguf(b->m->weights) != NULL;
    const lls_name_t   *first = NULL;

    for (uint32_t list = 0; list < LLS_ARRAY_LEN(f->names); list++) {
        const lls_name_t *n = gguf ? f->gguf[list] : f->names[list];

        for (; n != NULL && n->name != NULL; n++) {
            const lls_weight_t *t;

            if (n->slot != slot)
                continue;
            first = first == NULL ? n : first;
            expand(b, n, suffix, layer, expert, name);
            t = lls_weights_find(b->m->weights, name);
            if (t != NULL) {
                *flags = n->flags;
                return t;
            }
        }
    }
    if (first != NULL)
        expand(b, first, suffix, layer, expert, name);
    else
        snprintf(name, NAME_BYTES, "of slot %u", slot);
    return NULL;
}

static bool has(const binder_t *b, uint32_t slot, uint32_t layer)
{
    char     name[NAME_BYTES];
    uint32_t flags;

    return find(b, slot, WEIGHT, layer, 0, &flags, name) != NULL;
}

/* Checkpoints come with and without the name of the outer module. */
static void choose_prefix(binder_t *b)
{
    for (const char *p = b->m->traits.family->prefixes; *p != '\0';) {
        size_t len = strcspn(p, "|");

        snprintf(b->prefix, sizeof b->prefix, "%.*s", (int)len, p);
        if (has(b, LLS_SLOT_EMBED, 0))
            return;
        p += len + 1;
    }
    snprintf(b->prefix, sizeof b->prefix, "%.*s", (int)strcspn(b->m->traits.family->prefixes, "|"),
             b->m->traits.family->prefixes);
}

/* ---- Tensors -------------------------------------------------------------------------------- */

static void shape_text(const uint64_t *shape, uint32_t n_dims, char *text, size_t size)
{
    size_t at = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < n_dims && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%llu", i == 0 ? "" : ", ",
                               (unsigned long long)shape[i]);
}

static void check_shape(binder_t *b, const lls_weight_t *t, const uint64_t *want, uint32_t n_dims)
{
    char got_text[96], want_text[96];

    if (t->n_dims == n_dims && memcmp(t->shape, want, n_dims * sizeof *want) == 0)
        return;
    shape_text(t->shape, t->n_dims, got_text, sizeof got_text);
    shape_text(want, n_dims, want_text, sizeof want_text);
    b->status =
        lls_fail(b->err, LLM_ERR_FORMAT, "tensor %.100s has shape [%s]; the config asks for [%s]",
                 t->name, got_text, want_text);
}

/* The tensor of a slot, marked as used; NULL after an error. */
static const lls_weight_t *take(binder_t *b, uint32_t slot, const char *suffix, uint32_t layer,
                                uint32_t expert, uint32_t *flags)
{
    char                name[NAME_BYTES];
    const lls_weight_t *t;
    uint32_t            at;

    if (b->status != LLM_OK)
        return NULL;
    t = find(b, slot, suffix, layer, expert, flags, name);
    if (t == NULL) {
        b->status = lls_fail(b->err, LLM_ERR_FORMAT, "tensor %s is missing; a %s model needs it",
                             name, b->m->traits.model_type);
        return NULL;
    }
    at = (uint32_t)(t - lls_weights_at(b->m->weights, 0));
    lls_assert(at < lls_weights_n(b->m->weights));      /* the table is one array */
    b->used[at] = 1;
    return t;
}

static void push_part(binder_t *b, const lls_wpart_t *part, const lls_weight_t *from)
{
    lls_bind_t *plan = &b->m->bind;

    if (!lls_reserve(b->m->mem, (void **)&plan->parts, &plan->cap_parts, plan->n_parts + 1,
                     sizeof *plan->parts) ||
        !lls_reserve(b->m->mem, (void **)&plan->sources, &plan->cap_sources, plan->n_parts + 1,
                     sizeof *plan->sources)) {
        b->status = lls_fail(b->err, LLM_ERR_NO_MEMORY, "table of tensors");
        return;
    }
    plan->parts[plan->n_parts] = *part;
    plan->sources[plan->n_parts++] = from;
}

/* Row r of a head in halves is row order[r] of the checkpoint, where neighbours are rotated. */
static const uint32_t *interleaved_order(binder_t *b)
{
    const lls_traits_t *t = &b->m->traits;
    uint32_t            n = t->n_heads * t->head_dim, half = t->head_dim / 2;
    uint32_t           *order = b->m->bind.order;

    if (order != NULL)
        return order;
    order = b->m->bind.order = lls_calloc(b->m->mem, n, sizeof *order);
    if (order == NULL)
        b->status = lls_fail(b->err, LLM_ERR_NO_MEMORY, "order of %u rows", n);
    for (uint32_t r = 0; r < n && order != NULL; r++) {
        uint32_t in_head = r % t->head_dim;

        order[r] = r - in_head + 2 * (in_head % half) + in_head / half;
    }
    return order;
}

/* ---- Matrices and vectors ------------------------------------------------------------------- */

static void check_is_plain(binder_t *b, const lls_weight_t *t)
{
    if (b->status == LLM_OK && b->m->quant != LLS_QUANT_NONE && t->scheme > LLS_W_BF16)
        b->status = lls_fail_param(b->err, LLM_ERR_UNSUPPORTED, "quantization",
                                   "tensor %.100s is %s already; leave quantization at none, or "
                                   "use a checkpoint of float32, float16 or bfloat16", t->name,
                                   lls_scheme_name(t->scheme));
}

static void add_piece(binder_t *b, const piece_t *p, uint32_t layer, uint32_t expert, uint32_t in)
{
    uint32_t            flags = 0, n_experts = b->m->traits.route.n_experts;
    const lls_weight_t *t = take(b, p->slot, WEIGHT, layer, expert, &flags);
    lls_wpart_t         part = { .out = p->out, .in = in };
    uint64_t            want[3] = { n_experts, p->out, in };
    bool                stacked = (flags & LLS_NAME_STACKED) != 0;

    if (t == NULL)
        return;
    part.scheme = t->scheme;
    part.data = t->data;
    part.transposed = (flags & LLS_NAME_TRANSPOSED) != 0;
    if (part.transposed) {
        want[1] = in;
        want[2] = p->out;
    }
    check_shape(b, t, stacked ? want : want + 1, stacked ? 3 : 2);
    if (b->status == LLM_OK && part.transposed && t->scheme > LLS_W_BF16)
        b->status =
            lls_fail(b->err, LLM_ERR_UNSUPPORTED, "tensor %.100s is %s; a plain type is needed",
                     t->name, lls_scheme_name(t->scheme));
    check_is_plain(b, t);
    if (b->status == LLM_OK && stacked)
        part.data = t->data + (uint64_t)expert * p->out * lls_scheme_row_bytes(t->scheme, in);
    if ((flags & LLS_NAME_INTERLEAVED) != 0)
        part.row_of = interleaved_order(b);
    if (b->status == LLM_OK)
        push_part(b, &part, t);
}

/* What becomes of a matrix.  Positions and routers are small, and a wrong expert is not a small
 * error; embedding and head, which every token meets, are better than 4 bits. */
static uint32_t quant_of(const lls_model_t *m, uint32_t slot)
{
    if (slot == LLS_SLOT_ROUTER || slot == LLS_SLOT_POSITIONS)
        return LLS_QUANT_NONE;
    if (m->quant != LLS_QUANT_NONE && (slot == LLS_SLOT_EMBED || slot == LLS_SLOT_HEAD))
        return LLS_QUANT_INT8;
    return m->quant;
}

/* A matrix of pieces stacked along `out`; with n_experts a stack of as many. */
static void bind_matrix(binder_t *b, const lls_wmat_t **target, const piece_t *pieces, uint32_t n,
                        uint32_t in, uint32_t layer, uint32_t n_experts, uint32_t use)
{
    lls_bind_t     *plan = &b->m->bind;
    lls_bound_mat_t mat = { target, (uint32_t)plan->n_parts, n, n_experts, use, b->m->dtype,
                            quant_of(b->m, pieces[0].slot) };

    for (uint32_t e = 0; e < lls_max_u32(n_experts, 1); e++)
        for (uint32_t i = 0; i < n; i++)
            add_piece(b, &pieces[i], layer, e, in);
    if (pieces[0].slot == LLS_SLOT_ROUTER)
        mat.dtype = LLS_F32;
    if (b->status == LLM_OK && !lls_reserve(b->m->mem, (void **)&plan->mats, &plan->cap_mats,
                                            plan->n_mats + 1, sizeof mat))
        b->status = lls_fail(b->err, LLM_ERR_NO_MEMORY, "table of matrices");
    if (b->status == LLM_OK)
        plan->mats[plan->n_mats++] = mat;
}

static void bind_vector(binder_t *b, const float **target, const piece_t *pieces, uint32_t n,
                        const char *suffix, uint32_t layer)
{
    lls_bind_t     *plan = &b->m->bind;
    lls_bound_vec_t vec = { target, (uint32_t)plan->n_parts, n, 0, 0 };

    for (uint32_t i = 0; i < n && b->status == LLM_OK; i++) {
        uint32_t            flags = 0;
        const lls_weight_t *t = take(b, pieces[i].slot, suffix, layer, 0, &flags);
        lls_wpart_t         part = { .out = pieces[i].out, .in = 1 };

        if (t == NULL)
            return;
        check_shape(b, t, &(uint64_t){ part.out }, 1);
        if (b->status == LLM_OK && t->scheme > LLS_W_BF16)
            b->status = lls_fail(b->err, LLM_ERR_UNSUPPORTED,
                                 "tensor %.100s is %s; a plain type is needed", t->name,
                                 lls_scheme_name(t->scheme));
        part.scheme = t->scheme;
        part.data = t->data;
        if ((flags & LLS_NAME_INTERLEAVED) != 0)
            part.row_of = interleaved_order(b);
        if ((flags & LLS_NAME_PLUS_ONE) != 0)
            vec.add = 1;
        vec.width += part.out;
        if (b->status == LLM_OK)
            push_part(b, &part, t);
    }
    if (b->status == LLM_OK && !lls_reserve(b->m->mem, (void **)&plan->vecs, &plan->cap_vecs,
                                            plan->n_vecs + 1, sizeof vec))
        b->status = lls_fail(b->err, LLM_ERR_NO_MEMORY, "table of vectors");
    if (b->status == LLM_OK)
        plan->vecs[plan->n_vecs++] = vec;
}

static void bind_linear(binder_t *b, lls_linear_t *linear, const piece_t *pieces, uint32_t n,
                        uint32_t in, uint32_t layer, uint32_t n_experts, bool bias)
{
    *linear = (lls_linear_t){ .in = in };
    for (uint32_t i = 0; i < n; i++)
        linear->out += pieces[i].out;
    bind_matrix(b, &linear->w, pieces, n, in, layer, n_experts, LLS_USE_LINEAR);
    if (bias)
        bind_vector(b, &linear->bias, pieces, n, BIAS, layer);
}

static void bind_norm(binder_t *b, lls_norm_t *norm, uint32_t slot, uint32_t layer, uint32_t width)
{
    const lls_traits_t *t = &b->m->traits;
    piece_t             piece = { slot, width };

    *norm = (lls_norm_t){ .kind = t->norm, .width = width, .eps = t->norm_eps };
    bind_vector(b, &norm->weight, &piece, 1, WEIGHT, layer);
    if (t->norm == LLS_NORM_LAYER)
        bind_vector(b, &norm->bias, &piece, 1, BIAS, layer);
}

/* ---- The model ------------------------------------------------------------------------------ */

static void bind_attention(binder_t *b, lls_layer_t *l, uint32_t i)
{
    const lls_traits_t *t = &b->m->traits;
    uint32_t            q = t->n_heads * t->head_dim, kv = t->n_kv * t->head_dim;
    const piece_t       fused[] = { { LLS_SLOT_QKV, q + 2 * kv } };
    const piece_t       parts[] = { { LLS_SLOT_Q, q }, { LLS_SLOT_K, kv }, { LLS_SLOT_V, kv } };
    bool                is_fused = has(b, LLS_SLOT_QKV, i);

    bind_linear(b, &l->qkv, is_fused ? fused : parts, is_fused ? 1 : 3, t->hidden, i, 0,
                t->bias_qkv);
    bind_linear(b, &l->o, &(piece_t){ LLS_SLOT_O, t->hidden }, 1, q, i, 0, t->bias_o);
    l->rope = (lls_rope_t){ .n_q = t->n_heads, .n_k = t->n_kv, .head_dim = t->head_dim,
                            .interleaved = t->interleaved_rope };
    if (t->qk_norm) {
        bind_norm(b, &l->q_norm, LLS_SLOT_Q_NORM, i, t->head_dim);
        bind_norm(b, &l->k_norm, LLS_SLOT_K_NORM, i, t->head_dim);
        l->rope.q_norm = &l->q_norm;
        l->rope.k_norm = &l->k_norm;
    }
    l->attend = (lls_attend_t){ .group = l->traits.group, .n_q = t->n_heads, .n_kv = t->n_kv,
                                .head_dim = t->head_dim, .kind = t->groups[l->traits.group].kind,
                                .window = l->traits.window, .scale = t->attn_scale,
                                .softcap = t->attn_softcap };
}

static void bind_experts(binder_t *b, lls_layer_t *l, uint32_t i)
{
    const lls_traits_t *t = &b->m->traits;
    uint32_t            n = t->route.n_experts, wide = t->moe_intermediate;
    const piece_t       fused[] = { { LLS_SLOT_EXPERT_GATE_UP, 2 * wide } };
    const piece_t       parts[] = { { LLS_SLOT_EXPERT_GATE, wide }, { LLS_SLOT_EXPERT_UP, wide } };
    bool                is_fused = has(b, LLS_SLOT_EXPERT_GATE_UP, i);

    bind_linear(b, &l->router, &(piece_t){ LLS_SLOT_ROUTER, n }, 1, t->hidden, i, 0, false);
    bind_linear(b, &l->gate_up, is_fused ? fused : parts, is_fused ? 1 : 2, t->hidden, i, n, false);
    bind_linear(b, &l->down, &(piece_t){ LLS_SLOT_EXPERT_DOWN, t->hidden }, 1, wide, i, n, false);
}

static void bind_ffn(binder_t *b, lls_layer_t *l, uint32_t i)
{
    const lls_traits_t *t = &b->m->traits;
    uint32_t            wide = t->intermediate;
    const piece_t       fused[] = { { LLS_SLOT_GATE_UP, 2 * wide } };
    const piece_t       parts[] = { { LLS_SLOT_GATE, wide }, { LLS_SLOT_UP, wide } };

    if (l->traits.ffn == LLS_FFN_MOE) {
        bind_experts(b, l, i);
        return;
    }
    if (l->traits.ffn == LLS_FFN_PLAIN)
        bind_linear(b, &l->gate_up, &parts[1], 1, t->hidden, i, 0, t->bias_mlp);
    else if (has(b, LLS_SLOT_GATE, i) || !has(b, LLS_SLOT_GATE_UP, i))
        bind_linear(b, &l->gate_up, parts, 2, t->hidden, i, 0, t->bias_mlp);
    else
        bind_linear(b, &l->gate_up, fused, 1, t->hidden, i, 0, t->bias_mlp);
    bind_linear(b, &l->down, &(piece_t){ LLS_SLOT_DOWN, t->hidden }, 1, wide, i, 0, t->bias_mlp);
}

static void bind_layer(binder_t *b, lls_layer_t *l, uint32_t i)
{
    const lls_traits_t *t = &b->m->traits;

    l->traits = t->layers[i];
    bind_norm(b, &l->norm_in, LLS_SLOT_NORM_IN, i, t->hidden);
    bind_attention(b, l, i);
    bind_norm(b, &l->norm_mid, LLS_SLOT_NORM_MID, i, t->hidden);
    if (t->place == LLS_PLACE_SANDWICH) {
        bind_norm(b, &l->norm_attn_out, LLS_SLOT_NORM_ATTN_OUT, i, t->hidden);
        bind_norm(b, &l->norm_ffn_out, LLS_SLOT_NORM_FFN_OUT, i, t->hidden);
    }
    bind_ffn(b, l, i);
}

static void bind_ends(binder_t *b)
{
    lls_model_t        *m = b->m;
    const lls_traits_t *t = &m->traits;

    bind_matrix(b, &m->embed, &(piece_t){ LLS_SLOT_EMBED, t->n_vocab }, 1, t->embed_dim, 0, 0,
                LLS_USE_EMBED);
    if (t->position == LLS_POS_LEARNED)
        bind_matrix(b, &m->positions, &(piece_t){LLS_SLOT_POSITIONS, t->n_positions}, 1, t->hidden,
                    0, 0, LLS_USE_EMBED);
    if (t->embed_dim != t->hidden) {
        bind_linear(b, &m->project_in, &(piece_t){LLS_SLOT_PROJECT_IN, t->hidden}, 1, t->embed_dim,
                    0, 0, false);
        bind_linear(b, &m->project_out, &(piece_t){LLS_SLOT_PROJECT_OUT, t->embed_dim}, 1,
                    t->hidden, 0, 0, false);
    }
    if (t->final_norm)
        bind_norm(b, &m->final_norm, LLS_SLOT_FINAL_NORM, 0, t->hidden);
    m->head = (lls_linear_t){ .in = t->embed_dim, .out = t->n_vocab };
    if (!t->tied)
        bind_linear(b, &m->head, &(piece_t){LLS_SLOT_HEAD, t->n_vocab}, 1, t->embed_dim, 0, 0,
                    false);
}

/* ---- What nobody asked for ------------------------------------------------------------------ */

static bool ends_with(const char *name, const char *ending, size_t len)
{
    size_t n = strlen(name);

    return n >= len && memcmp(name + n - len, ending, len) == 0;
}

/* Buffers that older checkpoints carry along, and a head that is the embedding once more. */
static bool may_ignore(const lls_traits_t *t, const char *name)
{
    if (t->tied && strcmp(name, "lm_head.weight") == 0)
        return true;
    for (const char *p = t->family->ignore; *p != '\0';) {
        size_t len = strcspn(p, "|");

        if (ends_with(name, p, len))
            return true;
        p += len + 1;
    }
    return false;
}

static void check_unused(binder_t *b)
{
    const lls_weights_t *w = b->m->weights;
    const char          *name = NULL;
    uint32_t             n = 0;

    for (uint32_t i = 0; i < lls_weights_n(w); i++)
        if (!b->used[i] && !may_ignore(&b->m->traits, lls_weights_at(w, i)->name)) {
            name = name == NULL ? lls_weights_at(w, i)->name : name;
            n++;
        }
    if (n != 0)
        b->status = lls_fail(b->err, LLM_ERR_FORMAT,
                             "%u tensors have no place in this %s model, the first is %.100s", n,
                             b->m->traits.model_type, name);
}

llm_status_t lls_model_bind(lls_model_t *m, llm_error_t *err)
{
    binder_t b = { .m = m, .err = err };

    b.used = lls_zalloc(m->mem, lls_weights_n(m->weights));
    m->layers = lls_calloc(m->mem, m->traits.n_layers, sizeof *m->layers);
    if (b.used == NULL || m->layers == NULL) {
        lls_free(m->mem, b.used);
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%u layers", m->traits.n_layers);
    }
    choose_prefix(&b);
    bind_ends(&b);
    for (uint32_t i = 0; i < m->traits.n_layers && b.status == LLM_OK; i++)
        bind_layer(&b, &m->layers[i], i);
    if (b.status == LLM_OK)
        check_unused(&b);
    lls_free(m->mem, b.used);
    return b.status;
}

void lls_bind_deinit(lls_mem_t *mem, lls_bind_t *b)
{
    lls_free(mem, b->parts);
    lls_free(mem, b->sources);
    lls_free(mem, b->mats);
    lls_free(mem, b->vecs);
    lls_free(mem, b->order);
    *b = (lls_bind_t){ 0 };
}
