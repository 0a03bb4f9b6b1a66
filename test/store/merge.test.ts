import { expect, test } from "bun:test";
import { mergeLogins } from "../../src/store/merge.ts";
import { readLogin } from "../../src/store/record.ts";
import { accessTokenOf, OTHER_WORKSPACE, WORKSPACE } from "./tokens.ts";

function login(source: string, user: string, iat: number, workspace = WORKSPACE) {
  const access_token = accessTokenOf({ user, workspace, iat, exp: iat + 100 });
  const reading = readLogin(JSON.stringify({ access_token }), source);
  if (!reading.ok) throw new Error(reading.fault.reason);
  return reading.login;
}

test("each login comes once, with the newest tokens, in the order of the first of each", () => {
  const a1 = login("a1.json", "ann", 1000);
  const b1 = login("b1.json", "bob", 5000);
  const a3 = login("a3.json", "ann", 3000);
  const a2 = login("a2.json", "ann", 2000);
  const { logins, duplicates } = mergeLogins([a1, b1, a3, a2]);
  expect(logins).toEqual([a3, b1]);
  // The very objects that came in: nobody need look at them again.
  expect([logins[0] === a3, logins[1] === b1]).toEqual([true, true]);
  const identity = `ann/${WORKSPACE}`;
  expect(duplicates).toEqual([
    { identity, kept: "a3.json", ignored: "a1.json" },
    { identity, kept: "a3.json", ignored: "a2.json" },
  ]);
});

test("where nothing tells two apart, the first one counts", () => {
  const [one, other] = [login("one.json", "ann", 1000), login("other.json", "ann", 1000)];
  const { logins, duplicates } = mergeLogins([one, other]);
  expect(logins).toEqual([one]);
  expect(duplicates).toMatchObject([{ kept: "one.json", ignored: "other.json" }]);
});

test("one person's two workspaces are two logins; none are none", () => {
  const both = [login("a.json", "ann", 1), login("b.json", "ann", 2, OTHER_WORKSPACE)];
  expect(mergeLogins(both)).toEqual({ logins: both, duplicates: [] });
  expect(mergeLogins([])).toEqual({ logins: [], duplicates: [] });
});
