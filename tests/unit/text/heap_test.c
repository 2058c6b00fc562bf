/* SPDX-License-Identifier: Apache-2.0 */
#include "text_test.h"

#include "text/heap.h"

static void keys_come_in_order(void **state)
{
    lls_heap_t h = { .mem = plain_mem() };
    uint64_t   seed = 3, last = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        seed = lls_mix64(seed, i);
        assert_true(lls_heap_push(&h, (lls_heap_item_t){ seed % 300 << 32 | i, i }));
        if (i % 3 == 2)
            lls_heap_pop(&h);
    }
    while (h.n > 0) {
        lls_heap_item_t top = lls_heap_pop(&h);

        assert_true(top.key >= last);
        assert_int_equal((uint32_t)top.key, top.value);
        last = top.key;
    }
    lls_free(h.mem, h.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(keys_come_in_order) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
