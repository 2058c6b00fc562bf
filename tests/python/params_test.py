# SPDX-License-Identifier: Apache-2.0
"""Parameters and arguments: defaults, ranges, messages, what is accepted and what refused."""
import argparse
import dataclasses
import inspect
import math
import os
import re
import tempfile
import unittest

import support

from llmserve import LLM, AsyncEngineArgs, BeamSearchParams, EngineArgs, \
    RepetitionDetectionParams, RequestOutputKind, SamplingParams, StructuredOutputsParams, \
    VLLMValidationError
from llmserve.engine import arg_utils
from llmserve.sampling_params import SamplingType

DEFAULTS = {    # surface of vLLM: field and its default
    "n": 1, "presence_penalty": 0.0, "frequency_penalty": 0.0, "repetition_penalty": 1.0,
    "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "seed": None, "stop": [],
    "stop_token_ids": [], "ignore_eos": False, "max_tokens": 16, "min_tokens": 0, "logprobs": None,
    "prompt_logprobs": None, "prompt_logprob_token_ids": None, "prompt_logprob_start": None,
    "logprob_token_ids": None, "flat_logprobs": False, "detokenize": True,
    "skip_special_tokens": True, "spaces_between_special_tokens": True,
    "include_stop_str_in_output": False, "output_kind": RequestOutputKind.CUMULATIVE,
    "stream_interval": None, "skip_clone": False, "structured_outputs": None, "logit_bias": None,
    "allowed_token_ids": None, "extra_args": None, "bad_words": [],
    "skip_reading_prefix_cache": False, "thinking_token_budget": None,
    "repetition_detection": None, "routed_experts_prompt_start": 0, "trace_decode_token_ids": None}

BUDGET = "`thinking_token_budget` must be a non-negative integer or -1 for unlimited."
BAD = [         # fields, message
    ({"n": 0}, "n must be at least 1, got 0."),
    ({"n": 16385}, "n must be at most 16384, got 16385."),
    ({"n": 1.0}, "n must be an int, but is of type <class 'float'>"),
    ({"n": 2, "temperature": 0}, "n must be 1 when using greedy sampling, got 2."),
    ({"presence_penalty": 2.1}, "presence_penalty must be in [-2, 2], got 2.1."),
    ({"presence_penalty": math.nan}, "presence_penalty must be in [-2, 2], got nan."),
    ({"frequency_penalty": -2.5}, "frequency_penalty must be in [-2, 2], got -2.5."),
    ({"repetition_penalty": 0}, "repetition_penalty must be greater than zero, got 0."),
    ({"repetition_penalty": math.inf}, "repetition_penalty must be a finite number, got inf."),
    ({"temperature": -1}, "temperature must be non-negative, got -1."),
    ({"temperature": 2.5}, "temperature must be in [0, 2], got 2.5."),
    ({"temperature": math.nan}, "temperature must be a finite number, got nan."),
    ({"top_p": 0}, "top_p must be in (0, 1], got 0."),
    ({"top_p": 1.5}, "top_p must be in (0, 1], got 1.5."),
    ({"top_k": -2}, "top_k must be 0 (disable), or at least 1, got -2."),
    ({"top_k": 1.5}, "top_k must be an integer, got float"),
    ({"min_p": -0.1}, "min_p must be in [0, 1], got -0.1."),
    ({"min_p": 1.1}, "min_p must be in [0, 1], got 1.1."),
    ({"max_tokens": 0}, "max_tokens must be at least 1, got 0."),
    ({"min_tokens": -1}, "min_tokens must be greater than or equal to 0, got -1."),
    ({"min_tokens": 17}, "min_tokens must be less than or equal to max_tokens=16, got 17."),
    ({"stream_interval": 0}, "stream_interval must be at least 1, got 0."),
    ({"logprobs": -2}, "logprobs must be non-negative or -1, got -2."),
    ({"prompt_logprobs": -3}, "prompt_logprobs must be non-negative or -1, got -3."),
    ({"stop": [""]}, "stop cannot contain an empty string."),
    ({"stop": "x", "detokenize": False}, "stop strings are only supported when detokenize is True. "
                                         "Set detokenize=True to use stop."),
    ({"stop_token_ids": ["a"]}, "stop_token_ids must contain only integers, got ['a']."),
    ({"bad_words": ["a", ""]}, "bad_words cannot contain an empty string. Got bad_words=['a', '']"),
    ({"logit_bias": {"x": 1, 2: 1}},
     "logit_bias contains key(s) that cannot be converted to integer token IDs: ['x']"),
    ({"thinking_token_budget": -2}, BUDGET),
    ({"thinking_token_budget": 1.5}, BUDGET),
    ({"thinking_token_budget": True}, BUDGET),
]

BAD_FOR_MODEL = [
    ({"logprobs": 21}, "Requested sample logprobs of 21, which is greater than max allowed: 20"),
    ({"logprobs": -1}, "Requested sample logprobs of 100, which is greater than max allowed: 20"),
    ({"prompt_logprobs": 30},
     "Requested prompt logprobs of 30, which is greater than max allowed: 20"),
    ({"stop_token_ids": [1, 100]},
     "token_id(s) [100] in stop_token_ids contain out-of-vocab token ids. Vocabulary size: 100"),
    ({"logit_bias": {-1: 1}},
     "token_id(s) [-1] in logit_bias contain out-of-vocab token ids. Vocabulary size: 100"),
    ({"allowed_token_ids": []}, "allowed_token_ids is not None and empty!"),
    ({"allowed_token_ids": [100]}, "allowed_token_ids contains out-of-vocab token id!"),
    ({"logprob_token_ids": list(range(129))},
     "Requested logprob_token_ids of length 129, which is greater than max allowed: 128"),
    ({"logprob_token_ids": [1, 100]},
     "token_id(s) [100] in logprob_token_ids contain out-of-vocab token ids. Vocabulary size: 100"),
    ({"logprob_token_ids": [1, 2], "logprobs": 1},
     "When both logprobs and logprob_token_ids are set, logprobs must equal "
     "len(logprob_token_ids). Got logprobs=1, len(logprob_token_ids)=2."),
]


class Sampling(unittest.TestCase):
    def test_defaults(self):
        made = SamplingParams()
        self.assertEqual({name: getattr(made, name) for name in DEFAULTS}, DEFAULTS)

    def test_bad_values_have_vllms_messages(self):
        for fields, message in BAD:
            with self.subTest(fields), self.assertRaises(VLLMValidationError) as caught:
                SamplingParams(**fields)
            self.assertEqual(str(caught.exception), message)
            self.assertIn(caught.exception.parameter, fields)

    def test_edges_are_allowed(self):
        for fields in ({"n": 16384}, {"temperature": 2}, {"top_p": 1e-9}, {"top_k": -1},
                       {"min_p": 1}, {"presence_penalty": -2}, {"max_tokens": None,
                       "min_tokens": 10**6}, {"logprobs": 0}, {"logprobs": -1},
                       {"thinking_token_budget": 0}, {"stop": []}, {"top_k": 2**31}):
            with self.subTest(fields):
                SamplingParams(**fields)

    def test_unknown_names(self):
        for name in ("best_of", "use_beam_search", "guided_json", "truncate_prompt_tokens"):
            with self.subTest(name), self.assertRaises(TypeError):
                SamplingParams(**{name: 1})

    def test_what_is_normalised(self):
        made = SamplingParams(stop="ab", stop_token_ids=[3, 1, 3], bad_words=["x", "x"], seed=-1,
                              logprobs=True, prompt_logprobs=True, logit_bias={"7": 300, 8: -300},
                              thinking_token_budget=-1)
        self.assertEqual((made.stop, made.stop_token_ids, made.bad_words, made.seed),
                         (["ab"], [3, 1], ["x"], None))
        self.assertEqual((made.logprobs, made.prompt_logprobs), (1, 1))
        self.assertEqual(made.logit_bias, {7: 100.0, 8: -100.0})
        self.assertIsNone(made.thinking_token_budget)
        self.assertTrue(made.skip_reading_prefix_cache)
        self.assertEqual(made.output_text_buffer_length, 1)

    def test_greedy_switches_the_others_off(self):
        made = SamplingParams(temperature=1e-6 / 2 * 0, top_p=0.5, top_k=7, min_p=0.3)
        self.assertEqual((made.top_p, made.top_k, made.min_p), (1.0, 0, 0.0))
        self.assertEqual(made.sampling_type, SamplingType.GREEDY)
        self.assertEqual(SamplingParams(seed=1).sampling_type, SamplingType.RANDOM_SEED)

    def test_a_tiny_temperature_is_raised_with_a_warning(self):
        with self.assertLogs("llmserve", "WARNING") as logs:
            made = SamplingParams(temperature=0.001)
        self.assertEqual(made.temperature, 0.01)
        self.assertIn("temperature 0.001 is less than 0.01", logs.output[0])

    def test_from_optional(self):
        made = SamplingParams.from_optional(n=None, temperature=None, top_p=None,
                                            presence_penalty=None, max_tokens=None)
        self.assertEqual((made.n, made.temperature, made.top_p, made.presence_penalty,
                          made.max_tokens), (1, 1.0, 1.0, 0.0, None))
        self.assertEqual(SamplingParams.from_optional(temperature=0.5).temperature, 0.5)

    def test_clone_and_repr(self):
        made = SamplingParams(stop=["a"], logit_bias={1: 2.0})
        copy = made.clone()
        self.assertEqual(copy, made)
        copy.stop.append("b")
        self.assertEqual(made.stop, ["a"])
        self.assertTrue(repr(made).startswith("SamplingParams(n=1, presence_penalty=0.0, "))
        self.assertIn("stop=['a'], stop_token_ids=[], bad_words=[], ", repr(made))

    def test_with_the_model_known(self):
        for fields, message in BAD_FOR_MODEL:
            with self.subTest(fields), self.assertRaises(VLLMValidationError) as caught:
                SamplingParams(**fields).verify(100, 20)
            self.assertEqual(str(caught.exception), message)
        SamplingParams(logprobs=-1, stop_token_ids=[99]).verify(100, -1)

    def test_logits_processors(self):
        with self.assertRaisesRegex(ValueError, "must be callable"):
            SamplingParams(logits_processors=[3])


class Others(unittest.TestCase):
    def test_beam(self):
        made = BeamSearchParams(beam_width=4, max_tokens=8)
        self.assertEqual(dataclasses.astuple(made), (4, 8, False, 0.0, 1.0, False, None))
        with self.assertRaisesRegex(ValueError, "beam_width must be at least 1, got 0."):
            BeamSearchParams(beam_width=0, max_tokens=8)
        with self.assertRaises(TypeError):
            BeamSearchParams(beam_width=2)

    def test_structured_outputs(self):
        StructuredOutputsParams(json={"type": "object"})
        with self.assertRaisesRegex(ValueError, "You must use one kind"):
            StructuredOutputsParams()
        with self.assertRaisesRegex(ValueError, "You can only use one kind"):
            StructuredOutputsParams(regex="a", choice=["a"])

    def test_repetition(self):
        RepetitionDetectionParams(4, 1, 3)
        with self.assertRaisesRegex(ValueError, "min_count must be >= 2"):
            RepetitionDetectionParams(4, 1, 1)
        with self.assertRaisesRegex(ValueError, "min_pattern_size <= max_pattern_size"):
            RepetitionDetectionParams(1, 2, 3)


class Arguments(unittest.TestCase):
    def test_only_changes_are_handed_on(self):
        self.assertEqual(EngineArgs(model="x").engine_options(), {})
        made = EngineArgs(model="x", max_num_seqs=8, enable_prefix_caching=False,
                          hf_overrides={"a": 1}, additional_config={"cpu-isa": "plain"})
        self.assertEqual(made.engine_options(),
                         {"max_num_seqs": 8, "enable_prefix_caching": False,
                          "hf_overrides": {"a": 1}, "cpu_isa": "plain"})

    def test_short_names_of_speculation(self):
        made = EngineArgs(model="x", speculative_config={"method": "a", "b": 1}, spec_tokens=3,
                          spec_method="ngram").engine_options()
        self.assertEqual(made, {"speculative_config": {"method": "ngram", "b": 1,
                                                       "num_speculative_tokens": 3}})

    def test_unknown_ones_are_type_errors(self):
        for cls in (EngineArgs, AsyncEngineArgs):
            with self.assertRaisesRegex(TypeError, "swap_space"):
                cls(model="x", swap_space=4)

    def test_harmless_ones_warn(self):
        with self.assertLogs("llmserve", "WARNING") as logs:
            options = EngineArgs(model="x", enforce_eager=True, compilation_config=3,
                                 runner="generate", trust_remote_code=True).engine_options()
        self.assertEqual(options, {})
        self.assertEqual(len(logs.output), 4)
        self.assertIn("enforce_eager=True has no effect in llmserve and is ignored",
                      "\n".join(logs.output))

    def test_others_are_refused_by_name(self):
        for fields in ({"logits_processors": ["a.B"]}, {"runner": "pooling"},
                       {"kv_transfer_config": {"kv_role": "x"}}, {"scheduler_cls": "a.B"},
                       {"enable_prompt_embeds": True}, {"disable_sliding_window": True},
                       {"hf_overrides": lambda config: config}):
            name = next(iter(fields))
            with self.subTest(name), self.assertRaisesRegex(NotImplementedError, name):
                EngineArgs(model="x", **fields).engine_options()

    def test_the_library_refuses_what_it_knows(self):
        for fields in ({"tensor_parallel_size": 2}, {"quantization": "awq"},
                       {"spec_method": "ngram"}, {"enable_lora": True}):
            with self.subTest(fields), self.assertRaises(NotImplementedError):
                support.make_llm(**fields)
        with self.assertRaisesRegex(ValueError, "max-num-seqs"):
            support.make_llm(max_num_seqs=-3)
        with self.assertRaisesRegex(NotImplementedError, "no_such_option"):
            support.make_llm(additional_config={"no-such-option": 1})

    def test_command_line(self):
        parser = EngineArgs.add_cli_args(argparse.ArgumentParser())
        args = parser.parse_args(["--model", "m", "--max-model-len", "64",
                                  "--no-enable-prefix-caching", "--hf-overrides", '{"a": 1}'])
        made = EngineArgs.from_cli_args(args)
        self.assertEqual((made.model, made.max_model_len, made.enable_prefix_caching,
                          made.hf_overrides, made.seed), ("m", 64, False, {"a": 1}, 0))

    def test_every_name_that_decides_is_a_field(self):
        names = {f.name for f in dataclasses.fields(AsyncEngineArgs)}
        decided = arg_utils._HARMLESS | arg_utils._OURS | set(arg_utils._CONVERT) | \
            set(arg_utils._WAY_OUT) | set(arg_utils._HARMLESS_VALUES)
        self.assertEqual(decided - names, set())

    def test_a_model_by_its_repository_name(self):
        with tempfile.TemporaryDirectory() as cache:
            snapshot = os.path.join(cache, "models--o--m", "snapshots", "abc")
            os.makedirs(snapshot)
            os.makedirs(os.path.join(cache, "models--o--m", "refs"))
            with open(os.path.join(cache, "models--o--m", "refs", "main"), "w",
                      encoding="utf-8") as f:
                f.write("abc")
            self.assertEqual(EngineArgs(model="o/m", download_dir=cache).model_path(), snapshot)
            self.assertEqual(EngineArgs(model="o/m", revision="abc",
                                        download_dir=cache).model_path(), snapshot)
            with self.assertRaisesRegex(OSError, "does not download"):
                EngineArgs(model="o/other", download_dir=cache).model_path()


class Surface(unittest.TestCase):
    """Names against the written inventory of vLLM's interface, where that is there."""

    def section(self, begin, end):
        path = os.path.join(os.environ.get("LLM_SHARED", "/nonexistent"), "spec", "surface.md")
        if not os.path.exists(path):
            self.skipTest("LLM_SHARED has no spec/surface.md")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        lines = text[text.index(begin):text.index(end)].splitlines()
        return [line.split("|")[1:-1] for line in lines if line.startswith("| `")]

    def test_engine_arguments(self):
        theirs = {re.match(r" `--([\w-]+)", row[0]).group(1).replace("-", "_")
                  for row in self.section("### 3.1", "### 3.2")}
        mine = {f.name for f in dataclasses.fields(AsyncEngineArgs)}
        self.assertGreater(len(theirs), 220)
        self.assertEqual(theirs - mine, set())
        ours = {"device", "cpu_threads", "cpu_isa", "max_num_queued_reqs",
                "max_num_queued_tokens", "deadline_admission"}
        self.assertEqual(mine - theirs, ours)

    def test_constructor(self):
        theirs = {name for row in self.section("### 1.1", "### 1.2")
                  for name in re.findall(r"`(\w+)`", row[0])}
        mine = set(inspect.signature(LLM).parameters) - {"kwargs"}
        self.assertEqual(mine, theirs)

    def test_sampling_fields(self):
        theirs = {name for row in self.section("### 2.1", "### 2.2")
                  for name in re.findall(r"`(\w+)`", row[0])}
        mine = {f.name for f in dataclasses.fields(SamplingParams)}
        self.assertEqual(mine - theirs, {"logits_processors"})
        self.assertEqual(theirs - mine, set())


if __name__ == "__main__":
    support.main()
