import { describe, expect, test } from "bun:test";
import { openSettings, type Shelf } from "../../../src/dashboard/page/settings.ts";

function shelf(): Shelf & { readonly kept: Map<string, string> } {
  const kept = new Map<string, string>();
  return {
    kept,
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => void kept.set(name, value),
    removeItem: (name) => void kept.delete(name),
  };
}

const LOCKED: Shelf = {
  getItem: () => {
    throw new Error("SecurityError");
  },
  setItem: () => {
    throw new Error("QuotaExceededError");
  },
  removeItem: () => {
    throw new Error("SecurityError");
  },
};

describe("settings", () => {
  test("begin with the browser's language and the system's colours", () => {
    const { language, theme, key } = openSettings(shelf(), shelf(), ["de", "zh-TW", "en"]);
    expect([language.value, theme.value, key.value]).toEqual(["zh", "auto", ""]);
  });

  test("what was chosen lasts; the key only as long as the tab", () => {
    const [lasting, tab] = [shelf(), shelf()];
    const first = openSettings(lasting, tab, ["en"]);
    first.setLanguage("zh");
    first.setTheme("dark");
    first.setKey("sk-key-0123");
    expect([...lasting.kept.values()].join()).not.toContain("sk-key");
    const sameTab = openSettings(lasting, tab, ["en"]);
    expect([sameTab.language.value, sameTab.theme.value, sameTab.key.value]).toEqual([
      "zh",
      "dark",
      "sk-key-0123",
    ]);
    const otherTab = openSettings(lasting, shelf(), ["en"]);
    expect([otherTab.theme.value, otherTab.key.value]).toEqual(["dark", ""]);
    sameTab.setKey("");
    sameTab.setTheme("auto");
    expect(tab.kept.size).toBe(0);
    expect(openSettings(lasting, tab, ["en"]).theme.value).toBe("auto");
  });

  test("a browser that keeps nothing can be used all the same", () => {
    const settings = openSettings(LOCKED, LOCKED, []);
    settings.setKey("sk-key-0123");
    settings.setTheme("light");
    expect([settings.key.value, settings.theme.value]).toEqual(["sk-key-0123", "light"]);
  });
});
