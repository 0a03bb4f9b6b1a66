import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LEVELS, mergeCatalog, SEED_CATALOG } from "../../src/turn/catalog.ts";
import {
  type Alias,
  liveAliases,
  matchesGlob,
  modelNames,
  PLAIN_TIERS,
  type Resolved,
  resolveModel,
  wireEffort,
} from "../../src/turn/model.ts";

const NO_ALIASES: readonly Alias[] = [];
const CLAUDE: readonly Alias[] = [
  { pattern: "claude-*haiku*", target: "gpt-5.4-mini" },
  { pattern: "claude-*", target: "gpt-5.4" },
];
const LIVE = mergeCatalog(
  [
    { slug: "gpt-6.1-sol", priority: 1, visibility: "list", efforts: ["low", "max", "ultra"] },
    { slug: "gpt-6-luna", priority: 5, visibility: "list", efforts: ["low", "max"] },
    { slug: "gpt-daybreak", priority: 0, visibility: "hide", efforts: ["low"] },
    { slug: "gpt-5.5", priority: 9, visibility: "list", efforts: ["low", "turbo"] },
  ].map(({ efforts, ...info }) => ({
    ...info,
    supported_reasoning_levels: efforts.map((effort) => ({ effort })),
  })),
);

function resolve(name: string, catalog = SEED_CATALOG, aliases = NO_ALIASES): string {
  return words(resolveModel(name, catalog, aliases));
}

/** `model effort fast`, as far as they are there. */
function words(resolved: Resolved): string {
  if (!resolved.ok) return resolved.failure.message;
  const { model, effort, isFast } = resolved.choice;
  return [model, ...(effort === undefined ? [] : [effort]), ...(isFast ? ["fast"] : [])].join(" ");
}

// The seeds' table: base models, the levels that the README gives them, and its examples.
const SEED_TABLE: readonly (readonly [base: string, levels: string, examples: string])[] = [
  ["gpt-5", "minimal low medium high auto", "gpt-5 gpt-5-low gpt-5-high-fast gpt-5-minimal"],
  [
    "gpt-5-codex",
    "low medium high auto",
    "gpt-5-codex gpt-5-codex-low-fast gpt-5-codex-auto gpt-5-codex-fast",
  ],
  ["gpt-5-codex-mini", "low medium high auto", "gpt-5-codex-mini gpt-5-codex-mini-medium-fast"],
  ["gpt-5.1", "low medium high none auto", "gpt-5.1 gpt-5.1-none-fast gpt-5.1-high"],
  [
    "gpt-5.1-codex",
    "low medium high max auto",
    "gpt-5.1-codex gpt-5.1-codex-max gpt-5.1-codex-max-fast gpt-5.1-codex-low-fast",
  ],
  [
    "gpt-5.1-codex-mini",
    "low medium high auto",
    "gpt-5.1-codex-mini-low gpt-5.1-codex-mini-auto-fast",
  ],
  [
    "gpt-5.1-codex-max",
    "low medium high xhigh auto",
    "gpt-5.1-codex-max-low gpt-5.1-codex-max-xhigh-fast",
  ],
  ["gpt-5.2", "low medium high xhigh none auto", "gpt-5.2 gpt-5.2-xhigh-fast gpt-5.2-none"],
  ["gpt-5.2-codex", "low medium high xhigh auto", "gpt-5.2-codex gpt-5.2-codex-xhigh-fast"],
  ["gpt-5.3-codex", "low medium high xhigh none auto", "gpt-5.3-codex gpt-5.3-codex-none-fast"],
  ["gpt-5.4", "low medium high xhigh none auto", "gpt-5.4 gpt-5.4-xhigh-fast gpt-5.4-auto"],
  [
    "gpt-5.4-mini",
    "low medium high xhigh none auto",
    "gpt-5.4-mini gpt-5.4-mini-none-fast gpt-5.4-mini-high-fast",
  ],
];

describe("the seeds' table", () => {
  const names = new Set(modelNames(SEED_CATALOG).map(({ id }) => id));

  test.each(SEED_TABLE)("%s with %s", (base, levels, examples) => {
    expect(resolve(base)).toBe(base);
    expect(resolve(`${base}-fast`)).toBe(`${base} fast`);
    for (const level of levels.split(" ")) {
      const isModel = base === "gpt-5.1-codex" && level === "max";
      const plain = isModel ? "gpt-5.1-codex-max" : level === "auto" ? base : `${base} ${level}`;
      expect(resolve(`${base}-${level}`)).toBe(plain);
      expect(resolve(`${base}-${level}-fast`)).toBe(`${plain} fast`);
      expect(names.has(`${base}-${level}`)).toBe(true);
      expect(names.has(`${base}-${level}-fast`)).toBe(true);
    }
    for (const example of examples.split(" ")) expect(names.has(example)).toBe(true);
  });

  test("levels that a base model lacks are refused in words that list those it has", () => {
    for (const [base, levels] of SEED_TABLE) {
      for (const level of LEVELS) {
        if (levels.split(" ").includes(level)) continue;
        for (const speed of ["", "-fast"]) {
          const resolved = resolveModel(`${base}-${level}${speed}`, SEED_CATALOG, NO_ALIASES);
          expect(resolved.ok).toBe(false);
          expect(words(resolved)).toStartWith(`Model '${base}' has no reasoning level '${level}'.`);
          expect(words(resolved)).toContain("low, medium, high");
          expect(words(resolved)).toEndWith("auto.");
        }
      }
    }
  });
});

describe("resolveModel reads", () => {
  test.each([
    [
      "gpt-5.1-codex-max-max",
      "Model 'gpt-5.1-codex-max' has no reasoning level 'max'. It takes: low, medium, high, xhigh, auto.",
    ],
    ["gpt-4o", "gpt-4o"],
    ["gpt-4o-fast", "gpt-4o fast"],
    ["gpt-4o-high", "gpt-4o high"],
    ["gpt-4o-auto", "gpt-4o"],
    ["gpt-4o-auto-fast", "gpt-4o fast"],
    ["gpt-4o-ultra-fast", "gpt-4o max fast"],
    ["gpt-5.4-codex-high-fast", "gpt-5.4-codex high fast"],
    ["gpt-5.4-turbo", "gpt-5.4-turbo"],
    ["gpt-5.4-high-low", "gpt-5.4-high low"],
    ["gpt-5.4-fast-high", "gpt-5.4-fast high"],
    ["gpt-5.4-fast-fast", "gpt-5.4-fast fast"],
    ["GPT-5.4-HIGH", "GPT-5.4-HIGH"],
    ["o3", "o3"],
    ["high", "high"],
    ["auto", "auto"],
    ["fast", "fast"],
    ["-fast", "-fast"],
    ["-high", "-high"],
    ["-", "-"],
    ["high-fast", "high fast"],
    ["-high-fast", "-high fast"],
    ["models/gpt-5.4-high", "models/gpt-5.4 high"],
  ])("%p as %p", (name, expected) => {
    expect(resolve(name)).toBe(expected);
  });

  test.each([
    ["gpt-6.1-sol-max", "gpt-6.1-sol max"],
    ["gpt-6.1-sol-ultra", "gpt-6.1-sol max"],
    [
      "gpt-6-luna-ultra",
      "Model 'gpt-6-luna' has no reasoning level 'ultra'. It takes: low, max, auto.",
    ],
    ["gpt-5.5-turbo-fast", "gpt-5.5 turbo fast"],
    ["gpt-5.4-high", "gpt-5.4 high"],
  ])("with the backend's catalogue, %p as %p", (name, expected) => {
    expect(resolve(name, LIVE)).toBe(expected);
  });

  test.each([
    ["claude-haiku-4-5", "gpt-5.4-mini"],
    ["claude-3-5-haiku-20241022", "gpt-5.4-mini"],
    ["claude-sonnet-4-5", "gpt-5.4"],
    ["claude-", "gpt-5.4"],
    ["claude", "claude"],
    ["my-claude-x", "my-claude-x"],
    ["gpt-5.4-high", "gpt-5.4 high"],
  ])("the alias %p as %p", (name, expected) => {
    expect(resolve(name, SEED_CATALOG, CLAUDE)).toBe(expected);
  });

  test("an alias's own suffix, the first alias that fits, and no alias over a model that is there", () => {
    const aliases = [
      { pattern: "deep", target: "gpt-5.4-xhigh-fast" },
      { pattern: "d*", target: "gpt-5.2" },
      { pattern: "*", target: "gpt-5" },
    ];
    expect(resolve("deep", SEED_CATALOG, aliases)).toBe("gpt-5.4 xhigh fast");
    expect(resolve("deeper", SEED_CATALOG, aliases)).toBe("gpt-5.2");
    expect(resolve("other", SEED_CATALOG, aliases)).toBe("gpt-5");
    expect(resolve("gpt-5.4-mini", SEED_CATALOG, aliases)).toBe("gpt-5.4-mini");
  });

  test("an alias to a level that its model lacks is refused", () => {
    const aliases = [{ pattern: "odd", target: "gpt-5.1-ultra" }];
    expect(resolve("odd", SEED_CATALOG, aliases)).toStartWith("Model 'gpt-5.1' has no");
  });

  test("any name at all, and never to an empty model", () => {
    const name = fc
      .array(fc.constantFrom("gpt-5.4", "gpt", "fast", "high", "auto", "ultra", "-", "", " "), {
        minLength: 1,
      })
      .map((parts) => parts.join("-"));
    fc.assert(
      fc.property(fc.oneof(name, fc.string({ minLength: 1 })), (asked) => {
        const resolved = resolveModel(asked, SEED_CATALOG, NO_ALIASES);
        if (resolved.ok && asked !== "") expect(resolved.choice.model).not.toBe("");
      }),
      { numRuns: 1000 },
    );
  });
});

describe("modelNames", () => {
  test.each([
    ["the seed", SEED_CATALOG],
    ["the backend's catalogue", LIVE],
  ])("of %s holds no id twice, and each can be asked for", (_name, catalog) => {
    const names = modelNames(catalog);
    const ids = names.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { id, model } of names) {
      const resolved = resolveModel(id, catalog, NO_ALIASES);
      expect(resolved.ok && resolved.choice.model).toBe(model.id);
    }
  });

  test("has the plain names first, and each model with each of its levels, at both speeds", () => {
    const names = modelNames(SEED_CATALOG).map(({ id }) => id);
    expect(names.slice(0, SEED_CATALOG.size)).toEqual([...SEED_CATALOG.keys()]);
    expect(names.filter((id) => id.startsWith("gpt-5.4-mini"))).toEqual(
      ["", "-low", "-medium", "-high", "-xhigh", "-none", "-auto"]
        .flatMap((level) => [`gpt-5.4-mini${level}`, `gpt-5.4-mini${level}-fast`])
        .toSorted((a, b) => names.indexOf(a) - names.indexOf(b)),
    );
  });

  test("gpt-5.1-codex-max is there once, as the model of that name", () => {
    const found = modelNames(SEED_CATALOG).filter(({ id }) => id === "gpt-5.1-codex-max");
    expect(found.map(({ model }) => model.id)).toEqual(["gpt-5.1-codex-max"]);
  });
});

describe("matchesGlob", () => {
  test.each([
    ["", "", true],
    ["", "a", false],
    ["a", "a", true],
    ["a", "ab", false],
    ["*", "", true],
    ["*", "anything", true],
    ["a*", "a", true],
    ["a*", "ba", false],
    ["*a", "ba", true],
    ["a*a", "a", false],
    ["a*a", "aa", true],
    ["ab*bc", "abc", false],
    ["ab*bc", "abbc", true],
    ["a**b", "ab", true],
    ["*b*b*", "b", false],
    ["*b*b*", "xbxbx", true],
    ["a.c", "abc", false],
    ["claude-*haiku*", "claude-haiku", true],
    ["claude-*haiku*", "claude-sonnet", false],
    ["a*bc*bc", "abcbc", true],
    ["a*bc*bc", "abc", false],
  ])("%p and %p: %p", (pattern, name, expected) => {
    expect(matchesGlob(pattern, name)).toBe(expected);
  });

  test("agrees with a regular expression", () => {
    const letters = (least: string) => fc.string({ unit: fc.constantFrom(...least), maxLength: 8 });
    fc.assert(
      fc.property(letters("ab*"), letters("ab"), (pattern, name) => {
        const regex = new RegExp(`^${pattern.replaceAll("*", ".*")}$`);
        expect(matchesGlob(pattern, name)).toBe(regex.test(name));
      }),
      { numRuns: 2000 },
    );
  });

  test("comes to an end with a hostile pattern and name", () => {
    expect(matchesGlob(`${"*a".repeat(5000)}b`, "a".repeat(100_000))).toBe(false);
  });
});

describe("liveAliases", () => {
  const targets = (catalog: typeof SEED_CATALOG, aliases: readonly Alias[] = CLAUDE) =>
    liveAliases(aliases, catalog).map(({ target }) => target);

  test("are as written while no catalogue has been read", () => {
    expect(liveAliases(CLAUDE, SEED_CATALOG)).toBe(CLAUDE);
  });

  test("are as written where the backend has the targets", () => {
    const catalog = mergeCatalog([{ slug: "gpt-5.4" }, { slug: "gpt-5.4-mini" }]);
    expect(targets(catalog)).toEqual(["gpt-5.4-mini", "gpt-5.4"]);
  });

  test("stand for the best listed model, a small one for a small one", () => {
    expect(targets(LIVE)).toEqual(["gpt-6-luna", "gpt-6.1-sol"]);
  });

  test("stand for the least of the models where none is small", () => {
    const catalog = mergeCatalog([
      { slug: "big", priority: 1 },
      { slug: "less", priority: 2 },
      { slug: "unranked" },
    ]);
    expect(targets(catalog)).toEqual(["unranked", "big"]);
  });

  test("never stand for a model that is hidden", () => {
    const catalog = mergeCatalog([{ slug: "secret", priority: 0, visibility: "hide" }]);
    expect(targets(catalog)).toEqual(["gpt-5.4-mini", "gpt-5.4"]);
  });

  test("keep a target that neither the backend nor the seeds know", () => {
    expect(targets(LIVE, [{ pattern: "x", target: "my-own" }])).toEqual(["my-own"]);
  });
});

describe("the context window", () => {
  const catalog = mergeCatalog([
    {
      slug: "gpt-5.5",
      context_window: 272_000,
      supported_reasoning_levels: [{ effort: "high" }],
    },
  ]);

  test("is told where the backend's catalogue has it", () => {
    expect(resolveModel("gpt-5.5-high", catalog, [])).toMatchObject({
      choice: { model: "gpt-5.5", contextWindow: 272_000 },
    });
    expect(resolveModel("gpt-5.4", catalog, [])).not.toHaveProperty("choice.contextWindow");
  });
});

describe("PLAIN_TIERS", () => {
  test("holds no word that the backend takes", () => {
    expect(PLAIN_TIERS.has("priority")).toBe(false);
    expect(PLAIN_TIERS.has("flex")).toBe(false);
  });
});

describe("wireEffort", () => {
  test("puts the highest effort that the backend takes for the one that only clients have", () => {
    expect(wireEffort("ultra")).toBe("max");
    expect(LEVELS.map(wireEffort)).not.toContain("ultra");
  });

  test("leaves any other word as it was written", () => {
    for (const effort of ["none", "low", "max", "turbo"]) expect(wireEffort(effort)).toBe(effort);
  });
});
