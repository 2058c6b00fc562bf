# SPDX-License-Identifier: Apache-2.0
"""Chats and the tokenizer."""
import json
import os
import tempfile
import unittest

import support
from support import BOS, EOS, N_VOCAB

from llmserve import SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)


def generate(prompts, params=GREEDY):
    return support.llm().generate(prompts, params, use_tqdm=False)


class Chat(unittest.TestCase):
    MESSAGES = [{"role": "user", "content": "hello <|eot_id|>"}]

    def chat(self, messages, **keywords):
        return support.llm().chat(messages, GREEDY, use_tqdm=False, **keywords)

    def test_one_and_many(self):
        one = self.chat(self.MESSAGES)[0]
        head = "<|start_header_id|>assistant<|end_header_id|>"
        self.assertTrue(one.prompt.endswith(head))
        two = self.chat([self.MESSAGES, [{"role": "user", "content": "b"}]])
        self.assertEqual(two[0].outputs, one.outputs)
        # special tokens in a message stay text
        self.assertEqual(one.prompt_token_ids.count(1404), 1)

    def test_arguments_reach_the_template(self):
        tools = [{"type": "function", "function": {"name": "lookup"}}]
        out = self.chat(self.MESSAGES, tools=tools, add_generation_prompt=False,
                        chat_template_kwargs={"note": "NOTE"})[0]
        self.assertTrue(out.prompt.endswith("lookupNOTE"))
        out = self.chat(self.MESSAGES, chat_template="{{ messages[0].role }}!")[0]
        self.assertEqual(out.prompt, "user!")
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as f:
            f.write("{{ messages|length }}?")
            f.flush()
            self.assertEqual(self.chat(self.MESSAGES, chat_template=f.name)[0].prompt, "1?")
        with self.assertRaisesRegex(ValueError, "neither a file"):
            self.chat(self.MESSAGES, chat_template="/nonexistent")

    def test_errors(self):
        with self.assertRaisesRegex(ValueError, "Cannot set both `continue_final_message`"):
            self.chat(self.MESSAGES, continue_final_message=True)
        with self.assertRaises(ValueError):
            self.chat(self.MESSAGES, chat_template="{% broken")
        with self.assertRaisesRegex(ValueError, "auto, string or openai"):
            self.chat(self.MESSAGES, chat_template_content_format="x")

    def test_one_bad_conversation(self):
        bad = [[{"role": "user", "content": "\ud800"}], [3], [{"role": "user", "content": {1}}]]
        with self.assertLogs("llmserve", "WARNING"):
            outputs = self.chat([self.MESSAGES, *bad, self.MESSAGES])
        self.assertEqual([o.error is None for o in outputs], [True, False, False, False, True])
        self.assertEqual(outputs[0].outputs, outputs[-1].outputs)

    def test_enqueue(self):
        llm = support.llm()
        llm.enqueue_chat(self.MESSAGES, GREEDY)
        self.assertEqual(llm.wait_for_completion(use_tqdm=False)[0].outputs,
                         self.chat(self.MESSAGES)[0].outputs)


class Tokenizers(unittest.TestCase):
    def setUp(self):
        self.t = support.llm().get_tokenizer()

    def test_both_ways(self):
        for text in ("hello world", "", "naïve 日本 🙂 \n\t x", "a" * 5000):
            ids = self.t.encode(text, add_special_tokens=False)
            self.assertEqual(self.t.decode(ids), text)
        self.assertEqual(self.t.encode("x")[0], BOS)
        self.assertEqual(self.t.decode([BOS, 1404], skip_special_tokens=True), "")
        self.assertEqual(self.t.decode([BOS]), "<|begin_of_text|>")

    def test_texts_longer_than_expected(self):
        longest = max(range(1000), key=lambda i: len(self.t.token_bytes(i)))
        text = self.t.token_bytes(longest).decode()
        self.assertGreater(len(text), 9)
        self.assertEqual(self.t.decode([longest] * 300), text * 300)

    def test_call(self):
        one = self.t("a b")
        self.assertEqual(one.input_ids, self.t.encode("a b"))
        self.assertEqual(one["attention_mask"], [1] * len(one.input_ids))
        many = self.t(["a b", "c"])
        self.assertEqual(many["input_ids"], [self.t.encode("a b"), self.t.encode("c")])
        self.assertEqual(self.t.batch_decode(many.input_ids, skip_special_tokens=True),
                         ["a b", "c"])

    def test_chat(self):
        messages = Chat.MESSAGES
        text = self.t.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        self.assertEqual(text, support.llm().chat(messages, GREEDY, use_tqdm=False)[0].prompt)
        ids = self.t.apply_chat_template(messages, add_generation_prompt=True)
        self.assertEqual(self.t.decode(ids), text)
        self.assertEqual(self.t.apply_chat_template(messages, add_generation_prompt=True,
                                                    return_dict=True)["input_ids"], ids)
        self.assertTrue(self.t.apply_chat_template(messages, tokenize=False,
                                                   note="N").endswith("N"))

    def test_tokens(self):
        support.need_symbol("llm_tokenizer_find")
        self.assertEqual((len(self.t), self.t.vocab_size, self.t.max_token_id),
                         (N_VOCAB, N_VOCAB, N_VOCAB - 1))
        self.assertEqual((self.t.bos_token_id, self.t.eos_token_id, self.t.eos_token),
                         (BOS, EOS, "<|end_of_text|>"))
        with open(os.path.join(support.model_dir(), "tokenizer.json"), encoding="utf-8") as f:
            data = json.load(f)
        vocab = dict(data["model"]["vocab"])
        vocab.update((t["content"], t["id"]) for t in data["added_tokens"])
        self.assertEqual(self.t.get_vocab(), vocab)
        self.assertEqual(self.t.convert_tokens_to_ids(["<|eot_id|>", "no such token"]),
                         [1404, None])
        with self.assertRaisesRegex(ValueError, "not in the vocabulary"):
            self.t.convert_ids_to_tokens(10**6)

    def test_none_without_one(self):
        llm = support.make_llm(skip_tokenizer_init=True)
        with self.assertRaisesRegex(ValueError, "skip_tokenizer_init"):
            llm.get_tokenizer()
        out = llm.generate([[5]], GREEDY, use_tqdm=False)[0]
        self.assertEqual(list(out.outputs[0].token_ids),
                         list(generate([[5]])[0].outputs[0].token_ids))
        with self.assertRaisesRegex(ValueError, "tokenizer"):
            llm.generate("text", GREEDY, use_tqdm=False)


if __name__ == "__main__":
    support.main()
