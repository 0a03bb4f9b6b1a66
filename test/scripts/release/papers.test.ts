import { describe, expect, test } from "bun:test";
import { papers, repositoryOf, withReachableLinks } from "../../../scripts/release/papers.ts";

const INFO = { version: "1.2.3", commit: "0123456789ab" };

test("beside the program lie configuration, README, licence and notices", async () => {
  const files = await papers(INFO, "whose work it is");
  expect([...files.keys()]).toEqual([
    "config.yaml",
    "README.md",
    "LICENSE",
    "THIRD-PARTY-NOTICES.txt",
  ]);
  const textOf = (name: string): string => Buffer.from(files.get(name)?.bytes ?? []).toString();
  expect(textOf("config.yaml")).toBe(await Bun.file("config.example.yaml").text());
  expect(textOf("LICENSE")).toContain("GNU GENERAL PUBLIC LICENSE");
  expect(textOf("THIRD-PARTY-NOTICES.txt")).toBe("whose work it is");
  for (const [name, { mode }] of files) expect(mode).toBe(name === "config.yaml" ? 0o600 : 0o644);
});

test.each([
  ['{"repository": "https://git.example/a/b"}', "https://git.example/a/b"],
  ['{"repository": {"url": "git+https://github.com/a/b.git"}}', "https://github.com/a/b"],
  ['{"repository": "github:a/b"}', "https://github.com/a/b"],
  ['{"repository": "a/b"}', "https://github.com/a/b"],
  ["{}", undefined],
])("the repository of %s is found", (manifest, repository) => {
  expect(repositoryOf(manifest)).toBe(repository);
});

describe("a link of the README in a zip", () => {
  const REPOSITORY = "https://git.example/a/b";
  test.each([
    ["to a file of the zip leads there", "config.example.yaml", "config.yaml"],
    ["to the licence leads there", "LICENSE", "LICENSE"],
    [
      "to a page leads to the page at the tag",
      "docs/X.md#y",
      `${REPOSITORY}/blob/v1.2.3/docs/X.md#y`,
    ],
    ["to a place in it stays", "#not-yet", "#not-yet"],
    ["to elsewhere stays", "https://example.com/x#y", "https://example.com/x#y"],
  ])("%s", (_what, link, expected) => {
    const made = withReachableLinks(`a [b](${link}) c`, REPOSITORY, "1.2.3");
    expect(made).toBe(`a [b](${expected}) c`);
  });

  test("stays where nobody knows the repository, unless the zip has the file", () => {
    const made = withReachableLinks("[b](docs/X.md) [c](config.example.yaml)", undefined, "1");
    expect(made).toBe("[b](docs/X.md) [c](config.yaml)");
  });
});
