/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat_messages.h"

#include "text/buf.h"

static llm_status_t no_memory(llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a chat");
}

static llm_status_t wrong(llm_error_t *err, size_t i, const char *what)
{
    return lls_fail_param(err, LLM_ERR_INVALID, "messages", "messages[%zu]%s", i, what);
}

static bool text_is(const json_t *v, const char *text)
{
    return json_is_string(v) && strcmp(json_string_value(v), text) == 0;
}

static bool is_null(const json_t *v) { return v == NULL || json_is_null(v); }

/* ---- Content --------------------------------------------------------------------------------- */

/* The text of a part, borrowed; NULL with LLM_OK: the part is to be left out. */
static llm_status_t text_of_part(const json_t *part, size_t i, const json_t **out, llm_error_t *err)
{
    static const struct kind {
        const char *type, *key;
    } kinds[] = {{"text", "text"},       {"input_text", "text"},   {"output_text", "text"},
                 {"refusal", "refusal"}, {"thinking", "thinking"}, {"tool_reference", "name"}};
    const json_t *type = json_object_get(part, "type");

    *out = part;
    if (json_is_string(part))
        return LLM_OK;
    if (!json_is_string(type))
        return wrong(err, i, " has a content part without a type");
    for (size_t k = 0; k < LLS_ARRAY_LEN(kinds); k++) {
        if (!text_is(type, kinds[k].type))
            continue;
        *out = json_object_get(part, kinds[k].key);
        if (is_null(*out))
            *out = NULL;
        if (*out != NULL && !json_is_string(*out))
            return wrong(err, i, " has a content part whose text is no string");
        return LLM_OK;
    }
    return lls_fail_param(
        err, LLM_ERR_UNSUPPORTED, "messages",
        "messages[%zu] has a content part of type '%.60s'; only text is supported", i,
        json_string_value(type));
}

static json_t *wrap_part(const json_t *part, const json_t *text)
{
    bool reference = text_is(json_object_get(part, "type"), "tool_reference");

    return json_pack("{s:s,s:O}", "type", reference ? "tool_reference" : "text",
                     reference ? "name" : "text", text);
}

static llm_status_t list_parts(const json_t *content, size_t i, json_t **out, llm_error_t *err)
{
    json_t       *list = json_array();
    llm_status_t  st = list != NULL ? LLM_OK : no_memory(err);
    const json_t *text;

    for (size_t k = 0; st == LLM_OK && k < json_array_size(content); k++) {
        const json_t *part = json_array_get(content, k);

        st = text_of_part(part, i, &text, err);
        if (st == LLM_OK && text != NULL && json_array_append_new(list, wrap_part(part, text)) != 0)
            st = no_memory(err);
    }
    if (st != LLM_OK) {
        json_decref(list);
        list = NULL;
    }
    *out = list;
    return st;
}

static llm_status_t join_parts(lls_mem_t *mem, const json_t *content, size_t i, json_t **out,
                               llm_error_t *err)
{
    lls_buf_t     b = {.mem = mem};
    llm_status_t  st = LLM_OK;
    const json_t *text;
    bool          some = false;

    *out = NULL;
    for (size_t k = 0; st == LLM_OK && k < json_array_size(content); k++) {
        st = text_of_part(json_array_get(content, k), i, &text, err);
        if (st != LLM_OK || text == NULL)
            continue;
        if ((some && !lls_buf_put(&b, "\n", 1)) ||
            !lls_buf_put(&b, json_string_value(text), json_string_length(text)))
            st = no_memory(err);
        some = true;
    }
    if (st == LLM_OK) {
        *out = json_stringn(b.data != NULL ? b.data : "", b.len);
        st = *out != NULL ? LLM_OK : no_memory(err);
    }
    lls_buf_deinit(&b);
    return st;
}

static bool has_references(const json_t *content)
{
    for (size_t k = 0; k < json_array_size(content); k++)
        if (text_is(json_object_get(json_array_get(content, k), "type"), "tool_reference"))
            return true;
    return false;
}

/* parts: as a list; the results of tools become strings even then, unless they refer to tools. */
static llm_status_t take_content(lls_mem_t *mem, const json_t *message, size_t i, bool parts,
                                 json_t **out, llm_error_t *err)
{
    const json_t *content = json_object_get(message, "content");
    bool          tool = text_is(json_object_get(message, "role"), "tool");

    *out = NULL;
    if (!is_null(content) && !json_is_string(content) && !json_is_array(content))
        return wrong(err, i, " has content that is neither a string nor a list of parts");
    parts = parts && (!tool || has_references(content));
    if (!parts && json_is_string(content)) {
        *out = json_incref((json_t *)content);
        return LLM_OK;
    }
    if (parts && json_is_string(content)) {
        *out = json_pack("[{s:s,s:O}]", "type", "text", "text", content);
        return *out != NULL ? LLM_OK : no_memory(err);
    }
    return parts ? list_parts(content, i, out, err) : join_parts(mem, content, i, out, err);
}

/* ---- Tool calls ------------------------------------------------------------------------------ */

/* Arguments as an object: text that is no JSON counts as none. */
static llm_status_t parse_arguments(const json_t *given, json_t **out, llm_error_t *err)
{
    json_error_t why = {0};

    *out = NULL;
    if (json_is_object(given) || json_is_array(given)) {
        *out = json_incref((json_t *)given);
        return LLM_OK;
    }
    if (json_is_string(given)) {
        *out = json_loadb(json_string_value(given), json_string_length(given),
                          JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
        if (*out == NULL && lls_json_out_of_memory(&why))
            return no_memory(err);
        if (*out == NULL && json_error_code(&why) == json_error_numeric_overflow)
            return lls_fail_param(
                err, LLM_ERR_UNSUPPORTED, "messages",
                "the arguments of a tool call hold a number of more than 64 bits");
    }
    if (*out == NULL)
        *out = json_object();
    return *out != NULL ? LLM_OK : no_memory(err);
}

static llm_status_t take_call(const json_t *call, size_t i, json_t *list, llm_error_t *err)
{
    const json_t *function = json_object_get(call, "function");
    json_t       *copy, *inner, *arguments;
    llm_status_t  st;

    if (!json_is_object(function))
        return wrong(err, i, " has a tool call without a function");
    st = parse_arguments(json_object_get(function, "arguments"), &arguments, err);
    if (st != LLM_OK)
        return st;
    copy = json_copy((json_t *)call);
    inner = json_copy((json_t *)function);
    if (copy == NULL || inner == NULL || json_object_set(inner, "arguments", arguments) != 0 ||
        json_object_set(copy, "function", inner) != 0 || json_array_append(list, copy) != 0)
        st = no_memory(err);
    json_decref(arguments);
    json_decref(inner);
    json_decref(copy);
    return st;
}

static llm_status_t take_calls(const json_t *message, size_t i, json_t *out, llm_error_t *err)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    json_t       *list;
    llm_status_t  st = LLM_OK;

    if (is_null(calls) || (json_is_array(calls) && json_array_size(calls) == 0))
        return LLM_OK;
    if (!json_is_array(calls))
        return wrong(err, i, " has tool_calls that are no list");
    list = json_array();
    if (list == NULL)
        return no_memory(err);
    for (size_t k = 0; st == LLM_OK && k < json_array_size(calls); k++)
        st = take_call(json_array_get(calls, k), i, list, err);
    if (st == LLM_OK && json_object_set(out, "tool_calls", list) != 0)
        st = no_memory(err);
    json_decref(list);
    return st;
}

/* ---- Messages -------------------------------------------------------------------------------- */

static bool copy_key(const json_t *from, json_t *to, const char *key)
{
    json_t *v = json_object_get(from, key);

    return is_null(v) || json_object_set(to, key, v) == 0;
}

/* Each name that templates know for it; "thinking" is the first key of the message. */
static const json_t *reasoning_of(const json_t *message)
{
    static const char *const names[] = {"reasoning", "reasoning_content", "thinking"};

    for (size_t i = 0; i < LLS_ARRAY_LEN(names); i++)
        if (!is_null(json_object_get(message, names[i])))
            return json_object_get(message, names[i]);
    return NULL;
}

static llm_status_t take_extras(const json_t *message, size_t i, json_t *out, llm_error_t *err)
{
    const json_t *role = json_object_get(message, "role");
    bool          assistant = text_is(role, "assistant"), ok = true;
    const json_t *reasoning = assistant ? reasoning_of(message) : NULL;
    llm_status_t  st = assistant ? take_calls(message, i, out, err) : LLM_OK;

    if (st != LLM_OK)
        return st;
    if (reasoning != NULL)
        ok = json_object_set(out, "reasoning", (json_t *)reasoning) == 0 &&
             json_object_set(out, "reasoning_content", (json_t *)reasoning) == 0;
    if (text_is(role, "tool"))
        ok = copy_key(message, out, "tool_call_id");
    if (json_is_string(json_object_get(message, "name")))
        ok = ok && copy_key(message, out, "name");
    if (json_is_string(json_object_get(message, "task")))
        ok = ok && copy_key(message, out, "task");
    if (text_is(role, "developer")) {
        json_t *tools = json_object_get(message, "tools");

        ok = ok && (tools != NULL ? json_object_set(out, "tools", tools)
                                  : json_object_set_new(out, "tools", json_null())) == 0;
    }
    return ok ? LLM_OK : no_memory(err);
}

static llm_status_t take_message(lls_mem_t *mem, const json_t *message, size_t i, bool parts,
                                 json_t *list, llm_error_t *err)
{
    const json_t *reasoning =
        text_is(json_object_get(message, "role"), "assistant") ? reasoning_of(message) : NULL;
    json_t      *out = json_object(), *content = NULL;
    llm_status_t st =
        out != NULL ? take_content(mem, message, i, parts, &content, err) : no_memory(err);

    if (st == LLM_OK &&
        ((reasoning != NULL && json_object_set(out, "thinking", (json_t *)reasoning) != 0) ||
         !copy_key(message, out, "role") || json_object_set(out, "content", content) != 0))
        st = no_memory(err);
    if (st == LLM_OK)
        st = take_extras(message, i, out, err);
    if (st == LLM_OK && json_array_append(list, out) != 0)
        st = no_memory(err);
    json_decref(content);
    json_decref(out);
    return st;
}

/* ---- Developers ------------------------------------------------------------------------------ */

static bool is_system(const json_t *message)
{
    return text_is(json_object_get(message, "role"), "system");
}

/* Two contents of the same kind, one behind the other. */
static llm_status_t append_content(lls_mem_t *mem, json_t *to, const json_t *more, llm_error_t *err)
{
    json_t   *content = json_object_get(to, "content"), *joined;
    lls_buf_t b = {.mem = mem};
    bool      ok;

    if (json_is_array(content))
        return json_array_extend(content, (json_t *)more) == 0 ? LLM_OK : no_memory(err);
    ok = lls_buf_put(&b, json_string_value(content), json_string_length(content)) &&
         lls_buf_put(&b, "\n\n", 2) &&
         lls_buf_put(&b, json_string_value(more), json_string_length(more));
    joined = ok ? json_stringn(b.data, b.len) : NULL;
    lls_buf_deinit(&b);
    return joined != NULL && json_object_set_new(to, "content", joined) == 0 ? LLM_OK
                                                                             : no_memory(err);
}

/* Developers become system messages, and those become one, which comes first. */
static llm_status_t without_developers(lls_mem_t *mem, json_t *list, llm_error_t *err)
{
    json_t      *first = NULL;
    bool         found = false;
    llm_status_t st = LLM_OK;

    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *message = json_array_get(list, i);

        if (!text_is(json_object_get(message, "role"), "developer"))
            continue;
        found = true;
        if (json_object_set_new(message, "role", json_string("system")) != 0)
            return no_memory(err);
        json_object_del(message, "tools");
    }
    for (size_t i = 0; found && st == LLM_OK && i < json_array_size(list);) {
        json_t *message = json_array_get(list, i);

        if (!is_system(message) || first == NULL) {
            if (is_system(message))
                first = message;
            i++;
            continue;
        }
        st = append_content(mem, first, json_object_get(message, "content"), err);
        json_array_remove(list, i);
    }
    for (size_t i = 1; st == LLM_OK && first != NULL && i < json_array_size(list); i++) {
        if (json_array_get(list, i) != first)
            continue;
        json_incref(first);
        json_array_remove(list, i);
        if (json_array_insert_new(list, 0, first) != 0)
            st = no_memory(err);
    }
    return st;
}

llm_status_t lls_chat_check_messages(const json_t *messages, llm_error_t *err)
{
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return lls_fail_param(err, LLM_ERR_INVALID, "messages",
                              "messages must be an array with at least one message");
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!json_is_string(json_object_get(json_array_get(messages, i), "role")))
            return wrong(err, i, " has no role");
    return LLM_OK;
}

llm_status_t lls_chat_messages(lls_mem_t *mem, const json_t *messages, bool parts, bool developer,
                               json_t **out, llm_error_t *err)
{
    json_t      *list;
    llm_status_t st = LLM_OK;

    *out = NULL;
    list = json_array();
    if (list == NULL)
        return no_memory(err);
    for (size_t i = 0; st == LLM_OK && i < json_array_size(messages); i++)
        st = take_message(mem, json_array_get(messages, i), i, parts, list, err);
    if (st == LLM_OK && !developer)
        st = without_developers(mem, list, err);
    if (st != LLM_OK) {
        json_decref(list);
        return st;
    }
    *out = list;
    return LLM_OK;
}

/* ---- Going on -------------------------------------------------------------------------------- */

static llm_status_t put_tag(lls_mem_t *mem, json_t *object, const char *key, llm_error_t *err)
{
    const json_t *old = json_object_get(object, key);
    lls_buf_t     b = {.mem = mem};
    json_t       *tagged = NULL;

    if (lls_buf_put(&b, json_string_value(old), json_string_length(old)) &&
        lls_buf_put(&b, LLS_CHAT_TAG, sizeof LLS_CHAT_TAG - 1))
        tagged = json_stringn(b.data, b.len);
    lls_buf_deinit(&b);
    return tagged != NULL && json_object_set_new(object, key, tagged) == 0 ? LLM_OK
                                                                           : no_memory(err);
}

/* The object whose `*key` is the text that is gone on with; NULL if there is none. */
static json_t *continued(json_t *message, const char **key)
{
    json_t *content = json_object_get(message, "content");

    *key = "content";
    if (json_is_string(content))
        return message;
    *key = "text";
    for (size_t k = json_array_size(content); k > 0; k--)
        if (json_is_string(json_object_get(json_array_get(content, k - 1), "text")))
            return json_array_get(content, k - 1);
    return NULL;
}

llm_status_t lls_chat_tag_last(lls_mem_t *mem, json_t *messages, json_t **text, llm_error_t *err)
{
    size_t      at = json_array_size(messages) - 1;
    json_t     *copy = json_deep_copy(json_array_get(messages, at)), *holder;
    const char *key;

    *text = NULL;
    if (copy == NULL || json_array_set_new(messages, at, copy) != 0)
        return no_memory(err);
    holder = continued(copy, &key);
    if (holder == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "continue_final_message",
                              "the final message has no text to be continued");
    *text = json_incref(json_object_get(holder, key));
    return put_tag(mem, holder, key, err);
}
