import { describe, expect, test } from "bun:test";
import { modelOf, openAnswer } from "../../../scripts/bench/answer.ts";

const BODY = `event: a\ndata: {"n":1}\n\nevent: b\ndata: ${"x".repeat(40)}\n\n`;
const HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";

function chunked(body: string, size: number): Buffer {
  const chunks: string[] = [];
  for (let at = 0; at < body.length; at += size) {
    const piece = body.slice(at, at + size);
    chunks.push(`${piece.length.toString(16)}\r\n${piece}\r\n`);
  }
  return Buffer.from(`${HEAD}transfer-encoding: chunked\r\n\r\n${chunks.join("")}0\r\n\r\n`);
}

function sized(body: string): Buffer {
  return Buffer.from(`${HEAD}content-length: ${body.length}\r\n\r\n${body}`);
}

const MODEL = modelOf("codex", Buffer.from(BODY));

/** What the last of two pieces brought, and what the first did. */
function pushed(bytes: Buffer, cut: number, model = MODEL): readonly (boolean | string)[] {
  const answer = openAnswer(model);
  return [answer.push(bytes.subarray(0, cut)), answer.push(bytes.subarray(cut))];
}

describe("an answer", () => {
  test.each([
    ["in small chunks", chunked(BODY, 7)],
    ["in one chunk", chunked(BODY, 1000)],
    ["with its length", sized(BODY)],
  ])("%s is whole with its last byte, wherever the network cut it", (_name, bytes) => {
    for (let cut = 1; cut < bytes.length; cut++) {
      expect(pushed(bytes, cut)).toEqual([false, true]);
    }
  });

  test("without a model is kept", () => {
    const answer = openAnswer(undefined);
    expect(answer.push(chunked(BODY, 9))).toBe(true);
    expect(answer.body().toString()).toBe(BODY);
  });

  test("that differs in one byte is told, and where", () => {
    const changed = BODY.replace("b", "c");
    expect(openAnswer(MODEL).push(sized(changed))).toMatch(/^differs .* between byte 0 and \d+$/);
    expect(openAnswer(MODEL).push(chunked(changed, 5))).toMatch(/between byte 30 and 35$/);
  });

  test("that is longer or shorter than the first is told", () => {
    expect(openAnswer(MODEL).push(chunked(`${BODY}x`, 9))).toMatch(/longer than the first/);
    expect(openAnswer(MODEL).push(chunked(BODY.slice(0, -1), 9))).toMatch(/the first answer had/);
    expect(openAnswer(MODEL).push(sized(BODY.slice(0, -1)))).toMatch(/the first answer had/);
  });

  test("may differ behind its constant part, but not in its length", () => {
    const model = { body: Buffer.from(BODY), constant: 20 };
    const changed = BODY.replaceAll("x", "y");
    expect(openAnswer(model).push(chunked(changed, 9))).toBe(true);
    expect(openAnswer(model).push(chunked(`${changed}y`, 9))).toMatch(/longer/);
  });

  test("with another status is told with its words", () => {
    const refusal = 'HTTP/1.1 503 Service Unavailable\r\n\r\n{"error":"no account"}';
    expect(openAnswer(MODEL).push(Buffer.from(refusal))).toMatch(
      /^was not 200 but 503 .*no account/s,
    );
  });

  test("whose chunks have no size is told", () => {
    const broken = `${HEAD}transfer-encoding: chunked\r\n\r\nevent: a\n`;
    expect(openAnswer(MODEL).push(Buffer.from(broken))).toBe("is not in chunks");
  });
});
