import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  createFrameSplitter,
  dataOf,
  formatComment,
  formatEvent,
  join,
} from "../../src/wire/sse.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const bytes = (text: string): Uint8Array => encoder.encode(text);

type Cut = { readonly frames: readonly [event: string, text: string][]; readonly rest: string };

/** All that comes out when `parts` go in one after the other. */
function split(parts: readonly Uint8Array[]): Cut {
  const splitter = createFrameSplitter();
  const frames = parts.flatMap((part) => splitter.push(part));
  return {
    frames: frames.map(({ event, bytes: raw }) => [event, decoder.decode(raw)]),
    rest: decoder.decode(splitter.rest()),
  };
}

function cutAt(whole: Uint8Array, offsets: readonly number[]): Uint8Array[] {
  const sorted = [0, ...offsets.toSorted((a, b) => a - b), whole.length];
  return sorted.slice(1).map((end, index) => whole.slice(sorted[index], end));
}

/** The frames by the letter of the standard, over the whole text at once. A CR at the very end is not judged. */
function framesByTheBook(text: string): string[] {
  const frames: string[] = [];
  let frameStart = 0;
  let lineStart = 0;
  for (const { 0: end, index } of text.matchAll(/\r\n|\n|\r(?!$)/g)) {
    const next = index + end.length;
    if (index === lineStart) {
      frames.push(text.slice(frameStart, next));
      frameStart = next;
    }
    lineStart = next;
  }
  return frames;
}

const SAMPLES = [
  'event: response.created\ndata: {"type":"response.created"}\n\nevent: a\ndata: {}\n\n',
  'event: crlf\r\ndata: {"a":1}\r\n\r\nevent: next\r\ndata: 2\r\n\r\n',
  "event: cr\rdata: 1\r\revent: next\rdata: 2\r\rx",
  "event: mixed\r\ndata: 1\n\r\ndata: 2\r\n\n\rdata: 3\n\r",
  'data: {"type":"named.by.data","text":"\u2028\u2029\u0085\u000b"}\n\n',
  'event: text\ndata: {"delta":"grüße 日本 😀"}\n\n',
  "\ufeffevent: after.bom\ndata: 1\n\n",
  ": a comment\n\n: another\nevent: commented\ndata: 1\n\n",
  "event: many\ndata: one\ndata: two\ndata:three\n\n",
  "\n\n\r\n\r\revent: x\n\n",
  "event: cut\ndata: no end",
  "",
];

describe("frames", () => {
  test.each(SAMPLES)("do not depend on where the network cut the bytes: %j", (text) => {
    const whole = bytes(text);
    const expected = split([whole]);
    for (let cut = 0; cut <= whole.length; cut++) {
      expect(split(cutAt(whole, [cut]))).toEqual(expected);
      for (let second = cut; second <= whole.length; second += 3) {
        expect(split(cutAt(whole, [cut, second]))).toEqual(expected);
      }
    }
    expect(split([...whole].map((byte) => Uint8Array.of(byte)))).toEqual(expected);
  });

  const line = fc.constantFrom(
    "",
    "",
    "event: response.output_text.delta",
    "event:x",
    'data: {"type":"t"}',
    "data",
    "data:  two spaces",
    ": comment",
    "id: 3",
    "\ufeff",
    "data: ü日😀\u2028\u2029",
    "event",
  );
  const stream = fc
    .array(fc.tuple(line, fc.constantFrom("\n", "\r\n", "\r", "")), { maxLength: 14 })
    .map((lines) => lines.map(([words, end]) => words + end).join(""));

  test("are those of the standard, and with the rest they are the bytes that came, for any cuts", () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(400), { maxLength: 8 }), (text, places) => {
        const whole = bytes(text);
        const cuts = places.map((place) => place % (whole.length + 1));
        const cut = split(cutAt(whole, cuts));
        expect(cut).toEqual(split([whole]));
        expect(cut.frames.map(([, frame]) => frame)).toEqual(framesByTheBook(text));
        expect(cut.frames.map(([, frame]) => frame).join("") + cut.rest).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  test("keep every byte, even where it is no UTF-8", () => {
    fc.assert(
      fc.property(fc.uint8Array({ max: 16 }), fc.nat(64), (whole, place) => {
        const splitter = createFrameSplitter();
        const frames = cutAt(whole, [Math.min(place, whole.length)]).flatMap((part) =>
          splitter.push(part),
        );
        expect(
          join(
            frames.map((frame) => frame.bytes),
            splitter.rest(),
          ),
        ).toEqual(whole);
      }),
    );
  });

  test("come as soon as their last byte is there", () => {
    const splitter = createFrameSplitter();
    expect(splitter.push(bytes("event: a\ndata: 1\n"))).toEqual([]);
    expect(splitter.push(bytes("\n"))).toHaveLength(1);
    expect(splitter.push(bytes("event: b\n\n"))).toHaveLength(1);
  });

  test("with a CR for a line end wait for the byte that may be its LF", () => {
    const splitter = createFrameSplitter();
    expect(splitter.push(bytes("data: 1\r\n\r"))).toEqual([]);
    expect(splitter.push(bytes("\ndata: 2\r\n")).map((frame) => frame.bytes.length)).toEqual([11]);
  });

  test("that need no joining are views into the chunk", () => {
    const chunk = bytes("event: a\ndata: 1\n\nevent: b\n\n");
    const frames = createFrameSplitter().push(chunk);
    expect(frames.map(({ bytes: { buffer } }) => buffer === chunk.buffer)).toEqual([true, true]);
  });

  test("of any size are joined once, in thousands of pieces", () => {
    const piece = bytes("x".repeat(64));
    const splitter = createFrameSplitter();
    splitter.push(bytes("data: "));
    for (let i = 0; i < 20_000; i++) splitter.push(piece);
    const [frame] = splitter.push(bytes("\n\n"));
    expect(frame?.bytes.length).toBe(6 + 20_000 * 64 + 2);
  });
});

describe("the event of a frame", () => {
  const rows: [text: string, event: string][] = [
    ["event: a.b\ndata: 1\n\n", "a.b"],
    ["event:a.b\n\n", "a.b"],
    ["event: a.b\r\ndata: 1\r\n\r\n", "a.b"],
    ["event:  two spaces\n\n", " two spaces"],
    ["data: 1\nevent: late\n\n", "late"],
    [": comment\nevent: late\n\n", "late"],
    ['data: {"type":"by.data"}\n\n', "by.data"],
    ['event:\ndata: {"type":"by.data"}\n\n', "by.data"],
    ['event: \ndata: {"type":"by.data"}\n\n', "by.data"],
    ['data: {"type":\ndata: "in.two.lines"}\n\n', "in.two.lines"],
    ['event: named\ndata: {"type":"other"}\n\n', "named"],
    ['data: {"type":7}\n\n', ""],
    ["data: [DONE]\n\n", ""],
    ["data: no json\n\n", ""],
    [": only a comment\n\n", ""],
    ["eventual: x\n\n", ""],
    ["event\n\n", ""],
    ["\n", ""],
    ["\ufeffevent: after.bom\n\n", "after.bom"],
    ["event: zeichen.ü\n\n", "zeichen.ü"],
  ];
  test.each(rows)("%j is %p", (text, event) => {
    expect(split([bytes(text)]).frames).toEqual([[event, text]]);
  });
});

describe("dataOf", () => {
  test.each([
    ["data: one\n\n", "one"],
    ["data:one\n\n", "one"],
    ["data:  one\n\n", " one"],
    ["event: x\ndata: one\ndata: two\n\n", "one\ntwo"],
    ["data: one\r\ndata: two\r\rdata: three", "one\ntwo\nthree"],
    ["data: a\u2028b\n\n", "a\u2028b"],
    ["data:\n\n", ""],
    ["event: x\nid: 1\n: data: no\n\n", ""],
    ["", ""],
  ])("of %j is %j", (text, data) => {
    expect(dataOf(bytes(text))).toBe(data);
  });
});

describe("what is formatted", () => {
  test("looks as the backend writes it", () => {
    expect(decoder.decode(formatEvent("a.b", { type: "a.b", text: "x\ny\u2028" }))).toBe(
      'event: a.b\ndata: {"type":"a.b","text":"x\\ny\u2028"}\n\n',
    );
    expect(decoder.decode(formatComment("ping"))).toBe(": ping\n\n");
  });

  test("is read back as one frame with the same event and data", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        const value: unknown = JSON.parse(json);
        const frames = createFrameSplitter().push(formatEvent("x", value));
        expect(frames.map(({ event }) => event)).toEqual(["x"]);
        expect(JSON.stringify(JSON.parse(dataOf(frames[0]?.bytes ?? new Uint8Array())))).toBe(
          JSON.stringify(value),
        );
      }),
    );
  });
});

describe("join", () => {
  const none = new Uint8Array(0);
  const one = Uint8Array.of(1, 2);
  const two = Uint8Array.of(3);
  test("puts all bytes into one array, and copies only where there is more than one", () => {
    expect(join([], none)).toEqual(none);
    expect(join([], one)).toBe(one);
    expect(join([one], none)).toBe(one);
    expect(join([one], two)).toEqual(Uint8Array.of(1, 2, 3));
    expect(join([one, none, two], one)).toEqual(Uint8Array.of(1, 2, 3, 1, 2));
  });
});
