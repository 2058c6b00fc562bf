/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat_messages.h"

#include "base/num.h"

#define MAX_KEYS 10 /* of a message that is made here */

static lls_jval_t wrong(lls_jrun_t *r, size_t i, const char *what)
{
    if (r->st == LLM_OK)
        r->st = lls_fail_param(r->err, LLM_ERR_INVALID, "messages", "messages[%zu]%s", i, what);
    return lls_jmissing();
}

static bool text_is(const lls_jval_t *v, const char *text)
{
    return v != NULL && v->type == JV_STRING && lls_jstr_is(v->u.str, text);
}

static bool is_null(const lls_jval_t *v) { return v == NULL || v->type == JV_NONE; }

static bool is_string(const lls_jval_t *v) { return v != NULL && v->type == JV_STRING; }

/* A string that counts as the request's, as all keys of messages do. */
static lls_jval_t word(lls_jrun_t *r, const char *text)
{
    return lls_jstring(r, text, strlen(text), true);
}

/* A key that dict does not have; there is room. */
static void put(lls_jrun_t *r, lls_jval_t dict, const char *key, lls_jval_t v)
{
    lls_jval_t name = word(r, key);

    if (r->st != LLM_OK)
        return;
    lls_assert(dict.u.dict->n < dict.u.dict->cap);
    dict.u.dict->keys[dict.u.dict->n] = name;
    dict.u.dict->values[dict.u.dict->n++] = v;
}

/* A copy of dict, whose `key` is v. */
static lls_jval_t with(lls_jrun_t *r, lls_jval_t dict, const char *key, lls_jval_t v)
{
    const lls_jdict_t *from = dict.u.dict;
    const lls_jval_t  *old = lls_jdict_named(r, dict, key);
    lls_jval_t         out = lls_jdict(r, from->n + 1);

    if (r->st != LLM_OK)
        return lls_jmissing();
    memcpy(out.u.dict->keys, from->keys, from->n * sizeof v);
    memcpy(out.u.dict->values, from->values, from->n * sizeof v);
    out.u.dict->n = from->n;
    if (old != NULL)
        out.u.dict->values[old - from->values] = v;
    else
        put(r, out, key, v);
    return out;
}

static lls_jval_t joined(lls_jrun_t *r, lls_jval_t a, const char *between, lls_jval_t b)
{
    const lls_jstr_t  mid = {.text = between, .len = strlen(between), .user = true};
    const lls_jstr_t *parts[] = {a.u.str, &mid, b.u.str};

    return lls_jconcat(r, parts, LLS_ARRAY_LEN(parts));
}

/* ---- Content --------------------------------------------------------------------------------- */

/* The text of a part; MISSING: the part is to be left out, or something is wrong with it. */
static lls_jval_t text_of_part(lls_jrun_t *r, const lls_jval_t *part, size_t i)
{
    static const struct kind {
        const char *type, *key;
    } kinds[] = {{"text", "text"},       {"input_text", "text"},   {"output_text", "text"},
                 {"refusal", "refusal"}, {"thinking", "thinking"}, {"tool_reference", "name"}};
    const lls_jval_t *type = lls_jdict_named(r, *part, "type"), *text;

    if (is_string(part))
        return *part;
    if (!is_string(type))
        return wrong(r, i, " has a content part without a type");
    for (size_t k = 0; k < LLS_ARRAY_LEN(kinds); k++) {
        if (!text_is(type, kinds[k].type))
            continue;
        text = lls_jdict_named(r, *part, kinds[k].key);
        if (is_null(text))
            return lls_jmissing();
        return is_string(text) ? *text : wrong(r, i, " has a content part whose text is no string");
    }
    r->st =
        lls_fail_param(r->err, LLM_ERR_UNSUPPORTED, "messages",
                       "messages[%zu] has a content part of type '%.*s'; only text is supported", i,
                       type->u.str->len > 60 ? 60 : (int)type->u.str->len, type->u.str->text);
    return lls_jmissing();
}

static bool is_reference(lls_jrun_t *r, lls_jval_t part)
{
    return text_is(lls_jdict_named(r, part, "type"), "tool_reference");
}

static lls_jval_t make_part(lls_jrun_t *r, const char *type, const char *key, lls_jval_t text)
{
    lls_jval_t out = lls_jdict(r, 2);

    put(r, out, "type", word(r, type));
    put(r, out, key, text);
    return out;
}

static lls_jval_t list_parts(lls_jrun_t *r, lls_jval_t content, size_t i)
{
    lls_jval_t list = lls_jlist(r, JV_LIST, 0);
    size_t     n = content.type == JV_LIST ? content.u.list->n : 0, cap = 0;

    for (size_t k = 0; r->st == LLM_OK && k < n; k++) {
        lls_jval_t part = content.u.list->items[k], text = text_of_part(r, &part, i);

        if (text.type != JV_MISSING)
            lls_jpush(r, list.u.list, &cap,
                      is_reference(r, part) ? make_part(r, "tool_reference", "name", text)
                                            : make_part(r, "text", "text", text));
    }
    return list;
}

static lls_jval_t join_parts(lls_jrun_t *r, lls_jval_t content, size_t i)
{
    static const lls_jstr_t newline = {.text = "\n", .len = 1, .user = true};
    size_t                  n = content.type == JV_LIST ? content.u.list->n : 0, used = 0;
    const lls_jstr_t      **parts = lls_jalloc(r, (2 * n + 1) * sizeof *parts);

    for (size_t k = 0; r->st == LLM_OK && k < n; k++) {
        lls_jval_t text = text_of_part(r, &content.u.list->items[k], i);

        if (text.type == JV_MISSING)
            continue;
        if (used != 0)
            parts[used++] = &newline;
        parts[used++] = text.u.str;
    }
    return r->st == LLM_OK ? lls_jconcat(r, parts, used) : lls_jmissing();
}

static bool has_references(lls_jrun_t *r, lls_jval_t content)
{
    for (size_t k = 0; content.type == JV_LIST && k < content.u.list->n; k++)
        if (is_reference(r, content.u.list->items[k]))
            return true;
    return false;
}

/* parts: as a list; the results of tools become strings even then, unless they refer to tools. */
static lls_jval_t take_content(lls_jrun_t *r, lls_jval_t message, size_t i, bool parts)
{
    const lls_jval_t *given = lls_jdict_named(r, message, "content");
    lls_jval_t        content = given != NULL ? *given : lls_jnone(), list;

    if (content.type != JV_NONE && content.type != JV_STRING && content.type != JV_LIST)
        return wrong(r, i, " has content that is neither a string nor a list of parts");
    parts = parts &&
            (!text_is(lls_jdict_named(r, message, "role"), "tool") || has_references(r, content));
    if (content.type != JV_STRING)
        return parts ? list_parts(r, content, i) : join_parts(r, content, i);
    if (!parts)
        return content;
    list = lls_jlist(r, JV_LIST, 1);
    if (r->st == LLM_OK)
        list.u.list->items[0] = make_part(r, "text", "text", content);
    return list;
}

/* ---- Tool calls ------------------------------------------------------------------------------ */

/* Arguments as an object: text that is no JSON counts as none. */
static lls_jval_t parse_arguments(lls_jrun_t *r, const lls_jval_t *given)
{
    lls_jval_t out;

    if (given != NULL && (given->type == JV_DICT || given->type == JV_LIST))
        return *given;
    if (is_string(given) && lls_jread_json(r, given->u.str->text, given->u.str->len, &out))
        return out;
    return lls_jdict(r, 0);
}

static lls_jval_t take_call(lls_jrun_t *r, lls_jval_t call, size_t i)
{
    const lls_jval_t *function = lls_jdict_named(r, call, "function");
    lls_jval_t        arguments;

    if (function == NULL || function->type != JV_DICT)
        return wrong(r, i, " has a tool call without a function");
    arguments = parse_arguments(r, lls_jdict_named(r, *function, "arguments"));
    return with(r, call, "function", with(r, *function, "arguments", arguments));
}

static void take_calls(lls_jrun_t *r, lls_jval_t message, size_t i, lls_jval_t out)
{
    const lls_jval_t *calls = lls_jdict_named(r, message, "tool_calls");
    lls_jval_t        list;

    if (is_null(calls) || (calls->type == JV_LIST && calls->u.list->n == 0))
        return;
    if (calls->type != JV_LIST) {
        wrong(r, i, " has tool_calls that are no list");
        return;
    }
    list = lls_jlist(r, JV_LIST, calls->u.list->n);
    for (size_t k = 0; r->st == LLM_OK && k < calls->u.list->n; k++)
        list.u.list->items[k] = take_call(r, calls->u.list->items[k], i);
    put(r, out, "tool_calls", list);
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* Each name that templates know for it; "thinking" is the first key of the message. */
static const lls_jval_t *reasoning_of(lls_jrun_t *r, lls_jval_t message)
{
    static const char *const names[] = {"reasoning", "reasoning_content", "thinking"};

    for (size_t i = 0; i < LLS_ARRAY_LEN(names); i++) {
        const lls_jval_t *v = lls_jdict_named(r, message, names[i]);

        if (!is_null(v))
            return v;
    }
    return NULL;
}

static void copy_string(lls_jrun_t *r, lls_jval_t from, lls_jval_t to, const char *key)
{
    const lls_jval_t *v = lls_jdict_named(r, from, key);

    if (is_string(v))
        put(r, to, key, *v);
}

static void take_extras(lls_jrun_t *r, lls_jval_t message, lls_jval_t out, bool developer)
{
    const lls_jval_t *role = lls_jdict_named(r, message, "role");
    const lls_jval_t *id = lls_jdict_named(r, message, "tool_call_id");
    const lls_jval_t *tools = lls_jdict_named(r, message, "tools");

    if (text_is(role, "tool") && !is_null(id))
        put(r, out, "tool_call_id", *id);
    copy_string(r, message, out, "name");
    copy_string(r, message, out, "task");
    if (developer && text_is(role, "developer"))
        put(r, out, "tools", tools != NULL ? *tools : lls_jnone());
}

/* A developer whom the template does not know is a system. */
static lls_jval_t take_message(lls_jrun_t *r, lls_jval_t message, size_t i, bool parts,
                               bool developer)
{
    const lls_jval_t *role = lls_jdict_named(r, message, "role");
    bool              assistant = text_is(role, "assistant");
    const lls_jval_t *reasoning = assistant ? reasoning_of(r, message) : NULL;
    lls_jval_t        out = lls_jdict(r, MAX_KEYS), content = take_content(r, message, i, parts);

    if (reasoning != NULL)
        put(r, out, "thinking", *reasoning);
    put(r, out, "role", text_is(role, "developer") && !developer ? word(r, "system") : *role);
    put(r, out, "content", content);
    if (assistant && r->st == LLM_OK)
        take_calls(r, message, i, out);
    if (reasoning != NULL) {
        put(r, out, "reasoning", *reasoning);
        put(r, out, "reasoning_content", *reasoning);
    }
    if (r->st == LLM_OK)
        take_extras(r, message, out, developer);
    return out;
}

/* Two contents of the same kind, one behind the other. */
static lls_jval_t both_contents(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    return a.type == JV_LIST ? lls_jbinary(r, JO_ADD, a, b) : joined(r, a, "\n\n", b);
}

/* The system messages become one, which comes first. */
static void merge_systems(lls_jrun_t *r, lls_jlist_t *list)
{
    lls_jval_t first = lls_jmissing(), content = lls_jmissing();
    size_t     kept = list->n;

    for (size_t i = list->n; r->st == LLM_OK && i-- > 0;) {
        lls_jval_t message = list->items[i], own = *lls_jdict_named(r, message, "content");

        if (!text_is(lls_jdict_named(r, message, "role"), "system")) {
            list->items[--kept] = message;
            continue;
        }
        content = content.type == JV_MISSING ? own : both_contents(r, own, content);
        first = message;
    }
    if (r->st != LLM_OK || first.type == JV_MISSING)
        return;
    list->items[--kept] = with(r, first, "content", content);
    list->items += kept;
    list->n -= kept;
}

bool lls_chat_check_messages(lls_jrun_t *r, const lls_jval_t *messages)
{
    if (messages == NULL || messages->type != JV_LIST || messages->u.list->n == 0) {
        r->st = lls_fail_param(r->err, LLM_ERR_INVALID, "messages",
                               "messages must be an array with at least one message");
        return false;
    }
    for (size_t i = 0; i < messages->u.list->n; i++)
        if (!is_string(lls_jdict_named(r, messages->u.list->items[i], "role")))
            wrong(r, i, " has no role");
    return r->st == LLM_OK;
}

lls_jval_t lls_chat_messages(lls_jrun_t *r, lls_jval_t messages, bool parts, bool developer)
{
    size_t     n = messages.u.list->n;
    lls_jval_t list = lls_jlist(r, JV_LIST, n);
    bool       found = false;

    for (size_t i = 0; r->st == LLM_OK && i < n; i++) {
        lls_jval_t given = messages.u.list->items[i];

        found |= text_is(lls_jdict_named(r, given, "role"), "developer");
        list.u.list->items[i] = take_message(r, given, i, parts, developer);
    }
    if (r->st == LLM_OK && found && !developer)
        merge_systems(r, list.u.list);
    return list;
}

/* ---- Going on -------------------------------------------------------------------------------- */

/* Where the last part with a text is in content; content's length if there is none. */
static size_t last_text(lls_jrun_t *r, lls_jval_t content)
{
    size_t n = content.type == JV_LIST ? content.u.list->n : 0;

    for (size_t k = n; k > 0; k--)
        if (is_string(lls_jdict_named(r, content.u.list->items[k - 1], "text")))
            return k - 1;
    return n;
}

const lls_jstr_t *lls_chat_tag_last(lls_jrun_t *r, lls_jval_t messages)
{
    lls_jval_t       *last = &messages.u.list->items[messages.u.list->n - 1], tagged, list;
    const lls_jval_t  content = *lls_jdict_named(r, *last, "content");
    const lls_jstr_t *text;
    size_t            at = last_text(r, content);

    if (content.type == JV_STRING) {
        tagged = joined(r, content, LLS_CHAT_TAG, word(r, ""));
        *last = with(r, *last, "content", tagged);
        return content.u.str;
    }
    if (at == content.u.list->n) {
        r->st = lls_fail_param(r->err, LLM_ERR_INVALID, "continue_final_message",
                               "the final message has no text to be continued");
        return NULL;
    }
    list = lls_jlist_of(r, content);
    text = lls_jdict_named(r, content.u.list->items[at], "text")->u.str;
    tagged = joined(r, lls_jstrval(text), LLS_CHAT_TAG, word(r, ""));
    if (r->st == LLM_OK)
        list.u.list->items[at] = with(r, content.u.list->items[at], "text", tagged);
    *last = with(r, *last, "content", list);
    return text;
}
