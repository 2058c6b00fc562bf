/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include "kv/kv.h"

#define BT 4u

typedef struct cache {
    test_alloc_t    alloc;
    llm_allocator_t hook;
    lls_mem_t       mem;
    lls_kv_config_t cfg;
    lls_kv_t       *kv;
    int32_t         tokens[256];    /* 0, 1, 2, ... */
} cache_t;

typedef struct seq {
    lls_kv_seq_t s;
    uint64_t     storage[256];
} seq_t;

static lls_kv_group_config_t group(uint8_t kind, uint8_t pool, uint32_t window)
{
    return (lls_kv_group_config_t){ .kind = kind, .pool = pool, .block_tokens = BT,
                                    .window = window };
}

/* One full group unless the test has set more. */
static cache_t *new_cache(lls_kv_config_t cfg, uint32_t n_blocks)
{
    cache_t *c = calloc(1, sizeof *c);

    c->hook = test_allocator(&c->alloc);
    lls_mem_init(&c->mem, &c->hook);
    c->cfg = cfg;
    c->cfg.caching = true;
    if (c->cfg.n_groups == 0) {
        c->cfg.n_groups = c->cfg.n_pools = 1;
        c->cfg.group[0] = group(LLS_KV_FULL, 0, 0);
    }
    for (uint32_t i = 0; i < c->cfg.n_pools; i++)
        c->cfg.pool_blocks[i] = n_blocks + 1;
    for (int32_t i = 0; i < 256; i++)
        c->tokens[i] = i;
    assert_int_equal(lls_kv_create(&c->mem, &c->cfg, &c->kv, NULL), LLM_OK);
    return c;
}

static void end_cache(cache_t *c)
{
    lls_kv_destroy(c->kv);
    assert_int_equal(c->alloc.live_blocks, 0);
    assert_int_equal(c->alloc.live_bytes, 0);
    free(c);
}

static void check(cache_t *c, seq_t **seqs, uint32_t n)
{
    const char *bad = lls_kv_check_begin(c->kv);

    for (uint32_t i = 0; bad == NULL && i < n; i++)
        bad = lls_kv_check_seq(c->kv, &seqs[i]->s);
    if (bad == NULL)
        bad = lls_kv_check_end(c->kv);
    if (bad != NULL)
        fail_msg("%s", bad);
}

#define CHECK(c, ...)                                                                              \
    check(c, (seq_t *[]){ NULL, __VA_ARGS__ } + 1,                                                 \
          sizeof((seq_t *[]){ NULL, __VA_ARGS__ }) / sizeof(seq_t *) - 1)

static void hash(cache_t *c, seq_t *s, const lls_kv_ident_t *id, uint32_t n)
{
    static const lls_kv_ident_t none;

    assert_true(lls_kv_seq_bytes(&c->cfg, 128) <= sizeof s->storage);
    lls_kv_seq_init(&c->cfg, &s->s, s->storage, 128);
    lls_kv_extend_hashes(&c->cfg, &s->s, id != NULL ? id : &none, c->tokens, n);
}

/* A sequence of n computed and published tokens. */
static void fill(cache_t *c, seq_t *s, uint32_t n)
{
    hash(c, s, NULL, n);
    assert_true(lls_kv_alloc(c->kv, &s->s, 0, n, 0));
    lls_kv_publish(c->kv, &s->s, n, n);
}

static void a_shared_prefix_is_freed_once(void **state)
{
    cache_t *c = new_cache((lls_kv_config_t){ 0 }, 10);
    seq_t    a, b;

    fill(c, &a, 14);
    assert_int_equal(lls_kv_n_free(c->kv, 0), 6);
    hash(c, &b, NULL, 14);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 13), 12);
    assert_true(lls_kv_alloc(c->kv, &b.s, 12, 14, 0));
    assert_memory_equal(a.s.table[0], b.s.table[0], 3 * sizeof(uint32_t));
    assert_int_not_equal(a.s.table[0][3], b.s.table[0][3]);
    assert_int_equal(lls_kv_n_free(c->kv, 0), 5);
    assert_true(lls_kv_would_free(c->kv, &a.s));
    CHECK(c, &a, &b);
    lls_kv_release(c->kv, &a.s);
    lls_kv_release(c->kv, &a.s);        /* again, as abort and finish may: nothing left to give */
    assert_int_equal(lls_kv_n_free(c->kv, 0), 6);
    CHECK(c, &b);
    lls_kv_release(c->kv, &b.s);
    assert_int_equal(lls_kv_n_free(c->kv, 0), 10);
    assert_false(lls_kv_any_held(c->kv));
    CHECK(c);
    end_cache(c);
}

static void the_last_token_is_never_a_hit(void **state)
{
    cache_t *c = new_cache((lls_kv_config_t){ 0 }, 10);
    seq_t    a, b;

    fill(c, &a, 8);
    hash(c, &b, NULL, 8);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 7), 4);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 8), 8);
    lls_kv_release(c->kv, &a.s);
    end_cache(c);
}

/* Unhashed first, then the oldest; of one sequence the tail before the head. */
static void blocks_are_reused_in_order(void **state)
{
    cache_t *c = new_cache((lls_kv_config_t){ 0 }, 4);
    seq_t    a, b, d;
    uint32_t ids[4];

    fill(c, &a, 14);                    /* three full blocks and a partial one */
    memcpy(ids, a.s.table[0], sizeof ids);
    lls_kv_release(c->kv, &a.s);
    CHECK(c);
    c->tokens[0] = 99;                  /* nothing in common */
    hash(c, &b, NULL, 4);
    assert_true(lls_kv_alloc(c->kv, &b.s, 0, 8, 0));
    assert_int_equal(b.s.table[0][0], ids[3]);
    assert_int_equal(b.s.table[0][1], ids[2]);
    c->tokens[0] = 0;
    hash(c, &d, NULL, 14);
    assert_int_equal(lls_kv_lookup(c->kv, &d.s, 13), 8);    /* the head is still there */
    lls_kv_release(c->kv, &b.s);
    end_cache(c);
}

static void nothing_is_taken_when_it_does_not_fit(void **state)
{
    cache_t *c = new_cache((lls_kv_config_t){ 0 }, 4);
    seq_t    a, b;
    uint64_t freed;

    fill(c, &a, 8);
    hash(c, &b, NULL, 16);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 8), 8);
    assert_false(lls_kv_alloc(c->kv, &b.s, 8, 17, 0));
    assert_false(lls_kv_alloc(c->kv, &b.s, 8, 16, 1));      /* one is to be spared */
    CHECK(c, &a, &b);
    assert_true(lls_kv_fits_whole(c->kv, &b.s, 8, 16, 16, 0));
    assert_false(lls_kv_fits_whole(c->kv, &b.s, 8, 17, 16, 0));
    assert_true(lls_kv_alloc(c->kv, &b.s, 8, 16, 0));
    assert_true(lls_kv_alloc(c->kv, &b.s, 0, 16, 5));       /* room is there: nothing is asked */
    assert_false(lls_kv_alloc(c->kv, &b.s, 0, 17, 0));
    freed = lls_kv_freed(c->kv);
    assert_false(lls_kv_would_free(c->kv, &a.s));
    assert_true(lls_kv_would_free(c->kv, &b.s));
    lls_kv_release(c->kv, &a.s);        /* b still holds all of a's: no room appears */
    assert_int_equal(lls_kv_freed(c->kv), freed);
    lls_kv_release(c->kv, &b.s);
    assert_true(lls_kv_freed(c->kv) > freed);
    end_cache(c);
}

static void what_the_hash_covers(void **state)
{
    cache_t       *c = new_cache((lls_kv_config_t){ 0 }, 10);
    lls_kv_media_t m[3] = { { 7, 5, 2 }, { 7, 4, 2 }, { 8, 5, 2 } };
    lls_kv_ident_t id[] = { { 0 }, { .salt = 1 }, { .adapter = 1 },
                            { .media = &m[0], .n_media = 1 }, { .media = &m[1], .n_media = 1 },
                            { .media = &m[2], .n_media = 1 } };
    seq_t          s[6], other;
    lls_kv_config_t keyed = c->cfg;

    for (uint32_t i = 0; i < 6; i++)
        hash(c, &s[i], &id[i], 12);
    for (uint32_t i = 0; i < 6; i++)
        for (uint32_t k = 0; k < i; k++) {
            /* media begin in the second block; salt and adapter change all three */
            bool first_equal = (i >= 3 && k >= 3) || (i >= 3 && k == 0);
            assert_int_equal(memcmp(&s[i].s.hashes[0], &s[k].s.hashes[0], 16) == 0, first_equal);
            assert_memory_not_equal(&s[i].s.hashes[1], &s[k].s.hashes[1], 16);
            assert_memory_not_equal(&s[i].s.hashes[2], &s[k].s.hashes[2], 16);
        }
    c->tokens[1] = 77;
    hash(c, &other, NULL, 12);
    for (uint32_t j = 0; j < 3; j++)
        assert_memory_not_equal(&other.s.hashes[j], &s[0].s.hashes[j], 16);
    keyed.key[1]++;
    c->tokens[1] = 1;
    lls_kv_seq_init(&keyed, &other.s, other.storage, 128);
    lls_kv_extend_hashes(&keyed, &other.s, &id[0], c->tokens, 12);
    assert_memory_not_equal(&other.s.hashes[0], &s[0].s.hashes[0], 16);
    end_cache(c);
}

/* The chain is the same whether it grew with the tokens or was made at once. */
static void hashes_grow_with_the_tokens(void **state)
{
    cache_t             *c = new_cache((lls_kv_config_t){ 0 }, 4);
    const lls_kv_ident_t id = { .salt = 5 };
    seq_t                a, b;

    hash(c, &a, &id, 23);
    hash(c, &b, &id, 0);
    assert_int_equal(a.s.n_hashes, 5);
    for (uint32_t n = 1; n <= 23; n++)
        lls_kv_extend_hashes(&c->cfg, &b.s, &id, c->tokens, n);
    assert_int_equal(b.s.n_hashes, 5);
    assert_memory_equal(a.s.hashes, b.s.hashes, 5 * sizeof(lls_hash128_t));
    end_cache(c);
}

static void a_window_slides_and_its_tail_is_enough_for_a_hit(void **state)
{
    lls_kv_config_t cfg = { .n_groups = 2, .n_pools = 1,
                            .group = { group(LLS_KV_FULL, 0, 0), group(LLS_KV_SLIDING, 0, 8) } };
    cache_t        *c = new_cache(cfg, 24);
    seq_t           a, b;

    fill(c, &a, 32);
    assert_int_equal(lls_kv_n_free(c->kv, 0), 8);
    lls_kv_slide(c->kv, &a.s, 32);      /* token 32 sees 25 and later: blocks 6 and 7 */
    assert_int_equal(a.s.n_gone[1], 6);
    assert_int_equal(a.s.table[1][5], 0);
    assert_int_not_equal(a.s.table[1][6], 0);
    assert_int_equal(lls_kv_n_free(c->kv, 0), 14);
    assert_true(lls_kv_would_free(c->kv, &a.s));
    lls_kv_slide(c->kv, &a.s, 20);      /* never back */
    assert_int_equal(a.s.n_gone[1], 6);
    CHECK(c, &a);
    hash(c, &b, NULL, 40);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 39), 32);
    assert_true(lls_kv_alloc(c->kv, &b.s, 32, 33, 0));
    assert_int_equal(b.s.table[1][5], 0);
    assert_int_equal(b.s.table[1][6], a.s.table[1][6]);
    assert_int_equal(b.s.n_gone[1], 6);
    CHECK(c, &a, &b);
    lls_kv_release(c->kv, &a.s);
    lls_kv_release(c->kv, &b.s);
    CHECK(c);
    end_cache(c);
}

/* A hit must serve all groups: with the window's last blocks evicted it ends earlier. */
static void every_group_gets_its_blocks_whatever_their_size(void **state)
{
    lls_kv_config_t cfg = { .n_groups = 2, .n_pools = 2,
                            .group = { group(LLS_KV_FULL, 0, 0), group(LLS_KV_FULL, 1, 0) } };
    cache_t        *c;
    seq_t           a;

    cfg.group[0].block_tokens = 2 * BT;
    c = new_cache(cfg, 8);
    hash(c, &a, NULL, 6);
    for (uint32_t n = 1; n <= 20; n++) {
        assert_true(lls_kv_alloc(c->kv, &a.s, 0, n, 0));
        assert_int_equal(a.s.n_blocks[0], lls_ceil_div(n, 2 * BT));
        assert_int_equal(a.s.n_blocks[1], lls_ceil_div(n, BT));
    }
    CHECK(c, &a);
    lls_kv_release(c->kv, &a.s);
    end_cache(c);
}

static void groups_agree_on_a_hit(void **state)
{
    lls_kv_config_t cfg = { .n_groups = 2, .n_pools = 2,
                            .group = { group(LLS_KV_FULL, 0, 0), group(LLS_KV_SLIDING, 1, 8) } };
    cache_t        *c = new_cache(cfg, 8);
    seq_t           a, b, d;

    fill(c, &a, 32);
    lls_kv_release(c->kv, &a.s);
    c->tokens[0] = 50;
    hash(c, &b, NULL, 8);
    assert_true(lls_kv_alloc(c->kv, &b.s, 0, 8, 0));        /* evicts the tails of both groups */
    c->tokens[0] = 0;
    hash(c, &d, NULL, 32);
    assert_int_equal(lls_kv_lookup(c->kv, &d.s, 31), 24);
    lls_kv_release(c->kv, &b.s);
    end_cache(c);
}

static void a_state_is_found_by_later_plans_only(void **state)
{
    lls_kv_config_t cfg = { .n_groups = 1, .n_pools = 1, .group = { group(LLS_KV_STATE, 0, 0) } };
    cache_t        *c = new_cache(cfg, 6);
    seq_t           a, b;

    hash(c, &a, NULL, 12);
    hash(c, &b, NULL, 12);
    assert_int_equal(lls_kv_cut(c->kv, 0, 11), 8);
    assert_int_equal(lls_kv_cut(c->kv, 9, 7), 3);
    assert_true(lls_kv_alloc(c->kv, &a.s, 0, 8, 0));
    assert_int_equal(a.s.table[0][0], 0);       /* one state, after token 7 */
    assert_int_not_equal(a.s.table[0][1], 0);
    lls_kv_publish(c->kv, &a.s, 8, 0);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 11), 0);
    lls_kv_publish(c->kv, &a.s, 8, 8);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 11), 8);
    CHECK(c, &a);
    lls_kv_release(c->kv, &a.s);
    end_cache(c);
}

static lls_step_plan_t *new_plan(void)
{
    lls_step_limits_t l = { .max_rows = 1, .max_tokens = 8, .n_groups = 1 };

    return lls_plan_init(malloc(lls_plan_size(&l)), &l);
}

static void a_fork_shares_full_blocks_and_copies_the_partial_one(void **state)
{
    cache_t         *c = new_cache((lls_kv_config_t){ 0 }, 8);
    lls_step_plan_t *plan = new_plan();
    seq_t            a, b;

    fill(c, &a, 14);
    hash(c, &b, NULL, 14);
    assert_true(lls_kv_fork(c->kv, &b.s, &a.s, 10));
    assert_int_equal(b.s.n_blocks[0], 3);
    assert_memory_equal(a.s.table[0], b.s.table[0], 2 * sizeof(uint32_t));
    assert_int_not_equal(a.s.table[0][2], b.s.table[0][2]);
    assert_int_equal(lls_kv_common(&a.s, &b.s, 0, 9), 2);
    CHECK(c, &a, &b);
    lls_kv_release(c->kv, &a.s);        /* the source must outlive its owner */
    assert_int_equal(lls_kv_n_free(c->kv, 0), 4);
    CHECK(c, &b);
    lls_kv_emit_copies(c->kv, plan);
    assert_int_equal(lls_plan_n_copies(plan), 1);
    assert_int_equal(lls_plan_copies(plan)->dst, b.s.table[0][2]);
    assert_int_equal(lls_kv_n_free(c->kv, 0), 4);
    lls_plan_reset(plan, 2);
    lls_kv_emit_copies(c->kv, plan);
    assert_int_equal(lls_plan_n_copies(plan), 0);
    assert_int_equal(lls_kv_n_free(c->kv, 0), 5);
    CHECK(c, &b);
    lls_kv_release(c->kv, &b.s);
    CHECK(c);
    free(plan);
    end_cache(c);
}

static void a_fork_without_room_holds_nothing(void **state)
{
    lls_kv_config_t cfg = { .n_groups = 1, .n_pools = 1, .group = { group(LLS_KV_SLIDING, 0, 4) } };
    cache_t        *c = new_cache((lls_kv_config_t){ 0 }, 3), *w = new_cache(cfg, 8);
    seq_t           a, b;

    fill(c, &a, 10);
    hash(c, &b, NULL, 10);
    assert_false(lls_kv_fork(c->kv, &b.s, &a.s, 9));
    CHECK(c, &a, &b);
    assert_true(lls_kv_fork(c->kv, &b.s, &a.s, 8));     /* nothing to copy, nothing to take */
    lls_kv_release(c->kv, &a.s);
    lls_kv_release(c->kv, &b.s);
    CHECK(c);
    fill(w, &a, 20);
    lls_kv_slide(w->kv, &a.s, 20);
    hash(w, &b, NULL, 20);
    assert_false(lls_kv_fork(w->kv, &b.s, &a.s, 12));   /* the window has moved on */
    assert_true(lls_kv_fork(w->kv, &b.s, &a.s, 19));
    CHECK(w, &a, &b);
    lls_kv_release(w->kv, &a.s);
    lls_kv_release(w->kv, &b.s);
    end_cache(c);
    end_cache(w);
}

/* However few rows it has: any of the forks may be the one that runs in it. */
static void all_copies_go_with_the_next_plan(void **state)
{
    cache_t         *c = new_cache((lls_kv_config_t){ 0 }, 8);
    lls_step_plan_t *plan = new_plan();
    seq_t            a, b, d;

    fill(c, &a, 6);
    hash(c, &b, NULL, 6);
    hash(c, &d, NULL, 6);
    assert_true(lls_kv_fork(c->kv, &b.s, &a.s, 5));
    assert_true(lls_kv_fork(c->kv, &d.s, &a.s, 5));
    lls_kv_emit_copies(c->kv, plan);
    assert_int_equal(lls_plan_n_copies(plan), 2);
    assert_int_equal(lls_plan_copies(plan)[0].dst, b.s.table[0][1]);
    assert_int_equal(lls_plan_copies(plan)[1].dst, d.s.table[0][1]);
    CHECK(c, &a, &b, &d);
    lls_kv_release(c->kv, &a.s);
    lls_kv_release(c->kv, &b.s);
    lls_kv_release(c->kv, &d.s);
    lls_plan_reset(plan, 2);
    lls_kv_emit_copies(c->kv, plan);
    assert_int_equal(lls_plan_n_copies(plan), 0);
    assert_false(lls_kv_any_held(c->kv));
    free(plan);
    end_cache(c);
}

/* Whoever comes when the plan is full shares nothing. */
static void a_fork_that_no_plan_can_copy_for_is_refused(void **state)
{
    cache_t *c = new_cache((lls_kv_config_t){ 0 }, LLS_MAX_COPIES + 8);
    seq_t    a, *b = calloc(LLS_MAX_COPIES + 1, sizeof *b);

    fill(c, &a, 6);
    for (uint32_t i = 0; i <= LLS_MAX_COPIES; i++) {
        hash(c, &b[i], NULL, 6);
        assert_int_equal(lls_kv_fork(c->kv, &b[i].s, &a.s, 5), i < LLS_MAX_COPIES);
    }
    assert_int_equal(b[LLS_MAX_COPIES].s.n_blocks[0], 0);
    for (uint32_t i = 0; i < LLS_MAX_COPIES; i++)
        lls_kv_release(c->kv, &b[i].s);
    lls_kv_release(c->kv, &a.s);
    free(b);
    end_cache(c);
}

static void a_reset_forgets_held_blocks_too(void **state)
{
    cache_t *c = new_cache((lls_kv_config_t){ 0 }, 8);
    seq_t    a, b;

    fill(c, &a, 12);
    hash(c, &b, NULL, 12);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 11), 8);
    assert_true(lls_kv_any_held(c->kv));
    lls_kv_reset(c->kv);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 11), 0);
    CHECK(c, &a);
    lls_kv_release(c->kv, &a.s);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 11), 0);
    assert_false(lls_kv_any_held(c->kv));
    CHECK(c);
    end_cache(c);
}

static void drop_last_gives_up_one_block_of_a_hit(void **state)
{
    cache_t *c = new_cache((lls_kv_config_t){ .drop_last = 1 }, 8);
    seq_t    a, b;

    fill(c, &a, 16);
    hash(c, &b, NULL, 16);
    assert_int_equal(lls_kv_lookup(c->kv, &b.s, 15), 8);
    lls_kv_release(c->kv, &a.s);
    end_cache(c);
}

static void what_can_never_fit(void **state)
{
    lls_kv_config_t c = { .n_groups = 2, .n_pools = 1, .pool_blocks = { 21 },
                          .group = { group(LLS_KV_FULL, 0, 0), group(LLS_KV_SLIDING, 0, 8) } };
    uint32_t        need = 0, have = 0;

    /* 15 full blocks and (8 + 8) / 4 + 1 = 5 of the window */
    assert_true(lls_kv_can_ever_fit(&c, 60, 8, &need, &have));
    assert_false(lls_kv_can_ever_fit(&c, 61, 8, &need, &have));
    assert_int_equal(need, 21);
    assert_int_equal(have, 20);
}

static void bad_configurations_are_refused(void **state)
{
    lls_kv_config_t good = { .n_groups = 2, .n_pools = 1, .pool_blocks = { 8 },
                             .group = { group(LLS_KV_FULL, 0, 0), group(LLS_KV_SLIDING, 0, 8) } };
    lls_kv_config_t c;
    lls_mem_t       mem;
    lls_kv_t       *kv;
    llm_error_t     err = { 0 };

    lls_mem_init(&mem, NULL);
#define BAD(change, text)                                                                          \
    do {                                                                                           \
        c = good;                                                                                  \
        change;                                                                                    \
        assert_int_equal(lls_kv_create(&mem, &c, &kv, &err), LLM_ERR_INVALID);                     \
        assert_null(kv);                                                                           \
        assert_non_null(strstr(err.message, text));                                                \
    } while (0)
    BAD(c.n_groups = 9, "9 KV groups");
    BAD(c.pool_blocks[0] = 1, "KV pool of 1 blocks");
    BAD(c.group[1].window = 0, "KV group 1");
    BAD(c.group[1].pool = 1, "pool 1 of 1");
    BAD(c.group[1].kind = 9, "kind 9");
    BAD(c.group[1].block_tokens = 12, "a block of 12 tokens is not a power of two times 4");
    BAD(c.group[0].block_tokens = 0, "a block of 0 tokens");
#undef BAD
    assert_int_equal(atomic_load(&mem.held), 0);
}

static void each_failed_allocation_of_create(void **state)
{
    test_alloc_t    alloc = { 0 };
    llm_allocator_t hook = test_allocator(&alloc);
    lls_kv_config_t c = { .n_groups = 2, .n_pools = 2, .pool_blocks = { 8, 8 },
                          .group = { group(LLS_KV_FULL, 0, 0), group(LLS_KV_STATE, 1, 0) } };
    lls_mem_t       mem;
    lls_kv_t       *kv = NULL;
    llm_error_t     err = { 0 };
    uint64_t        n = 1;

    lls_mem_init(&mem, &hook);
    for (;; n++) {
        alloc.n_calls = 0;
        alloc.fail_at = n;
        if (lls_kv_create(&mem, &c, &kv, &err) == LLM_OK)
            break;
        assert_int_equal(err.status, LLM_ERR_NO_MEMORY);
        assert_null(kv);
        assert_int_equal(alloc.live_blocks, 0);
    }
    assert_int_equal(n, 7);
    lls_kv_destroy(kv);
    lls_kv_destroy(NULL);
    assert_int_equal(alloc.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shared_prefix_is_freed_once),
        cmocka_unit_test(the_last_token_is_never_a_hit),
        cmocka_unit_test(blocks_are_reused_in_order),
        cmocka_unit_test(nothing_is_taken_when_it_does_not_fit),
        cmocka_unit_test(what_the_hash_covers),
        cmocka_unit_test(hashes_grow_with_the_tokens),
        cmocka_unit_test(a_window_slides_and_its_tail_is_enough_for_a_hit),
        cmocka_unit_test(every_group_gets_its_blocks_whatever_their_size),
        cmocka_unit_test(groups_agree_on_a_hit),
        cmocka_unit_test(a_state_is_found_by_later_plans_only),
        cmocka_unit_test(a_fork_shares_full_blocks_and_copies_the_partial_one),
        cmocka_unit_test(a_fork_without_room_holds_nothing),
        cmocka_unit_test(all_copies_go_with_the_next_plan),
        cmocka_unit_test(a_fork_that_no_plan_can_copy_for_is_refused),
        cmocka_unit_test(a_reset_forgets_held_blocks_too),
        cmocka_unit_test(drop_last_gives_up_one_block_of_a_hit),
        cmocka_unit_test(what_can_never_fit),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(each_failed_allocation_of_create),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
