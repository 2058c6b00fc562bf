/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SentencePiece .model: a protobuf message, read by a reader of varints of our own.
 */
#include "text/tokenizer_int.h"

#include <math.h>

#include "base/io.h"
#include "base/utf8.h"

#define MAX_FILE (256u << 20)

/* ORDER piece type: numbers of the file format. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };
enum { MODEL_UNIGRAM = 1, MODEL_BPE, MODEL_WORD, MODEL_CHAR };

/* ---- Protobuf -------------------------------------------------------------------------------- */

typedef struct proto {
    const uint8_t *p, *end;
} proto_t;

/* A field: its number, and its value by wire type. */
typedef struct field {
    uint64_t number;
    uint32_t wire;              /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t value;             /* of 0, 1 and 5 */
    proto_t  bytes;             /* of 2 */
} field_t;

static bool varint(proto_t *in, uint64_t *out)
{
    *out = 0;
    for (uint32_t shift = 0; in->p < in->end && shift < 64; shift += 7) {
        uint8_t b = *in->p++;

        *out |= (uint64_t)(b & 127) << shift;
        if (b < 128)
            return true;
    }
    return false;
}

static bool fixed(proto_t *in, uint32_t n, uint64_t *out)
{
    if ((size_t)(in->end - in->p) < n)
        return false;
    *out = 0;
    for (uint32_t i = 0; i < n; i++)
        *out |= (uint64_t)*in->p++ << (8 * i);
    return true;
}

/* False where the bytes are no field. */
static bool next_field(proto_t *in, field_t *f)
{
    uint64_t tag;

    if (!varint(in, &tag))
        return false;
    f->number = tag >> 3;
    f->wire = (uint32_t)(tag & 7);
    switch (f->wire) {
    case 0:
        return varint(in, &f->value);
    case 1:
        return fixed(in, 8, &f->value);
    case 2:
        if (!varint(in, &f->value) || f->value > (uint64_t)(in->end - in->p))
            return false;
        f->bytes = (proto_t){ in->p, in->p + f->value };
        in->p += f->value;
        return true;
    case 5:
        return fixed(in, 4, &f->value);
    default:
        return false;
    }
}

/* ---- The model ------------------------------------------------------------------------------- */

typedef struct spm_load {
    lls_tokenizer_t *t;
    const char      *path;
    llm_error_t     *err;
    const uint8_t   *data;
    size_t           len;
    uint32_t         n_pieces;
    size_t           bytes;             /* of all pieces */
    uint64_t         model_type;
    bool             byte_fallback;
    bool             dummy, trim, escape, suffix;
    int32_t          unk, bos, eos;
    proto_t          charsmap;
    float           *scores;
    uint8_t         *types;
} spm_load_t;

static llm_status_t bad(const spm_load_t *l, const uint8_t *at, const char *what)
{
    return lls_fail(l->err, LLM_ERR_FORMAT, "%s: byte %zu: %s", l->path, (size_t)(at - l->data),
                    what);
}

static llm_status_t no_memory(const spm_load_t *l)
{
    return lls_fail(l->err, LLM_ERR_NO_MEMORY, "%s: no memory for the tokenizer", l->path);
}

static llm_status_t read_piece(const spm_load_t *l, proto_t in, proto_t *text, float *score,
                               uint64_t *type)
{
    const uint8_t *begin = in.p;
    field_t        f;

    *text = (proto_t){ begin, begin };
    *score = 0;
    *type = TYPE_NORMAL;
    while (in.p < in.end) {
        if (!next_field(&in, &f))
            return bad(l, begin, "a piece is no protobuf message");
        if (f.number == 1 && f.wire == 2) {
            *text = f.bytes;
        } else if (f.number == 2 && f.wire == 5) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(score, &bits, sizeof bits);
        } else if (f.number == 3 && f.wire == 0) {
            *type = f.value;
        }
    }
    if (text->p == text->end || *type < TYPE_NORMAL || *type > TYPE_BYTE || !isfinite(*score))
        return bad(l, begin, "a piece without text, or of no known type, or without a score");
    if (lls_utf8_valid((const char *)text->p, (size_t)(text->end - text->p)) !=
        (size_t)(text->end - text->p))
        return bad(l, begin, "a piece is not UTF-8");
    return LLM_OK;
}

static llm_status_t read_trainer(spm_load_t *l, proto_t in)
{
    const uint8_t *begin = in.p;
    field_t        f;

    while (in.p < in.end) {
        if (!next_field(&in, &f))
            return bad(l, begin, "trainer_spec is no protobuf message");
        if (f.wire != 0)
            continue;
        if (f.number == 3)
            l->model_type = f.value;
        else if (f.number == 24)
            l->suffix = f.value != 0;
        else if (f.number == 35)
            l->byte_fallback = f.value != 0;
        else if (f.number == 41)
            l->bos = (int32_t)(uint32_t)f.value;
        else if (f.number == 42)
            l->eos = (int32_t)(uint32_t)f.value;
    }
    return LLM_OK;
}

static llm_status_t read_normalizer(spm_load_t *l, proto_t in)
{
    const uint8_t *begin = in.p;
    field_t        f;

    while (in.p < in.end) {
        if (!next_field(&in, &f))
            return bad(l, begin, "normalizer_spec is no protobuf message");
        if (f.number == 2 && f.wire == 2)
            l->charsmap = f.bytes;
        else if (f.number == 3 && f.wire == 0)
            l->dummy = f.value != 0;
        else if (f.number == 4 && f.wire == 0)
            l->trim = f.value != 0;
        else if (f.number == 5 && f.wire == 0)
            l->escape = f.value != 0;
    }
    return LLM_OK;
}

/* All but the pieces, which are counted. */
static llm_status_t read_specs(spm_load_t *l)
{
    proto_t      in = { l->data, l->data + l->len };
    llm_status_t st = LLM_OK;

    while (st == LLM_OK && in.p < in.end) {
        const uint8_t *at = in.p;
        field_t        f;

        if (!next_field(&in, &f))
            return bad(l, at, "is no SentencePiece model");
        if (f.wire != 2)
            continue;
        if (f.number == 1) {
            l->n_pieces++;
            l->bytes += (size_t)(f.bytes.end - f.bytes.p);
        } else if (f.number == 2) {
            st = read_trainer(l, f.bytes);
        } else if (f.number == 3) {
            st = read_normalizer(l, f.bytes);
        }
    }
    if (st == LLM_OK && l->n_pieces == 0)
        st = bad(l, l->data, "is no SentencePiece model, or one without pieces");
    return st;
}

static llm_status_t read_pieces(spm_load_t *l)
{
    proto_t  in = { l->data, l->data + l->len }, text;
    field_t  f;
    uint32_t id = 0;

    if (!lls_vocab_init(&l->t->vocab, l->t->mem, l->n_pieces, l->bytes, false))
        return no_memory(l);
    l->scores = lls_calloc(l->t->mem, l->n_pieces, sizeof *l->scores);
    l->types = lls_calloc(l->t->mem, l->n_pieces, 1);
    if (l->scores == NULL || l->types == NULL)
        return no_memory(l);
    while (in.p < in.end && next_field(&in, &f)) {
        uint64_t     type;
        llm_status_t st;

        if (f.number != 1 || f.wire != 2)
            continue;
        st = read_piece(l, f.bytes, &text, &l->scores[id], &type);
        if (st != LLM_OK)
            return st;
        if (lls_vocab_find(&l->t->vocab, (const char *)text.p, (size_t)(text.end - text.p),
                           false) >= 0)
            return bad(l, f.bytes.p, "a piece is given twice");
        if (type == TYPE_UNKNOWN && l->unk < 0)
            l->unk = (int32_t)id;
        l->types[id] = (uint8_t)type;
        if (!lls_vocab_add(&l->t->vocab, id++, (const char *)text.p, (size_t)(text.end - text.p)))
            return no_memory(l);
    }
    return LLM_OK;
}

/* ---- The tokenizer --------------------------------------------------------------------------- */

static uint8_t kind_of(uint8_t type)
{
    return type == TYPE_NORMAL   ? LLS_PIECE_NORMAL
           : type == TYPE_USER   ? LLS_PIECE_USER
           : type == TYPE_UNUSED ? LLS_PIECE_UNUSED : LLS_PIECE_RESERVED;
}

static llm_status_t set_unigram(spm_load_t *l)
{
    lls_unigram_t *u = &l->t->unigram;

    l->t->model = LLS_MODEL_UNIGRAM;
    u->scores = lls_calloc(l->t->mem, l->n_pieces, sizeof *u->scores);
    if (u->scores == NULL)
        return no_memory(l);
    for (uint32_t id = 0; id < l->n_pieces; id++)
        u->scores[id] = (double)l->scores[id];
    u->kinds = l->types;
    l->types = NULL;
    u->unk_id = l->unk;
    u->byte_fallback = l->byte_fallback;
    u->sentencepiece = true;
    return LLM_OK;
}

static void set_bpe(spm_load_t *l)
{
    lls_spm_t *m = &l->t->spm;

    l->t->model = LLS_MODEL_SPM;
    m->scores = l->scores;
    m->kinds = l->types;
    l->scores = NULL;
    l->types = NULL;
    m->unk_id = l->unk;
    m->byte_fallback = l->byte_fallback;
}

static llm_status_t add_norm(spm_load_t *l)
{
    lls_norm_t *s = lls_tokenizer_new_norm(l->t);

    if (s == NULL)
        return no_memory(l);
    s->kind = LLS_NORM_SENTENCEPIECE;
    s->dummy = l->dummy;
    s->trim = l->trim;
    s->escape = l->escape;
    s->user = l->model_type == MODEL_BPE ? &l->t->spm.user : &l->t->unigram.user;
    return lls_charsmap_init(&s->charsmap, l->t->mem, l->path, l->charsmap.p,
                             (size_t)(l->charsmap.end - l->charsmap.p), l->err);
}

/* Control pieces are special tokens, which SentencePiece itself never finds in a text. */
static llm_status_t add_controls(spm_load_t *l)
{
    llm_status_t st = LLM_OK;

    for (uint32_t id = 0; st == LLM_OK && id < l->n_pieces; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(&l->t->vocab, id, &len);

        if (l->types[id] == TYPE_CONTROL || l->types[id] == TYPE_UNKNOWN)
            st = lls_tokenizer_add_token(l->t, (lls_added_token_t){ .content = (char *)text,
                                                                    .len = (uint32_t)len,
                                                                    .special = true }, l->err);
    }
    return st;
}

static llm_status_t set_ids(spm_load_t *l)
{
    lls_tokenizer_t *t = l->t;

    t->bos = l->bos >= 0 && l->bos < (int32_t)l->n_pieces ? l->bos : -1;
    t->eos = l->eos >= 0 && l->eos < (int32_t)l->n_pieces ? l->eos : -1;
    /* Models whose tokenizer is BPE begin with bos; the others' class would have to be known. */
    if (!lls_tokenizer_add_eos(t, t->eos) ||
        (l->model_type == MODEL_BPE && !lls_postproc_wrap(&t->post, t->bos, -1, false)))
        return no_memory(l);
    return LLM_OK;
}

static llm_status_t build(spm_load_t *l)
{
    llm_status_t st = read_specs(l);

    if (st == LLM_OK && l->model_type != MODEL_UNIGRAM && l->model_type != MODEL_BPE)
        st = lls_fail(l->err, LLM_ERR_UNSUPPORTED, "%s: model_type %llu is neither unigram nor bpe",
                      l->path, (unsigned long long)l->model_type);
    if (st == LLM_OK && l->suffix)
        st = lls_fail(l->err, LLM_ERR_UNSUPPORTED, "%s: treat_whitespace_as_suffix", l->path);
    if (st == LLM_OK)
        st = read_pieces(l);
    if (st == LLM_OK)
        st = add_controls(l);
    if (st == LLM_OK)
        st = set_ids(l);
    if (st != LLM_OK)
        return st;
    for (uint32_t id = 0; id < l->n_pieces; id++)
        l->types[id] = kind_of(l->types[id]);
    if (l->model_type == MODEL_BPE)
        set_bpe(l);
    else
        st = set_unigram(l);
    if (st == LLM_OK)
        st = add_norm(l);
    if (st == LLM_OK && !lls_decoder_sentencepiece(&l->t->decoder, l->dummy))
        st = no_memory(l);
    return st;
}

llm_status_t lls_tokenizer_load_spm(lls_tokenizer_t *t, const char *path, llm_error_t *err)
{
    spm_load_t   l = { .t = t, .path = path, .err = err, .model_type = MODEL_UNIGRAM,
                       .dummy = true, .trim = true, .escape = true, .unk = -1, .bos = 1, .eos = 2 };
    char        *text;
    llm_status_t st = lls_read_file(t->mem, path, MAX_FILE, &text, &l.len, err);

    if (st != LLM_OK)
        return st;
    l.data = (const uint8_t *)text;
    l.charsmap = (proto_t){ l.data, l.data };
    st = build(&l);
    lls_free(t->mem, l.scores);
    lls_free(t->mem, l.types);
    lls_free(t->mem, text);
    return st;
}
