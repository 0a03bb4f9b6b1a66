import { describe, expect, test } from "bun:test";
import { readSelection } from "../../src/server/selection.ts";
import { loginOf, NOON } from "../engine/parts.ts";
import { poolOf } from "../engine/vault.ts";

const pool = poolOf(NOON, loginOf("ann"), loginOf("bob", { workspaceId: "w-bob" }));

/** The files of the accounts that a body chooses. */
function chosen(body: string): readonly string[] | undefined {
  const selection = readSelection(body);
  if (typeof selection !== "function") return undefined;
  return pool
    .view(NOON)
    .filter(selection)
    .map(({ account }) => account.login.source);
}

describe("readSelection", () => {
  test.each<[body: string, files: readonly string[]]>([
    ['{"email":"ANN@example.com "}', ["/auths/ann.json"]],
    ['{"file_path":"ann.json"}', ["/auths/ann.json"]],
    ['{"file_path":"/auths/bob.json"}', ["/auths/bob.json"]],
    ['{"account_id":"w-bob"}', ["/auths/bob.json"]],
    ['{"account_id":"user-ann/workspace"}', ["/auths/ann.json"]],
    ['{"all":true}', ["/auths/ann.json", "/auths/bob.json"]],
    ['{"email":"nobody@example.com"}', []],
  ])("%s", (body, files) => {
    expect(chosen(body)).toEqual(files);
  });

  test.each(["", "  ", "{}", '{"all":false,"email":""}'])("%p says nothing", (body) => {
    const selection = readSelection(body);
    if (body.includes("all")) expect(selection).toMatchObject({ status: 400 });
    else expect(selection).toBeUndefined();
  });

  test.each(["[", "[]", "5", '{"mail":"x"}', '{"email":5}'])("%s is refused", (body) => {
    expect(readSelection(body)).toMatchObject({ kind: "bad-request", status: 400 });
  });
});
