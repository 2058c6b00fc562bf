/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to slots, the way Jinja2 does it: a scope is looked through whole, then its inner scopes.
 *
 * The first mention of a name in a scope decides what it is there.  If it is read first and no
 * outer scope knows it, it is taken from the context; if it is assigned first, it begins as a copy
 * of the outer variable or as missing - so what a loop reads may be missing although the context
 * has it, when the template assigns it behind the loop.  A name that only some branches of an `if`
 * assign is taken from outside.
 */
#include "text/jinja_int.h"

#define MAX_WORK 100000000u /* names looked at, so that no template takes minutes */

typedef struct symbol {
    uint32_t name, slot;
    uint8_t  load; /* enum lls_jload_kind, or PARAM */
    bool     stored;
    uint32_t from; /* as of lls_jload_t */
    uint16_t up;
} symbol_t;

enum { PARAM = 100 };

typedef struct symbols { /* of one scope, or of a branch in it */
    symbol_t *items;
    size_t    n, cap;
} symbols_t;

typedef struct frame {
    struct frame *parent;
    symbols_t     syms;
    symbols_t     slots; /* name to slot, for all branches alike */
    uint32_t      func;
    uint16_t      func_depth;
} frame_t;

typedef struct scoper {
    lls_jinja_t *j;
    llm_error_t *err;
    llm_status_t st;
    uint64_t     work;
} scoper_t;

typedef struct ref {
    uint32_t slot;
    uint16_t up;
    bool     found;
} ref_t;

static void analyze(scoper_t *s, frame_t *f, uint32_t at);
static void assign_slots(scoper_t *s, frame_t *f, uint32_t first, bool soft);

static bool no_memory(scoper_t *s)
{
    if (s->st == LLM_OK)
        s->st = lls_fail(s->err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
    return false;
}

static bool work(scoper_t *s, size_t n, uint32_t line)
{
    s->work += n;
    if (s->work > MAX_WORK && s->st == LLM_OK)
        s->st =
            lls_jinja_fail(s->err, LLM_ERR_UNSUPPORTED, line, "too many variables and branches");
    return s->st == LLM_OK;
}

static lls_jnode_t *node(const scoper_t *s, uint32_t at) { return &s->j->nodes[at]; }

/* ---- Symbols --------------------------------------------------------------------------------- */

static symbol_t *find(scoper_t *s, const symbols_t *syms, uint32_t name)
{
    s->work += syms->n;
    for (size_t i = 0; i < syms->n; i++)
        if (syms->items[i].name == name)
            return &syms->items[i];
    return NULL;
}

static symbol_t *push(scoper_t *s, symbols_t *syms, symbol_t sym)
{
    if (!lls_reserve(s->j->mem, (void **)&syms->items, &syms->cap, syms->n + 1,
                     sizeof *syms->items)) {
        no_memory(s);
        return NULL;
    }
    syms->items[syms->n] = sym;
    return &syms->items[syms->n++];
}

static bool copy(scoper_t *s, symbols_t *to, const symbols_t *from)
{
    *to = (symbols_t){0};
    if (from->n == 0)
        return true;
    if (!lls_reserve(s->j->mem, (void **)&to->items, &to->cap, from->n, sizeof *to->items))
        return no_memory(s);
    memcpy(to->items, from->items, from->n * sizeof *to->items);
    to->n = from->n;
    return true;
}

static void drop(scoper_t *s, symbols_t *syms)
{
    lls_free(s->j->mem, syms->items);
    *syms = (symbols_t){0};
}

static uint32_t slot_of(scoper_t *s, frame_t *f, uint32_t name)
{
    const symbol_t *known = find(s, &f->slots, name);

    if (known == NULL)
        known = push(s, &f->slots, (symbol_t){.name = name, .slot = s->j->funcs[f->func]++});
    return known != NULL ? known->slot : 0;
}

static symbol_t *define(scoper_t *s, frame_t *f, uint32_t name, uint8_t load)
{
    symbol_t *sym = find(s, &f->syms, name);
    uint32_t  slot = slot_of(s, f, name);

    if (sym == NULL)
        sym = push(s, &f->syms, (symbol_t){.name = name, .slot = slot});
    if (sym != NULL) {
        sym->load = load;
        sym->from = load == JL_RESOLVE ? name : 0;
    }
    return sym;
}

static ref_t find_ref(scoper_t *s, const frame_t *f, uint32_t name)
{
    uint16_t depth = f != NULL ? f->func_depth : 0;

    for (; f != NULL; f = f->parent) {
        const symbol_t *sym = find(s, &f->syms, name);

        if (sym != NULL)
            return (ref_t){sym->slot, (uint16_t)(depth - f->func_depth), true};
    }
    return (ref_t){0, 0, false};
}

/* What the variable of an outer scope is, seen from f; it is one function further if f is one. */
static void load_from_outside(scoper_t *s, const frame_t *f, symbol_t *sym, uint8_t otherwise)
{
    ref_t outer = find_ref(s, f->parent, sym->name);

    sym->load = outer.found ? JL_ALIAS : otherwise;
    sym->from = outer.found ? outer.slot : sym->name;
    sym->up = f->parent != NULL ? (uint16_t)(outer.up + f->func_depth - f->parent->func_depth) : 0;
}

static void store(scoper_t *s, frame_t *f, uint32_t name)
{
    symbol_t *sym = find(s, &f->syms, name);

    if (sym == NULL) {
        sym = define(s, f, name, JL_MISSING);
        if (sym != NULL)
            load_from_outside(s, f, sym, JL_MISSING);
    }
    if (sym != NULL)
        sym->stored = true;
}

static uint32_t declare(scoper_t *s, frame_t *f, uint32_t name)
{
    symbol_t *sym = define(s, f, name, PARAM);

    if (sym == NULL)
        return 0;
    sym->stored = true;
    return sym->slot;
}

static uint32_t declare_text(scoper_t *s, frame_t *f, const char *name)
{
    uint32_t str = lls_jinja_intern(s->j, name, strlen(name));

    return str != LLS_NONE || no_memory(s) ? declare(s, f, str) : 0;
}

/* ---- What a scope mentions ------------------------------------------------------------------- */

static void analyze_chain(scoper_t *s, frame_t *f, uint32_t first)
{
    for (uint32_t at = first; s->st == LLM_OK && at != LLS_NONE; at = node(s, at)->next)
        analyze(s, f, at);
}

/* Names of a target become parameters. */
static void declare_target(scoper_t *s, frame_t *f, uint32_t at)
{
    if (s->st != LLM_OK)
        return;
    if (node(s, at)->kind == JN_NAME)
        declare(s, f, node(s, at)->str);
    for (uint32_t kid = node(s, at)->a; kid != LLS_NONE; kid = node(s, kid)->next)
        declare_target(s, f, kid);
}

/* Takes what a branch found over into the scope; `first` says what was known before. */
static void merge_branch(scoper_t *s, frame_t *f, const symbols_t *first, const symbols_t *branch)
{
    for (size_t i = 0; s->st == LLM_OK && i < branch->n; i++) {
        const symbol_t *b = &branch->items[i], *old = find(s, first, b->name);
        symbol_t       *sym = find(s, &f->syms, b->name);
        bool            stored = b->stored || (sym != NULL && sym->stored);

        if (sym == NULL)
            sym = push(s, &f->syms, *b);
        else
            *sym = *b;
        if (sym == NULL)
            return;
        sym->stored = stored;
        if (stored && (old == NULL || !old->stored))
            load_from_outside(s, f, sym, JL_RESOLVE);
    }
}

static void analyze_if(scoper_t *s, frame_t *f, const lls_jnode_t *n)
{
    symbols_t first, body = {0};
    uint32_t  branches[2] = {n->b, n->c};

    analyze(s, f, n->a);
    if (!work(s, f->syms.n, n->line) || !copy(s, &first, &f->syms))
        return;
    analyze_chain(s, f, branches[0]);
    body = f->syms;
    if (copy(s, &f->syms, &first))
        analyze_chain(s, f, branches[1]);
    /* What is now in f is the second branch; the first goes under it. */
    if (s->st == LLM_OK) {
        symbols_t other = f->syms;

        f->syms = (symbols_t){0};
        if (copy(s, &f->syms, &first)) {
            merge_branch(s, f, &first, &body);
            merge_branch(s, f, &first, &other);
        }
        drop(s, &other);
    }
    drop(s, &body);
    drop(s, &first);
}

static void analyze_kids(scoper_t *s, frame_t *f, const lls_jnode_t *n)
{
    uint32_t kids[] = {n->a, n->b, n->c, n->d, n->e};

    for (size_t i = 0; i < LLS_ARRAY_LEN(kids); i++)
        analyze_chain(s, f, kids[i]);
}

static void analyze(scoper_t *s, frame_t *f, uint32_t at)
{
    const lls_jnode_t n = *node(s, at);

    if (!work(s, 1, n.line))
        return;
    switch (n.kind) {
    case JN_NAME:
        if (n.store)
            store(s, f, n.str);
        else if (!find_ref(s, f, n.str).found)
            define(s, f, n.str, JL_RESOLVE);
        break;
    case JN_IF:
        analyze_if(s, f, &n);
        break;
    case JN_MACRO:
        analyze(s, f, n.d);
        break;
    case JN_SET:
        analyze(s, f, n.b);
        analyze(s, f, n.a);
        break;
    case JN_FOR:
        analyze(s, f, n.b);
        break;
    case JN_CALL_BLOCK:
    case JN_FILTER_BLOCK:
    case JN_SET_BLOCK:
        analyze(s, f, n.a);
        break;
    case JN_WITH:
        analyze_chain(s, f, n.b);
        break;
    case JN_GENERATION:
        break;
    default:
        analyze_kids(s, f, &n);
        break;
    }
}

/* ---- Scopes ---------------------------------------------------------------------------------- */

static frame_t inner(frame_t *parent)
{
    return (frame_t){.parent = parent, .func = parent->func, .func_depth = parent->func_depth};
}

static frame_t inner_function(scoper_t *s, frame_t *parent)
{
    lls_jinja_t *j = s->j;
    frame_t      f = inner(parent);

    if (!lls_reserve(j->mem, (void **)&j->funcs, &j->funcs_cap, j->n_funcs + 1, sizeof *j->funcs)) {
        no_memory(s);
        return f;
    }
    f.func = (uint32_t)j->n_funcs;
    f.func_depth++;
    j->funcs[j->n_funcs++] = 0;
    return f;
}

/* Writes down what entering the scope loads, and forgets the frame. */
static uint32_t close_frame(scoper_t *s, frame_t *f)
{
    lls_jinja_t *j = s->j;
    lls_jscope_t scope = {(uint32_t)j->n_loads, 0};

    for (size_t i = 0; s->st == LLM_OK && i < f->syms.n; i++) {
        const symbol_t *sym = &f->syms.items[i];

        if (sym->load == PARAM)
            continue;
        if (!lls_reserve(j->mem, (void **)&j->loads, &j->loads_cap, j->n_loads + 1,
                         sizeof *j->loads)) {
            no_memory(s);
            break;
        }
        j->loads[j->n_loads++] = (lls_jload_t){sym->load, sym->slot, sym->from, sym->up};
        scope.n_loads++;
    }
    drop(s, &f->syms);
    drop(s, &f->slots);
    if (s->st == LLM_OK && !lls_reserve(j->mem, (void **)&j->scopes, &j->scopes_cap,
                                        j->n_scopes + 1, sizeof *j->scopes))
        no_memory(s);
    if (s->st != LLM_OK)
        return 0;
    j->scopes[j->n_scopes] = scope;
    return (uint32_t)j->n_scopes++;
}

/* Whether a name is read anywhere in the chain or below. */
static bool reads(scoper_t *s, uint32_t first, const char *name)
{
    for (uint32_t at = first; at != LLS_NONE && work(s, 1, 0); at = node(s, at)->next) {
        const lls_jnode_t *n = node(s, at);

        if (n->kind == JN_NAME && !n->store && lls_jstr_is(&s->j->strs[n->str], name))
            return true;
        if (reads(s, n->a, name) || reads(s, n->b, name) || reads(s, n->c, name) ||
            reads(s, n->d, name) || reads(s, n->e, name))
            return true;
    }
    return false;
}

static bool assigns_loop(scoper_t *s, uint32_t first)
{
    for (uint32_t at = first; at != LLS_NONE && work(s, 1, 0); at = node(s, at)->next) {
        const lls_jnode_t *n = node(s, at);

        if (n->kind == JN_NAME && n->store && lls_jstr_is(&s->j->strs[n->str], "loop"))
            return true;
        if (assigns_loop(s, n->a) || assigns_loop(s, n->b) || assigns_loop(s, n->c) ||
            assigns_loop(s, n->d) || assigns_loop(s, n->e))
            return true;
    }
    return false;
}

static void scope_for(scoper_t *s, frame_t *f, uint32_t at, bool soft)
{
    lls_jnode_t n = *node(s, at);
    frame_t     outer = n.flag ? inner_function(s, f) : *f, body, test, other;

    if (assigns_loop(s, n.a) || assigns_loop(s, n.c) || assigns_loop(s, n.d))
        s->st = lls_jinja_fail(s->err, LLM_ERR_FORMAT, n.line, "a loop assigns to 'loop'");
    if (s->st != LLM_OK)
        return;
    n.func = outer.func;
    /* A recursive loop's function has no variables outside of its scopes. */
    body = test = other = inner(f);
    body.func = test.func = other.func = outer.func;
    body.func_depth = test.func_depth = other.func_depth = outer.func_depth;
    if (n.flag || reads(s, n.c, "loop"))
        n.slot = declare_text(s, &body, "loop");
    declare_target(s, &body, n.a);
    analyze_chain(s, &body, n.c);
    assign_slots(s, f, n.b, soft);
    if (n.e != LLS_NONE) {
        declare_target(s, &test, n.f);
        analyze_chain(s, &test, n.e);
        assign_slots(s, &test, n.f, false);
        assign_slots(s, &test, n.e, false);
    }
    assign_slots(s, &body, n.a, false);
    assign_slots(s, &body, n.c, false);
    analyze_chain(s, &other, n.d);
    assign_slots(s, &other, n.d, false);
    n.scope = close_frame(s, &body);
    n.scope2 = close_frame(s, &other);
    n.scope3 = close_frame(s, &test);
    *node(s, at) = n;
}

/* A macro, call block or generation: params, the words that stand for more arguments, the body. */
static void scope_function(scoper_t *s, frame_t *f, uint32_t at, uint32_t params)
{
    lls_jnode_t n = *node(s, at);
    frame_t     body = inner_function(s, f);
    bool        own_caller = false, own_kwargs = false, own_varargs = false;

    n.func = body.func;
    n.caller = n.kwargs = n.varargs = LLS_NONE;
    for (uint32_t p = params; s->st == LLM_OK && p != LLS_NONE; p = node(s, p)->next) {
        const lls_jstr_t *name = &s->j->strs[node(s, p)->str];

        own_caller |= lls_jstr_is(name, "caller");
        own_kwargs |= lls_jstr_is(name, "kwargs");
        own_varargs |= lls_jstr_is(name, "varargs");
        node(s, p)->slot = declare(s, &body, node(s, p)->str);
        if (lls_jstr_is(name, "caller") && node(s, p)->a == LLS_NONE && reads(s, n.b, "caller"))
            s->st = lls_jinja_fail(s->err, LLM_ERR_FORMAT, n.line,
                                   "a parameter named caller needs a default");
    }
    if (!own_caller && reads(s, n.b, "caller"))
        n.caller = declare_text(s, &body, "caller");
    if (!own_kwargs && reads(s, n.b, "kwargs"))
        n.kwargs = declare_text(s, &body, "kwargs");
    if (!own_varargs && reads(s, n.b, "varargs"))
        n.varargs = declare_text(s, &body, "varargs");
    for (uint32_t p = params; s->st == LLM_OK && p != LLS_NONE; p = node(s, p)->next)
        analyze_chain(s, &body, node(s, p)->a);
    analyze_chain(s, &body, n.b);
    for (uint32_t p = params; s->st == LLM_OK && p != LLS_NONE; p = node(s, p)->next)
        assign_slots(s, &body, node(s, p)->a, false);
    assign_slots(s, &body, n.b, false);
    n.scope = close_frame(s, &body);
    *node(s, at) = n;
}

static void scope_with(scoper_t *s, frame_t *f, uint32_t at)
{
    lls_jnode_t n = *node(s, at);
    frame_t     body = inner(f);

    for (uint32_t t = n.a; s->st == LLM_OK && t != LLS_NONE; t = node(s, t)->next)
        declare_target(s, &body, t);
    analyze_chain(s, &body, n.c);
    assign_slots(s, f, n.b, false);
    assign_slots(s, &body, n.a, false);
    assign_slots(s, &body, n.c, false);
    node(s, at)->scope = close_frame(s, &body);
}

/* A block whose text goes through filters or into a variable. */
static void scope_captured(scoper_t *s, frame_t *f, uint32_t at, bool soft)
{
    lls_jnode_t n = *node(s, at);
    frame_t     body = inner(f);

    analyze_chain(s, &body, n.b);
    if (n.kind == JN_FILTER_BLOCK)
        analyze_chain(s, &body, n.a);
    assign_slots(s, &body, n.b, false);
    assign_slots(s, &body, n.kind == JN_FILTER_BLOCK ? n.a : n.c, false);
    if (n.kind == JN_SET_BLOCK)
        assign_slots(s, f, n.a, soft);
    node(s, at)->scope = close_frame(s, &body);
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static void assign_name(scoper_t *s, const frame_t *f, lls_jnode_t *n)
{
    ref_t             ref = find_ref(s, f, n->str);
    const lls_jstr_t *name = &s->j->strs[n->str];

    n->slot = ref.slot;
    n->up = ref.up;
    if (!ref.found && s->st == LLM_OK)
        s->st = lls_jinja_fail(s->err, LLM_ERR_FORMAT, n->line, "'%.*s' is unknown here",
                               (int)(name->len > 60 ? 60 : name->len), name->text);
}

static void check_callee(scoper_t *s, const lls_jnode_t *n, bool soft)
{
    const lls_jstr_t *name = &s->j->strs[n->str];

    if (n->fn == NULL && !soft && s->st == LLM_OK)
        s->st = lls_jinja_fail(s->err, LLM_ERR_FORMAT, n->line, "there is no %s '%.*s'",
                               n->kind == JN_FILTER ? "filter" : "test",
                               (int)(name->len > 60 ? 60 : name->len), name->text);
}

static void assign_kids(scoper_t *s, frame_t *f, const lls_jnode_t *n, bool soft)
{
    uint32_t kids[] = {n->a, n->b, n->c, n->d, n->e};

    for (size_t i = 0; i < LLS_ARRAY_LEN(kids); i++)
        assign_slots(s, f, kids[i], soft);
}

static void assign_one(scoper_t *s, frame_t *f, uint32_t at, bool soft)
{
    lls_jnode_t n = *node(s, at);

    switch (n.kind) {
    case JN_NAME:
        assign_name(s, f, node(s, at));
        break;
    case JN_FOR:
        scope_for(s, f, at, soft);
        break;
    case JN_MACRO:
        scope_function(s, f, at, n.a);
        assign_slots(s, f, n.d, soft);
        break;
    case JN_CALL_BLOCK:
        scope_function(s, f, at, n.c);
        assign_slots(s, f, n.a, soft);
        break;
    case JN_GENERATION:
        scope_function(s, f, at, LLS_NONE);
        break;
    case JN_WITH:
        scope_with(s, f, at);
        break;
    case JN_FILTER_BLOCK:
    case JN_SET_BLOCK:
        scope_captured(s, f, at, soft);
        break;
    case JN_FILTER:
    case JN_TEST:
        check_callee(s, &n, soft);
        assign_kids(s, f, &n, soft);
        break;
    default:
        assign_kids(s, f, &n, soft || n.kind == JN_IF || n.kind == JN_COND);
        break;
    }
}

/* soft: inside an `if`, where an unknown filter or test fails only when it is used. */
static void assign_slots(scoper_t *s, frame_t *f, uint32_t first, bool soft)
{
    for (uint32_t at = first; at != LLS_NONE && work(s, 1, node(s, at)->line);
         at = node(s, at)->next)
        assign_one(s, f, at, soft);
}

llm_status_t lls_jinja_scopes(lls_jinja_t *j, llm_error_t *err)
{
    scoper_t s = {j, err, LLM_OK, 0};
    frame_t  root = {0};

    if (!lls_reserve(j->mem, (void **)&j->funcs, &j->funcs_cap, 1, sizeof *j->funcs) ||
        !lls_reserve(j->mem, (void **)&j->scopes, &j->scopes_cap, 1, sizeof *j->scopes)) {
        no_memory(&s);
        return s.st;
    }
    j->funcs[j->n_funcs++] = 0;
    j->n_scopes = 1;
    analyze_chain(&s, &root, j->root);
    assign_slots(&s, &root, j->root, false);
    j->scopes[0] = (lls_jscope_t){0, 0};
    uint32_t scope = close_frame(&s, &root);
    if (s.st == LLM_OK)
        j->scopes[0] = j->scopes[scope];
    return s.st;
}
