import { afterEach, expect, jest, spyOn, test } from "bun:test";
import type { Sink } from "../../src/platform/platform.ts";
import { createOutput, openStandardError } from "../../src/wire/output.ts";
import { createManualClock } from "../support/clock.ts";

afterEach(() => jest.restoreAllMocks());

/** A sink whose flushes end when told to. */
function createSlowSink() {
  const written: string[] = [];
  const waiting: { readonly done: () => void; readonly fail: (cause: Error) => void }[] = [];
  const sink: Sink = {
    write: (text) => written.push(text),
    flush: () => new Promise<void>((done, fail) => waiting.push({ done, fail })),
  };
  return { sink, written, waiting };
}

function createFastSink() {
  const written: string[] = [];
  const sink: Sink = { write: (text) => written.push(text), flush: () => 0 };
  return { sink, written };
}

test("lines are written together, a little later and in order", async () => {
  const clock = createManualClock(0);
  const { sink, written } = createFastSink();
  const output = createOutput(sink, clock);
  output.write("one\n");
  output.write("two\n");
  expect(written).toEqual([]);
  clock.advance(10);
  expect(written).toEqual(["one\ntwo\n"]);
  await output.end();
  output.write("three\n");
  clock.advance(10);
  expect(written).toEqual(["one\ntwo\n", "three\n"]);
});

test("end writes what waits, at once", async () => {
  const { sink, written } = createFastSink();
  const output = createOutput(sink, createManualClock(0));
  output.write("one\n");
  await output.end();
  expect(written).toEqual(["one\n"]);
});

test("end with nothing to write writes nothing", async () => {
  const { sink, written } = createFastSink();
  await createOutput(sink, createManualClock(0)).end();
  expect(written).toEqual([]);
});

test("lines that come while a batch is under way follow it, and end waits for them", async () => {
  const clock = createManualClock(0);
  const { sink, written, waiting } = createSlowSink();
  const output = createOutput(sink, clock);
  output.write("one\n");
  clock.advance(10);
  await settled();
  output.write("two\n");
  const ended = output.end();
  expect(written).toEqual(["one\n"]);
  waiting[0]?.done();
  await settled();
  expect(written).toEqual(["one\n", "two\n"]);
  waiting[1]?.done();
  await ended;
});

test("no line is left behind, at whatever moment of a flush's end it comes", async () => {
  for (let moment = 0; moment < 8; moment++) {
    const clock = createManualClock(0);
    const { sink, written, waiting } = createSlowSink();
    const output = createOutput(sink, clock);
    output.write("one\n");
    clock.advance(10);
    await settled();
    waiting[0]?.done();
    for (let turn = 0; turn < moment; turn++) await Promise.resolve();
    output.write("two\n");
    await settled();
    clock.advance(10);
    expect(written).toEqual(["one\n", "two\n"]);
  }
});

test("lines nobody reads are dropped beyond a bound, and counted", async () => {
  const clock = createManualClock(0);
  const { sink, written, waiting } = createSlowSink();
  const output = createOutput(sink, clock);
  output.write("first\n");
  clock.advance(10);
  await settled();
  for (let i = 0; i < 10_003; i++) output.write("x\n");
  waiting[0]?.done();
  await settled();
  expect(written).toHaveLength(2);
  expect(written[1]).toBe(`${"x\n".repeat(10_000)}(3 log lines dropped: nobody reads them)\n`);
  output.write("again\n");
  waiting[1]?.done();
  await settled();
  expect(written[2]).toBe("again\n");
});

test.each(["write", "flush"] as const)("a %s that fails harms nobody", async (step) => {
  const clock = createManualClock(0);
  const written: string[] = [];
  let isClosed = true;
  const act = (text = ""): unknown => {
    if (isClosed) return Promise.reject(new Error("EPIPE"));
    if (text !== "") written.push(text);
    return 0;
  };
  const output = createOutput({ write: () => 0, flush: () => 0, [step]: act }, clock);
  output.write("lost\n");
  clock.advance(10);
  await settled();
  output.write("lost too\n");
  await output.end();
  isClosed = false;
  output.write("heard\n");
  await output.end();
  if (step === "write") expect(written).toEqual(["heard\n"]);
});

test("standard error is written through Bun's own writer", async () => {
  const { sink, written } = createFastSink();
  const inner = Bun.stderr.writer();
  const write = spyOn(inner, "write").mockImplementation((text) => {
    sink.write(String(text));
    return 0;
  });
  spyOn(Bun.stderr, "writer").mockReturnValue(inner);
  const output = openStandardError();
  output.write("hello\n");
  await output.end();
  expect(write).toHaveBeenCalledTimes(1);
  expect(written).toEqual(["hello\n"]);
});

/** Lets everything that has been resolved run on. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}
