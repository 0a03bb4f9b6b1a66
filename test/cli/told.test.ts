import { describe, expect, test } from "bun:test";
import {
  lineOf,
  outcomeOf,
  shownName,
  shownWayOut,
  unusedProxy,
  whoOf,
} from "../../src/cli/told.ts";
import { loginOf } from "../engine/parts.ts";

const ann = { ...loginOf("ann"), email: "ann.lee@example.com", plan: "plus" };

test("the way out is shown without its login", () => {
  expect(shownWayOut({ "proxy-url": "" })).toBeUndefined();
  expect(shownWayOut({ "proxy-url": "socks5h://user:hunter22@h" })).toBe("socks5h://h:1080");
});

describe("what a command says of a login", () => {
  test("masks the address; the name of a file stays what it is", () => {
    const adoption = {
      outcome: "added",
      at: "in.json",
      login: ann,
      source: "a/ann.lee@example.com.json",
    } as const;
    expect(outcomeOf(adoption)).toBe(
      "added: an***@example.com, plan plus, file ann.lee@example.com.json",
    );
    expect(lineOf(adoption)).toBe(
      "added: in.json: an***@example.com, plan plus, file ann.lee@example.com.json",
    );
  });

  test("gives reasons, and needs no login for them", () => {
    expect(lineOf({ outcome: "failed", at: "in.json, line 3", reason: "broken." })).toBe(
      "failed: in.json, line 3: broken.",
    );
    expect(outcomeOf({ outcome: "unchanged", at: "x", login: ann, reason: "older" })).toBe(
      "unchanged: an***@example.com, plan plus (older)",
    );
  });

  test("shows a file's name without what would steer the terminal", () => {
    expect(shownName("ann@example.com.json")).toBe("ann@example.com.json");
    expect(shownName("a\u001b[2J\u202eb.json")).toBe("a?[2J?b.json");
  });

  test("lets no escape sequence of a file's through", () => {
    expect(whoOf({ email: "\u001b[2J@x.example", plan: "\u001b[31mred" })).not.toContain("\u001b");
    expect(whoOf({})).toBe("login without e-mail, plan unknown");
  });
});

test("a proxy of the environment is named, since it is not used", () => {
  expect(unusedProxy({})).toBeUndefined();
  expect(unusedProxy({ HTTPS_PROXY: "" })).toBeUndefined();
  expect(unusedProxy({ all_proxy: "socks5://h", PATH: "/bin" })).toBe("all_proxy");
});
