import { describe, expect, test } from "bun:test";
import { createCheckQuota } from "../../src/server/check-quota.ts";
import { type Dict, dict, list, parseDict } from "../../src/wire/json.ts";
import { settled } from "../engine/parts.ts";
import { reading, refusal, type Stage, stageOf } from "../engine/readings.ts";

function checkerOf(stage: Stage, most = 3) {
  return createCheckQuota({
    gauge: stage.gauge,
    most: () => most,
    views: () => stage.pool.view(stage.clock.now()),
    onFault: () => {},
  });
}

async function ask(stage: Stage, body = "", headers: Record<string, string> = {}) {
  const request = new Request("http://localhost/check-quota", { method: "POST", body, headers });
  const answering = checkerOf(stage)(request, "req_1");
  for (let tries = 0; tries < 60; tries++) await stage.pass(1000);
  return answering;
}

async function bodyOf(answer: Awaited<ReturnType<typeof ask>>): Promise<Dict> {
  if (!(answer instanceof Response)) throw new Error(answer.message);
  return dict(parseDict(await answer.text()));
}

describe("POST /check-quota", () => {
  test("reads every account and tells what each has used", async () => {
    const stage = stageOf("ann", "bob", "cid");
    stage.endpoint = (name) => (name === "bob" ? refusal("forbidden", 403) : reading(29));
    stage.pool.settle(stage.id("cid"), { type: "renewal-refused", reason: "gone" }, 0);
    const body = await bodyOf(await ask(stage));
    expect(body).toMatchObject({ measured: 1, failed: 1, skipped: 1 });
    const items = list(body["items"]).map(dict);
    expect(items.toSorted((a, b) => String(a["file"]).localeCompare(String(b["file"])))).toEqual([
      {
        account: expect.stringContaining("an***@example.com#"),
        file: "ann.json",
        outcome: "measured",
        state: "ready",
        windows: [
          {
            name: "5h",
            used_percent: 29,
            resets_at: "2026-11-20T13:00:00.000Z",
            window_seconds: null,
          },
        ],
        credits: false,
      },
      expect.objectContaining({
        file: "bob.json",
        outcome: "failed",
        state: "cooling",
        windows: [],
        credits: null,
        reason: "it was forbidden",
      }),
      expect.objectContaining({
        file: "cid.json",
        outcome: "skipped",
        state: "needs-login",
        reason: "It needs a new login.",
      }),
    ]);
  });

  test("who accepts a stream sees them one by one, and never a burst is made", async () => {
    const names = Array.from({ length: 12 }, (_, at) => `a${at}`);
    const stage = stageOf(...names);
    const answer = await ask(stage, '{"all":true}', { accept: "text/event-stream" });
    const text = answer instanceof Response ? await answer.text() : "";
    const types = [...text.matchAll(/^event: (.*)$/gm)].map(([, type]) => type);
    expect(types).toEqual(["start", ...names.map(() => "item"), "done"]);
    expect(text).toContain('data: {"type":"start","total":12}');
    expect(text).toContain('data: {"type":"done","measured":12,"failed":0,"skipped":0}');
    expect(stage.mostAtOnce()).toBeLessThanOrEqual(3);
    const gaps = stage.askedMs.slice(1).map((atMs, at) => atMs - (stage.askedMs[at] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1000);
  });

  test("one account is read by its e-mail address, file or id", async () => {
    for (const body of [
      '{"email":"bob@example.com"}',
      '{"file_path":"bob.json"}',
      '{"account_id":"user-bob/workspace"}',
    ]) {
      const stage = stageOf("ann", "bob");
      expect(await bodyOf(await ask(stage, body))).toMatchObject({ measured: 1 });
      expect(stage.asked).toEqual(["bob"]);
    }
  });

  test("a reading that shows room brings an exhausted account back", async () => {
    const stage = stageOf("ann");
    const spent = { kind: "exhausted", message: "x", resetsAtMs: stage.clock.now() + 9e8 } as const;
    stage.pool.settle(stage.id("ann"), { type: "failed", failure: spent }, stage.clock.now());
    expect(stage.stateOf("ann")).toBe("quota");
    const body = await bodyOf(await ask(stage));
    expect(list(body["items"])).toMatchObject([{ outcome: "measured", state: "ready" }]);
  });

  test("nobody by that name is a 404, and a body that says nothing sensible a 400", async () => {
    const stage = stageOf("ann");
    expect(await ask(stage, '{"email":"x@example.com"}')).toMatchObject({ status: 404 });
    expect(await ask(stage, "{")).toMatchObject({ status: 400 });
    expect(await ask(stage, `{"email":"${"x".repeat(70_000)}"}`)).toMatchObject({ status: 413 });
    expect(stage.asked).toEqual([]);
  });

  test("a pool without accounts has nothing to check", async () => {
    expect(await bodyOf(await ask(stageOf()))).toEqual({
      measured: 0,
      failed: 0,
      skipped: 0,
      items: [],
    });
  });

  test("when the client leaves, what has begun is brought to its end and the rest is left", async () => {
    const stage = stageOf("ann", "bob", "cid");
    const client = new AbortController();
    const request = new Request("http://localhost/check-quota", {
      method: "POST",
      headers: { accept: "text/event-stream" },
      signal: client.signal,
    });
    const answering = checkerOf(stage, 1)(request, "req_1");
    await settled();
    client.abort();
    for (let tries = 0; tries < 30; tries++) await stage.pass(1000);
    await answering;
    expect(stage.asked.length).toBeLessThanOrEqual(1);
  });
});
