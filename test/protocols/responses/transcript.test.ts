import { describe, expect, test } from "bun:test";
import { createTranscript, readItem } from "../../../src/protocols/responses/transcript.ts";
import { type Dict, isDict } from "../../../src/wire/json.ts";

const MESSAGE = { id: "msg_1", type: "message", role: "assistant", content: [] };
const OPENING = {
  type: "response.created",
  sequence_number: 0,
  response: { id: "resp_1", model: "m" },
};

/** A transcript of these events. */
function told(...events: readonly Dict[]) {
  const transcript = createTranscript();
  for (const event of events) transcript.note(String(event["type"]), JSON.stringify(event));
  return transcript;
}

const added = (output_index: number, item: Dict = MESSAGE) => ({
  type: "response.output_item.added",
  sequence_number: 2 + output_index,
  output_index,
  item,
});

const done = (output_index: number, item: Dict = MESSAGE) => ({
  type: "response.output_item.done",
  sequence_number: 5 + output_index,
  output_index,
  item,
});

const ended = (type: string, output: readonly Dict[] = []) => ({
  type,
  sequence_number: 9,
  response: { id: "resp_1", output },
});

describe("createTranscript", () => {
  test("knows the response as soon as it is told", () => {
    expect(told().responseId()).toBeUndefined();
    expect(told(OPENING).responseId()).toBe("resp_1");
    expect(told(ended("response.completed")).responseId()).toBe("resp_1");
  });

  test("an answer's items are those that were finished", () => {
    const items = told(OPENING, added(0), done(0), ended("response.completed")).outcome()?.items;
    expect(items?.map(readItem)).toEqual([MESSAGE]);
  });

  test("they come from the last event where no event of their own told them", () => {
    const outcome = told(OPENING, ended("response.incomplete", [MESSAGE])).outcome();
    expect(outcome?.responseId).toBe("resp_1");
    expect(outcome?.items.map(readItem)).toEqual([MESSAGE]);
  });

  test("there is nothing to go on from after a failure, nor before the end", () => {
    expect(told(OPENING, done(0), ended("response.failed")).outcome()).toBeUndefined();
    expect(told(OPENING, done(0)).outcome()).toBeUndefined();
    expect(told({ type: "response.completed", response: {} }).outcome()).toBeUndefined();
  });

  test("an interruption drops open items, keeps finished ones, and is an end to go on from", () => {
    const transcript = told(
      OPENING,
      added(0),
      done(0),
      added(1, { id: "rs_1", type: "reasoning" }),
      {
        type: "codex.rate_limits",
      },
    );
    const events = transcript.interrupt();
    expect(events).toEqual([
      {
        type: "response.output_item.interrupted",
        sequence_number: 4,
        response_id: "resp_1",
        item_id: "rs_1",
        output_index: 1,
      },
      {
        type: "response.incomplete",
        sequence_number: 5,
        response: {
          id: "resp_1",
          model: "m",
          status: "incomplete",
          incomplete_details: { reason: "interrupted" },
          output: [MESSAGE],
          usage: null,
        },
      },
    ]);
    for (const event of events.filter(isDict)) {
      transcript.note(String(event["type"]), JSON.stringify(event));
    }
    expect(transcript.outcome()?.items.map(readItem)).toEqual([MESSAGE]);
  });
});

describe("readItem", () => {
  test("takes an item itself or an event with one", () => {
    expect(readItem(JSON.stringify(MESSAGE))).toEqual(MESSAGE);
    expect(readItem(JSON.stringify(done(0)))).toEqual(MESSAGE);
  });
});
