import { describe, expect, test } from "bun:test";
import { LEVELS, mergeCatalog, SEED_CATALOG } from "../../src/turn/catalog.ts";

const info = (slug: unknown, efforts: readonly unknown[] = [], rest: object = {}) => ({
  slug,
  supported_reasoning_levels: efforts.map((effort) => ({ effort, description: "" })),
  ...rest,
});

describe("the seed catalogue", () => {
  // The second seed's table (`max` of gpt-5.1-codex is the model gpt-5.1-codex-max), and `minimal` of the first.
  test.each([
    ["gpt-5", "minimal low medium high"],
    ["gpt-5-codex", "low medium high"],
    ["gpt-5-codex-mini", "low medium high"],
    ["gpt-5.1", "low medium high none"],
    ["gpt-5.1-codex", "low medium high"],
    ["gpt-5.1-codex-mini", "low medium high"],
    ["gpt-5.1-codex-max", "low medium high xhigh"],
    ["gpt-5.2", "low medium high xhigh none"],
    ["gpt-5.2-codex", "low medium high xhigh"],
    ["gpt-5.3-codex", "low medium high xhigh none"],
    ["gpt-5.4", "low medium high xhigh none"],
    ["gpt-5.4-mini", "low medium high xhigh none"],
  ])("%s takes %s", (id, levels) => {
    expect(SEED_CATALOG.get(id)?.levels.join(" ")).toBe(levels);
    expect(SEED_CATALOG.get(id)?.isLive).toBeUndefined();
  });

  test("holds these and no other, and only levels that can be read from a name", () => {
    expect(SEED_CATALOG.size).toBe(12);
    for (const { id, levels } of SEED_CATALOG.values()) {
      expect(LEVELS).toContainValues([...levels]);
      expect(levels).not.toContain("auto");
      expect(SEED_CATALOG.get(id)?.id).toBe(id);
    }
  });
});

describe("mergeCatalog", () => {
  test("has the backend's models first and in its order, then the seeds that it lacks, marked", () => {
    const merged = mergeCatalog([info("gpt-6-sol", ["low", "ultra"]), info("gpt-5.4", ["low"])]);
    expect([...merged.keys()].slice(0, 3)).toEqual(["gpt-6-sol", "gpt-5.4", "gpt-5"]);
    expect(merged.get("gpt-6-sol")).toMatchObject({ levels: ["low", "ultra"], isLive: true });
    expect(merged.get("gpt-5")).toMatchObject({ isLive: false });
    expect(merged.size).toBe(13);
  });

  test("a model that both know takes the levels of both, each once", () => {
    const merged = mergeCatalog([info("gpt-5.4", ["max", "low", "low"])]);
    expect(merged.get("gpt-5.4")?.levels).toEqual([
      "max",
      "low",
      "medium",
      "high",
      "xhigh",
      "none",
    ]);
  });

  test("keeps the backend's own description whole", () => {
    const entry = info("gpt-6-sol", ["low"], { visibility: "list", unheard_of: { a: [1] } });
    expect(mergeCatalog([entry]).get("gpt-6-sol")?.info).toBe(entry);
  });

  test("passes over what is no model, and levels that are none", () => {
    const odd = [null, 7, "gpt-x", {}, info(""), info(" "), info(7), [info("x")]];
    expect(mergeCatalog(odd).size).toBe(SEED_CATALOG.size);
    const merged = mergeCatalog([info("gpt-6-sol", [null, 7, "", "low", { effort: "x" }])]);
    expect(merged.get("gpt-6-sol")?.levels).toEqual(["low"]);
    expect(mergeCatalog([{ slug: "bare" }]).get("bare")?.levels).toEqual([]);
  });

  test("a slug that is the name of something every object has is a slug like any other", () => {
    expect(mergeCatalog([info("constructor", ["low"])]).get("constructor")?.levels).toEqual([
      "low",
    ]);
  });

  test("without any model is the seed, marked as not live", () => {
    const merged = mergeCatalog([]);
    expect([...merged.keys()]).toEqual([...SEED_CATALOG.keys()]);
    expect([...merged.values()].every(({ isLive }) => isLive === false)).toBe(true);
  });

  test("of one slug twice, the later description counts", () => {
    const merged = mergeCatalog([info("gpt-6-sol", ["low"]), info("gpt-6-sol", ["max"])]);
    expect(merged.get("gpt-6-sol")?.levels).toEqual(["max"]);
  });
});
