// What lies beside the program in every zip: the configuration to start from, README, licence and notices.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { dict, parseDict, text } from "../../src/wire/json.ts";
import { type BuildInfo, ROOT } from "../build.ts";
import type { Artefact, ArtefactFile } from "./artefact.ts";
import { NOTICES } from "./notices.ts";

/** The papers of a zip by name. `notices` is the text about what is inside the executable. */
export async function papers(
  { version }: BuildInfo,
  notices: string,
  root = ROOT,
): Promise<Artefact> {
  const read = (name: string): Promise<string> => readFile(join(root, name), "utf8");
  const [config, readme, licence, manifest] = await Promise.all(
    ["config.example.yaml", "README.md", "LICENSE", "package.json"].map(read),
  );
  const repository = repositoryOf(manifest ?? "");
  return new Map([
    // Its owner writes keys into it.
    ["config.yaml", { ...paper(config ?? ""), mode: 0o600 }],
    ["README.md", paper(withReachableLinks(readme ?? "", repository, version))],
    ["LICENSE", paper(licence ?? "")],
    [NOTICES, paper(notices)],
  ]);
}

function paper(words: string): ArtefactFile {
  return { bytes: Buffer.from(words), mode: 0o644 };
}

/** The web address of the repository that a package.json names, without a slash at its end; undefined where it names none. */
export function repositoryOf(manifest: string): string | undefined {
  const named = parseDict(manifest)?.["repository"];
  const address = text(named) ?? text(dict(named)["url"]);
  if (address === undefined) return undefined;
  const short = /^(?:github:)?([\w.-]+\/[\w.-]+)$/.exec(address)?.[1];
  if (short !== undefined) return `https://github.com/${short}`;
  return /^(?:git\+)?(https:\/\/.+?)(?:\.git)?\/?$/.exec(address)?.[1];
}

/** Names that a link of the README may have, and what they are in a zip. */
const IN_ZIP: Readonly<Record<string, string>> = {
  "config.example.yaml": "config.yaml",
  LICENSE: "LICENSE",
};

/**
 * The README with links that lead somewhere: to what is in the zip, and else to the repository as it was at the version's
 * tag. Where the repository is not known, the latter stay as they are.
 */
export function withReachableLinks(
  readme: string,
  repository: string | undefined,
  version: string,
): string {
  return readme.replace(/\]\(([^)#:]+)(#[^)]*)?\)/g, (link, path: string, anchor = "") => {
    const inZip = IN_ZIP[path];
    if (inZip !== undefined) return `](${inZip}${anchor})`;
    if (repository === undefined) return link;
    return `](${repository}/blob/v${version}/${path}${anchor})`;
  });
}
