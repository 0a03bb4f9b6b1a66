import { describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  cutChangelog,
  isPrerelease,
  isVersion,
  notesOf,
  tagFaults,
} from "../../../scripts/release/changelog.ts";
import { makeFolder } from "../../store/folder.ts";

const CHANGELOG = `# Changelog

What changes.

## [Unreleased]

### Fixed

- Something.

## [1.1.0] - 2026-02-03

### Added

- A thing, see \`## not a heading\`.

## [1.0.0] - 2026-01-31

The first one.
`;

describe("notesOf", () => {
  test("what stands between a version's heading and the next one", () => {
    expect(notesOf(CHANGELOG, "1.1.0")).toBe("### Added\n\n- A thing, see `## not a heading`.");
    expect(notesOf(CHANGELOG, "1.0.0")).toBe("The first one.");
    expect(notesOf(CHANGELOG)).toBe("### Fixed\n\n- Something.");
  });

  test("a version that is not told of has none, nor has one whose name begins alike", () => {
    expect(notesOf(CHANGELOG, "1.1")).toBeUndefined();
    expect(notesOf(CHANGELOG, "2.0.0")).toBeUndefined();
  });
});

describe("tagFaults", () => {
  test("the tag of the version, which the changelog tells of", () => {
    expect(tagFaults("v1.1.0", "1.1.0", CHANGELOG)).toEqual([]);
  });

  test("another version's tag, one without a v, and a version that is none", () => {
    expect(tagFaults("v1.0.0", "1.1.0", CHANGELOG)).toHaveLength(1);
    expect(tagFaults("1.1.0", "1.1.0", CHANGELOG)).toHaveLength(1);
    expect(tagFaults("vnext", "next", CHANGELOG)).toHaveLength(2);
  });

  test("a section that is missing, has no day or says nothing", () => {
    expect(tagFaults("v1.2.0", "1.2.0", CHANGELOG)).toEqual([
      expect.stringContaining("no section"),
    ]);
    expect(tagFaults("v2.0.0", "2.0.0", "## [2.0.0]\n\n- x\n")).toEqual([
      expect.stringContaining("no day"),
    ]);
    expect(tagFaults("v2.0.0", "2.0.0", "## [2.0.0] - 2026-13-01\n\n- x\n")).toHaveLength(1);
    expect(tagFaults("v2.0.0", "2.0.0", "## [2.0.0] - 2026-01-01\n\n## [1.0.0] - x\n")).toEqual([
      expect.stringContaining("says nothing"),
    ]);
  });
});

describe("cutChangelog", () => {
  test("what was unreleased becomes the version, and a new section stands above it", () => {
    const cut = cutChangelog(CHANGELOG, "1.2.0", "2026-03-01");
    expect(notesOf(cut)).toBe("");
    expect(notesOf(cut, "1.2.0")).toBe("### Fixed\n\n- Something.");
    expect(notesOf(cut, "1.1.0")).toBe(notesOf(CHANGELOG, "1.1.0") ?? "");
    expect(tagFaults("v1.2.0", "1.2.0", cut)).toEqual([]);
  });

  test("no version from before one that is released, whatever package.json says", () => {
    for (const version of ["1.0.1", "1.1.0-rc.2", "0.9.0"]) {
      expect(() => cutChangelog(CHANGELOG, version, "2026-03-01")).toThrow("before 1.1.0");
    }
    const first = "# Changelog\n\n## [Unreleased]\n\n- All.\n";
    expect(notesOf(cutChangelog(first, "0.1.0-rc.1", "2026-03-01"), "0.1.0-rc.1")).toBe("- All.");
  });

  test("not twice, not without anything to tell, not as a version that is none", () => {
    expect(() => cutChangelog(CHANGELOG, "1.1.0", "2026-03-01")).toThrow("already");
    const cut = cutChangelog(CHANGELOG, "1.2.0", "2026-03-01");
    expect(() => cutChangelog(cut, "1.3.0", "2026-03-01")).toThrow("nothing");
    expect(() => cutChangelog(CHANGELOG, "v1.2.0", "2026-03-01")).toThrow("no version");
    expect(() => cutChangelog(CHANGELOG, "1.2.0", "today")).toThrow("no day");
  });

  test("this repository's own changelog has something to release, or is just released", async () => {
    const own = await readFile(join(import.meta.dirname, "../../../CHANGELOG.md"), "utf8");
    expect(notesOf(own)).toBeDefined();
    if (notesOf(own) === "") return;
    expect(notesOf(cutChangelog(own, "99.0.0-rc.1", "2026-03-01"), "99.0.0-rc.1")).toBe(
      notesOf(own) ?? "",
    );
  });
});

test("versions, and which of them are to try out", () => {
  for (const version of ["0.1.0", "10.20.30", "1.0.0-rc.1", "1.0.0-alpha-2"]) {
    expect(isVersion(version)).toBe(true);
    expect(isPrerelease(version)).toBe(version.includes("-"));
  }
  for (const word of ["", "1", "1.2", "01.2.3", "1.2.3-", "1.2.3+build", "v1.2.3", "1.2.3 "]) {
    expect(isVersion(word)).toBe(false);
  }
});

test("a rehearsal tells what is unreleased, and a tag that is not told of is refused", async () => {
  const notes = join(makeFolder(), "notes.md");
  const asked = (...words: string[]) =>
    Bun.spawnSync([process.execPath, "scripts/release/changelog.ts", ...words]);
  const { exitCode, stdout } = asked("--notes", notes);
  expect(exitCode).toBe(0);
  expect(stdout.toString()).toMatch(/^version=\d+\.\d+\.\d+\S*\nprerelease=(?:true|false)\n$/);
  const own = await readFile(join(import.meta.dirname, "../../../CHANGELOG.md"), "utf8");
  expect(await readFile(notes, "utf8")).toBe(`${notesOf(own)}\n`);
  const refused = asked("v99.0.0");
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr.toString()).toContain("v99.0.0");
});
