import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { isSelected, type Selection } from "../../src/engine/selection.ts";
import { tagOf } from "../../src/pool/account.ts";
import { sha256 } from "../../src/wire/digest.ts";
import { loginOf } from "./parts.ts";

const ann = loginOf("ann", { source: resolve("auths/ann.json") });
const shelved = { ...ann, source: resolve("auths/ann.json.disabled.2") };

describe("isSelected", () => {
  const rows: [selection: Selection, isSelected: boolean][] = [
    [{ by: "all" }, true],
    [{ by: "email", value: " Ann@Example.com" }, true],
    [{ by: "email", value: "bob@example.com" }, false],
    [{ by: "account_id", value: "workspace" }, true],
    [{ by: "account_id", value: "user-ann/workspace" }, true],
    [{ by: "account_id", value: "user-ann" }, false],
    [{ by: "account_id", value: tagOf(sha256("user-ann/workspace")) }, true],
    [{ by: "account_id", value: tagOf(sha256("user-bob/workspace")) }, false],
    [{ by: "file_path", value: "ann.json" }, true],
    [{ by: "file_path", value: "auths/ann.json" }, true],
    [{ by: "file_path", value: "./auths/ann.json" }, true],
    [{ by: "file_path", value: resolve("auths/ann.json") }, true],
    [{ by: "file_path", value: "n.json" }, false],
    [{ by: "file_path", value: "/elsewhere/ann.json" }, false],
  ];
  test.each(rows)("%o", (selection, expected) => {
    expect(isSelected(ann, selection)).toBe(expected);
    expect(isSelected(shelved, selection)).toBe(expected);
  });

  test("a file that was set aside answers to its present name as well", () => {
    expect(isSelected(shelved, { by: "file_path", value: "ann.json.disabled.2" })).toBe(true);
    const { email: _none, ...nameless } = ann;
    expect(isSelected(nameless, { by: "email", value: "" })).toBe(false);
  });
});
