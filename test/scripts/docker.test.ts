import { describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { dirname, join, posix, relative } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
const read = (path: string): Promise<string> => readFile(join(ROOT, path), "utf8");

/** The files that `entries` import, and what those import, as paths from the root. */
async function imported(entries: readonly string[]): Promise<ReadonlySet<string>> {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const found = new Set<string>();
  const open = [...entries];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (found.has(path)) continue;
    found.add(path);
    if (!path.endsWith(".ts")) continue;
    // Types alone are imported by no file that runs, and are none of the image's business.
    for (const { path: name } of transpiler.scanImports(await read(path))) {
      if (!/^[.#]/.test(name)) continue;
      const file = Bun.resolveSync(name, join(ROOT, dirname(path)));
      open.push(relative(ROOT, file).replaceAll("\\", "/"));
    }
  }
  return found;
}

/** Whether a path is one of `places` or lies in one of them. */
const isIn = (path: string, places: readonly string[]): boolean =>
  places.some(
    (place) => path === place.replace(/\/$/, "") || path.startsWith(`${place.replace(/\/$/, "")}/`),
  );

describe("the image that is built from source", () => {
  test("has every file that the build imports", async () => {
    const stage = (await read("Dockerfile")).split(/^FROM /m)[1] ?? "";
    const copied = [...stage.matchAll(/^COPY (?!--)(.+)$/gm)].flatMap(([, words = ""]) =>
      words.split(" ").slice(0, -1),
    );
    const allowed = [...(await read(".dockerignore")).matchAll(/^!(.+)$/gm)].map(
      ([, place = ""]) => place,
    );
    const needed = [...(await imported(["scripts/build.ts", "src/main.ts"]))];
    expect(needed.length).toBeGreaterThan(100);
    expect(needed.filter((path) => !isIn(path, copied))).toEqual([]);
    expect([...copied, ...needed].filter((path) => !isIn(path, allowed))).toEqual([]);
  });

  test("a file that is left out would be noticed", async () => {
    const needed = await imported(["scripts/build.ts"]);
    expect(needed).toContain("src/dashboard/bundle.ts");
    expect(isIn("scripts/check.ts", ["scripts/build.ts", "src"])).toBe(false);
    expect(isIn("srcs/x.ts", ["src/"])).toBe(false);
    expect(isIn(posix.join("src", "x.ts"), ["src/"])).toBe(true);
  });
});
