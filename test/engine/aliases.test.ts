import { describe, expect, test } from "bun:test";
import { type AliasSource, createAliases } from "../../src/engine/aliases.ts";
import { type Catalog, mergeCatalog, SEED_CATALOG } from "../../src/turn/catalog.ts";
import { createLog } from "../../src/wire/log.ts";

const BUILT_IN: AliasSource = {
  aliases: [{ pattern: "claude-*", target: "gpt-5.4" }],
  isBuiltIn: true,
};
const LIVE = mergeCatalog([{ slug: "gpt-6-sol", priority: 1, visibility: "list" }]);

function setUp(source: AliasSource) {
  const written: string[] = [];
  const options = () => ({ level: "info", format: "text" }) as const;
  const log = createLog(options, { now: () => 0 }, (line) => written.push(line));
  let catalog: Catalog = SEED_CATALOG;
  const aliases = createAliases(
    () => source,
    () => catalog,
    log,
  );
  const see = (next: Catalog): void => {
    catalog = next;
  };
  return { aliases, written, see };
}

describe("createAliases", () => {
  test("a built-in alias falls to the backend's best model once its own is known to be gone", () => {
    const { aliases, written, see } = setUp(BUILT_IN);
    expect(aliases()).toEqual(BUILT_IN.aliases);
    see(LIVE);
    expect(aliases()).toEqual([{ pattern: "claude-*", target: "gpt-6-sol" }]);
    expect(aliases()).toBe(aliases());
    expect(written).toHaveLength(1);
  });

  test("the same fallback is told once, however often the catalogue is read", () => {
    const { aliases, written, see } = setUp(BUILT_IN);
    for (let reading = 0; reading < 3; reading++) {
      see(new Map(LIVE));
      aliases();
    }
    expect(written).toHaveLength(1);
  });

  test("an alias of the owner's stands for what it says", () => {
    const { aliases, written, see } = setUp({ ...BUILT_IN, isBuiltIn: false });
    see(LIVE);
    expect(aliases()).toEqual(BUILT_IN.aliases);
    expect(written).toEqual([]);
  });
});
