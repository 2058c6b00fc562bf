/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat.h"

#include "text/chat_kimi.h"
#include "text/chat_messages.h"
#include "text/tokenizer_int.h"

#define MAX_CONSTS 16

static llm_status_t invalid(llm_error_t *err, const char *param, const char *why)
{
    return lls_fail_param(err, LLM_ERR_INVALID, param, "%s", why);
}

static bool is_null(const lls_jval_t *v) { return v == NULL || v->type == JV_NONE; }

/* ---- Templates ------------------------------------------------------------------------------- */

typedef struct work { /* what one request needs */
    const lls_tokenizer_t *t;
    lls_jdata_t           *data;
    const lls_jinja_t     *j;
    lls_jinja_t           *own; /* j if it was compiled for the request */
    const lls_jstr_t      *final;
    bool                   generate, go_on;
} work_t;

static const lls_jval_t *request_of(const work_t *w, const char *key)
{
    return lls_jdict_named(&w->data->run, w->data->root, key);
}

static lls_chat_template_t *model_template(const work_t *w)
{
    lls_chat_template_t *found = NULL;

    if (!is_null(request_of(w, "tools")))
        found = lls_templates_find(&w->t->templates, "tool_use", 8);
    return found != NULL ? found : lls_templates_find(&w->t->templates, "default", 7);
}

/* A model with several templates has names; one with a single template has none. */
static lls_chat_template_t *named_template(const work_t *w, const lls_jstr_t *name)
{
    return w->t->templates.n > 1 ? lls_templates_find(&w->t->templates, name->text, name->len)
                                 : NULL;
}

static llm_status_t choose(work_t *w, lls_mem_t *mem, llm_error_t *err)
{
    const lls_templates_t *all = &w->t->templates;
    const lls_jval_t      *given = request_of(w, "chat_template");
    lls_chat_template_t   *found;
    llm_status_t           st;

    if (!is_null(given) && given->type != JV_STRING)
        return invalid(err, "chat_template", "chat_template must be a string");
    found = is_null(given) ? model_template(w) : named_template(w, given->u.str);
    if (found != NULL)
        return lls_templates_get(all, found, &w->j, err);
    if (is_null(given))
        return invalid(err, "chat_template",
                       all->n != 0 ? "the model has named chat templates and no default; name one"
                                   : "the model has no chat template; give one in chat_template");
    st = lls_jinja_compile(mem, given->u.str->text, given->u.str->len, &w->own, err);
    w->j = w->own;
    return st;
}

llm_status_t lls_chat_set_template(lls_tokenizer_t *t, const char *text, size_t len,
                                   llm_error_t *err)
{
    lls_jinja_t *j;
    llm_status_t st = lls_jinja_compile(t->mem, text, len, &j, err);

    if (st != LLM_OK)
        return st;
    lls_jinja_free(j);
    return lls_templates_replace(&t->templates, "default", text, len)
               ? LLM_OK
               : lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
}

void lls_chat_set_time(lls_tokenizer_t *t, int64_t now) { t->templates.now = now; }

/* ---- Variables ------------------------------------------------------------------------------- */

static llm_status_t flag_of(const work_t *w, const char *key, bool def, bool *out, llm_error_t *err)
{
    const lls_jval_t *v = request_of(w, key);

    *out = v != NULL && v->type == JV_BOOL ? v->u.b : def;
    if (!is_null(v) && v->type != JV_BOOL)
        return lls_fail_param(err, LLM_ERR_INVALID, key, "%s must be true or false", key);
    return LLM_OK;
}

static llm_status_t check_kwargs(const work_t *w, const lls_jval_t *kwargs, llm_error_t *err)
{
    static const char *const reserved[] = {"messages", "tools", "chat_template", "tokenize"};

    if (is_null(kwargs))
        return LLM_OK;
    if (kwargs->type != JV_DICT)
        return invalid(err, "chat_template_kwargs", "chat_template_kwargs must be an object");
    for (size_t i = 0; i < LLS_ARRAY_LEN(reserved); i++)
        if (lls_jdict_named(&w->data->run, *kwargs, reserved[i]) != NULL)
            return lls_fail_param(err, LLM_ERR_INVALID, "chat_template_kwargs",
                                  "chat_template_kwargs cannot set '%s'", reserved[i]);
    return LLM_OK;
}

static void set(lls_jrun_t *r, lls_jval_t vars, const char *name, lls_jval_t v)
{
    if (r->st == LLM_OK)
        lls_jdict_put(r, vars.u.dict, lls_jcstr(r, name), v);
}

/* What the tokenizer class of Kimi K2.5 and later passes beside what all do. */
static void set_kimi(work_t *w, lls_jval_t vars)
{
    lls_jrun_t       *r = &w->data->run;
    const lls_jval_t *tools = request_of(w, "tools");
    lls_jval_t        sorted, text = lls_jmissing();

    if (!lls_jinja_wants(w->j, "tools_ts_str"))
        return;
    set(r, vars, "thinking", lls_jbool(true));
    set(r, vars, "preserve_thinking", lls_jbool(false));
    if (r->st != LLM_OK || is_null(tools))
        return;
    sorted = lls_kimi_sort(r, *tools);
    set(r, vars, "tools", sorted);
    if (r->st == LLM_OK && lls_jtrue(sorted))
        text = lls_kimi_tools(r, sorted);
    if (text.type != JV_MISSING)
        set(r, vars, "tools_ts_str", text);
}

/* As transformers passes them: tools and documents are none, not undefined, when absent. */
static llm_status_t make_vars(work_t *w, lls_jval_t messages, llm_error_t *err)
{
    static const char *const passed[] = {"tools", "documents"};
    lls_jrun_t              *r = &w->data->run;
    const lls_jval_t        *kwargs = request_of(w, "chat_template_kwargs");
    lls_jval_t               vars = lls_jdict(r, 8);
    llm_status_t             st = check_kwargs(w, kwargs, err);

    set(r, vars, "messages", messages);
    for (size_t i = 0; i < LLS_ARRAY_LEN(passed); i++) {
        const lls_jval_t *v = request_of(w, passed[i]);

        set(r, vars, passed[i], v != NULL ? *v : lls_jnone());
    }
    set(r, vars, "add_generation_prompt", lls_jbool(w->generate));
    if (lls_jinja_wants(w->j, "request_messages")) /* a format of ours */
        set(r, vars, "request_messages", *request_of(w, "messages"));
    set_kimi(w, vars);
    for (size_t i = 0; st == LLM_OK && r->st == LLM_OK && !is_null(kwargs) && i < kwargs->u.dict->n;
         i++)
        lls_jdict_put(r, vars.u.dict, kwargs->u.dict->keys[i], kwargs->u.dict->values[i]);
    w->data->vars = vars;
    return st != LLM_OK ? st : r->st;
}

static size_t special_consts(const lls_tokenizer_t *t, lls_jinja_const_t consts[MAX_CONSTS])
{
    static const char *const names[] = {"bos_token", "eos_token"};
    const int32_t            ids[] = {lls_tokenizer_bos(t), lls_tokenizer_eos(t)};
    size_t                   n = 0, len;

    for (size_t i = 0; i < LLS_ARRAY_LEN(names); i++) {
        const char *text = ids[i] >= 0 ? lls_tokenizer_token(t, ids[i], &len) : NULL;

        if (text != NULL)
            consts[n++] = (lls_jinja_const_t){names[i], text, len};
    }
    for (size_t i = 0; i < t->templates.n_specials && n < MAX_CONSTS; i++)
        consts[n++] =
            (lls_jinja_const_t){t->templates.specials[i]->name, t->templates.specials[i]->text,
                                t->templates.specials[i]->len};
    return n;
}

/* ---- Rendering ------------------------------------------------------------------------------- */

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void cut(lls_jinja_text_t *text, size_t len)
{
    text->len = len;
    text->text[len] = '\0';
}

/* The text ends where the tag behind the final message is; where the template has taken away the
 * blank behind the tag, it takes away those before it, too. */
static llm_status_t cut_at_tag(const lls_jstr_t *final, lls_jinja_text_t *text, llm_error_t *err)
{
    static const char tag[] = LLS_CHAT_TAG;
    const char       *want = final->text;
    size_t            n = final->len, tag_len = sizeof tag - 2, end = text->len;

    while (n > 0 && blank(want[n - 1]))
        n--;
    while (n > 0 && blank(*want)) {
        want++;
        n--;
    }
    while (end > 0 && (end < tag_len || memcmp(text->text + end - tag_len, tag, tag_len) != 0))
        end--;
    if (end == 0 || (n != 0 && memmem(text->text, text->len, want, n) == NULL))
        return invalid(err, "continue_final_message",
                       "the template does not put out the final message as it is");
    if (end < text->len && text->text[end] == ' ') {
        cut(text, end - tag_len);
        return LLM_OK;
    }
    for (end -= tag_len; end > 0 && blank(text->text[end - 1]);)
        end--;
    cut(text, end);
    return LLM_OK;
}

static llm_status_t read_flags(work_t *w, llm_error_t *err)
{
    llm_status_t st = flag_of(w, "continue_final_message", false, &w->go_on, err);

    if (st == LLM_OK)
        st = flag_of(w, "add_generation_prompt", !w->go_on, &w->generate, err);
    if (st == LLM_OK && w->generate && w->go_on)
        st = invalid(err, "continue_final_message",
                     "cannot be set together with add_generation_prompt");
    return st;
}

static llm_status_t read_messages(work_t *w, llm_error_t *err)
{
    lls_jrun_t *r = &w->data->run;
    lls_jval_t  messages =
        lls_chat_messages(r, *request_of(w, "messages"), lls_jinja_wants_parts(w->j),
                          lls_jinja_knows_developer(w->j));

    if (r->st == LLM_OK && w->go_on && !lls_jinja_mentions(w->j, "content"))
        return invalid(err, "continue_final_message", "the template does not read content");
    if (r->st == LLM_OK && w->go_on)
        w->final = lls_chat_tag_last(r, messages);
    return r->st == LLM_OK ? make_vars(w, messages, err) : r->st;
}

/* Arguments of tool calls are text, which is read as JSON here. */
static llm_status_t prepare(work_t *w, lls_mem_t *mem, llm_error_t *err)
{
    lls_jrun_t  *r = &w->data->run;
    llm_status_t st;

    if (w->data->root.type != JV_DICT)
        return lls_fail(err, LLM_ERR_INVALID, "chat must be a JSON object");
    if (!lls_chat_check_messages(r, request_of(w, "messages")))
        return r->st;
    st = read_flags(w, err);
    if (st == LLM_OK)
        st = choose(w, mem, err);
    return st == LLM_OK ? read_messages(w, err) : st;
}

static llm_status_t render(const lls_tokenizer_t *t, lls_mem_t *mem, const char *chat, size_t len,
                           lls_jinja_text_t *out, llm_error_t *err)
{
    work_t            w = {.t = t};
    lls_jinja_const_t consts[MAX_CONSTS];
    lls_jinja_input_t in = {.consts = consts, .now = t->templates.now};
    llm_status_t      st = lls_jdata_read(mem, "chat", chat, len, &w.data, err);

    memset(out, 0, sizeof *out);
    if (st == LLM_OK)
        st = prepare(&w, mem, err);
    in.vars = w.data;
    in.n_consts = special_consts(t, consts);
    if (st == LLM_OK)
        st = lls_jinja_render(w.j, mem, &in, out, err);
    if (st == LLM_OK && w.go_on)
        st = cut_at_tag(w.final, out, err);
    lls_jinja_free(w.own);
    lls_jdata_free(w.data);
    if (st != LLM_OK)
        lls_jinja_text_free(mem, out);
    return st;
}

llm_status_t lls_chat_render(const lls_tokenizer_t *t, lls_mem_t *scratch, const char *chat,
                             size_t len, char **text, size_t *n, llm_error_t *err)
{
    lls_jinja_text_t out;
    llm_status_t     st = render(t, scratch, chat, len, &out, err);

    *text = NULL;
    *n = 0;
    if (st != LLM_OK)
        return st;
    *text = out.text;
    *n = out.len;
    lls_free(scratch, out.mark);
    return LLM_OK;
}

llm_status_t lls_chat_encode(const lls_tokenizer_t *t, lls_mem_t *scratch, const char *chat,
                             size_t len, int32_t **ids, size_t *n, llm_error_t *err)
{
    lls_jinja_text_t out;
    llm_status_t     st = render(t, scratch, chat, len, &out, err);

    *ids = NULL;
    *n = 0;
    if (st != LLM_OK)
        return st;
    st = lls_tokenizer_encode_marked(t, scratch, out.text, out.mark, out.len, LLM_ENCODE_NO_SPECIAL,
                                     ids, n, err);
    lls_jinja_text_free(scratch, &out);
    return st;
}
