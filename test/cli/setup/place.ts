import type { Seen } from "../../../src/cli/setup/recipe.ts";

/** A proxy as clients see it, but for what is said of it. */
export function seenOf(more: Partial<Seen> = {}): Seen {
  return {
    url: "http://127.0.0.1:8080",
    key: { kind: "known", key: "sk-0123456789abcdef" },
    hasSockets: true,
    model: "gpt-5.4",
    smallModel: "gpt-5.4-mini",
    contextWindow: 272_000,
    models: [{ id: "gpt-5.4", name: "GPT-5.4", contextWindow: 272_000, takesImages: true }],
    ...more,
  };
}

/** The file of a recipe whose name ends so. */
export function fileOf<T extends { readonly path: string }>(files: readonly T[], name: string): T {
  const file = files.find(({ path }) => path.endsWith(name));
  if (file === undefined) throw new Error(`the recipe has no ${name}`);
  return file;
}
