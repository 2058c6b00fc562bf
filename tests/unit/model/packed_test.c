/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "model/packed.h"

#define N 3000003u                  /* some pieces; no multiple of what the sum takes at a time */

static const lls_hash128_t key = { 0x123456789abcdef0u, 7 };
static char                folder[64];
static uint8_t             data[N], back[N];

/* Pieces in any order. */
static void run_backwards(void *backend, uint32_t n, lls_pool_fn fn, void *arg)
{
    while (n-- > 0)
        fn(arg, n, 0);
}

static const lls_ops_t ops = { .run = run_backwards };

static int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/lls_packed_XXXXXX");
    for (uint32_t i = 0; i < N; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    return mkdtemp(folder) == NULL;
}

static uint32_t n_files(void)
{
    DIR     *d = opendir(folder);
    uint32_t n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static char *write_one(lls_mem_t *mem)
{
    char       *path = lls_packed_path(mem, folder, &key);
    llm_error_t err;

    assert_non_null(path);
    if (lls_packed_write(mem, path, &key, data, N, &ops, NULL, &err) != LLM_OK)
        fail_msg("%s", err.message);
    assert_int_equal(n_files(), 1);
    return path;
}

static int remove_folder(void **state)
{
    lls_mem_t mem;
    char     *path;

    lls_mem_init(&mem, NULL);
    path = lls_packed_path(&mem, folder, &key);
    unlink(path);
    lls_free(&mem, path);
    return rmdir(folder);
}

static void what_was_written_comes_back(void **state)
{
    lls_hash128_t other = { key.lo, key.hi + 1 };
    lls_mem_t     mem;
    llm_error_t   err;
    char         *path;

    lls_mem_init(&mem, NULL);
    path = write_one(&mem);
    lls_free(&mem, path);
    path = write_one(&mem);                         /* over the one that is there */
    assert_int_equal(lls_packed_read(path, &key, back, N, &ops, NULL, &err), LLM_OK);
    assert_memory_equal(data, back, N);
    assert_int_equal(lls_packed_read(path, &key, back, N - 1, &ops, NULL, &err), LLM_ERR_FORMAT);
    assert_int_equal(lls_packed_read(path, &other, back, N, &ops, NULL, &err), LLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "not what was written"));
    unlink(path);
    assert_int_equal(lls_packed_read(path, &key, back, N, &ops, NULL, &err), LLM_ERR_IO);
    lls_free(&mem, path);
    assert_int_equal(atomic_load(&mem.held), 0);
}

static void a_changed_bit_or_a_cut_is_seen(void **state)
{
    lls_mem_t   mem;
    llm_error_t err;
    char       *path;

    lls_mem_init(&mem, NULL);
    path = write_one(&mem);
    for (uint32_t i = 0; i < 200; i++) {
        long  at = i < 64 ? (long)i : (long)(i * 2654435761u % (N + 64));
        FILE *f = fopen(path, "r+b");
        int   c;

        fseek(f, at, SEEK_SET);
        c = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(c ^ 1 << i % 8, f);
        fclose(f);
        if (lls_packed_read(path, &key, back, N, &ops, NULL, &err) != LLM_ERR_FORMAT)
            fail_msg("byte %ld", at);
        f = fopen(path, "r+b");
        fseek(f, at, SEEK_SET);
        fputc(c, f);
        fclose(f);
    }
    assert_int_equal(lls_packed_read(path, &key, back, N, &ops, NULL, &err), LLM_OK);
    assert_int_equal(truncate(path, N), 0);
    assert_int_equal(lls_packed_read(path, &key, back, N, &ops, NULL, &err), LLM_ERR_FORMAT);
    lls_free(&mem, path);
}

static void swap_pieces(const char *path, long a, long b, size_t n)
{
    static uint8_t one[1 << 20], other[1 << 20];
    FILE          *f = fopen(path, "r+b");

    fseek(f, a, SEEK_SET);
    assert_int_equal(fread(one, 1, n, f), n);
    fseek(f, b, SEEK_SET);
    assert_int_equal(fread(other, 1, n, f), n);
    fseek(f, b, SEEK_SET);
    fwrite(one, 1, n, f);
    fseek(f, a, SEEK_SET);
    fwrite(other, 1, n, f);
    fclose(f);
}

/* The sum is one of sums, in any order; it must not be one of pieces in any order. */
static void pieces_that_changed_places_are_seen(void **state)
{
    const long  head = 64;
    lls_mem_t   mem;
    llm_error_t err;
    char       *path;

    lls_mem_init(&mem, NULL);
    path = write_one(&mem);
    swap_pieces(path, head, head + (1 << 20), 1 << 20);
    assert_int_equal(lls_packed_read(path, &key, back, N, &ops, NULL, &err), LLM_ERR_FORMAT);
    swap_pieces(path, head, head + (1 << 20), 1 << 20);
    assert_int_equal(lls_packed_read(path, &key, back, N, &ops, NULL, &err), LLM_OK);
    swap_pieces(path, head + 32, head + (1 << 20) + 64, 32);
    assert_int_equal(lls_packed_read(path, &key, back, N, &ops, NULL, &err), LLM_ERR_FORMAT);
    lls_free(&mem, path);
}

static void a_place_that_cannot_be_written_is_an_error(void **state)
{
    test_alloc_t    a = { .fail_at = 1 };
    llm_allocator_t hook = test_allocator(&a);
    lls_mem_t       mem;
    llm_error_t     err;

    lls_mem_init(&mem, &hook);
    assert_null(lls_packed_path(&mem, folder, &key));
    assert_int_equal(lls_packed_write(&mem, "/nowhere/at/all", &key, data, N, &ops, NULL, &err),
                     LLM_ERR_IO);
    a.fail_at = a.n_calls + 1;
    assert_int_equal(lls_packed_write(&mem, "/nowhere/at/all", &key, data, N, &ops, NULL, &err),
                     LLM_ERR_NO_MEMORY);
    assert_int_equal(lls_packed_write(&mem, folder, &key, data, N, &ops, NULL, &err), LLM_ERR_IO);
    assert_int_equal(n_files(), 0);                 /* nor is a draft left */
    assert_int_equal(a.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_that_cannot_be_written_is_an_error),
        cmocka_unit_test(what_was_written_comes_back),
        cmocka_unit_test(a_changed_bit_or_a_cut_is_seen),
        cmocka_unit_test(pieces_that_changed_places_are_seen),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
