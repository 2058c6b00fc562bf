/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat.h"

#include "base/json.h"
#include "text/buf.h"
#include "text/chat_json.h"
#include "text/chat_messages.h"
#include "text/jinja.h"
#include "text/tokenizer_int.h"

#define MAX_CONSTS 16

static llm_status_t invalid(llm_error_t *err, const char *param, const char *why)
{
    return lls_fail_param(err, LLM_ERR_INVALID, param, "%s", why);
}

static llm_status_t no_memory(llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a chat");
}

static bool is_null(const json_t *v) { return v == NULL || json_is_null(v); }

/* ---- Templates ------------------------------------------------------------------------------- */

typedef struct chosen { /* the template of a request */
    const lls_jinja_t *j;
    lls_jinja_t       *own; /* compiled for the request; NULL = the tokenizer's */
} chosen_t;

static lls_chat_template_t *model_template(const lls_tokenizer_t *t, const json_t *root)
{
    lls_chat_template_t *found = NULL;

    if (!is_null(json_object_get(root, "tools")))
        found = lls_templates_find(&t->templates, "tool_use", 8);
    return found != NULL ? found : lls_templates_find(&t->templates, "default", 7);
}

/* A model with several templates has names; one with a single template has none. */
static lls_chat_template_t *named_template(const lls_tokenizer_t *t, const json_t *given)
{
    return t->templates.n > 1 ? lls_templates_find(&t->templates, json_string_value(given),
                                                   json_string_length(given))
                              : NULL;
}

static llm_status_t choose(const lls_tokenizer_t *t, lls_mem_t *mem, const json_t *root,
                           chosen_t *out, llm_error_t *err)
{
    const json_t        *given = json_object_get(root, "chat_template");
    lls_chat_template_t *found;
    llm_status_t         st;

    *out = (chosen_t){NULL, NULL};
    if (!is_null(given) && !json_is_string(given))
        return invalid(err, "chat_template", "chat_template must be a string");
    found = is_null(given) ? model_template(t, root) : named_template(t, given);
    if (found != NULL)
        return lls_templates_get(&t->templates, found, &out->j, err);
    if (is_null(given))
        return invalid(err, "chat_template",
                       t->templates.n != 0
                           ? "the model has named chat templates and no default; name one"
                           : "the model has no chat template; give one in chat_template");
    st =
        lls_jinja_compile(mem, json_string_value(given), json_string_length(given), &out->own, err);
    out->j = out->own;
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
    return lls_templates_replace(&t->templates, "default", text, len) ? LLM_OK : no_memory(err);
}

void lls_chat_set_time(lls_tokenizer_t *t, int64_t now) { t->templates.now = now; }

/* ---- Variables ------------------------------------------------------------------------------- */

static llm_status_t flag_of(const json_t *root, const char *key, bool def, bool *out,
                            llm_error_t *err)
{
    const json_t *v = json_object_get(root, key);

    *out = !is_null(v) ? json_is_true(v) : def;
    if (!is_null(v) && !json_is_boolean(v))
        return lls_fail_param(err, LLM_ERR_INVALID, key, "%s must be true or false", key);
    return LLM_OK;
}

static llm_status_t check_kwargs(const json_t *kwargs, llm_error_t *err)
{
    static const char *const reserved[] = {"messages", "tools", "chat_template", "tokenize"};

    if (is_null(kwargs))
        return LLM_OK;
    if (!json_is_object(kwargs))
        return invalid(err, "chat_template_kwargs", "chat_template_kwargs must be an object");
    for (size_t i = 0; i < LLS_ARRAY_LEN(reserved); i++)
        if (json_object_get(kwargs, reserved[i]) != NULL)
            return lls_fail_param(err, LLM_ERR_INVALID, "chat_template_kwargs",
                                  "chat_template_kwargs cannot set '%s'", reserved[i]);
    return LLM_OK;
}

/* As transformers passes them: tools and documents are none, not undefined, when absent. */
static llm_status_t make_vars(const json_t *root, const lls_jinja_t *j, json_t *messages,
                              bool generate, json_t **out, llm_error_t *err)
{
    static const char *const passed[] = {"tools", "documents"};
    json_t      *vars = json_object(), *kwargs = json_object_get(root, "chat_template_kwargs");
    llm_status_t st = check_kwargs(kwargs, err);
    bool         ok = vars != NULL && json_object_set(vars, "messages", messages) == 0;

    for (size_t i = 0; ok && i < LLS_ARRAY_LEN(passed); i++) {
        json_t *v = json_object_get(root, passed[i]);

        ok = (v != NULL ? json_object_set(vars, passed[i], v)
                        : json_object_set_new(vars, passed[i], json_null())) == 0;
    }
    ok = ok && json_object_set_new(vars, "add_generation_prompt", json_boolean(generate)) == 0;
    if (ok && lls_jinja_wants(j, "request_messages")) /* a format of ours */
        ok = json_object_set(vars, "request_messages", json_object_get(root, "messages")) == 0;
    if (st == LLM_OK && ok && json_is_object(kwargs))
        ok = json_object_update(vars, kwargs) == 0;
    if (st == LLM_OK && !ok)
        st = no_memory(err);
    *out = vars;
    return st;
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
static llm_status_t cut_at_tag(const json_t *final, lls_jinja_text_t *text, llm_error_t *err)
{
    static const char tag[] = LLS_CHAT_TAG;
    const char       *want = json_string_value(final);
    size_t            n = json_string_length(final), tag_len = sizeof tag - 2, end = text->len;

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

typedef struct work { /* what one request needs */
    chosen_t chosen;
    json_t  *messages, *vars, *final;
    bool     generate, go_on;
} work_t;

static llm_status_t read_flags(const json_t *root, work_t *w, llm_error_t *err)
{
    llm_status_t st = flag_of(root, "continue_final_message", false, &w->go_on, err);

    if (st == LLM_OK)
        st = flag_of(root, "add_generation_prompt", !w->go_on, &w->generate, err);
    if (st == LLM_OK && w->generate && w->go_on)
        st = invalid(err, "continue_final_message",
                     "cannot be set together with add_generation_prompt");
    return st;
}

static llm_status_t prepare(const lls_tokenizer_t *t, lls_mem_t *mem, const json_t *root, work_t *w,
                            llm_error_t *err)
{
    llm_status_t st = lls_chat_check_messages(json_object_get(root, "messages"), err);

    if (st == LLM_OK)
        st = read_flags(root, w, err);
    if (st == LLM_OK)
        st = choose(t, mem, root, &w->chosen, err);
    if (st == LLM_OK)
        st = lls_chat_messages(mem, json_object_get(root, "messages"),
                               lls_jinja_wants_parts(w->chosen.j),
                               lls_jinja_mentions(w->chosen.j, "developer"), &w->messages, err);
    if (st == LLM_OK && w->go_on && !lls_jinja_mentions(w->chosen.j, "content"))
        st = invalid(err, "continue_final_message", "the template does not read content");
    if (st == LLM_OK && w->go_on)
        st = lls_chat_tag_last(mem, w->messages, &w->final, err);
    if (st == LLM_OK)
        st = make_vars(root, w->chosen.j, w->messages, w->generate, &w->vars, err);
    return st;
}

static llm_status_t render_root(const lls_tokenizer_t *t, lls_mem_t *mem, const json_t *root,
                                lls_jinja_text_t *out, llm_error_t *err)
{
    work_t            w = {0};
    lls_jinja_const_t consts[MAX_CONSTS];
    lls_jinja_input_t in = {.consts = consts, .now = t->templates.now};
    llm_status_t      st = prepare(t, mem, root, &w, err);

    in.vars = w.vars;
    in.n_consts = special_consts(t, consts);
    if (st == LLM_OK)
        st = lls_jinja_render(w.chosen.j, mem, &in, out, err);
    if (st == LLM_OK && w.go_on)
        st = cut_at_tag(w.final, out, err);
    lls_jinja_free(w.chosen.own);
    json_decref(w.final);
    json_decref(w.vars);
    json_decref(w.messages);
    return st;
}

static llm_status_t render(const lls_tokenizer_t *t, lls_mem_t *mem, const char *chat, size_t len,
                           lls_jinja_text_t *out, llm_error_t *err)
{
    json_t      *root;
    llm_status_t st = lls_chat_read_json(mem, chat, len, &root, err);

    memset(out, 0, sizeof *out);
    if (st != LLM_OK)
        return st;
    st = json_is_object(root) ? render_root(t, mem, root, out, err)
                              : lls_fail(err, LLM_ERR_INVALID, "chat must be a JSON object");
    json_decref(root);
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
