import { describe, expect, test } from "bun:test";
import type { Compaction } from "../../src/turn/request.ts";
import { readStep, type Step } from "../../src/turn/step.ts";
import { createStop } from "../../src/turn/stop.ts";
import {
  type Compacted,
  endedStream,
  readAnswer,
  readCompaction,
} from "../../src/upstream/compact.ts";
import type { Batch, TurnStream } from "../../src/upstream/stream.ts";
import { type Dict, dict } from "../../src/wire/json.ts";
import { formatEvent } from "../../src/wire/sse.ts";
import { createManualClock } from "../support/clock.ts";
import { makeTurn } from "./scene.ts";

function step(type: string, data: Dict = {}): Step {
  return readStep({ event: type, bytes: formatEvent(type, { type, ...data }) });
}

const one = { type: "compaction", id: "cmp_1", encrypted_content: "gONE" };
const two = { type: "compaction_summary", id: "cmp_2", encrypted_content: "gTWO" };
const said = { type: "message", id: "msg_1", content: [] };

function told(output_index: number | undefined, item: Dict): readonly Step[] {
  const place = output_index === undefined ? {} : { output_index };
  return [
    step("response.output_item.added", { ...place, item }),
    step("response.output_item.done", { ...place, item }),
  ];
}
const completed = (output: readonly Dict[] = []): Step =>
  step("response.completed", { response: { id: "resp_1", output } });

/** Reads steps that come one by one. */
function read(steps: readonly Step[], last?: Batch): Promise<Compacted> {
  const batches: Batch[] = steps.map((each) => ({ type: "steps", steps: [each] }));
  if (last !== undefined) batches.push(last);
  const stream: TurnStream = {
    headers: {},
    read: async () => batches.shift() ?? { type: "end" },
    close: () => {},
    drained: () => undefined,
  };
  return readCompaction(stream, (each) =>
    each.role === "failed" ? { kind: "server-error", message: "It failed." } : undefined,
  );
}

function itemsIn(compacted: Compacted): readonly unknown[] {
  if (!compacted.ok) throw new Error(compacted.failure.message);
  return compacted.steps
    .filter(({ role }) => role === "item-done")
    .map((each) => each.data()["item"]);
}

describe("readCompaction", () => {
  test("hands on every event as it came where there is one compaction", async () => {
    const steps = [step("response.created"), ...told(0, said), ...told(1, one), completed()];
    expect(await read(steps)).toEqual({ ok: true, steps });
  });

  test.each<[name: string, first: number | undefined, second: number | undefined]>([
    ["places of their own", 0, 1],
    ["one place", 0, 0],
    ["no place", undefined, undefined],
    ["no place first", undefined, 0],
  ])("keeps the last of several that have %s", async (_name, first, second) => {
    const end = completed();
    const compacted = await read([...told(first, one), ...told(second, two), end]);
    expect(itemsIn(compacted)).toEqual([two]);
    expect(compacted.ok && compacted.steps.at(-1)).toBe(end);
  });

  test("keeps what stands beside them", async () => {
    const compacted = await read([...told(0, one), ...told(1, said), ...told(2, two), completed()]);
    expect(itemsIn(compacted)).toEqual([said, two]);
  });

  test("takes one that only the last event tells, and tells no more there than elsewhere", async () => {
    expect((await read([completed([one])])).ok).toBe(true);
    const compacted = await read([...told(0, one), ...told(1, two), completed([one, two])]);
    const last = compacted.ok ? compacted.steps.at(-1) : undefined;
    expect(dict(last?.data()["response"])["output"]).toEqual([two]);
  });

  test("fails without one, by an event's word, and with the stream", async () => {
    expect(await read([...told(0, said), completed()])).toMatchObject({
      failure: { kind: "no-compaction" },
    });
    expect(await read([...told(0, one), step("response.failed")])).toMatchObject({
      failure: { kind: "server-error" },
    });
    const failure = { kind: "cut-short", message: "It broke." } as const;
    expect(await read([...told(0, one)], { type: "broken", failure })).toEqual({
      ok: false,
      failure,
    });
  });

  test("does not read on for ever", async () => {
    const noise = step("response.output_text.delta", { delta: "x".repeat(1024 * 1024) });
    const stream: TurnStream = {
      headers: {},
      read: async () => ({ type: "steps", steps: [noise] }),
      close: () => {},
      drained: () => undefined,
    };
    expect(await readCompaction(stream, () => undefined)).toMatchObject({
      failure: { kind: "no-compaction" },
    });
  });
});

describe("readAnswer", () => {
  const compaction: Compaction = { asked: "endpoint", way: "endpoint" };
  const answer = (body: string): Promise<Compacted> =>
    readAnswer(new Response(body), makeTurn({ compaction }), 0, {
      stop: createStop(),
      clock: createManualClock(0),
    });

  test("reads the events out of the answer", async () => {
    const compacted = await answer(JSON.stringify({ id: "resp_1", output: [said, one, two] }));
    expect(itemsIn(compacted)).toEqual([said, two]);
  });

  test.each([
    ['{"output":[]}', "no-compaction"],
    ["[]", "server-error"],
    ["", "server-error"],
  ] as const)("%s is %s", async (body, kind) => {
    expect(await answer(body)).toMatchObject({ ok: false, failure: { kind } });
  });
});

test("an ended stream has nothing more to say", async () => {
  const headers = { "openai-model": "m" };
  const stream = endedStream(headers);
  expect([stream.headers, await stream.read()]).toEqual([headers, { type: "end" }]);
  stream.close();
});
