/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements, macros, and a render as a whole.
 */
#include "text/jinja_val.h"

#include <locale.h>

#define FIRST_ROOM ((size_t)8 << 10) /* for output */

static const lls_jnode_t *node(const lls_jrun_t *r, uint32_t at) { return &r->j->nodes[at]; }

/* ---- Output ---------------------------------------------------------------------------------- */

void lls_jput(lls_jrun_t *r, const lls_jstr_t *s)
{
    lls_buf_t *out = &r->out, *mark = &r->mark;

    if (r->st != LLM_OK || s->len == 0)
        return;
    if (s->len > LLS_JINJA_OUTPUT - out->len) {
        lls_jraise(r, LLM_ERR_INVALID, "the template puts out more than 64 MiB");
        return;
    }
    if (!lls_buf_room(mark, s->len) || !lls_buf_put(out, s->text, s->len)) {
        lls_jraise(r, LLM_ERR_NO_MEMORY, "no memory to render");
        return;
    }
    if (s->mark != NULL)
        memcpy(mark->data + mark->len, s->mark, s->len);
    else
        memset(mark->data + mark->len, s->user, s->len);
    mark->len += s->len;
}

/* What is behind `from` in the output, taken out of it. */
static lls_jval_t take_output(lls_jrun_t *r, size_t from)
{
    lls_jstr_t        text = {.len = r->out.len - from};
    const lls_jstr_t *part = &text;
    lls_jval_t        v;

    if (r->st != LLM_OK)
        return lls_jmissing();
    if (text.len == 0) /* there may be no output yet */
        return lls_jcstr(r, "");
    text.text = r->out.data + from;
    text.mark = (uint8_t *)r->mark.data + from;
    v = lls_jconcat(r, &part, 1);
    r->out.len = r->mark.len = from;
    return v;
}

static void put_value(lls_jrun_t *r, lls_jval_t v)
{
    const lls_jstr_t *s = r->st == LLM_OK ? lls_jstr(r, v) : NULL;

    if (s != NULL)
        lls_jput(r, s);
}

/* What blocks put out is not turned into text. */
static void put_text_only(lls_jrun_t *r, lls_jval_t v)
{
    if (r->st != LLM_OK)
        return;
    if (v.type == JV_STRING)
        lls_jput(r, v.u.str);
    else
        lls_jraise(r, LLM_ERR_INVALID, "a block gives %s, not a string", lls_jtype_name(v));
}

/* ---- Variables ------------------------------------------------------------------------------- */

static lls_jval_t look_up(lls_jrun_t *r, const lls_jstr_t *name)
{
    const lls_jval_t   vars = r->in->vars != NULL ? r->in->vars->vars : lls_jnone();
    const lls_jval_t  *v = vars.type == JV_DICT ? lls_jdict_text(r, vars.u.dict, name) : NULL;
    const lls_jfunc_t *f;

    if (v != NULL)
        return *v;
    for (size_t i = 0; i < r->in->n_consts; i++)
        if (lls_jstr_is(name, r->in->consts[i].name))
            return lls_jstring(r, r->in->consts[i].text, r->in->consts[i].len, false);
    f = lls_jfind_global(name->text, name->len);
    return f != NULL ? (lls_jval_t){.type = JV_FUNC, .u.func = f} : lls_jmissing();
}

static lls_jval_t context_var(lls_jrun_t *r, uint32_t str)
{
    lls_jval_t *v = &r->context[str];

    if (v->type == JV_MISSING && v->sub == 0) {
        *v = look_up(r, &r->j->strs[str]);
        v->sub |= v->type == JV_MISSING;
    }
    return v->type == JV_MISSING ? lls_jmissing() : *v;
}

void lls_jenter_scope(lls_jrun_t *r, uint32_t scope)
{
    const lls_jscope_t *s = &r->j->scopes[scope];

    for (uint32_t i = 0; i < s->n_loads; i++) {
        const lls_jload_t *load = &r->j->loads[s->first_load + i];
        const lls_jact_t  *act = r->act;

        for (uint16_t up = load->kind == JL_ALIAS ? load->up : 0; up > 0; up--)
            act = act->outer;
        r->act->slots[load->slot] = load->kind == JL_RESOLVE ? context_var(r, load->from)
                                    : load->kind == JL_ALIAS ? act->slots[load->from]
                                                             : lls_jmissing();
    }
}

static lls_jact_t *new_act(lls_jrun_t *r, uint32_t func, lls_jact_t *outer)
{
    size_t      n = r->j->funcs[func];
    lls_jact_t *act = lls_jalloc(r, sizeof *act);

    if (act == NULL)
        return NULL;
    act->outer = outer;
    act->slots = lls_jalloc(r, n * sizeof *act->slots);
    if (act->slots == NULL)
        return NULL;
    memset(act->slots, 0, n * sizeof *act->slots);
    return act;
}

static void set_attr(lls_jrun_t *r, const lls_jnode_t *n, lls_jval_t v)
{
    lls_jval_t        ns = lls_jeval(r, n->a);
    const lls_jstr_t *name = &r->j->strs[n->str];

    if (r->st != LLM_OK)
        return;
    if (ns.type != JV_NAMESPACE)
        lls_jraise(r, LLM_ERR_INVALID, "only attributes of a namespace can be set");
    else if (lls_jname_allowed(r, name))
        lls_jdict_put(r, ns.u.dict, lls_jstrval(name), v);
}

static void unpack(lls_jrun_t *r, const lls_jnode_t *n, lls_jval_t v)
{
    lls_jval_t list = lls_jlist_of(r, v);
    size_t     i = 0;

    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next, i++) {
        if (i < list.u.list->n)
            lls_jassign(r, at, list.u.list->items[i]);
        else
            lls_jraise(r, LLM_ERR_INVALID, "not enough values to unpack");
    }
    if (r->st == LLM_OK && i != list.u.list->n)
        lls_jraise(r, LLM_ERR_INVALID, "too many values to unpack");
}

void lls_jassign(lls_jrun_t *r, uint32_t target, lls_jval_t v)
{
    const lls_jnode_t *n = node(r, target);

    if (r->st != LLM_OK)
        return;
    if (n->kind == JN_NAME)
        r->act->slots[n->slot] = v; /* what is assigned is always a variable of the function */
    else if (n->kind == JN_NSREF)
        set_attr(r, n, v);
    else
        unpack(r, n, v);
}

/* ---- Loops ----------------------------------------------------------------------------------- */

/* Whether the body has run to its end once: if not, `else` runs. */
static bool run_iterations(lls_jrun_t *r, const lls_jnode_t *n, lls_jloop_t *loop)
{
    bool       completed = false;
    lls_jval_t v;

    while (r->flow != JN_BREAK && lls_jcharge(r, 1) && lls_jloop_next(r, loop, &v)) {
        lls_jenter_scope(r, n->scope);
        if (n->slot != LLS_NONE)
            r->act->slots[n->slot] = (lls_jval_t){.type = JV_LOOP, .u.loop = loop};
        lls_jassign(r, n->a, v);
        if (r->st == LLM_OK)
            lls_jrun_body(r, n->c);
        completed |= r->flow == 0;
        if (r->flow == JN_CONTINUE)
            r->flow = 0;
    }
    r->flow = 0;
    return completed;
}

static void run_loop(lls_jrun_t *r, const lls_jnode_t *n, lls_jval_t over, int64_t depth0,
                     lls_jact_t *outer)
{
    lls_jloop_t *loop = lls_jalloc(r, sizeof *loop);

    if (loop == NULL)
        return;
    *loop = (lls_jloop_t){.node = n,
                          .outer = outer,
                          .act = r->act,
                          .index0 = -1,
                          .depth0 = depth0,
                          .length = -1,
                          .tested = n->e == LLS_NONE};
    if (!lls_jiter_begin(r, over, &loop->it))
        return;
    if (n->e != LLS_NONE)
        lls_jenter_scope(r, n->scope3);
    if (!run_iterations(r, n, loop) && n->d != LLS_NONE && r->st == LLM_OK) {
        lls_jenter_scope(r, n->scope2);
        lls_jrun_body(r, n->d);
    }
}

static bool enter_function(lls_jrun_t *r)
{
    if (++r->macros > LLS_JINJA_MACROS)
        lls_jraise(r, LLM_ERR_INVALID, "macros or loops call each other more than %d deep",
                   LLS_JINJA_MACROS);
    return lls_jenter(r);
}

static void leave_function(lls_jrun_t *r)
{
    lls_jleave(r);
    r->macros--;
}

static void run_recursive(lls_jrun_t *r, const lls_jnode_t *n, lls_jval_t over, int64_t depth0,
                          lls_jact_t *outer)
{
    lls_jact_t *act = r->act;
    int         flow = r->flow;

    if (enter_function(r)) {
        r->act = new_act(r, n->func, outer);
        r->flow = 0;
        if (r->act != NULL)
            run_loop(r, n, over, depth0, outer);
    }
    leave_function(r);
    r->flow = flow;
    r->act = act;
}

lls_jval_t lls_jcall_loop(lls_jrun_t *r, lls_jloop_t *loop, lls_jval_t over)
{
    size_t from = r->out.len;

    if (!loop->node->flag)
        return lls_jraise(r, LLM_ERR_INVALID, "only a recursive loop can be called");
    run_recursive(r, loop->node, over, loop->depth0 + 1, loop->outer);
    return take_output(r, from);
}

static void run_for(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t over = lls_jeval(r, n->b);

    if (r->st != LLM_OK)
        return;
    if (n->flag)
        run_recursive(r, n, over, 0, r->act);
    else
        run_loop(r, n, over, 0, NULL);
}

/* ---- Macros ---------------------------------------------------------------------------------- */

static lls_jval_t make_macro(lls_jrun_t *r, const lls_jnode_t *n, uint32_t params)
{
    lls_jmacro_t *m = lls_jalloc(r, sizeof *m);

    if (m == NULL)
        return lls_jmissing();
    *m = (lls_jmacro_t){n, r->act, params, n->str != LLS_NONE ? &r->j->strs[n->str] : NULL};
    return (lls_jval_t){.type = JV_MACRO, .u.macro = m};
}

/* Takes the keyword out of those that are left. */
static lls_jval_t take_keyword(const lls_jargs_t *args, bool *used, const lls_jstr_t *name)
{
    for (size_t i = 0; i < args->n_kw; i++) {
        const lls_jstr_t *kw = args->kw_name[i];

        if (used[i] || kw->len != name->len || memcmp(kw->text, name->text, kw->len) != 0)
            continue;
        used[i] = true;
        return args->kw[i];
    }
    return lls_jmissing();
}

static void set_slot(lls_jact_t *act, uint32_t slot, lls_jval_t v)
{
    if (slot != LLS_NONE)
        act->slots[slot] = v;
}

/* Keywords that no parameter took: the dictionary kwargs, or a mistake. */
static void bind_rest(lls_jrun_t *r, const lls_jmacro_t *m, lls_jact_t *act,
                      const lls_jargs_t *args, const bool *used, size_t n_params)
{
    lls_jval_t kwargs = lls_jdict(r, args->n_kw), varargs;

    for (size_t i = 0; r->st == LLM_OK && i < args->n_kw; i++) {
        if (used[i])
            continue;
        if (m->node->kwargs == LLS_NONE)
            lls_jraise(r, LLM_ERR_INVALID, "the macro takes no argument '%.*s'",
                       (int)(args->kw_name[i]->len > 60 ? 60 : args->kw_name[i]->len),
                       args->kw_name[i]->text);
        else
            lls_jdict_put(r, kwargs.u.dict, lls_jstrval(args->kw_name[i]), args->kw[i]);
    }
    set_slot(act, m->node->kwargs, kwargs);
    if (args->n_pos > n_params && m->node->varargs == LLS_NONE)
        lls_jraise(r, LLM_ERR_INVALID, "the macro takes at most %zu arguments", n_params);
    varargs = lls_jlist(r, JV_TUPLE, args->n_pos > n_params ? args->n_pos - n_params : 0);
    if (r->st == LLM_OK && varargs.u.list->n != 0)
        memcpy(varargs.u.list->items, args->pos + n_params, varargs.u.list->n * sizeof varargs);
    set_slot(act, m->node->varargs, varargs);
}

static void bind_macro(lls_jrun_t *r, const lls_jmacro_t *m, lls_jact_t *act,
                       const lls_jargs_t *args)
{
    static const lls_jstr_t word = {.text = "caller", .len = 6};
    bool                   *used = lls_jalloc(r, args->n_kw * sizeof *used);
    lls_jval_t              caller;
    size_t                  n = 0;

    if (used == NULL)
        return;
    memset(used, 0, args->n_kw * sizeof *used);
    for (uint32_t at = m->params; at != LLS_NONE; at = node(r, at)->next, n++)
        act->slots[node(r, at)->slot] =
            n < args->n_pos ? args->pos[n]
                            : take_keyword(args, used, &r->j->strs[node(r, at)->str]);
    if (m->node->caller != LLS_NONE) {
        caller = take_keyword(args, used, &word);
        set_slot(act, m->node->caller,
                 caller.type == JV_MISSING || caller.type == JV_NONE
                     ? lls_jundefined(JU_OTHER, NULL)
                     : caller);
    }
    bind_rest(r, m, act, args, used, n);
}

/* Parameters that were not given get their defaults, which see those before them. */
static void set_defaults(lls_jrun_t *r, const lls_jmacro_t *m)
{
    for (uint32_t at = m->params; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next) {
        const lls_jnode_t *p = node(r, at);

        if (r->act->slots[p->slot].type == JV_MISSING)
            r->act->slots[p->slot] = p->a != LLS_NONE
                                         ? lls_jeval(r, p->a)
                                         : lls_jundefined(JU_NAME, &r->j->strs[p->str]);
    }
}

/* Runs the function of m, its output going where output goes. */
static void run_macro(lls_jrun_t *r, const lls_jmacro_t *m, const lls_jargs_t *args)
{
    lls_jact_t *act = r->act, *own = NULL;
    int         flow = r->flow;

    if (enter_function(r))
        own = new_act(r, m->node->func, m->outer);
    if (own != NULL)
        bind_macro(r, m, own, args);
    if (own != NULL && r->st == LLM_OK) {
        r->act = own;
        r->flow = 0;
        lls_jenter_scope(r, m->node->scope);
        set_defaults(r, m);
        if (r->st == LLM_OK)
            lls_jrun_body(r, m->node->b);
    }
    leave_function(r);
    r->act = act;
    r->flow = flow;
}

lls_jval_t lls_jcall_macro(lls_jrun_t *r, const lls_jmacro_t *m, const lls_jargs_t *args)
{
    size_t   from = r->out.len;
    uint32_t line = r->line;

    run_macro(r, m, args);
    if (r->st == LLM_OK)
        r->line = line;
    return take_output(r, from);
}

static void run_call_block(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t         caller = make_macro(r, n, n->c), callee;
    const lls_jnode_t *call = node(r, n->a);
    lls_jargs_t        args = {0};

    callee = r->st == LLM_OK ? lls_jeval(r, call->a) : caller;
    if (r->st == LLM_OK)
        lls_jeval_args(r, call->b, &args, &caller);
    r->line = n->line;
    if (r->st == LLM_OK)
        put_text_only(r, lls_jcall(r, callee, &args));
}

static void run_generation(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jmacro_t m = {n, r->act, LLS_NONE, NULL};
    lls_jargs_t  args = {0};

    run_macro(r, &m, &args);
}

/* ---- Other statements ------------------------------------------------------------------------ */

/* The text of a block, through its filters if it has some. */
static lls_jval_t captured(lls_jrun_t *r, const lls_jnode_t *n, uint32_t filters)
{
    size_t     from = r->out.len;
    lls_jval_t text;

    lls_jenter_scope(r, n->scope);
    lls_jrun_body(r, n->b);
    text = take_output(r, from);
    if (filters == LLS_NONE || r->st != LLM_OK || r->flow != 0)
        return text;
    r->captured = text;
    return lls_jeval(r, filters);
}

static void run_captured(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v = captured(r, n, n->kind == JN_SET_BLOCK ? n->c : n->a);

    if (r->st != LLM_OK || r->flow != 0)
        return;
    if (n->kind == JN_SET_BLOCK)
        lls_jassign(r, n->a, v);
    else
        put_text_only(r, v);
}

static void run_with(lls_jrun_t *r, const lls_jnode_t *n)
{
    uint32_t value = n->b;

    lls_jenter_scope(r, n->scope);
    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next) {
        lls_jval_t v = lls_jeval(r, value);

        lls_jassign(r, at, v);
        value = node(r, value)->next;
    }
    if (r->st == LLM_OK)
        lls_jrun_body(r, n->c);
}

static void run_output(lls_jrun_t *r, const lls_jnode_t *n)
{
    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next) {
        lls_jval_t v;

        if (!lls_jfold(r, at, true, &v))
            v = lls_jeval(r, at);
        r->line = n->line;
        put_value(r, v);
    }
}

static void run_statement(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v;

    switch (n->kind) {
    case JN_TEXT:
        lls_jput(r, &r->j->strs[n->str]);
        break;
    case JN_OUTPUT:
        run_output(r, n);
        break;
    case JN_IF:
        v = lls_jeval(r, n->a);
        if (r->st == LLM_OK)
            lls_jrun_body(r, lls_jtrue(v) ? n->b : n->c);
        break;
    case JN_FOR:
        run_for(r, n);
        break;
    case JN_SET:
        v = lls_jeval(r, n->b);
        r->line = n->line;
        lls_jassign(r, n->a, v);
        break;
    case JN_SET_BLOCK:
    case JN_FILTER_BLOCK:
        run_captured(r, n);
        break;
    case JN_MACRO:
        lls_jassign(r, n->d, make_macro(r, n, n->a));
        break;
    case JN_CALL_BLOCK:
        run_call_block(r, n);
        break;
    case JN_WITH:
        run_with(r, n);
        break;
    case JN_GENERATION:
        run_generation(r, n);
        break;
    default:
        r->flow = n->kind; /* break, continue */
        break;
    }
}

void lls_jrun_body(lls_jrun_t *r, uint32_t first)
{
    if (lls_jenter(r)) {
        for (uint32_t at = first; at != LLS_NONE && r->flow == 0; at = node(r, at)->next) {
            r->line = node(r, at)->line;
            if (!lls_jcharge(r, 1))
                break;
            run_statement(r, node(r, at));
        }
    }
    lls_jleave(r);
}

/* ---- A render -------------------------------------------------------------------------------- */

static void run_template(lls_jrun_t *r)
{
    size_t n = r->j->n_strs * sizeof *r->context;

    if (!lls_buf_room(&r->out, FIRST_ROOM) || !lls_buf_room(&r->mark, FIRST_ROOM))
        lls_jraise(r, LLM_ERR_NO_MEMORY, "no memory to render");
    r->context = lls_jalloc(r, n);
    r->act = r->context != NULL ? new_act(r, 0, NULL) : NULL;
    if (r->act == NULL)
        return;
    memset(r->context, 0, n);
    lls_jenter_scope(r, 0);
    if (r->st == LLM_OK)
        lls_jrun_body(r, r->j->root);
    if (r->st == LLM_OK && (!lls_buf_end(&r->out) || !lls_buf_room(&r->mark, 1)))
        lls_jraise(r, LLM_ERR_NO_MEMORY, "no memory to render");
}

llm_status_t lls_jinja_render(const lls_jinja_t *j, lls_mem_t *mem, const lls_jinja_input_t *in,
                              lls_jinja_text_t *out, llm_error_t *err)
{
    lls_jrun_t r = {.j = j, .mem = mem, .err = err, .line = 1, .in = in};
    /* Numbers and times are written as in C, whatever the host program's locale is. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), own = (locale_t)0;

    r.out.mem = r.mark.mem = r.scratch.mem = mem;
    memset(out, 0, sizeof *out);
    if (plain == (locale_t)0)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory to render");
    own = uselocale(plain);
    run_template(&r);
    uselocale(own);
    freelocale(plain);
    lls_jarena_free(&r);
    lls_buf_deinit(&r.scratch);
    if (r.st != LLM_OK) {
        lls_buf_deinit(&r.out);
        lls_buf_deinit(&r.mark);
        return r.st;
    }
    *out = (lls_jinja_text_t){r.out.data, (uint8_t *)r.mark.data, r.out.len};
    return LLM_OK;
}

void lls_jinja_text_free(lls_mem_t *mem, lls_jinja_text_t *text)
{
    lls_free(mem, text->text);
    lls_free(mem, text->mark);
    memset(text, 0, sizeof *text);
}
