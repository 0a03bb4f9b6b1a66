import { expect, test } from "bun:test";
import { rewriteMeasured } from "../../../scripts/bench/report.ts";
import { type ReleaseReport, releaseMarkdown } from "../../../scripts/release/report.ts";

const REPORT: ReleaseReport = {
  info: { version: "1.2.3", commit: "0123456789ab" },
  date: "2026-11-26",
  machine: "linux 6.18 x64, 2 cores",
  seconds: 90,
  isSameTwice: true,
  rows: [
    {
      target: "linux-amd64",
      sizes: { unpacked: 130_650_000, zip: 63_190_000 },
      found: "ELF 64",
      proof: {
        target: "linux-amd64",
        how: "native",
        startMs: 41.6,
        idleRssBytes: 61_200_000,
        notes: ["in a chroot"],
      },
    },
    {
      target: "darwin-arm64",
      sizes: { unpacked: 110_000_000, zip: 52_000_000 },
      found: "Mach-O 64",
      proof: {
        target: "darwin-arm64",
        how: "structure only",
        startMs: undefined,
        idleRssBytes: undefined,
        notes: [],
      },
    },
    {
      target: "linux-386",
      sizes: undefined,
      found: "",
      fault: "there is no builder\nand no more to say",
      proof: undefined,
    },
    {
      target: "windows-386",
      sizes: { unpacked: 80_200_000, zip: 32_200_000 },
      found: "PE32",
      fault: "the start: it ended with 1",
      proof: undefined,
    },
  ],
  parts: undefined,
};

test("the page has a line for each platform, made or not, and what was noted of it", () => {
  expect(releaseMarkdown(REPORT)).toBe(
    `codex-proxy 1.2.3 (0123456789ab), 2026-11-26, linux 6.18 x64, 2 cores; 1.5 minutes; made twice, with the same checksums.

| platform     | unpacked | zip     | start-up | idle memory | proved         | looked at |
| ------------ | -------- | ------- | -------- | ----------- | -------------- | --------- |
| linux-amd64  | 130.7 MB | 63.2 MB | 42 ms    | 61.2 MB     | native         | ELF 64    |
| darwin-arm64 | 110.0 MB | 52.0 MB |          |             | structure only | Mach-O 64 |
| linux-386    | not made |         |          |             |                |           |
| windows-386  | 80.2 MB  | 32.2 MB |          |             | **failed**     | PE32      |

- linux-amd64: in a chroot
- linux-386: there is no builder
- windows-386: the start: it ended with 1`,
  );
});

test("nothing is said of sameness where it was not looked for, or not found", () => {
  expect(releaseMarkdown({ ...REPORT, isSameTwice: false })).not.toContain("same");
});

test("parts of an executable come with their shares, and small packages together", () => {
  const parts = {
    whole: 130_000_000,
    runtime: 107_000_000,
    code: 5_700_000,
    bytecode: 13_000_000,
    sourceMap: 3_900_000,
    dashboard: 200_000,
    codeBy: [
      ["gpt-tokenizer", 2_700_000],
      ["codex-proxy", 570_000],
      ["ms", 1500],
      ["debug", 7000],
    ],
    startMs: { withBytecode: 20.4, without: 44.6 },
  } as const;
  const page = releaseMarkdown({ ...REPORT, parts });
  expect(page).toContain("| Bun's runtime                | 107.0 MB | 82.3 %  |");
  expect(page).toContain(
    "`-version` takes 20 ms from start to end with bytecode, and 45 ms without.",
  );
  expect(page).toContain("| gpt-tokenizer | 2700 kB |");
  expect(page).toContain("| all others    | 9 kB    |");
});

test("docs/RELEASE.md has the marks between which it is rewritten", async () => {
  const page = await Bun.file("docs/RELEASE.md").text();
  expect(rewriteMeasured(page, "new")).toContain("new");
});
