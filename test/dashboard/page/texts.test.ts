import { expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { STATES } from "../../../src/dashboard/page/shape.ts";
import { fill, OBSTACLES_ZH, preferredLanguage, TEXTS } from "../../../src/dashboard/page/texts.ts";

test("every text is there in every language, with the same places to fill", () => {
  const places = (words: string) => [...new Set(words.match(/\{\d\}/g) ?? [])].toSorted();
  for (const [key, english] of Object.entries(TEXTS.en)) {
    const chinese: unknown = Reflect.get(TEXTS.zh, key);
    expect([key, places(String(chinese))]).toEqual([key, places(english)]);
    expect([key, String(chinese).trim() === ""]).toEqual([key, false]);
  }
  expect(Object.keys(TEXTS.zh).toSorted()).toEqual(Object.keys(TEXTS.en).toSorted());
});

test("Chinese texts are Chinese, but for what is called the same", () => {
  const same = Object.entries(TEXTS.zh).filter(([, words]) => !/\p{Script=Han}/u.test(words));
  expect(same.map(([key]) => key).toSorted()).toEqual([
    "loginDone",
    "ofBudget",
    "p95",
    "tokens",
    "working",
  ]);
  for (const words of Object.values(OBSTACLES_ZH)) expect(words).toMatch(/\p{Script=Han}/u);
});

test("no text is left that nothing says", async () => {
  const page = join(import.meta.dirname, "../../../src/dashboard/page");
  const names = (await readdir(page)).filter((name) => /\.tsx?$/.test(name) && name !== "texts.ts");
  const sources = await Promise.all(names.map((name) => readFile(join(page, name), "utf8")));
  const said = sources.join("\n");
  // The states of an account are said by their own names.
  const named: readonly string[] = STATES;
  const unsaid = Object.keys(TEXTS.en).filter(
    (key) => !said.includes(`"${key}"`) && !named.includes(key),
  );
  expect(unsaid).toEqual([]);
});

test("values are put in their places, as they are", () => {
  expect(fill("{1} of {0}", [3, "$1 {0}"])).toBe("$1 {0} of 3");
  expect(fill("{0} and {1}", ["one"])).toBe("one and {1}");
});

test("the first language that is spoken counts", () => {
  expect(preferredLanguage(["zh-CN", "en"])).toBe("zh");
  expect(preferredLanguage(["fr", "en-US", "zh"])).toBe("en");
  expect(preferredLanguage([])).toBe("en");
});
