import { describe, expect, test } from "bun:test";
import { zstdCompressSync } from "node:zlib";
import { leaksIn, tracesOf } from "../../../scripts/release/leaks.ts";

/** A path, put together so that this file does not hold it. */
const path = (...steps: string[]): string => ["", ...steps].join("/");

const SOURCES = path("home", "ada", "codex-proxy");
const { traces, skipped } = tracesOf({
  folders: { "the sources": SOURCES, "the home folder": `${path("home", "ada")}/`, "the top": "/" },
  hostName: "build-07",
  registry: "https://npm.example:4873/all/",
});

const names = (text: string | Buffer, foreign?: string): string[] =>
  leaksIn(Buffer.from(text), traces, foreign === undefined ? undefined : Buffer.from(foreign));

test("looked for are folders, the machine's name and a registry that is not the public one", () => {
  expect(traces).toEqual([
    { what: "the sources", text: SOURCES },
    { what: "the home folder", text: path("home", "ada") },
    { what: "the machine's name", text: "build-07" },
    { what: "the package registry", text: "npm.example:4873" },
  ]);
  expect(skipped).toEqual([]);
});

test("a machine with a common name is not looked for by it, which is told; nor is the public registry", () => {
  for (const hostName of ["vm", "localhost", "ubuntu"]) {
    const registry = `https://${["registry", "npmjs", "org"].join(".")}/`;
    const usual = tracesOf({ folders: {}, hostName, registry });
    expect(usual.traces).toEqual([]);
    expect(usual.skipped).toHaveLength(1);
  }
});

describe("found is", () => {
  test("nothing where there is nothing", () => {
    expect(names(`file:///$bunfs${path("root", "codex-proxy")} ada codex-proxy`)).toEqual([]);
  });

  test("a path in plain text, however it goes on", () => {
    expect(names(`x${SOURCES}/src/main.ts`)).toEqual(["the sources", "the home folder"]);
    expect(names(`${path("home", "ada")}/.npm`)).toEqual(["the home folder"]);
  });

  test("a path in UTF-16, as bytecode keeps some texts", () => {
    expect(names(Buffer.from(`..${SOURCES}`, "utf16le"))).toContain("the sources");
  });

  test("a path inside what is packed with zstd, as the sources of a source map are", () => {
    // Long enough that no part of it is kept as it is.
    const code = Array.from({ length: 500 }, (_, at) => `const a${(at * 7919) % 1000} = ${at};`);
    const frames = ["one", `${code.join("")} ${SOURCES}`, "three"].map((text) =>
      zstdCompressSync(text),
    );
    const file = Buffer.concat([Buffer.from("before"), ...frames, Buffer.from("and more after")]);
    expect(file.includes(SOURCES)).toBe(false);
    expect(names(file)).toContain("the sources");
    // Of the runtime's own packed parts nothing is asked.
    expect(leaksIn(file, traces, file)).toEqual([]);
  });

  test("the machine's name, and the registry", () => {
    expect(names("built by ada@build-07 with npm.example:4873")).toEqual([
      "the machine's name",
      "the package registry",
    ]);
    expect(names("rebuild-07, build-077")).toEqual(["the machine's name"]);
  });

  test("what the runtime has as well only when there is more of it", () => {
    const home = path("home", "ada");
    expect(names(`${home}/bun/x.cpp`, `${home}/bun/x.cpp`)).toEqual([]);
    expect(names(`${home}/bun/x.cpp ${home}/me`, `${home}/bun/x.cpp`)).toEqual(["the home folder"]);
  });
});

test("a home of one step counts as a path only, for its name is a word of a model's vocabulary", () => {
  const home = path("root");
  const root = tracesOf({ folders: { home }, hostName: "vm", registry: "" }).traces;
  expect(leaksIn(Buffer.from(`"Oscar","${home}"," eateries"`), root)).toEqual([]);
  expect(leaksIn(Buffer.from(`$bunfs${home}/codex-proxy`), root)).toEqual([]);
  expect(leaksIn(Buffer.from(`"${home}/codex-proxy/src"`), root)).toEqual(["home"]);
});
