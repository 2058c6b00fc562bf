# SPDX-License-Identifier: Apache-2.0
"""AsyncLLM: streams, cancellation, a thousand generators, pausing, ends."""
import asyncio
import gc
import subprocess
import sys
import time
import unittest

import support

from llmserve import AsyncEngineArgs, AsyncLLM, CompletionOutput, EngineDeadError, \
    RequestOutput, RequestOutputKind, SamplingParams
from llmserve.engine import async_llm


def make(**keywords):
    return AsyncLLM.from_engine_args(support.engine_args(AsyncEngineArgs, **keywords))


def greedy(n, **fields):
    return SamplingParams(temperature=0, max_tokens=n, ignore_eos=True, **fields)


def slow(n):
    """Parameters of a request whose tokens take 2 ms each."""
    return greedy(n, logits_processors=[lambda output_ids, logits: time.sleep(0.002)])


async def collect(engine, prompt, params, name):
    return [output async for output in engine.generate(prompt, params, name)]


class Streams(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = make()

    @classmethod
    def tearDownClass(cls):
        cls.engine.shutdown()

    async def asyncSetUp(self):
        asyncio.get_running_loop().slow_callback_duration = 60      # say nothing of slow machines

    async def drained(self):
        await self.engine.wait_for_requests_to_drain(20)
        self.assertEqual(self.engine.core.states, {})
        self.assertEqual(self.engine._running, {})

    async def test_equal_to_the_offline_class(self):
        wanted = support.llm().generate("a b", greedy(8, logprobs=1), use_tqdm=False)[0]
        outputs = await collect(self.engine, "a b", greedy(8, logprobs=1), "r")
        self.assertEqual(outputs[-1].outputs, wanted.outputs)
        self.assertEqual((outputs[-1].prompt, outputs[-1].prompt_token_ids),
                         (wanted.prompt, wanted.prompt_token_ids))
        self.assertEqual([o.finished for o in outputs], [False] * (len(outputs) - 1) + [True])
        deltas = await collect(self.engine, "a b",
                               greedy(8, output_kind=RequestOutputKind.DELTA), "d")
        self.assertEqual("".join(o.outputs[0].text for o in deltas), wanted.outputs[0].text)
        final = await collect(self.engine, "a b",
                              greedy(8, output_kind=RequestOutputKind.FINAL_ONLY), "f")
        self.assertEqual([o.outputs[0].text for o in final], [wanted.outputs[0].text])
        await self.drained()

    async def test_a_slow_reader_loses_nothing(self):
        params = greedy(30, output_kind=RequestOutputKind.DELTA, logprobs=0)
        fast = await collect(self.engine, [5], params, "fast")
        texts, ids, rows = "", [], 0
        async for output in self.engine.generate([5], params, "slow"):
            await asyncio.sleep(0.01)
            texts += output.outputs[0].text
            ids += output.outputs[0].token_ids
            rows += len(output.outputs[0].logprobs)
        self.assertEqual(texts, "".join(o.outputs[0].text for o in fast))
        self.assertEqual((ids, rows), ([t for o in fast for t in o.outputs[0].token_ids], 30))

    async def test_a_thousand_at_once(self):
        prompts = [[1 + i % 1000] for i in range(1000)]
        wanted = support.llm().generate(prompts, greedy(5), use_tqdm=False)
        got = await asyncio.gather(*(collect(self.engine, p, greedy(5), f"r{i}")
                                     for i, p in enumerate(prompts)))
        self.assertEqual([o[-1].outputs[0].token_ids for o in got],
                         [o.outputs[0].token_ids for o in wanted])
        await self.drained()

    async def test_one_bad_in_a_thousand(self):
        async def one(i):
            try:
                return len((await collect(self.engine, [support.N_VOCAB if i == 500 else 5],
                                          greedy(2), f"b{i}"))[-1].outputs[0].token_ids)
            except ValueError as error:
                return str(error)
        got = await asyncio.gather(*(one(i) for i in range(1000)))
        self.assertEqual(got[500], f"Token id {support.N_VOCAB} is out of vocabulary")
        self.assertEqual(set(got[:500] + got[501:]), {2})

    async def test_cancelling_a_task_aborts(self):
        started = asyncio.Event()

        async def read():
            async for _ in self.engine.generate([5], slow(250), "cancelled"):
                started.set()
        before = self.engine.core.stats().completion_tokens
        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await self.drained()
        stats = self.engine.core.stats()
        self.assertEqual((stats.requests_running, stats.requests_waiting), (0, 0))
        self.assertLess(stats.completion_tokens - before, 200)

    async def test_a_hundred_cancelled_among_others(self):
        tasks = [asyncio.create_task(collect(self.engine, [1 + i], greedy(40), f"c{i}"))
                 for i in range(200)]
        await asyncio.sleep(0.02)
        for task in tasks[::2]:
            task.cancel()
        got = await asyncio.gather(*tasks, return_exceptions=True)
        self.assertTrue(all(len(o[-1].outputs[0].token_ids) == 40 for o in got[1::2]))
        await self.drained()

    async def test_leaving_the_loop_aborts(self):
        before = self.engine.core.stats().completion_tokens
        generator = self.engine.generate([5], slow(250), "left")
        async for _ in generator:
            break
        await generator.aclose()
        await self.drained()
        self.assertLess(self.engine.core.stats().completion_tokens - before, 200)

    async def test_abort_by_id(self):
        task = asyncio.create_task(collect(self.engine, [5], slow(250), "by-id"))
        await asyncio.sleep(0.005)
        await self.engine.abort(["by-id", "unknown"])
        outputs = await task
        self.assertEqual(outputs[-1].outputs[0].finish_reason, "abort")
        await self.drained()

    async def test_errors_reach_their_generator_only(self):
        def broken(output_ids, logits):
            raise ZeroDivisionError("mine")
        good = asyncio.create_task(collect(self.engine, [5], greedy(20), "good"))
        with self.assertRaisesRegex(ZeroDivisionError, "mine"):
            await collect(self.engine, [5], greedy(20, logits_processors=[broken]), "bad")
        self.assertEqual(len((await good)[-1].outputs[0].token_ids), 20)
        for prompt, kind in (("word " * 500, ValueError), (None, TypeError),
                             ({"prompt_embeds": [1]}, NotImplementedError)):
            with self.subTest(kind), self.assertRaises(kind):
                await collect(self.engine, prompt, greedy(1), "refused")
        with self.assertRaisesRegex(TypeError, "params must be SamplingParams"):
            await collect(self.engine, [5], {"temperature": 0}, "refused")
        first = self.engine.generate([5], greedy(50), "same")
        await anext_(first)
        with self.assertRaisesRegex(ValueError, "already running"):
            await collect(self.engine, [5], greedy(1), "same")
        await first.aclose()
        await self.drained()

    async def test_long_prompts_do_not_hold_up_the_loop(self):
        with self.assertRaisesRegex(ValueError, "longer than the maximum model length"):
            await collect(self.engine, "word " * 100000, greedy(1), "long")
        task = asyncio.create_task(collect(self.engine, "word " * 100000, greedy(1), "gone"))
        await asyncio.sleep(0)
        task.cancel()
        with self.assertRaises((asyncio.CancelledError, ValueError)):
            await task
        await self.drained()

    async def test_reset_prefix_cache(self):
        prompt = list(range(1, 65))
        await collect(self.engine, prompt, greedy(1), "p0")
        cached = (await collect(self.engine, prompt, greedy(1), "p1"))[-1].num_cached_tokens
        self.assertGreater(cached, 0)
        self.assertIs(await self.engine.reset_prefix_cache(), True)
        cached = (await collect(self.engine, prompt, greedy(1), "p2"))[-1].num_cached_tokens
        self.assertEqual(cached, 0)

    async def test_pausing(self):
        support.need_symbol("llm_engine_pause")
        engine = self.engine
        task = asyncio.create_task(collect(engine, [5], slow(200), "aborted"))
        await asyncio.sleep(0.01)
        await engine.pause_generation()
        self.assertTrue(await engine.is_paused())
        self.assertEqual((await task)[-1].outputs[0].finish_reason, "abort")
        waiting = asyncio.create_task(collect(engine, [5], greedy(3), "waits"))
        await asyncio.sleep(0.05)
        self.assertFalse(waiting.done())
        await engine.resume_generation()
        self.assertEqual(len((await waiting)[-1].outputs[0].token_ids), 3)
        whole = asyncio.create_task(collect(engine, [5], greedy(100), "whole"))
        await asyncio.sleep(0.01)
        await engine.pause_generation(mode="wait")
        self.assertEqual(len((await whole)[-1].outputs[0].token_ids), 100)
        await engine.resume_generation()
        kept = asyncio.create_task(collect(engine, [5], slow(40), "kept"))
        await asyncio.sleep(0.01)
        await engine.pause_generation(mode="keep")
        await asyncio.sleep(0.15)
        self.assertFalse(kept.done())
        await engine.resume_generation()
        self.assertEqual(len((await kept)[-1].outputs[0].token_ids), 40)
        with self.assertRaisesRegex(ValueError, "Invalid pause mode"):
            await engine.pause_generation(mode="x")
        await self.drained()

    async def test_health(self):
        await self.engine.check_health()
        self.assertEqual((self.engine.is_running, self.engine.errored, self.engine.is_stopped),
                         (True, False, False))
        self.assertEqual(self.engine.get_tokenizer().bos_token_id, support.BOS)


class Collectors(unittest.IsolatedAsyncioTestCase):
    @staticmethod
    def output(text, ids, finished):
        return RequestOutput("r", "p", [1], None, [CompletionOutput(0, text, ids, None, None)],
                             finished)

    async def test_what_waits_is_merged(self):
        loop = asyncio.get_running_loop()
        for delta, wanted in ((True, ("ab", [1, 2])), (False, ("b", [2]))):
            made = async_llm._Collector(loop, delta)
            made.put(self.output("a", [1], False))
            made.put(self.output("b", [2], True))
            made.put(EngineDeadError("too late to matter"))
            got = await made.get()
            self.assertEqual((got.outputs[0].text, got.outputs[0].token_ids), wanted)
            self.assertTrue(got.finished)
        made.put(self.output("a", [1], False))
        made.put(EngineDeadError("gone"))
        with self.assertRaisesRegex(EngineDeadError, "gone"):
            await made.get()


async def anext_(generator):
    return await generator.__anext__()


class Ends(unittest.TestCase):
    def test_shutdown_with_requests(self):
        engine = make()

        async def run():
            tasks = [asyncio.create_task(collect(engine, [5], slow(250), f"r{i}"))
                     for i in range(4)]
            await asyncio.sleep(0.005)
            engine.shutdown()
            return await asyncio.gather(*tasks, return_exceptions=True)
        got = asyncio.run(run())
        self.assertEqual([type(g) for g in got], [EngineDeadError] * 4)
        self.assertFalse(engine.is_running)
        with self.assertRaises(EngineDeadError):
            asyncio.run(engine.check_health())
        engine.shutdown()

    def test_shutdown_while_a_long_prompt_is_encoded(self):
        engine = make()

        async def run():
            task = asyncio.create_task(collect(engine, "word " * 1000000, greedy(1), "long"))
            await asyncio.sleep(0.01)
            engine.shutdown()
            return await asyncio.gather(task, return_exceptions=True)
        (error,) = asyncio.run(run())
        self.assertIsInstance(error, (ValueError, EngineDeadError))
        self.assertFalse(engine.core._closer.alive)

    def test_an_engine_that_fails(self):
        engine = make()
        step, failed = engine.core.step, EngineDeadError("the device is gone")

        async def run():
            tasks = [asyncio.create_task(collect(engine, [5], slow(250), f"r{i}"))
                     for i in range(4)]
            await asyncio.sleep(0.005)

            def fail():
                raise failed
            engine.core.step = fail
            got = await asyncio.gather(*tasks, return_exceptions=True)
            self.assertEqual(got, [failed] * 4)
            self.assertTrue(engine.errored and engine.is_stopped)
            for call in (collect(engine, [5], greedy(1), "more"), engine.check_health(),
                         engine.reset_prefix_cache()):
                with self.assertRaisesRegex(EngineDeadError, "the device is gone"):
                    await call
        with self.assertLogs("llmserve", "ERROR"):
            asyncio.run(run())
        engine.core.step = step
        engine.shutdown()

    def test_one_engine_for_two_loops_in_turn(self):
        engine = make()
        first = asyncio.run(collect(engine, [5], greedy(4), "a"))
        second = asyncio.run(collect(engine, [5], greedy(4), "a"))
        self.assertEqual(first[-1].outputs, second[-1].outputs)
        engine.shutdown()

    def test_a_loop_that_is_gone(self):
        engine = make()

        async def leave():
            generator = engine.generate([5], slow(250), "left")
            await generator.__anext__()
            generators.append(generator)    # so that asyncio.run() does not close it
            asyncio.get_running_loop().shutdown_asyncgens = nothing
        generators = []

        async def nothing():
            pass
        asyncio.run(leave())
        asyncio.run(engine.wait_for_requests_to_drain(10))
        self.assertLess(engine.core.stats().completion_tokens, 200)
        engine.shutdown()

    def test_an_engine_that_is_dropped(self):
        engine = make()
        pump, closer = engine._pump, engine.core._closer
        del engine
        gc.collect()
        pump.join(10)
        self.assertFalse(pump.is_alive() or closer.alive)

    def test_a_program_that_just_ends(self):
        code = ("import asyncio, sys; sys.path.insert(0, %r); import support, async_test as t\n"
                "engine = t.make()\n"
                "async def main():\n"
                "    async for o in engine.generate([5], t.greedy(250), 'x'):\n"
                "        return\n"
                "asyncio.run(main()); print('done')" % support.HERE)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)


if __name__ == "__main__":
    support.main()
