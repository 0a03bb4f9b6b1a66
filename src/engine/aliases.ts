import type { Catalog } from "../turn/catalog.ts";
import { type Alias, liveAliases } from "../turn/model.ts";
import type { Log } from "../wire/log.ts";

/** The aliases as the owner wrote them, or the built-in ones. */
export type AliasSource = {
  readonly aliases: readonly Alias[];
  /** Only built-in aliases may stand for another model than they say. */
  readonly isBuiltIn: boolean;
};

/**
 * The aliases in force. They are worked out anew only when the configuration or the catalogue has changed; that a
 * built-in one stands for another model, because the backend lacks its own, is told once per model.
 */
export function createAliases(
  source: () => AliasSource,
  catalog: () => Catalog,
  log: Log,
): () => readonly Alias[] {
  const told = new Set<string>();
  let fromSource: AliasSource | undefined;
  let fromCatalog: Catalog | undefined;
  let aliases: readonly Alias[] = [];

  const tell = (wanted: readonly Alias[]): void => {
    for (const [index, { pattern, target }] of aliases.entries()) {
      const fact = `${pattern}>${target}`;
      if (wanted[index]?.target === target || told.has(fact)) continue;
      told.add(fact);
      log.info("an alias stands for another model, since the backend lacks its own", {
        alias: pattern,
        wanted: wanted[index]?.target,
        model: target,
      });
    }
  };

  return () => {
    const now = source();
    if (now === fromSource && catalog() === fromCatalog) return aliases;
    fromSource = now;
    fromCatalog = catalog();
    aliases = now.isBuiltIn ? liveAliases(now.aliases, fromCatalog) : now.aliases;
    tell(now.aliases);
    return aliases;
  };
}
