/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat.h"

#include "base/json.h"
#include "base/utf8.h"
#include "text/buf.h"
#include "text/jinja.h"
#include "text/tokenizer_int.h"

/* Keys of a request that a template sees, beside chat_template_kwargs. */
static const char *const passed[] = { "messages", "tools", "documents" };

static llm_status_t invalid(llm_error_t *err, const char *param, const char *why)
{
    return lls_fail_param(err, LLM_ERR_INVALID, param, "%s", why);
}

static llm_status_t no_memory(llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a chat");
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* Content given as parts of text becomes one string, the parts joined by newlines. */
static llm_status_t join_parts(json_t *message, const json_t *parts, lls_mem_t *mem,
                               llm_error_t *err)
{
    lls_buf_t    text = { mem, NULL, 0, 0 };
    llm_status_t st = LLM_OK;
    json_t      *joined = NULL;

    for (size_t i = 0; st == LLM_OK && i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *s = json_object_get(part, "text");
        const json_t *type = json_object_get(part, "type");

        if (!json_is_string(s) ||
            (json_is_string(type) && strcmp(json_string_value(type), "text") != 0))
            st = lls_fail_param(err, LLM_ERR_UNSUPPORTED, "messages",
                                "a content part that is no text is not supported");
        else if ((i != 0 && !lls_buf_put(&text, "\n", 1)) ||
                 !lls_buf_put(&text, json_string_value(s), json_string_length(s)))
            st = no_memory(err);
    }
    if (st == LLM_OK) {
        joined = json_stringn(text.data != NULL ? text.data : "", text.len);
        if (joined == NULL || json_object_set_new(message, "content", joined) != 0)
            st = no_memory(err);
    }
    lls_buf_deinit(&text);
    return st;
}

static llm_status_t check_messages(json_t *root, lls_mem_t *mem, llm_error_t *err)
{
    json_t      *messages = json_object_get(root, "messages");
    llm_status_t st = LLM_OK;

    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return invalid(err, "messages", "messages must be an array with at least one message");
    for (size_t i = 0; st == LLM_OK && i < json_array_size(messages); i++) {
        json_t *message = json_array_get(messages, i),
               *content = json_object_get(message, "content");

        if (!json_is_object(message) || !json_is_string(json_object_get(message, "role")))
            return lls_fail_param(err, LLM_ERR_INVALID, "messages", "messages[%zu] has no role", i);
        if (json_is_array(content))
            st = join_parts(message, content, mem, err);
    }
    return st;
}

/* ---- Variables ------------------------------------------------------------------------------- */

static llm_status_t flag_of(const json_t *root, const char *key, bool def, bool *out,
                            llm_error_t *err)
{
    const json_t *v = json_object_get(root, key);

    *out = v != NULL && !json_is_null(v) ? json_is_true(v) : def;
    if (v != NULL && !json_is_null(v) && !json_is_boolean(v))
        return lls_fail_param(err, LLM_ERR_INVALID, key, "%s must be true or false", key);
    return LLM_OK;
}

static llm_status_t make_vars(json_t *root, bool generate, json_t **out, llm_error_t *err)
{
    json_t *vars = json_object(), *kwargs = json_object_get(root, "chat_template_kwargs");
    bool    ok = vars != NULL;

    *out = NULL;
    for (size_t i = 0; ok && i < LLS_ARRAY_LEN(passed); i++) {
        json_t *v = json_object_get(root, passed[i]);

        if (v != NULL && !json_is_null(v))
            ok = json_object_set(vars, passed[i], v) == 0;
    }
    ok = ok && json_object_set_new(vars, "add_generation_prompt", json_boolean(generate)) == 0;
    if (ok && json_is_object(kwargs))
        ok = json_object_update(vars, kwargs) == 0;
    if (!ok) {
        json_decref(vars);
        return no_memory(err);
    }
    *out = vars;
    return LLM_OK;
}

static size_t special_consts(const lls_tokenizer_t *t, lls_jinja_const_t consts[2])
{
    size_t n = 0, len;

    if (lls_tokenizer_bos(t) >= 0) {
        const char *text = lls_tokenizer_token(t, lls_tokenizer_bos(t), &len);
        consts[n++] = (lls_jinja_const_t){ "bos_token", text, len };
    }
    if (lls_tokenizer_eos(t) >= 0) {
        const char *text = lls_tokenizer_token(t, lls_tokenizer_eos(t), &len);
        consts[n++] = (lls_jinja_const_t){ "eos_token", text, len };
    }
    return n;
}

/* ---- Rendering ------------------------------------------------------------------------------- */

/* The last message is to be gone on with: the text ends with its content, as in transformers. */
static llm_status_t cut_behind_last(const json_t *root, lls_jinja_text_t *text, llm_error_t *err)
{
    const json_t *messages = json_object_get(root, "messages");
    const json_t *content =
        json_object_get(json_array_get(messages, json_array_size(messages) - 1), "content");
    const char   *want = json_is_string(content) ? json_string_value(content) : "";
    size_t        n = json_is_string(content) ? json_string_length(content) : 0;

    while (n > 0 && strchr(" \t\r\n\v\f", want[n - 1]) != NULL)
        n--;
    while (n > 0 && strchr(" \t\r\n\v\f", want[0]) != NULL) {
        want++;
        n--;
    }
    for (size_t end = text->len; n > 0 && end >= n; end--) {
        if (memcmp(text->text + end - n, want, n) != 0)
            continue;
        text->len = end;
        text->text[end] = '\0';
        return LLM_OK;
    }
    return invalid(err, "continue_final_message",
                   "the content of the final message is not in the text");
}

llm_status_t lls_chat_set_template(lls_tokenizer_t *t, const char *text, size_t len,
                                   llm_error_t *err)
{
    lls_jinja_t *j;
    char        *copy;
    llm_status_t st = lls_jinja_compile(t->mem, text, len, &j, err);

    if (st != LLM_OK)
        return st;
    lls_jinja_free(j);
    copy = lls_strndup(t->mem, text, len);
    if (copy == NULL)
        return no_memory(err);
    lls_free(t->mem, t->chat_template);
    t->chat_template = copy;
    t->chat_template_len = len;
    return LLM_OK;
}

static llm_status_t template_of(const lls_tokenizer_t *t, const json_t *root, const char **text,
                                size_t *len, llm_error_t *err)
{
    const json_t *own = json_object_get(root, "chat_template");

    *text = lls_tokenizer_chat_template(t, len);
    if (json_is_string(own)) {
        *text = json_string_value(own);
        *len = json_string_length(own);
    } else if (own != NULL && !json_is_null(own)) {
        return invalid(err, "chat_template", "chat_template must be a string");
    }
    if (*text == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "chat_template",
                              "the model has no chat template; give one in chat_template");
    return LLM_OK;
}

static llm_status_t render_root(const lls_tokenizer_t *t, lls_mem_t *mem, json_t *root,
                                lls_jinja_text_t *out, llm_error_t *err)
{
    const char       *template = NULL;
    size_t            len = 0;
    bool              generate, go_on;
    lls_jinja_t      *j = NULL;
    lls_jinja_const_t consts[2];
    json_t           *vars = NULL;
    llm_status_t      st = check_messages(root, mem, err);

    if (st == LLM_OK)
        st = template_of(t, root, &template, &len, err);
    if (st == LLM_OK)
        st = flag_of(root, "continue_final_message", false, &go_on, err);
    if (st == LLM_OK)
        st = flag_of(root, "add_generation_prompt", !go_on, &generate, err);
    if (st == LLM_OK && generate && go_on)
        st = invalid(err, "continue_final_message",
                     "cannot be set together with add_generation_prompt");
    if (st == LLM_OK)
        st = make_vars(root, generate, &vars, err);
    if (st == LLM_OK)
        st = lls_jinja_compile(mem, template, len, &j, err);
    if (st == LLM_OK)
        st = lls_jinja_render(j, mem, vars, consts, special_consts(t, consts), out, err);
    if (st == LLM_OK && go_on)
        st = cut_behind_last(root, out, err);
    lls_jinja_free(j);
    json_decref(vars);
    return st;
}

static llm_status_t render(const lls_tokenizer_t *t, lls_mem_t *mem, const char *chat, size_t len,
                           lls_jinja_text_t *out, llm_error_t *err)
{
    json_t      *root;
    llm_status_t st = lls_json_parse("chat", chat, len, &root, err);

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
