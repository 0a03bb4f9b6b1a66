import { describe, expect, test } from "bun:test";
import { type Dialect, requestBody } from "../../../scripts/bench/request.ts";
import { lookAt } from "../../../scripts/bench/sight.ts";
import { openChat, openMessages, type Translation } from "../../../scripts/bench/translation.ts";
import { framesOf } from "../../../scripts/bench/turn.ts";
import { type Dict, dict, list, parseDict } from "../../../src/wire/json.ts";

const OPENERS: readonly (readonly [dialect: Dialect, open: () => Translation])[] = [
  ["chat", openChat],
  ["messages", openMessages],
];

function eventsOf(frames: readonly Uint8Array[]): readonly Dict[] {
  return frames.map((frame) => {
    const text = Buffer.from(frame).toString();
    return dict(parseDict(text.slice(text.indexOf("data: ") + 6)));
  });
}

/** What each event of a stream is about, without repetitions. */
function kindsOf(open: () => Translation): readonly string[] {
  const { event } = open();
  const told = eventsOf(framesOf(20)).map(event).join("").split("\n\n").slice(0, -1);
  const kinds = told.map((each) => {
    const data = dict(parseDict(each.slice(each.indexOf("data: ") + 6)));
    const choice = dict(list(data["choices"])[0]);
    const delta = Object.keys(dict(choice["delta"])).join(" ");
    return String(data["type"] ?? choice["finish_reason"] ?? (delta || Object.keys(data).at(-1)));
  });
  return kinds.filter((kind, at) => kind !== kinds[at - 1]);
}

test("the floors write the events that clients of those protocols wait for", () => {
  expect(kindsOf(openMessages)).toEqual([
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
  ]);
  expect(kindsOf(openChat)).toEqual([
    "role content refusal",
    "content",
    "stop",
    "usage",
    "undefined",
  ]);
});

describe.each(OPENERS)("the floor of %s", (dialect, open) => {
  test("tells the text of the backend in as many pieces", () => {
    const frames = framesOf(20);
    const model = lookAt("codex", Buffer.concat(frames));
    const { event } = open();
    const told = lookAt(dialect, Buffer.from(eventsOf(frames).map(event).join("")));
    expect(model?.words).toBe(11);
    expect({ words: told?.words, text: told?.text }).toEqual({
      words: 11,
      text: model?.text ?? "",
    });
  });

  test("asks the backend what a client of the backend's own would ask", () => {
    const content = { bytes: 20_000, kind: "conversation" } as const;
    const said = (body: Dict): readonly unknown[] =>
      list(body["input"]).map((item) => {
        const { type, call_id, content: parts } = dict(item);
        return [type, call_id, dict(list(parts)[0])["type"]];
      });
    const request = parseDict(requestBody(dialect, content, "key")) ?? {};
    const own = parseDict(requestBody("codex", content, "key")) ?? {};
    const asked = dict(open().request(request));
    expect(said(asked).slice(0, 9)).toEqual(said(own).slice(0, 9));
    expect([asked["model"], asked["instructions"]]).toEqual([own["model"], own["instructions"]]);
  });
});
