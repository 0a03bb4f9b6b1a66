import { describe, expect, test } from "bun:test";
import { findModel, listModels, type ModelShape, modelShape } from "../../src/server/models.ts";
import { mergeCatalog, SEED_CATALOG } from "../../src/turn/catalog.ts";
import { dict, list } from "../../src/wire/json.ts";

const ALL = (): boolean => true;
const STARTED = Date.UTC(2026, 10, 20);
const INFO = {
  slug: "gpt-9",
  display_name: "GPT Nine",
  supported_reasoning_levels: [{ effort: "low" }, { effort: "high" }],
  visibility: "list",
  created: 1_790_000_000,
  something_new: { deep: [1] },
};
const HIDDEN = { slug: "gpt-secret", visibility: "hide", supported_reasoning_levels: [] };
const LIVE = mergeCatalog([INFO, HIDDEN]);

describe("modelShape", () => {
  test.each<[string, string, Record<string, string>, ModelShape]>([
    ["nobody special", "", {}, "openai"],
    ["Codex by its query", "?client_version=0.169.0", {}, "codex"],
    ["Codex by an empty query", "?client_version=", {}, "codex"],
    ["Codex by who it is", "", { originator: "codex_cli_rs" }, "codex"],
    ["Claude by its version", "", { "anthropic-version": "2023-06-01" }, "anthropic"],
    ["Codex before Claude", "?client_version=1", { "anthropic-version": "2023-06-01" }, "codex"],
    ["another originator", "", { originator: "opencode" }, "openai"],
  ])("%s", (_name, query, headers, shape) => {
    const url = new URL(`http://localhost/v1/models${query}`);
    expect(modelShape(url, new Headers(headers))).toBe(shape);
  });
});

describe("listModels", () => {
  test("OpenAI: every name of every model once, with `created`", () => {
    const answer = dict(listModels(LIVE, "openai", STARTED, ALL));
    const data = list(answer["data"]).map(dict);
    const ids = data.map((entry) => entry["id"]);
    expect(answer["object"]).toBe("list");
    expect(ids).toEqual(
      expect.arrayContaining(["gpt-9", "gpt-9-low", "gpt-9-high-fast", "gpt-9-auto", "gpt-9-fast"]),
    );
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain("gpt-secret");
    expect(data.find(({ id }) => id === "gpt-9-low")).toEqual({
      id: "gpt-9-low",
      object: "model",
      created: 1_790_000_000,
      owned_by: "openai",
      in_live_catalogue: true,
    });
    expect(data.find(({ id }) => id === "gpt-5")).toMatchObject({
      created: STARTED / 1000,
      in_live_catalogue: false,
    });
  });

  test("before the backend has been asked nothing is said of its list", () => {
    const data = list(dict(listModels(SEED_CATALOG, "openai", STARTED, ALL))["data"]);
    expect(data.every((entry) => dict(entry)["in_live_catalogue"] === null)).toBe(true);
  });

  test("Codex: the backend's own descriptions whole, hidden ones too", () => {
    const models = list(dict(listModels(LIVE, "codex", STARTED, ALL))["models"]);
    expect(models.slice(0, 2)).toEqual([INFO, HIDDEN]);
  });

  test("Codex: seed models with every field that the CLI cannot do without", () => {
    for (const entry of list(dict(listModels(SEED_CATALOG, "codex", STARTED, ALL))["models"])) {
      const model = dict(entry);
      expect(model).toContainKeys([
        "slug",
        "display_name",
        "supported_reasoning_levels",
        "shell_type",
        "visibility",
        "supported_in_api",
        "priority",
        "base_instructions",
        "supports_reasoning_summaries",
        "support_verbosity",
        "truncation_policy",
        "supports_parallel_tool_calls",
        "experimental_supported_tools",
      ]);
      expect(
        list(model["supported_reasoning_levels"]).map((level) => dict(level)["effort"]),
      ).not.toContain("none");
      expect(model["visibility"]).toBe("list");
    }
  });

  test("Codex: a seed model that the backend lacks is hidden", () => {
    const models = list(dict(listModels(LIVE, "codex", STARTED, ALL))["models"]).map(dict);
    expect(models.find(({ slug }) => slug === "gpt-5")?.["visibility"]).toBe("hide");
  });

  test("Anthropic: its own envelope", () => {
    const answer = dict(listModels(LIVE, "anthropic", STARTED, ALL));
    const data = list(answer["data"]).map(dict);
    expect(answer).toMatchObject({
      has_more: false,
      first_id: "gpt-9",
      last_id: data.at(-1)?.["id"],
    });
    expect(data[0]).toEqual({
      type: "model",
      id: "gpt-9",
      display_name: "GPT Nine",
      created_at: "2026-11-20T00:00:00.000Z",
    });
    expect(data.find(({ id }) => id === "gpt-9-low")?.["display_name"]).toBe("gpt-9-low");
  });

  test("Anthropic: no model at all", () => {
    expect(listModels(new Map(), "anthropic", STARTED, ALL)).toEqual({
      data: [],
      has_more: false,
      first_id: null,
      last_id: null,
    });
  });
});

describe("findModel", () => {
  test.each<[string, "openai" | "codex" | "anthropic", unknown]>([
    ["gpt-9-high-fast", "openai", { id: "gpt-9-high-fast", object: "model" }],
    ["gpt-9-high", "anthropic", { id: "gpt-9-high", type: "model" }],
    ["gpt-9-high", "codex", INFO],
    ["gpt-secret", "openai", { id: "gpt-secret" }],
  ])("%s as %s", (id, shape, found) => {
    expect(findModel(LIVE, id, shape, STARTED)).toMatchObject(dict(found));
  });

  test.each(["", "gpt", "gpt-9-ultra", "%zz", "__proto__", "GPT-9"])("'%s' is none", (id) => {
    expect(findModel(LIVE, id, "openai", STARTED)).toBeUndefined();
  });
});

describe("a list for somebody who may not use all", () => {
  const mayUse = (name: string, model: string): boolean =>
    model === "gpt-9" || name === "gpt-5-low";

  test("holds what they may use, in every shape", () => {
    const both = mergeCatalog([INFO, { ...INFO, slug: "gpt-7" }]);
    const ids = (shape: ModelShape): unknown[] =>
      list(dict(listModels(both, shape, STARTED, mayUse))["data"]).map((one) => dict(one)["id"]);
    for (const shape of ["openai", "anthropic"] as const) {
      expect(ids(shape)).toContain("gpt-9-high");
      expect(ids(shape)).toContain("gpt-5-low");
      expect(ids(shape).filter((id) => !/^gpt-9|^gpt-5-low$/.test(String(id)))).toEqual([]);
    }
    const codex = list(dict(listModels(both, "codex", STARTED, mayUse))["models"]);
    expect(codex.map((one) => dict(one)["slug"])).toEqual(["gpt-9"]);
  });
});
