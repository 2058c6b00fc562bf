/* SPDX-License-Identifier: Apache-2.0 */
/* esim_tokens - the bytes of tokenizer/, made by make_tokenizer.py. */
#ifndef LLS_SIMENGINE_ESIM_TOKENS_H
#define LLS_SIMENGINE_ESIM_TOKENS_H

#define N_SPECIAL 3
#define N_SPELLED 52

static const struct { const char *bytes; uint32_t len; } spelled[N_SPELLED] = {
    { "<|eos|>", 7 },
    { "<|eot|>", 7 },
    { "<|something that is special|>", 29 },
    { "a", 1 },
    { "b", 1 },
    { "c", 1 },
    { "d", 1 },
    { "e", 1 },
    { "f", 1 },
    { "g", 1 },
    { "h", 1 },
    { " ", 1 },
    { "ab", 2 },
    { "abc", 3 },
    { "ba", 2 },
    { " a", 2 },
    { " b", 2 },
    { "cab", 3 },
    { "aa", 2 },
    { "aaa", 3 },
    { "\012", 1 },
    { ".", 1 },
    { "END", 3 },
    { "EN", 2 },
    { "D", 1 },
    { "deadbeefdeadbeefdeadbeefdeadbeef", 32 },
    { "a word with spaces in it", 24 },
    { " longlonglonglonglonglonglong", 29 },
    { "0", 1 },
    { "1", 1 },
    { "\303\251", 2 },
    { "\342\202\254", 3 },
    { "\346\227\245\346\234\254", 6 },
    { "\360\237\230\200", 4 },
    { "ab\342\202\254", 5 },
    { "\357\277\275", 3 },
    { "\303", 1 },
    { "\251", 1 },
    { "\342", 1 },
    { "\202", 1 },
    { "\254", 1 },
    { "\360", 1 },
    { "\237", 1 },
    { "\230", 1 },
    { "\200", 1 },
    { "\377", 1 },
    { "\342\202", 2 },
    { "\360\237", 2 },
    { "\230\200", 2 },
    { "a\303", 2 },
    { "\251b", 2 },
    { "\355\240", 2 },
};

#endif
