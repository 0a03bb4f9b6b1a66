// What CHANGELOG.md says of a version: the text of its release, and whether a tag may be released at all.
// `bun scripts/release/changelog.ts [TAG] [--notes FILE]` is how .github/workflows/release.yml asks.

import { join } from "node:path";
import { parseDict, text } from "../../src/wire/json.ts";

const ROOT = join(import.meta.dirname, "../..");

// https://semver.org/spec/v2.0.0.html, without build metadata: images could not be named by it.
const SEMVER =
  /^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-(?:0|[1-9]\d*|\d*[a-z-][\da-z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-z-][\da-z-]*))*)?$/i;

const UNRELEASED = "Unreleased";

/** Whether it is a version such as 1.2.3 or 1.2.3-rc.1. */
export function isVersion(word: string): boolean {
  return SEMVER.test(word);
}

/** Whether a version is one to try out, which does not become anybody's "latest". */
export function isPrerelease(version: string): boolean {
  return version.includes("-");
}

/** One `##` section: where its heading begins, and what stands below it. */
type Section = { readonly name: string; readonly date: string | undefined; readonly body: string };

/** All sections, in their order. A heading is `## [1.2.3] - 2026-01-31` (https://keepachangelog.com/en/1.1.0/). */
function sections(changelog: string): readonly Section[] {
  return changelog
    .split(/^(?=## )/m)
    .filter((part) => part.startsWith("## "))
    .map((part) => {
      const end = part.indexOf("\n");
      const heading = end < 0 ? part : part.slice(0, end);
      const words = /^## \[?([^\]\s]+)\]?(?: - (\S+))?\s*$/.exec(heading);
      return {
        name: words?.[1] ?? heading,
        date: words?.[2],
        body: end < 0 ? "" : part.slice(end).trim(),
      };
    });
}

/** What is said of `version`, or of what is not released yet; undefined where there is no such section. */
export function notesOf(changelog: string, version: string = UNRELEASED): string | undefined {
  return sections(changelog).find(({ name }) => name === version)?.body;
}

/** Why `tag` cannot be released from a tree with this `version` and this changelog; empty where it can. */
export function tagFaults(tag: string, version: string, changelog: string): readonly string[] {
  const faults: string[] = [];
  if (!isVersion(version)) faults.push(`package.json: "${version}" is no version`);
  if (tag !== `v${version}`) {
    faults.push(`the tag is ${tag}, but package.json says ${version}, whose tag is v${version}`);
  }
  const section = sections(changelog).find(({ name }) => name === version);
  if (section === undefined) {
    faults.push(`CHANGELOG.md has no section "## [${version}] - YYYY-MM-DD"`);
  } else {
    if (!isDay(section.date)) faults.push(`CHANGELOG.md: ${version} has no day such as 2026-01-31`);
    if (section.body === "") faults.push(`CHANGELOG.md says nothing of ${version}`);
  }
  return faults;
}

/**
 * The changelog in which what was unreleased is `version` of `day` (such as 2026-01-31), below a new, empty section.
 * @throws Error where nothing is unreleased, or the version or a later one has a section already
 */
export function cutChangelog(changelog: string, version: string, day: string): string {
  if (!isVersion(version))
    throw new Error(`"${version}" is no version such as 1.2.3 or 1.2.3-rc.1`);
  if (!isDay(day)) throw new Error(`"${day}" is no day such as 2026-01-31`);
  if (notesOf(changelog, version) !== undefined) {
    throw new Error(`CHANGELOG.md has a section for ${version} already`);
  }
  const later = sections(changelog).find(
    ({ name }) => isVersion(name) && Bun.semver.order(name, version) > 0,
  );
  if (later !== undefined) throw new Error(`${version} is before ${later.name}, which is released`);
  if ((notesOf(changelog) ?? "") === "") {
    throw new Error("CHANGELOG.md has nothing below ## [Unreleased]");
  }
  return changelog.replace(
    /^## \[?Unreleased\]?[^\n]*$/m,
    `## [${UNRELEASED}]\n\n## [${version}] - ${day}`,
  );
}

function isDay(word: string | undefined): boolean {
  return word !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(word) && !Number.isNaN(Date.parse(word));
}

/**
 * For a workflow: faults of the tag if one is given; without a tag, a rehearsal takes what is unreleased. Prints
 * `version=` and `prerelease=`, as lines of $GITHUB_OUTPUT, and writes the notes to a file.
 */
async function main(words: readonly string[]): Promise<number> {
  const [changelog, manifest] = await Promise.all(
    ["CHANGELOG.md", "package.json"].map((name) => Bun.file(join(ROOT, name)).text()),
  );
  const version = text(parseDict(manifest ?? "")?.["version"]) ?? "";
  const at = words.indexOf("--notes");
  const file = at < 0 ? undefined : words[at + 1];
  const [tag] = words.filter((_, index) => at < 0 || (index !== at && index !== at + 1));
  const faults = tag === undefined ? [] : tagFaults(tag, version, changelog ?? "");
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) return 1;
  const notes = notesOf(changelog ?? "", tag === undefined ? undefined : version) ?? "";
  if (file !== undefined) await Bun.write(file, `${notes}\n`);
  console.log(`version=${version}\nprerelease=${isPrerelease(version)}`);
  return 0;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
