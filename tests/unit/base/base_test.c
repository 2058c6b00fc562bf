/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "base/philox.h"
#include "base/pool.h"
#include "base/utf8.h"

static void memory_is_counted_to_the_byte(void **state)
{
    test_alloc_t    t = { 0 };
    llm_allocator_t hook = test_allocator(&t);
    lls_mem_t       mem;
    char           *p, *q;

    lls_mem_init(&mem, &hook);
    p = lls_alloc(&mem, 10);
    q = lls_alloc_raw(&mem, 1000);
    assert_int_equal(atomic_load(&mem.held), t.live_bytes);
    memcpy(p, "123456789", 10);
    p = lls_realloc(&mem, p, 100000);
    assert_string_equal(p, "123456789");
    assert_int_equal(atomic_load(&mem.held), t.live_bytes);
    assert_null(lls_alloc(&mem, SIZE_MAX));
    assert_null(lls_calloc(&mem, SIZE_MAX / 2, 3));
    assert_null(lls_realloc(&mem, p, SIZE_MAX - 3));
    lls_free(&mem, p);
    lls_free_raw(&mem, q, 1000);
    lls_free(&mem, NULL);
    assert_int_equal(atomic_load(&mem.held), 0);
    assert_int_equal(t.live_bytes, 0);
    assert_int_equal(t.live_blocks, 0);
}

static void zeroed_memory_is_zero(void **state)
{
    test_alloc_t    t = { 0 };
    llm_allocator_t hooks[] = { { 0 }, test_allocator(&t) };

    for (uint32_t i = 0; i < LLS_ARRAY_LEN(hooks); i++)
        for (size_t n = 1; n < 1u << 22; n *= 3) {
            lls_mem_t mem;
            uint8_t  *p;

            lls_mem_init(&mem, &hooks[i]);
            p = lls_alloc(&mem, n);
            memset(p, 0xa5, n);             /* what a block that comes again would show */
            lls_free(&mem, p);
            p = lls_zalloc(&mem, n);
            assert_int_equal(atomic_load(&mem.held), n + 16);
            for (size_t k = 0; k < n; k++)
                assert_int_equal(p[k], 0);
            lls_free(&mem, p);
            assert_int_equal(atomic_load(&mem.held), 0);
        }
    assert_int_equal(t.live_blocks, 0);
}

/* Tables for the most requests at once are large and hardly used. */
static void zeroed_pages_are_not_brought_in(void **state)
{
    const size_t  n = 64u << 20, page = (size_t)sysconf(_SC_PAGESIZE);
    size_t        n_pages = n / page, n_here = 0;
    lls_mem_t     mem;
    uint8_t      *p, *begin;
    unsigned char here[64u << 20 >> 12];

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    print_message("skipped: a sanitizer's calloc may touch its pages\n");
    skip();
#endif
    assert_true(n_pages <= sizeof here);
    lls_mem_init(&mem, NULL);
    p = lls_zalloc(&mem, n + page);
    begin = (uint8_t *)lls_align_up((uintptr_t)p, page);
    assert_int_equal(mincore(begin, n, here), 0);
    for (size_t i = 0; i < n_pages; i++)
        n_here += here[i] & 1;
    assert_true(n_here <= n_pages / 8);     /* the first page may be a huge one */
    lls_free(&mem, p);
}

static void a_failed_growth_keeps_the_block(void **state)
{
    test_alloc_t    t = { 0 };
    llm_allocator_t hook = test_allocator(&t);
    lls_mem_t       mem;
    void           *items = NULL;
    size_t          cap = 0;

    lls_mem_init(&mem, &hook);
    assert_true(lls_reserve(&mem, &items, &cap, 3, 4));
    assert_int_equal(cap, 8);
    t.fail_at = t.n_calls + 1;
    assert_false(lls_reserve(&mem, &items, &cap, 9, 4));
    assert_int_equal(cap, 8);
    assert_true(lls_reserve(&mem, &items, &cap, 9, 4));
    assert_false(lls_reserve(&mem, &items, &cap, SIZE_MAX / 2, 4));
    lls_free(&mem, items);
    assert_int_equal(t.live_bytes, 0);
}

/* First and last vectors of the reference implementation: key 00..0f, input 00 01 02 ... */
static void siphash_equals_its_reference(void **state)
{
    const uint64_t key[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
    uint8_t        in[64];
    lls_hash128_t  h;

    for (int i = 0; i < 64; i++)
        in[i] = (uint8_t)i;
    assert_true(lls_hash64(key, in, 0) == 0x726fdb47dd0e0e31u);
    assert_true(lls_hash64(key, in, 15) == 0xa129ca6149be45e5u);
    h = lls_hash128(key, in, 0);
    assert_true(h.lo == 0xe6a825ba047f81a3u && h.hi == 0x930255c71472f66du);
}

/* Known answers of Random123: philox4x32-10. */
static void philox_equals_its_reference(void **state)
{
    lls_philox_t r = lls_philox(0, (lls_philox_t){ { 0 } });

    assert_true(r.w[0] == 0x6627e8d5u && r.w[1] == 0xe169c58du);
    assert_true(r.w[2] == 0xbc57ac4cu && r.w[3] == 0x9b00dbd8u);
    r = lls_philox(UINT64_MAX, (lls_philox_t){ { UINT32_MAX, UINT32_MAX, UINT32_MAX,
                                                 UINT32_MAX } });
    assert_true(r.w[0] == 0x408f276du && r.w[1] == 0x41c83b0eu);
    assert_true(r.w[2] == 0xa20bc7c6u && r.w[3] == 0x6d5451fdu);
}

static void only_well_formed_utf8_is_valid(void **state)
{
    static const struct { const char *text; size_t good; } cases[] = {
        { "plain", 5 },         { "\xc3\xa9", 2 },          { "\xe2\x82\xac", 3 },
        { "\xf0\x9f\x98\x80", 4 }, { "\xc0\x80", 0 },       { "\xed\xa0\x80", 0 },
        { "\xf4\x90\x80\x80", 0 }, { "ab\xe2\x82", 2 },     { "\x80", 0 },
        { "\xe0\x9f\xbf", 0 },  { "\xf0\x8f\xbf\xbf", 0 },  { "\xff", 0 },
    };

    for (size_t i = 0; i < LLS_ARRAY_LEN(cases); i++)
        assert_int_equal(lls_utf8_valid(cases[i].text, strlen(cases[i].text)), cases[i].good);
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        char     buf[4];
        uint32_t back = 0;
        size_t   n;
        if (cp >= 0xd800 && cp < 0xe000)
            continue;
        n = lls_utf8_encode(cp, buf);
        assert_int_equal(lls_utf8_decode(buf, n, &back), n);
        assert_int_equal(back, cp);
        assert_int_equal(lls_utf8_decode(buf, n - 1 == 0 ? 1 : n - 1, &back), n == 1 ? 1 : 0);
    }
}

static void shares_cover_everything_once(void **state)
{
    for (uint32_t n = 0; n < 200; n++)
        for (uint32_t nth = 1; nth < 6; nth++) {
            uint32_t at = 0, b, e;
            for (uint32_t i = 0; i < nth; i++) {
                lls_share(n, 32, i, nth, &b, &e);
                assert_int_equal(b, at);
                assert_true(b % 32 == 0 || b == n);
                at = e;
            }
            assert_int_equal(at, n);
        }
}

static void files_say_what_is_wrong(void **state)
{
    const char *own = TEST_DIR "/unit/base/base_test.c";
    lls_mem_t   mem;
    llm_error_t err;
    lls_map_t   map;
    json_t     *json;
    char       *text;
    size_t      len;

    lls_mem_init(&mem, NULL);
    assert_int_equal(lls_map_file("/no/such", &map, &err), LLM_ERR_IO);
    assert_non_null(strstr(err.message, "/no/such"));
    assert_int_equal(lls_map_file("/", &map, &err), LLM_ERR_IO);
    assert_int_equal(lls_read_file(&mem, own, 10, &text, &len, &err), LLM_ERR_FORMAT);
    assert_int_equal(lls_read_file(&mem, own, 1 << 20, &text, &len, &err), LLM_OK);
    assert_int_equal(strlen(text), len);
    lls_free(&mem, text);
    assert_int_equal(lls_json_parse("x.json", "{\"a\": }", 7, &json, &err), LLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "x.json: line 1 column"));
    assert_int_equal(lls_fail_param(&err, LLM_ERR_INVALID, "top_p", "a\nb"), LLM_ERR_INVALID);
    assert_string_equal(err.message, "a b");
    assert_string_equal(err.param, "top_p");
    assert_int_equal(atomic_load(&mem.held), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_counted_to_the_byte),
        cmocka_unit_test(zeroed_memory_is_zero),
        cmocka_unit_test(zeroed_pages_are_not_brought_in),
        cmocka_unit_test(a_failed_growth_keeps_the_block),
        cmocka_unit_test(siphash_equals_its_reference),
        cmocka_unit_test(philox_equals_its_reference),
        cmocka_unit_test(only_well_formed_utf8_is_valid),
        cmocka_unit_test(shares_cover_everything_once),
        cmocka_unit_test(files_say_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
