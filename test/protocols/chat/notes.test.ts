import { describe, expect, test } from "bun:test";
import { createNotes } from "../../../src/protocols/chat/notes.ts";
import { TEXT_PART } from "../../../src/protocols/chat/schema.ts";
import { refuse } from "../../../src/turn/failure.ts";

describe("notes", () => {
  test("keep the first fault only", () => {
    const notes = createNotes();
    expect(notes.fault()).toBeUndefined();
    notes.refuse(refuse(400, "first", "first"));
    notes.refuse(refuse(400, "second", "second"));
    expect(notes.read(TEXT_PART, {}, "a")).toBeUndefined();
    expect(notes.fault()?.code).toBe("first");
  });

  test("give back what fits, and refuse what does not by its path", () => {
    const notes = createNotes();
    expect(notes.read(TEXT_PART, { text: "x" }, "a[0]")).toEqual({ text: "x" });
    notes.read(TEXT_PART, { text: 1 }, "a[1]");
    expect(notes.fault()?.param).toBe("a[1].text");
  });

  test("name what is ignored once", () => {
    const notes = createNotes();
    notes.ignore("user");
    notes.ignore("user");
    notes.ignoreRest({ role: "user", name: "Ann" }, new Set(["role"]), "messages.");
    expect(notes.ignored()).toEqual(["user", "messages.name"]);
  });
});
