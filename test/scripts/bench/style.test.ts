import { expect, test } from "bun:test";
import { openAnswer } from "../../../scripts/bench/answer.ts";
import { endlessStyle, turnStyle } from "../../../scripts/bench/style.ts";
import { framesOf } from "../../../scripts/bench/turn.ts";

const FRAMES = framesOf(20);

function bodyOf(pieces: readonly Buffer[]): string {
  const answer = openAnswer(undefined);
  const verdicts = pieces.map((piece) => answer.push(piece));
  expect(verdicts.indexOf(true)).toBe(pieces.length - 1);
  return answer.body().toString();
}

test("an answer has the same bytes at once and one by one", () => {
  const atOnce = turnStyle(FRAMES, 0);
  const paced = turnStyle(FRAMES, 5);
  const text = Buffer.concat(FRAMES).toString();
  expect(atOnce.kind === "at-once" && bodyOf([atOnce.whole])).toBe(text);
  expect(paced.kind === "paced" && bodyOf(paced.parts)).toBe(text);
  expect(paced.kind === "paced" && paced.parts.length).toBe(20);
});

test("an endless answer opens like a turn and goes on with words", () => {
  const style = endlessStyle();
  if (style.kind !== "endless") throw new Error("it has an end");
  const answer = openAnswer(undefined);
  expect([answer.push(style.opening), answer.push(style.piece), answer.push(style.piece)]).toEqual([
    false,
    false,
    false,
  ]);
  const events = answer
    .body()
    .toString()
    .split("\n\n")
    .map((event) => event.split("\n")[0]);
  expect(events[0]).toBe("event: response.created");
  expect(events[4]).toBe("event: response.content_part.added");
  expect(new Set(events.slice(5, -1))).toEqual(new Set(["event: response.output_text.delta"]));
});
