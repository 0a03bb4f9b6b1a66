import { describe, expect, test } from "bun:test";
import type { Selection } from "../../src/engine/selection.ts";
import type { Work } from "../../src/engine/work.ts";
import { type AccountCall, ALL, readSelection, workOn } from "../../src/server/accounts.ts";
import { type ReadBody, readBody } from "../../src/server/intake.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { CONNECTION } from "../support/connection.ts";

function post(
  body?: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Request {
  return new Request("http://localhost/refresh", {
    method: "POST",
    headers,
    ...(body === undefined ? {} : { body }),
  });
}

function reader(request: Request): ReadBody {
  return (limitBytes) => readBody(request, { limitBytes, idleMs: 0 }, systemClock);
}

describe("readSelection", () => {
  const rows: [body: string | undefined, selection: Selection][] = [
    [undefined, ALL],
    ["", ALL],
    [" \n", ALL],
    ["{}", ALL],
    ['{"all":true}', ALL],
    ['{"email":"a@b.c"}', { by: "email", value: "a@b.c" }],
    ['{"file_path":"me.json"}', { by: "file_path", value: "me.json" }],
    ['{"account_id":"w"}', { by: "account_id", value: "w" }],
  ];
  test.each(rows)("%s", async (body, selection) => {
    expect(await readSelection(reader(post(body)), ALL)).toEqual(selection);
  });

  const wrong: [body: string | undefined, code: string][] = [
    [undefined, "missing_body"],
    ["{}", "invalid_body"],
    ["[]", "invalid_body"],
    ["{", "invalid_json"],
    ['{"all":false}', "invalid_value"],
    ['{"email":" "}', "invalid_value"],
    ['{"account_id":7}', "invalid_value"],
    ['{"emial":"a@b.c"}', "unknown_parameter"],
    ['{"email":"a@b.c","all":true}', "invalid_body"],
  ];
  test.each(wrong)("%s is refused with %s", async (body, code) => {
    expect(await readSelection(reader(post(body)), undefined)).toMatchObject({ status: 400, code });
  });

  test("says what may be sent, and takes no huge body", async () => {
    const refusal = await readSelection(reader(post("{}")), undefined);
    expect(JSON.stringify(refusal)).toContain("file_path");
    const huge = post(new Uint8Array(65 * 1024));
    expect(await readSelection(reader(huge), ALL)).toMatchObject({ status: 413 });
  });
});

describe("the routes", () => {
  const work: Work = async (report) => {
    report.start(1);
    report.item({ account: "a", outcome: "renewed" });
    return { total: 1 };
  };
  const callOf = (request: Request): AccountCall => ({
    request,
    read: reader(request),
    connection: CONNECTION,
    refuse: ({ status = 0, code = "" }) => Response.json({ code }, { status }),
    onFault: () => {},
  });

  test("tell how far the work has come, or that there is no such account", async () => {
    const asked: Selection[] = [];
    const find = (selection: Selection): Work | undefined => {
      asked.push(selection);
      return selection.by === "email" ? undefined : work;
    };
    const streaming = post('{"all":true}', { accept: "text/event-stream" });
    const refreshed = await workOn(callOf(streaming), find, ALL);
    expect(await refreshed.text()).toContain("event: done");
    const recovered = await workOn(callOf(post('{"all":true}')), async (selection) =>
      find(selection),
    );
    expect(await recovered.json()).toMatchObject({ total: 1 });
    const nobody = '{"email":"nobody@example.com"}';
    const missed = await workOn(callOf(post(nobody)), find, ALL);
    expect([missed.status, await missed.json()]).toEqual([404, { code: "account_not_found" }]);
    const lost = await workOn(callOf(post(nobody)), async () => undefined);
    expect(lost.status).toBe(404);
    expect(asked.map(({ by }) => by)).toEqual(["all", "all", "email"]);
  });

  test("refuse what they cannot read, before anything is done", async () => {
    const never = () => {
      throw new Error("it was begun");
    };
    expect((await workOn(callOf(post("{")), never, ALL)).status).toBe(400);
    expect((await workOn(callOf(post()), never)).status).toBe(400);
  });
});
