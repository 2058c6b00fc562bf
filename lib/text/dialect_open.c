/* SPDX-License-Identifier: Apache-2.0 */
/* A parser of one completion: its markers, where it starts, its end. */
#include "text/dialect_int.h"

static llm_status_t add_mark(lls_dparse_t *p, const lls_tokenizer_t *t, const char *text,
                             size_t len, uint32_t mark, llm_error_t *err)
{
    dp_mark_t *m = &p->marks[p->n_marks];

    if (text == NULL || len == 0)
        return LLM_OK;
    for (uint32_t i = 0; i < p->n_marks; i++)
        if (p->marks[i].mark == mark && p->marks[i].len == len &&
            memcmp(p->marks[i].text, text, len) == 0)
            return LLM_OK;
    if (p->n_marks == DP_MAX_MARKS)
        return lls_fail(err, LLM_ERR_UNSUPPORTED, "more than %u markers of tool calls",
                        DP_MAX_MARKS);
    *m = (dp_mark_t){ .text = text, .len = (uint32_t)len, .mark = mark,
                      .token = lls_tokenizer_find(t, text, len) };
    p->first[(unsigned char)text[0]] |= 1u << mark;
    p->n_marks++;
    return LLM_OK;
}

static llm_status_t add_text(lls_dparse_t *p, const lls_tokenizer_t *t, const char *text,
                             uint32_t mark, llm_error_t *err)
{
    return text == NULL ? LLM_OK : add_mark(p, t, text, strlen(text), mark, err);
}

/* Ends of sequences are no text; a few are enough, the rest of the special tokens never are
 * generated. */
static llm_status_t add_ends(lls_dparse_t *p, const lls_tokenizer_t *t, llm_error_t *err)
{
    size_t         n, len;
    const int32_t *ids = lls_tokenizer_eos_ids(t, &n);
    llm_status_t   st = LLM_OK;

    for (size_t i = 0; i < n && i < 4 && st == LLM_OK; i++) {
        const char *text = lls_tokenizer_token(t, ids[i], &len);
        bool        known = false;

        for (uint32_t k = 0; k < p->n_marks; k++)
            known |= p->marks[k].token == ids[i];
        if (text != NULL && !known && lls_tokenizer_is_special(t, ids[i]))
            st = add_mark(p, t, text, len, LLS_MARK_SPECIAL, err);
    }
    return st;
}

static llm_status_t add_marks(lls_dparse_t *p, const lls_tokenizer_t *t, llm_error_t *err)
{
    const lls_thinking_t *k = p->thinking;
    llm_status_t          st = LLM_OK;

    for (size_t i = 0; p->tools != NULL && i < LLS_DIALECT_MARKS && st == LLM_OK; i++)
        st = add_text(p, t, p->tools->marks[i].text, p->tools->marks[i].mark, err);
    for (size_t i = 0; k != NULL && i < 2 && st == LLM_OK; i++) {
        st = add_text(p, t, k->open[i], LLS_MARK_THINK, err);
        if (st == LLM_OK)
            st = add_text(p, t, k->close[i], LLS_MARK_THINK_END, err);
        if (st == LLM_OK)
            st = add_text(p, t, k->drop[i], LLS_MARK_SPECIAL, err);
    }
    return st == LLM_OK ? add_ends(p, t, err) : st;
}

static size_t without_blanks(const char *text, size_t n)
{
    while (n > 0 && lls_dp_is_blank(text[n - 1]))
        n--;
    return n;
}

static bool ends_with(const char *text, size_t n, const char *const ends[2])
{
    for (size_t i = 0; i < 2 && ends[i] != NULL; i++) {
        size_t len = without_blanks(ends[i], strlen(ends[i]));

        if (n >= len && memcmp(text + n - len, ends[i], len) == 0)
            return true;
    }
    return false;
}

/* asked: what the request told the template, -1 = nothing. */
static bool starts_in_reasoning(const lls_dparse_config_t *c, int asked)
{
    size_t n = c->prompt == NULL ? 0 : without_blanks(c->prompt, c->prompt_len);

    if (c->thinking == NULL)
        return false;
    if (n > 0 && ends_with(c->prompt, n, c->thinking->open))
        return true;
    if (n > 0 && ends_with(c->prompt, n, c->thinking->close))
        return false;
    switch (c->thinking->start) {
    case LLS_THINK_OPEN:        return true;
    case LLS_THINK_DEFAULT_ON:  return asked != 0;
    case LLS_THINK_DEFAULT_OFF: return asked == 1;
    default:                    return false;
    }
}

/* Where messages have headers the prompt ends in the marker of one. */
static bool starts_in_header(const lls_dialect_t *d, const lls_dparse_config_t *c)
{
    for (size_t i = 0; d != NULL && i < LLS_DIALECT_MARKS && d->marks[i].text != NULL; i++) {
        const char *const ends[2] = { d->marks[i].text, NULL };

        if (d->marks[i].mark == LLS_MARK_HEAD)
            return c->prompt == NULL || ends_with(c->prompt, c->prompt_len, ends);
    }
    return false;
}

/* Harmony has channels whether calls are wanted or not. */
static const lls_dialect_t *harmony(void)
{
    const lls_dialect_t *d = lls_dialect_at(0);

    lls_assert(d->reader == LLS_READ_HARMONY);
    return d;
}

static llm_status_t set_up(lls_dparse_t *p, const lls_tokenizer_t *t, const lls_dparse_config_t *c,
                           llm_error_t *err)
{
    bool         no_tools = c->tools == NULL, channels;
    int          asked = -1;
    llm_status_t st = LLM_OK;

    channels = (c->tools != NULL && c->tools->reader == LLS_READ_HARMONY) ||
               (c->thinking != NULL && c->thinking == lls_thinking_at(0));
    if (c->chat != NULL)
        st = lls_dp_types_open(&p->types, c->chat, c->chat_len, &no_tools, &asked, err);
    p->tools = channels ? harmony() : no_tools ? NULL : c->tools;
    p->calls_off = no_tools || c->tools == NULL;
    p->thinking = channels ? NULL : c->thinking;
    p->state = DP_CONTENT;
    if (channels || starts_in_header(p->tools, c))
        p->state = DP_HEADER;
    if (!channels && starts_in_reasoning(c, asked))
        p->state = DP_REASONING;
    p->at_start = true;
    return st == LLM_OK ? add_marks(p, t, err) : st;
}

llm_status_t lls_dparse_create(lls_mem_t *mem, const lls_tokenizer_t *t,
                               const lls_dparse_config_t *config, lls_dparse_t **out,
                               llm_error_t *err)
{
    lls_dparse_t *p = lls_zalloc(mem, sizeof *p);
    llm_status_t  st;

    *out = NULL;
    if (p == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "parser of tool calls");
    p->mem = p->types.mem = mem;
    p->in.mem = p->undo.mem = p->blank.mem = p->name.mem = p->id.mem = p->key.mem = mem;
    p->late.mem = p->value.mem = p->header.mem = p->out.mem = p->raw.mem = mem;
    p->seed = config->seed;
    p->whole = config->whole;
    st = set_up(p, t, config, err);
    if (st == LLM_OK)
        *out = p;
    else
        lls_dparse_destroy(p);
    return st;
}

void lls_dparse_destroy(lls_dparse_t *p)
{
    if (p == NULL)
        return;
    lls_dp_types_deinit(&p->types);
    lls_buf_deinit(&p->in);
    lls_buf_deinit(&p->undo);
    lls_buf_deinit(&p->blank);
    lls_buf_deinit(&p->name);
    lls_buf_deinit(&p->id);
    lls_buf_deinit(&p->key);
    lls_buf_deinit(&p->late);
    lls_buf_deinit(&p->value);
    lls_buf_deinit(&p->header);
    lls_buf_deinit(&p->out);
    lls_buf_deinit(&p->raw);
    lls_free(p->mem, p->events);
    lls_free(p->mem, p);
}
