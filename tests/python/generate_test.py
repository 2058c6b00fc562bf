# SPDX-License-Identifier: Apache-2.0
"""LLM: forms of prompts, equality with C, containment, logprobs, processors, beams, metrics."""
import copy
import gc
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import support
from support import BOS, EOS, N_VOCAB

from llmserve import BeamSearchParams, FlatLogprobs, LLM, Logprob, RepetitionDetectionParams, \
    RequestOutput, SamplingParams, StructuredOutputsParams, VLLMValidationError, exceptions, \
    metrics, progress
from llmserve import _core, inputs
from llmserve._gate import Gate

GREEDY = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)


def tokens_of(outputs):
    return [[list(c.token_ids) for c in o.outputs] for o in outputs]


def generate(prompts, params=GREEDY, **keywords):
    return support.llm().generate(prompts, params, use_tqdm=False, **keywords)


class Prompts(unittest.TestCase):
    def test_all_forms_give_the_same(self):
        text = "hello world"
        ids = support.llm().get_tokenizer().encode(text)
        forms = [text, [text], ids, [ids], tuple(ids), {"prompt": text},
                 {"prompt_token_ids": ids}, [{"prompt_token_ids": ids, "prompt": text}],
                 {"prompt": text, "cache_salt": "s"}]
        if _core.numpy is not None:
            forms.append(_core.numpy.array(ids))
        wanted = tokens_of(generate(text))
        for form in forms:
            with self.subTest(form):
                outputs = generate(form)
                self.assertEqual(tokens_of(outputs), wanted)
                self.assertEqual(outputs[0].prompt_token_ids, ids)

    def test_mixed_forms_in_one_call(self):
        prompts = [{"prompt": "a b", "cache_salt": "one"}, [5, 6], "c d",
                   {"prompt_token_ids": [7, 8, 9], "cache_salt": "two"}, {"prompt": "e f"}, [6]]
        together = generate(prompts)
        self.assertEqual([o.outputs for o in together],
                         [generate([p])[0].outputs for p in prompts])
        self.assertEqual([o.prompt for o in together], ["a b", None, "c d", None, "e f", None])

    def test_prompts_come_back(self):
        a, b, c = generate(["x y", [5, 6], {"prompt_token_ids": [7], "prompt": "seven"}])
        self.assertEqual((a.prompt, b.prompt, c.prompt), ("x y", None, "seven"))
        self.assertEqual((b.prompt_token_ids, c.prompt_token_ids), ([5, 6], [7]))
        self.assertEqual(a.prompt_token_ids[0], BOS)

    def test_order_and_ids(self):
        llm = support.make_llm(max_num_seqs=3)
        params = [SamplingParams(temperature=0, max_tokens=1 + i % 7, ignore_eos=True)
                  for i in range(20)]
        outputs = llm.generate([[10 + i] for i in range(20)], params, use_tqdm=False)
        self.assertEqual([o.request_id for o in outputs], [str(i) for i in range(20)])
        self.assertEqual([len(o.outputs[0].token_ids) for o in outputs],
                         [1 + i % 7 for i in range(20)])
        self.assertTrue(all(o.finished and o.error is None for o in outputs))

    def test_lists_of_different_lengths(self):
        with self.assertRaises(VLLMValidationError) as caught:
            generate(["a", "b"], [GREEDY])
        self.assertEqual(str(caught.exception),
                         "The lengths of prompts (2) and params (1) must be the same.")
        with self.assertRaisesRegex(ValueError, r"prompts \(1\) and priority \(2\)"):
            generate(["a"], priority=[1, 2])

    def test_what_is_no_prompt(self):
        for prompt, kind, text in (
                (3.5, TypeError, "prompts must be"), ([None], TypeError, "a prompt must be"),
                ({"prompts": "x"}, TypeError, "needs prompt"),
                ([[]], ValueError, "The decoder prompt cannot be empty"),
                ([N_VOCAB], ValueError, f"Token id {N_VOCAB} is out of vocabulary"),
                ([-1], ValueError, "Token id -1 is out of vocabulary"),
                ([[2**40]], ValueError, "out of vocabulary"),
                ([[1] * 300], ValueError, r"\(length 300\) is longer than the maximum model "
                                          "length of 256"),
                ("word " * 400, ValueError, "longer than the maximum model length"),
                ({"prompt_embeds": [1.0]}, NotImplementedError, "prompt_embeds"),
                ({"prompt": "x", "multi_modal_data": {"image": 1}}, NotImplementedError,
                 "multi_modal_data"),
                ({"prompt": "x", "cache_salt": ""}, ValueError, "cache_salt")):
            with self.subTest(str(prompt)[:40]), self.assertRaisesRegex(kind, text):
                generate(prompt)

    def test_no_prompts(self):
        self.assertEqual(generate([]), [])

    def test_sampling_params_none_are_the_models(self):
        defaults = support.llm().get_default_sampling_params()
        self.assertEqual((defaults.temperature, defaults.top_p, defaults.max_tokens),
                         (0.6, 0.9, 16))
        self.assertLessEqual(len(generate(["a"], None)[0].outputs[0].token_ids), 16)
        llm = support.make_llm(override_generation_config={"temperature": 0.3})
        self.assertEqual(llm.get_default_sampling_params().temperature, 0.3)
        llm = support.make_llm(generation_config="vllm")
        self.assertEqual(llm.get_default_sampling_params(), SamplingParams())

    def test_wrong_params(self):
        for params in ({"temperature": 0}, "x", BeamSearchParams(2, 4)):
            with self.subTest(params), self.assertRaises(TypeError):
                generate("a", params)

    def test_max_tokens_none_fills_the_context(self):
        out = generate([[5] * 200], SamplingParams(temperature=0, max_tokens=None,
                                                   ignore_eos=True))[0].outputs[0]
        self.assertEqual((len(out.token_ids), out.finish_reason), (56, "length"))

    def test_truncation(self):
        long = list(range(1, 61))
        out = generate([long], tokenization_kwargs={"truncate_prompt_tokens": 20})[0]
        self.assertEqual(out.prompt_token_ids, long[-20:])
        out = generate([long], tokenization_kwargs={"truncate_prompt_tokens": 20,
                                                    "truncation_side": "right"})[0]
        self.assertEqual(out.prompt_token_ids, long[:20])
        out = generate("word " * 400, tokenization_kwargs={"truncate_prompt_tokens": -1})[0]
        self.assertEqual(len(out.prompt_token_ids), 255)
        with self.assertRaisesRegex(ValueError, "truncation_side must be left or right"):
            generate("x", tokenization_kwargs={"truncation_side": "up"})
        with self.assertRaisesRegex(NotImplementedError, "padding"):
            generate("x", tokenization_kwargs={"padding": True})
        plain = generate("x", tokenization_kwargs={"add_special_tokens": False})[0]
        self.assertNotIn(BOS, plain.prompt_token_ids)

    def test_adapters_are_refused(self):
        with self.assertRaisesRegex(NotImplementedError, "lora_request"):
            generate("a", lora_request=object())


class Equality(unittest.TestCase):
    def test_with_the_c_program(self):
        program = os.environ.get("LLMSERVE_BATCH")
        if not program:
            self.skipTest("LLMSERVE_BATCH names no built examples/batch.c")
        lines = [{"id": str(i), "prompt": f"number {i} of", "max_tokens": 6 + i,
                  "temperature": 0.25 * i, "top_p": 0.9, "top_k": 50, "seed": 7 + i}
                 for i in range(6)]
        with tempfile.TemporaryDirectory() as tmp:
            source, out = os.path.join(tmp, "in"), os.path.join(tmp, "out")
            with open(source, "w", encoding="utf-8") as f:
                f.writelines(json.dumps(line) + "\n" for line in lines)
            options = [f"{k.replace('_', '-')}={v}" for k, v in support.ENGINE.items()]
            subprocess.run([program, support.model_dir(), source, out, *options], check=True,
                           capture_output=True, timeout=60)
            with open(out, encoding="utf-8") as f:
                theirs = {r["id"]: r["text"] for r in map(json.loads, f)}
        names = ("max_tokens", "temperature", "top_p", "top_k", "seed")
        mine = generate([line["prompt"] for line in lines],
                        [SamplingParams(**{n: line[n] for n in names}) for line in lines])
        self.assertEqual({str(i): o.outputs[0].text for i, o in enumerate(mine)}, theirs)
        self.assertGreater(len(set(theirs.values())), 3)

    def test_alone_batched_and_stepped(self):
        params = [SamplingParams(temperature=0.8, seed=i, max_tokens=12, logprobs=2,
                                 presence_penalty=0.1 * i, ignore_eos=True) for i in range(8)]
        prompts = [[3 + i, 9, 9 + i] for i in range(8)]
        together = generate(prompts, params)
        alone = [generate([p], s)[0] for p, s in zip(prompts, params)]
        llm = support.llm()
        ids = llm.enqueue(prompts, params)
        stepped = llm.wait_for_completion(use_tqdm=False)
        self.assertEqual([o.request_id for o in stepped], ids)
        self.assertEqual([o.outputs for o in together], [o.outputs for o in alone])
        self.assertEqual([o.outputs for o in together], [o.outputs for o in stepped])

    def test_n_completions(self):
        params = SamplingParams(n=3, temperature=1, seed=4, max_tokens=6, ignore_eos=True)
        out = generate("a b", params)[0]
        self.assertEqual([c.index for c in out.outputs], [0, 1, 2])
        singles = [generate("a b", SamplingParams(temperature=1, seed=4 + i, max_tokens=6,
                                                  ignore_eos=True))[0].outputs[0].token_ids
                   for i in range(3)]
        self.assertEqual([c.token_ids for c in out.outputs], singles)
        llm = support.llm()
        llm.enqueue("a b", params)
        self.assertEqual(llm.wait_for_completion(use_tqdm=False)[0].outputs, out.outputs)


class Fields(unittest.TestCase):
    """What a field does, so that each is seen to reach the library."""

    def one(self, **fields):
        fields = {"temperature": 0, "max_tokens": 8, "ignore_eos": True, **fields}
        return generate([[5, 6, 7]], SamplingParams(**fields))[0].outputs[0]

    def setUp(self):
        self.plain = list(self.one().token_ids)

    def test_stop_token(self):
        stop = self.plain[2]
        out = self.one(stop_token_ids=[stop])
        self.assertEqual(list(out.token_ids), self.plain[:self.plain.index(stop) + 1])
        self.assertEqual((out.finish_reason, out.stop_reason), ("stop", stop))

    def test_stop_string(self):
        text = self.one(logit_bias={40: 100}).text
        stop = text[2:4]
        out = self.one(logit_bias={40: 100}, stop=stop)
        self.assertEqual((out.finish_reason, out.stop_reason), ("stop", stop))
        self.assertEqual(out.text, text[:text.index(stop)])
        kept = self.one(logit_bias={40: 100}, stop=[stop], include_stop_str_in_output=True)
        self.assertEqual(kept.text, text[:text.index(stop)] + stop)

    def test_eos_and_min_tokens(self):
        bias = {EOS: 100}
        self.assertEqual(list(self.one(logit_bias=bias, ignore_eos=False).token_ids), [EOS])
        out = self.one(logit_bias=bias, ignore_eos=False, min_tokens=3)
        self.assertEqual(len(out.token_ids), 4)
        self.assertEqual((out.finish_reason, out.stop_reason), ("stop", None))

    def test_masks(self):
        self.assertEqual(set(self.one(allowed_token_ids=[3, 9]).token_ids) - {3, 9}, set())
        self.assertEqual(set(self.one(logit_bias={44: 100}).token_ids), {44})
        word = support.llm().get_tokenizer().decode([44])
        banned = self.one(logit_bias={44: 100}, bad_words=[word])
        self.assertNotIn(44, banned.token_ids)

    def test_penalties(self):
        biased = {44: 50}
        for fields in ({"presence_penalty": 2}, {"frequency_penalty": 2},
                       {"repetition_penalty": 1.5}):
            with self.subTest(fields):
                self.assertNotEqual(self.one(**fields, max_tokens=40).token_ids,
                                    self.one(max_tokens=40).token_ids)
        self.assertEqual(set(self.one(logit_bias=biased, presence_penalty=2).token_ids), {44})

    def test_randomness(self):
        def drawn(**fields):
            return list(self.one(temperature=1, **fields).token_ids)
        self.assertEqual(drawn(seed=5), drawn(seed=5))
        self.assertNotEqual(drawn(seed=5), drawn(seed=6))
        self.assertEqual(drawn(seed=-2**63 + 1), drawn(seed=2**63 + 1))
        for fields in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
            with self.subTest(fields):
                self.assertEqual(drawn(seed=5, **fields), self.plain)

    def test_text(self):
        self.assertEqual(self.one(detokenize=False).text, "")
        bias = {1404: 100}
        self.assertEqual(self.one(logit_bias=bias).text, "")
        self.assertEqual(self.one(logit_bias=bias, skip_special_tokens=False, max_tokens=2).text,
                         "<|eot_id|><|eot_id|>")

    def test_deadline(self):
        out = generate([[5]], SamplingParams(max_tokens=None, ignore_eos=True), timeout_ms=1)[0]
        self.assertEqual(out.outputs[0].finish_reason, "deadline")

    def test_repetition(self):
        out = self.one(logit_bias={44: 100}, max_tokens=30,
                       repetition_detection=RepetitionDetectionParams(2, 1, 4))
        self.assertEqual((out.finish_reason, out.stop_reason, len(out.token_ids)),
                         ("repetition", "repetition_detected", 4))

    def test_chosen_logprobs(self):
        for fields in ({}, {"logprobs": 2}):
            rows = self.one(logprob_token_ids=[3, 9], **fields).logprobs
            self.assertEqual([set(row) - {3, 9} for row in rows], [{t} for t in self.plain])
        flat = self.one(logprob_token_ids=[3, 9], flat_logprobs=True).logprobs
        self.assertEqual(list(flat), rows)

    def test_modes_of_logprobs(self):
        llm = support.make_llm(logprobs_mode="processed_logprobs")
        params = SamplingParams(temperature=1, seed=1, max_tokens=2, logprobs=1, top_k=1)
        out = llm.generate([[5, 6, 7]], params, use_tqdm=False)[0].outputs[0]
        self.assertEqual(out.cumulative_logprob, 0.0)       # one token was left

    def test_thinking_budget(self):
        begin, end = 1402, 1403

        def think(prompt_ids, output_ids, logits):
            logits[end] = -1e4              # it would never end by itself
        llm = support.make_llm(reasoning_config={"reasoning_start_str": "<|start_header_id|>",
                                                 "reasoning_end_str": "<|end_header_id|>"})
        params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True,
                                thinking_token_budget=3, logits_processors=[think])
        ids = list(llm.generate([[5, begin]], params, use_tqdm=False)[0].outputs[0].token_ids)
        self.assertEqual(ids.index(end), 3)
        with self.assertRaisesRegex(ValueError, "reasoning-config"):
            self.one(thinking_token_budget=3)

    def test_fields_that_are_set_later(self):
        params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True, logit_bias={44: 100})
        params.stop = support.llm().get_tokenizer().decode([44])
        self.assertEqual(generate([[5]], params)[0].outputs[0].finish_reason, "stop")
        for name, value in (("max_tokens", 0), ("top_p", 0), ("repetition_penalty", 0), ("n", 0)):
            params = SamplingParams()
            setattr(params, name, value)
            with self.subTest(name), self.assertRaisesRegex(ValueError, name):
                generate([[5]], params)
        self.one(stream_interval=2**40, top_k=2**40, max_tokens=2**40)

    def test_what_is_refused(self):
        with self.assertRaises(NotImplementedError):
            self.one(structured_outputs=StructuredOutputsParams(regex="a+"))
        with self.assertRaisesRegex(NotImplementedError, "trace_decode_token_ids"):
            self.one(trace_decode_token_ids=[1])
        with self.assertRaisesRegex(ValueError, "NUL"):
            self.one(stop="a\0b")


class Logprobs(unittest.TestCase):
    def test_rows(self):
        out = generate([[5, 6, 7]], SamplingParams(temperature=1, seed=3, max_tokens=5,
                                                   logprobs=2, ignore_eos=True))[0].outputs[0]
        self.assertEqual(len(out.logprobs), 5)
        total = 0
        for token, row in zip(out.token_ids, out.logprobs):
            self.assertEqual(next(iter(row)), token)
            self.assertIn(len(row), (2, 3))
            self.assertTrue(all(isinstance(e, Logprob) and e.rank >= 1 for e in row.values()))
            self.assertEqual(sorted(e.rank for t, e in row.items() if e.rank <= 2), [1, 2])
            total += row[token].logprob
        self.assertAlmostEqual(out.cumulative_logprob, total, places=4)
        self.assertEqual(out.logprobs[0][out.token_ids[0]].decoded_token,
                         support.llm().get_tokenizer().decode(out.token_ids[0]))

    def test_none_zero_and_all(self):
        def one(**fields):
            return generate([[5, 6]], SamplingParams(temperature=0, max_tokens=2, **fields))[0]
        self.assertIsNone(one().outputs[0].logprobs)
        self.assertIsNone(one().outputs[0].cumulative_logprob)
        self.assertEqual([len(r) for r in one(logprobs=0).outputs[0].logprobs], [1, 1])
        llm = support.make_llm(max_logprobs=-1)
        out = llm.generate([[5, 6]], SamplingParams(temperature=0, max_tokens=1, logprobs=-1),
                           use_tqdm=False)[0].outputs[0]
        self.assertEqual(len(out.logprobs[0]), N_VOCAB)
        with self.assertRaisesRegex(ValueError, "greater than max allowed: 20"):
            generate([[5]], SamplingParams(logprobs=21))

    def test_prompt_logprobs_and_flat(self):
        params = dict(temperature=0, max_tokens=3, logprobs=1, prompt_logprobs=1)
        rows = generate([[5, 6, 7]], SamplingParams(**params))[0]
        flat = generate([[5, 6, 7]], SamplingParams(**params, flat_logprobs=True))[0]
        self.assertIsNone(rows.prompt_logprobs[0])
        self.assertEqual([next(iter(r)) for r in rows.prompt_logprobs[1:]], [6, 7])
        self.assertIsInstance(flat.prompt_logprobs, FlatLogprobs)
        self.assertEqual(list(flat.outputs[0].logprobs), rows.outputs[0].logprobs)
        self.assertEqual(flat.outputs[0].logprobs[1:][0], rows.outputs[0].logprobs[1])
        self.assertEqual(len(flat.prompt_logprobs), 3)
        self.assertEqual(flat.prompt_logprobs[0], {})
        self.assertEqual(flat.prompt_logprobs[2], rows.prompt_logprobs[2])

    def test_flat_is_a_sequence(self):
        flat = FlatLogprobs()
        flat.append({3: Logprob(-1.0, 1, "a"), 4: Logprob(-2.0, 2, "b")})
        flat.append(None)
        self.assertEqual((flat.start_indices, flat.end_indices, flat.token_ids),
                         ([0, 2], [2, 2], [3, 4]))
        self.assertEqual(list(flat), [{3: Logprob(-1.0, 1, "a"), 4: Logprob(-2.0, 2, "b")}, {}])
        with self.assertRaises(TypeError):
            flat[0] = {}

    def test_scoring(self):
        ids = [5, 6, 7, 8]
        scored = support.llm().score_prompts([ids], use_tqdm=False)[0]
        self.assertEqual(list(scored.outputs[0].token_ids), [])
        wanted = generate([ids], SamplingParams(prompt_logprobs=0, max_tokens=1))[0]
        self.assertEqual(scored.prompt_logprobs, wanted.prompt_logprobs)
        self.assertEqual(len(scored.prompt_logprobs), 4)

    def test_decoded_tokens_after_the_engine(self):
        llm = support.make_llm()
        out = llm.generate([[5]], SamplingParams(logprobs=0, max_tokens=1), use_tqdm=False)[0]
        llm.shutdown()
        (entry,) = out.outputs[0].logprobs[0].values()
        self.assertIsNone(entry.decoded_token)


class Containment(unittest.TestCase):
    def test_one_bad_request_in_a_thousand(self):
        prompts = [[1 + i % 900] for i in range(1000)]
        bad = {17: [N_VOCAB + 3], 400: "word " * 500, 999: None}
        for i, prompt in bad.items():
            prompts[i] = prompt
        params = [SamplingParams(temperature=0, max_tokens=2)] * 1000
        params[500] = SamplingParams(logit_bias={N_VOCAB: 1.0})
        with self.assertLogs("llmserve", "WARNING") as logs:
            outputs = generate(prompts, params)
        failed = [i for i, o in enumerate(outputs) if o.error is not None]
        self.assertEqual(failed, [17, 400, 500, 999])
        self.assertEqual([type(outputs[i].error) for i in failed],
                         [VLLMValidationError] * 3 + [TypeError])
        self.assertTrue(all(outputs[i].outputs[0].finish_reason == "error" for i in failed))
        self.assertTrue(all(len(o.outputs[0].token_ids) in (1, 2)
                            for i, o in enumerate(outputs) if i not in failed))
        self.assertIn("4 of 1000 requests failed", logs.output[-1])
        self.assertEqual(tokens_of(generate([[1 + 16]], params[0])), tokens_of([outputs[16]]))

    def test_enqueued_ones_too(self):
        llm = support.llm()
        ids = llm.enqueue([[5], None, [6]], GREEDY)
        with self.assertLogs("llmserve", "WARNING"):
            outputs = llm.wait_for_completion(use_tqdm=False)
        self.assertEqual([o.request_id for o in outputs], ids)
        self.assertEqual([o.error is None for o in outputs], [True, False, True])

    def test_a_full_queue_makes_enqueue_work(self):
        llm = support.make_llm(max_num_queued_reqs=4)
        llm.enqueue([[5 + i] for i in range(20)], GREEDY)
        outputs = llm.wait_for_completion(use_tqdm=False)
        self.assertEqual(tokens_of(outputs), tokens_of(generate([[5 + i] for i in range(20)])))

    def test_generate_beside_enqueued(self):
        llm = support.llm()
        llm.enqueue([[5]], GREEDY)
        now = generate([[6]])
        later = llm.wait_for_completion(use_tqdm=False)
        self.assertEqual(tokens_of(now + later), tokens_of(generate([[6], [5]])))

    def test_threads_take_turns(self):
        results = {}

        def work(i):
            results[i] = tokens_of(generate([[30 + i], [40 + i]]))
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for i in range(4):
            self.assertEqual(results[i], tokens_of(generate([[30 + i], [40 + i]])))

    def test_memory_goes_with_the_object(self):
        llm = support.make_llm()
        core = llm._core
        closer = core._closer
        llm.generate([[5]], GREEDY, use_tqdm=False)
        del llm, core
        gc.collect()
        self.assertFalse(closer.alive)

    def test_batches_leave_nothing_behind(self):
        llm = support.make_llm()
        calls = []

        class Watched:
            def __getattr__(self, name, lib=llm._core._lib):
                calls.append(name)
                return getattr(lib, name)
        llm._core._lib = Watched()
        llm.generate([[5]] * 50, GREEDY, use_tqdm=False)
        with self.assertRaises(ValueError):
            llm.generate("word " * 400, GREEDY, use_tqdm=False)
        self.assertEqual([c for c in calls if "batch" in c],
                         ["llm_generate_batch", "llm_batch_destroy"] * 2)
        self.assertEqual(llm._core.states, {})

    def test_shutdown_beside_a_call(self):
        llm = support.make_llm()
        got = []

        def work():
            try:
                while True:
                    got.append(llm.generate([[5]] * 8, GREEDY, use_tqdm=False))
            except exceptions.EngineDeadError as error:
                got.append(error)
        thread = threading.Thread(target=work)
        thread.start()
        while not got:
            time.sleep(0.001)
        llm.shutdown()
        self.assertFalse(llm._core._closer.alive)
        thread.join(20)
        self.assertIsInstance(got[-1], exceptions.EngineDeadError)
        self.assertTrue(all(len(outputs) == 8 for outputs in got[:-1]))

    def test_a_gate(self):
        gate = Gate(7)
        with gate as handle, gate:
            self.assertEqual(handle, 7)
            self.assertIsNone(gate.close(0.01))     # somebody is inside
        with self.assertRaises(exceptions.EngineDeadError):
            gate.__enter__()
        self.assertEqual((Gate(8).close(0.01), gate.close(0.01)), (8, None))

    def test_after_shutdown(self):
        llm = support.make_llm()
        tokenizer = llm.get_tokenizer()
        llm.shutdown()
        llm.shutdown()
        with self.assertRaisesRegex(exceptions.EngineDeadError, "shut down"):
            llm.generate([[5]], GREEDY, use_tqdm=False)
        with self.assertRaisesRegex(RuntimeError, "shut down"):
            tokenizer.encode("x")


class Processors(unittest.TestCase):
    def one(self, *processors, **fields):
        return SamplingParams(temperature=0, max_tokens=4, ignore_eos=True,
                              logits_processors=list(processors), **fields)

    def test_in_place_and_by_result(self):
        def force(output_ids, logits):
            logits[50 + len(output_ids)] = 1e4

        def shifted(prompt_ids, output_ids, logits):
            assert prompt_ids == [5, 6]
            return [1e4 if i == 60 + len(output_ids) else 0.0 for i in range(len(logits))]
        self.assertEqual(tokens_of(generate([[5, 6]], self.one(force))), [[[50, 51, 52, 53]]])
        self.assertEqual(tokens_of(generate([[5, 6]], self.one(shifted))), [[[60, 61, 62, 63]]])

    def test_extra_args(self):
        def force(output_ids, logits, extra_args):
            logits[extra_args["token"]] = 1e4
        params = [self.one(force, extra_args={"token": t}) for t in (70, 80)]
        self.assertEqual(tokens_of(generate([[5], [5]], params)), [[[70] * 4], [[80] * 4]])

    def test_kind_of_the_row(self):
        seen = []

        def look(output_ids, logits):
            seen.append((type(logits).__name__, len(logits), float(logits[3])))
        generate([[5]], self.one(look))
        self.assertEqual(seen[0][:2], ("ndarray" if _core.numpy else "memoryview", N_VOCAB))

    def test_an_exception_ends_that_request_alone(self):
        def broken(output_ids, logits):
            if len(output_ids) == 2:
                raise KeyError("mine")
        plain = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
        with self.assertLogs("llmserve", "WARNING"):
            a, b, c = generate([[5], [6], [7]], [plain, self.one(broken), plain])
        self.assertEqual(tokens_of([a, c]), tokens_of(generate([[5], [7]], plain)))
        self.assertEqual(b.outputs[0].finish_reason, "abort")
        self.assertEqual(len(b.outputs[0].token_ids), 2)
        self.assertIsInstance(b.error, KeyError)
        with self.assertRaises(KeyError):       # where it is the only one
            generate([[6]], self.one(broken))

    def test_nan_ends_that_request_alone(self):
        def spoil(output_ids, logits):
            logits[7] = float("nan")
        plain = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
        with self.assertLogs("llmserve", "WARNING"):
            a, b = generate([[5], [6]], [plain, self.one(spoil)])
        self.assertIsNone(a.error)
        self.assertEqual(b.outputs[0].finish_reason, "error")
        self.assertIsInstance(b.error, Exception)

    def test_wrong_ones(self):
        with self.assertRaisesRegex(TypeError, "takes 1 arguments"):
            generate([[5]], self.one(lambda logits: None))
        with self.assertRaisesRegex(ValueError, "gave back 3 logits"):
            generate([[5]], self.one(lambda ids, logits: [1.0, 2.0, 3.0]))

    def test_keyboard_interrupt_passes(self):
        def stop(output_ids, logits):
            raise KeyboardInterrupt
        with self.assertRaises(KeyboardInterrupt):
            generate([[5], [6]], self.one(stop))
        self.assertEqual(support.llm().llm_engine.get_num_unfinished_requests(), 0)
        self.assertIsNone(generate([[5]])[0].error)


class Interrupts(unittest.TestCase):
    def test_ctrl_c_ends_a_batch_and_leaves_the_engine(self):
        endless = SamplingParams(temperature=0, max_tokens=None, ignore_eos=True)
        timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
        self.addCleanup(timer.cancel)
        timer.start()
        start = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            while time.monotonic() - start < 20:
                generate([[5]] * 200, endless)
        timer.join()
        self.assertLess(time.monotonic() - start, 10)
        self.assertIs(signal.getsignal(signal.SIGINT), signal.default_int_handler)
        self.assertIsNone(generate([[5]])[0].error)


class Bars(unittest.TestCase):
    def test_callable_bar(self):
        made = []

        class Bar(progress.PlainBar):
            def __init__(self, **arguments):
                made.append((self, arguments))
                super().__init__(**arguments, file=io.StringIO())
        support.llm().generate([[5], [6]], GREEDY, use_tqdm=Bar)
        (bar, arguments), = made
        self.assertEqual((arguments["total"], arguments["desc"]), (2, "Processed prompts"))
        self.assertEqual(bar.n, 2)
        self.assertRegex(bar.postfix, r"est. speed input: \d+\.\d\d toks/s, output: \d+")
        self.assertIn("2/2", bar._file.getvalue())

    def test_a_bar_that_fails_ends_the_call(self):
        class Bar(progress.PlainBar):
            def update(self, n=1):
                raise OSError("closed")
        with self.assertRaisesRegex(OSError, "closed"):
            support.llm().generate([[5]], GREEDY,
                                   use_tqdm=lambda **a: Bar(**a, file=io.StringIO()))

    def test_counts(self):
        from llmserve import _ffi
        made = []
        bar = progress.BatchBar(lambda **a: made.append(
            progress.PlainBar(**a, file=io.StringIO())) or made[-1], 5)
        for done in (0, 2, 2, 5):
            bar(_ffi.Progress(done=done, total=5, elapsed_us=500000, prompt_tokens=10,
                              completion_tokens=40))
        bar.close()
        self.assertEqual(made[0].n, 5)
        self.assertEqual(made[0].postfix,
                         "est. speed input: 20.00 toks/s, output: 80.00 toks/s")

    def test_plain_bar_on_no_terminal_draws_once(self):
        out = io.StringIO()
        bar = progress.PlainBar(total=3, desc="x", file=out)
        for _ in range(3):
            bar.update()
        bar.close()
        self.assertEqual(out.getvalue().count("\n"), 1)
        self.assertIn("100%", out.getvalue())


class Beams(unittest.TestCase):
    def test_beam_search(self):
        support.need_symbol("llm_beam_search")
        llm = support.llm()
        outputs = llm.beam_search([{"prompt_token_ids": [5, 6]}, {"prompt": "a b"}],
                                  BeamSearchParams(beam_width=3, max_tokens=4, ignore_eos=True))
        self.assertEqual([len(o.sequences) for o in outputs], [3, 3])
        for sequence in outputs[0].sequences:
            self.assertEqual(sequence.tokens[:2], [5, 6])
            self.assertEqual(len(sequence.tokens), 6)
            self.assertEqual(sequence.text, llm.get_tokenizer().decode(sequence.tokens))
            scored = llm.score_prompts([sequence.tokens], use_tqdm=False)[0].prompt_logprobs
            total = sum(row[t].logprob for t, row in zip(sequence.tokens[2:], scored[2:]))
            self.assertAlmostEqual(sequence.cum_logprob, total, places=3)
        scores = [s.cum_logprob for s in outputs[0].sequences]
        self.assertEqual(scores, sorted(scores, reverse=True))
        greedy = sum(next(iter(r.values())).logprob for r in generate(
            [[5, 6]], SamplingParams(temperature=0, max_tokens=4, logprobs=0,
                                     ignore_eos=True))[0].outputs[0].logprobs)
        self.assertGreaterEqual(scores[0], greedy - 1e-4)

    def test_a_beam_that_ends(self):
        support.need_symbol("llm_beam_search")
        eos = list(generate([[5, 6]])[0].outputs[0].token_ids)[0]
        llm = support.make_llm(hf_overrides={"eos_token_id": eos}, generation_config="vllm",
                               skip_tokenizer_init=True)    # else the tokenizer's EOS counts

        def ended(**fields):
            found = llm.beam_search([[5, 6]], BeamSearchParams(beam_width=2, max_tokens=3,
                                                               **fields))[0].sequences
            return [s for s in found if s.finish_reason == "stop"]
        plain, kept = ended(), ended(include_stop_str_in_output=True)
        self.assertEqual([s.tokens + [eos] for s in plain], [s.tokens for s in kept])
        self.assertEqual({s.stop_reason for s in plain + kept}, {eos})
        self.assertEqual(plain[0].tokens, [5, 6])
        self.assertIsNone(plain[0].text)
        self.assertEqual(ended(ignore_eos=True), [])

    def test_limits_and_errors(self):
        support.need_symbol("llm_beam_search")
        llm = support.llm()
        params = BeamSearchParams(beam_width=2, max_tokens=3)
        prompts = [[5], [6], [7]]
        self.assertEqual(llm.beam_search(prompts, params),
                         llm.beam_search(prompts, params, concurrency_limit=2))
        with self.assertRaises(ValueError):
            llm.beam_search([[N_VOCAB]], params)
        with self.assertRaises(NotImplementedError):
            llm.beam_search("a", BeamSearchParams(
                2, 3, structured_outputs=StructuredOutputsParams(regex="a")))


class Care(unittest.TestCase):
    def test_metrics(self):
        llm = support.make_llm()
        llm.generate([[5, 6]], GREEDY, use_tqdm=False)
        found = {m.name: m for m in llm.get_metrics() if not m.labels.get("finished_reason")}
        self.assertEqual(found["vllm:prompt_tokens"].value, 2)
        self.assertEqual(found["vllm:generation_tokens"].value, 8)
        self.assertIsInstance(found["vllm:num_requests_running"], metrics.Gauge)
        histogram = found["vllm:time_to_first_token_seconds"]
        self.assertEqual((histogram.count, histogram.buckets["+Inf"]), (1, 1))

    def test_metrics_text(self):
        made = metrics.parse('# TYPE a counter\na_total{x="1 \\"q\\" \\\\",y="2"} 3\n'
                             '# TYPE b_total counter\nb_total 4\n'
                             '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\n'
                             'h_sum 3.5\nh_count 2\n')
        self.assertEqual(made, [metrics.Counter("a", {"x": '1 "q" \\', "y": "2"}, 3),
                                metrics.Counter("b", {}, 4),
                                metrics.Histogram("h", {}, 2, 3.5, {"1": 1, "+Inf": 2})])

    def test_prefix_cache(self):
        llm = support.make_llm()
        prompt = [list(range(1, 65))]
        llm.generate(prompt, GREEDY, use_tqdm=False)
        self.assertGreater(llm.generate(prompt, GREEDY, use_tqdm=False)[0].num_cached_tokens, 0)
        self.assertIs(llm.reset_prefix_cache(), True)
        self.assertEqual(llm.generate(prompt, GREEDY, use_tqdm=False)[0].num_cached_tokens, 0)
        salted = {"prompt_token_ids": prompt[0], "cache_salt": "other"}
        self.assertEqual(llm.generate(salted, GREEDY, use_tqdm=False)[0].num_cached_tokens, 0)

    def test_stats_of_a_request(self):
        out = generate([[5, 6]])[0]
        m = out.metrics
        self.assertEqual(m.num_generation_tokens, 8)
        self.assertLess(abs(m.arrival_time - time.time()), 60)
        self.assertLess(abs(m.queued_ts - time.monotonic()), 60)
        self.assertTrue(m.queued_ts <= m.scheduled_ts <= m.first_token_ts <= m.last_token_ts)

    def test_what_is_not_here(self):
        llm = support.llm()
        for call in ("encode", "embed", "classify", "score", "collective_rpc", "apply_model",
                     "start_profile", "stop_profile", "sleep", "wake_up"):
            with self.subTest(call), self.assertRaisesRegex(NotImplementedError,
                                                            rf"LLM\.{call}\(\)"):
                getattr(llm, call)("x", y=1)

    def test_facts(self):
        llm = support.llm()
        self.assertEqual(llm.get_world_size(), 1)
        self.assertEqual(llm.model_config.max_model_len, 256)
        self.assertEqual(llm.llm_engine.get_model_config().get_vocab_size(), N_VOCAB)
        self.assertIn("max_model_len=256", repr(llm))
        with self.assertRaises(OSError):
            LLM("/nonexistent/model")

    def test_outputs_can_be_copied_and_pickled(self):
        made = generate([[5, 6]], SamplingParams(logprobs=2, prompt_logprobs=0, max_tokens=2))[0]
        for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
            self.assertEqual((other.outputs, other.prompt_logprobs, other.metrics),
                             (made.outputs, made.prompt_logprobs, made.metrics))

    def test_records_of_an_older_library(self):
        from llmserve import _ffi
        record = _ffi.Output(completion_tokens=3, elapsed_us=5, last_token_step=9)
        record.struct_size = _ffi.Output.itl_sum_us.offset
        import ctypes
        read = _core.Reader(None).record(ctypes.addressof(record))
        self.assertEqual((read.completion_tokens, read.elapsed_us, read.last_token_step), (3, 5, 0))

    def test_outputs_can_be_made_by_hand(self):
        made = RequestOutput("1", "p", [1], None, [], True)
        made.add(RequestOutput("1", "p", [1], None, generate([[5]])[0].outputs, False), True)
        self.assertEqual(len(made.outputs), 1)
        self.assertEqual(inputs.as_list({"prompt": "x"}), [{"prompt": "x"}])


SCRIPT = """
import sys
import llmserve as vllm
from llmserve import LLM, SamplingParams

prompts = ["Hello, my name is", "The future of AI is"]
sampling_params = SamplingParams(temperature=0.8, top_p=0.95, seed=1, max_tokens=6)

def main():
    llm = LLM(model=sys.argv[1], dtype="float32", max_model_len=128,
              trust_remote_code=True, gpu_memory_utilization=0.9, enforce_eager=True,
              kv_cache_memory_bytes=1 << 24)
    outputs = llm.generate(prompts, sampling_params)
    for output in outputs:
        prompt = output.prompt
        generated_text = output.outputs[0].text
        print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")
    tokenizer = llm.get_tokenizer()
    text = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    outputs = llm.generate(vllm.TokensPrompt(prompt_token_ids=tokenizer.encode(text)),
                           vllm.SamplingParams(max_tokens=2, logprobs=1))
    assert isinstance(outputs[0], vllm.RequestOutput) and len(outputs[0].outputs[0].logprobs) == 2

if __name__ == "__main__":
    main()
"""


WITH_FLAGS = """
from llmserve import LLM, EngineArgs, LLMEngine, SamplingParams
from llmserve.utils.argparse_utils import FlexibleArgumentParser

def create_parser():
    parser = FlexibleArgumentParser()
    EngineArgs.add_cli_args(parser)
    parser.set_defaults(dtype="float32", max_model_len=128)
    group = parser.add_argument_group("Sampling parameters")
    group.add_argument("--max-tokens", type=int)
    group.add_argument("--temperature", type=float)
    return parser

def chat(args):
    max_tokens, temperature = args.pop("max_tokens"), args.pop("temperature")
    llm = LLM(**args)
    sampling_params = llm.get_default_sampling_params()
    if max_tokens is not None:
        sampling_params.max_tokens = max_tokens
    if temperature is not None:
        sampling_params.temperature = temperature
    outputs = llm.chat([{"role": "user", "content": "Hello"}], sampling_params, use_tqdm=False)
    print(len(outputs[0].outputs[0].token_ids), outputs[0].outputs[0].finish_reason)

def engine(args):
    engine = LLMEngine.from_engine_args(EngineArgs.from_cli_args(args))
    prompts = [("A robot may not", SamplingParams(temperature=0.0, logprobs=1, prompt_logprobs=1)),
               ("What is", SamplingParams(n=2, temperature=0.8, top_p=0.95, seed=0))]
    request_id = 0
    while prompts or engine.has_unfinished_requests():
        if prompts:
            prompt, sampling_params = prompts.pop(0)
            engine.add_request(str(request_id), prompt, sampling_params)
            request_id += 1
        for request_output in engine.step():
            if request_output.finished:
                print("done", request_output.request_id)

if __name__ == "__main__":
    args = create_parser().parse_args()
    engine(args)
    chat(vars(args))
"""


def run_script(code, *arguments):
    env = {**os.environ, "PYTHONPATH": support.PACKAGE}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=env, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done


class Script(unittest.TestCase):
    def test_engine_and_chat_with_flags(self):
        done = run_script(WITH_FLAGS, "--model", support.model_dir(), "--max_tokens", "5",
                          "--temperature=0", "--kv-cache-memory-bytes", str(1 << 24))
        lines = done.stdout.splitlines()
        self.assertEqual(sorted(lines[:2]), ["done 0", "done 1"])
        self.assertRegex(lines[2], r"^[1-5] (length|stop)$")

    def test_one_that_was_written_for_vllm(self):
        done = run_script(SCRIPT, support.model_dir())
        self.assertEqual(done.stdout.count("Prompt: "), 2)
        self.assertIn("Processed prompts: 100%", done.stderr)
        self.assertIn("enforce_eager=True has no effect", done.stderr)


if __name__ == "__main__":
    support.main()
