import { expect, test } from "bun:test";
import { createEventReader } from "../../../src/dashboard/page/events.ts";

const TEXT = 'event: a\ndata: {"n":1}\n\n: ping\n\nevent: b\ndata: one\ndata: two\n\n';
const EVENTS = [
  { event: "a", data: '{"n":1}' },
  { event: "b", data: "one\ntwo" },
];

test("events do not depend on where the text was cut", () => {
  for (let cut = 0; cut <= TEXT.length; cut++) {
    const read = createEventReader();
    expect([...read(TEXT.slice(0, cut)), ...read(TEXT.slice(cut))]).toEqual(EVENTS);
  }
});

test("what has not ended is no event yet", () => {
  expect(createEventReader()("event: a\ndata: {}\n")).toEqual([]);
});
