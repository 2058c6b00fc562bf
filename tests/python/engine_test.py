# SPDX-License-Identifier: Apache-2.0
"""LLMEngine: requests that the caller steps."""
import unittest

import support

from llmserve import EngineArgs, EngineBusyError, LLMEngine, RequestOutputKind, SamplingParams, \
    exceptions


def make(**keywords):
    return LLMEngine.from_engine_args(support.engine_args(EngineArgs, **keywords))


def greedy(n, **fields):
    return SamplingParams(temperature=0, max_tokens=n, ignore_eos=True, **fields)


def run(engine):
    outputs = []
    while engine.has_unfinished_requests():
        outputs += engine.step()
    return outputs


class Stepping(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = make()

    def test_the_loop_of_vllms_example(self):
        waiting = [(f"r{i}", [10 + i], greedy(3 + i)) for i in range(4)]
        finished = {}
        while waiting or self.engine.has_unfinished_requests():
            if waiting:
                self.engine.add_request(*waiting.pop(0))
            for output in self.engine.step():
                if output.finished:
                    finished[output.request_id] = output
        self.assertEqual({i: len(o.outputs[0].token_ids) for i, o in finished.items()},
                         {f"r{i}": 3 + i for i in range(4)})
        self.assertEqual(self.engine.get_num_unfinished_requests(), 0)
        self.assertEqual(self.engine._running, {})
        self.assertEqual(self.engine.core.states, {})

    def outputs(self, **fields):
        self.engine.add_request("x", [5, 6], greedy(6, logprobs=0, **fields))
        return run(self.engine)

    def test_kinds_of_output(self):
        final = self.outputs(output_kind=RequestOutputKind.FINAL_ONLY)
        self.assertEqual(len(final), 1)
        whole = final[0].outputs[0]
        growing = self.outputs()
        self.assertEqual([len(o.outputs[0].token_ids) for o in growing], [1, 2, 3, 4, 5, 6])
        self.assertEqual(growing[-1].outputs[0], whole)
        self.assertEqual([o.finished for o in growing], [False] * 5 + [True])
        deltas = self.outputs(output_kind=RequestOutputKind.DELTA)
        merged = deltas[0]
        for output in deltas[1:]:
            merged.add(output, aggregate=True)
        self.assertEqual(merged.outputs[0], whole)
        self.assertTrue(all(o.prompt_token_ids == [5, 6] for o in growing + deltas))

    def test_stream_interval(self):
        outputs = self.outputs(output_kind=RequestOutputKind.DELTA, stream_interval=3)
        self.assertEqual([len(o.outputs[0].token_ids) for o in outputs], [1, 3, 2])

    def test_n_completions_stream_apart_and_end_together(self):
        params = SamplingParams(n=2, temperature=1, seed=1, max_tokens=3, ignore_eos=True)
        self.engine.add_request("n", [5], params)
        outputs = run(self.engine)
        self.assertEqual({o.outputs[0].index for o in outputs}, {0, 1})
        self.assertEqual([o.finished for o in outputs].count(True), 1)
        params.output_kind = RequestOutputKind.FINAL_ONLY
        self.engine.add_request("n", [5], params)
        (output,) = run(self.engine)
        self.assertEqual([c.index for c in output.outputs], [0, 1])
        for completion in output.outputs:
            last = [o.outputs[0] for o in outputs if o.outputs[0].index == completion.index][-1]
            self.assertEqual(last, completion)

    def test_abort(self):
        self.engine.add_request("a", [5], greedy(100))
        self.engine.add_request("b", [6], greedy(4))
        self.engine.step()
        self.engine.abort_request(["a", "no such"])
        outputs = run(self.engine)
        last = {o.request_id: o for o in outputs if o.finished}
        self.assertEqual(last["a"].outputs[0].finish_reason, "abort")
        self.assertLessEqual(len(last["a"].outputs[0].token_ids), 2)
        self.assertEqual(len(last["b"].outputs[0].token_ids), 4)
        self.engine.abort_request("a")

    def test_bad_requests(self):
        add = self.engine.add_request
        for arguments, kind, text in (
                ((7, "x", greedy(1)), TypeError, "request_id must be a string"),
                (("i", "x", {"n": 1}), TypeError, "params must be SamplingParams"),
                (("i", [-3], greedy(1)), ValueError, "Token id -3"),
                (("i", "", SamplingParams(logprobs=99)), ValueError, "logprobs of 99")):
            with self.subTest(text), self.assertRaisesRegex(kind, text):
                add(*arguments)
        with self.assertRaisesRegex(TypeError, "priority must be an int"):
            add("i", [5], greedy(1), priority="high")
        with self.assertRaisesRegex(ValueError, "priority must be in"):
            add("i", [5], greedy(1), priority=2**31)
        with self.assertRaisesRegex(NotImplementedError, "lora_request"):
            add("i", [5], greedy(1), lora_request=object())
        add("twice", [5], greedy(2))
        with self.assertRaisesRegex(ValueError, "Request id twice already running"):
            add("twice", [5], greedy(2))
        run(self.engine)
        add("twice", [5], greedy(1))
        self.assertEqual(len(run(self.engine)), 1)

    def test_an_exception_in_a_processor(self):
        def broken(output_ids, logits):
            raise ZeroDivisionError("mine")
        self.engine.add_request("bad", [5], greedy(4, logits_processors=[broken]))
        self.engine.add_request("good", [6], greedy(4))
        last = {o.request_id: o for o in run(self.engine) if o.finished}
        self.assertIsInstance(last["bad"].error, ZeroDivisionError)
        self.assertEqual(last["bad"].outputs[0].finish_reason, "abort")
        self.assertEqual(len(last["good"].outputs[0].token_ids), 4)

    def test_keyboard_interrupt_in_a_processor(self):
        def stop(output_ids, logits):
            raise KeyboardInterrupt
        self.engine.add_request("k", [5], greedy(4, logits_processors=[stop]))
        with self.assertRaises(KeyboardInterrupt):
            run(self.engine)
        run(self.engine)
        self.assertEqual(self.engine.get_num_unfinished_requests(), 0)


class Whole(unittest.TestCase):
    def test_a_full_queue(self):
        engine = make(max_num_queued_reqs=2)
        engine.add_request("a", [5], greedy(2))
        engine.add_request("b", [5], greedy(2))
        with self.assertRaises(EngineBusyError) as caught:
            engine.add_request("c", [5], greedy(2))
        self.assertGreater(caught.exception.retry_after_ms, 0)
        run(engine)
        engine.add_request("c", [5], greedy(2))
        run(engine)

    def test_priorities(self):
        engine = make(scheduling_policy="priority", max_num_seqs=1)
        for name, priority in (("first", 0), ("low", 5), ("high", -5)):
            engine.add_request(name, [5], greedy(3), priority=priority)
        order = [o.request_id for o in run(engine) if o.finished]
        self.assertLess(order.index("high"), order.index("low"))

    def test_deadlines(self):
        engine = make(max_num_seqs=1)
        engine.add_request("long", [5], greedy(200))
        engine.add_request("late", [5], greedy(2), queue_timeout_ms=1)
        last = {o.request_id: o.outputs[0].finish_reason for o in run(engine) if o.finished}
        self.assertEqual(last, {"long": "length", "late": "deadline"})

    def test_two_at_once_and_after_the_end(self):
        one, two = make(), make()
        for engine in (one, two):
            engine.add_request("r", [5], greedy(4))
        first = [run(engine)[-1].outputs[0] for engine in (one, two)]
        self.assertEqual(first[0], first[1])
        one.shutdown()
        with self.assertRaises(exceptions.EngineDeadError):
            one.step()
        two.add_request("r", [5], greedy(4))
        self.assertEqual(run(two)[-1].outputs[0], first[1])

    def test_what_is_not_here(self):
        engine = make()
        for call in ("add_lora", "remove_lora", "list_loras", "pin_lora", "collective_rpc",
                     "sleep", "wake_up", "start_profile", "stop_profile"):
            with self.subTest(call), self.assertRaisesRegex(NotImplementedError,
                                                            rf"LLMEngine\.{call}\(\)"):
                getattr(engine, call)(1)

    def test_facts(self):
        engine = make()
        self.assertEqual(engine.get_supported_tasks(), ("generate",))
        self.assertIs(engine.reset_prefix_cache(), True)
        self.assertFalse(engine.is_sleeping())
        self.assertGreater(len(engine.get_metrics()), 10)
        self.assertEqual(engine.get_tokenizer().bos_token_id, support.BOS)


if __name__ == "__main__":
    support.main()
