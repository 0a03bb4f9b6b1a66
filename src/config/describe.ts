import { REFERENCE_ONLY } from "./known.ts";
import {
  CLIENT_KEY_FIELDS,
  defaults,
  ENV_PREFIX,
  envName,
  GROUPS,
  KEYS,
  type Key,
  type Setting,
  type Spec,
  specOf,
} from "./schema.ts";
import { allowedOf } from "./value.ts";

const LINE_WIDTH = 100;

/** The text of docs/CONFIGURATION.md. */
export function configurationMarkdown(): string {
  const parts = [
    "<!-- Generated from src/config by `bun run docs`. Do not edit. -->",
    "# Configuration",
    INTRODUCTION,
    ...groups().map(([heading, keys]) => `## ${heading}\n\n${table(keys)}`),
    clientKeys(),
    keysOfTheGoProgram(),
  ];
  return `${parts.join("\n\n")}\n`;
}

const INTRODUCTION = `One YAML file with the keys below. \`config.example.yaml\` holds every key with its default; a release
carries it as \`config.yaml\`. Every key is optional: an empty file is a valid configuration, and so is none at all.
Without any file, and without api-keys and listen from elsewhere, the proxy listens on 127.0.0.1:8080, for this machine only.
\`codex-proxy init\` writes a short \`config.yaml\` with a random key to begin with.

## Where a value comes from

The first of these that names a key decides:

1. the command line,
2. the environment,
3. the file,
4. the default.

Values are never merged: a list or map that is given replaces the whole list or map of weaker sources, the default
included. A blank value (\`base-url:\` or \`base-url: ""\`) counts as not given. There are two exceptions: a blank
\`${envName("api-keys")}\`, or \`api-keys: ""\` in the file, is refused, because it is most likely an accident that would
open the proxy to everybody, and so is a blank \`credential-key\`, which would have logins written in the clear. Leave the
key out to have no check, and no encryption.

## The environment

The variable of a key is \`${ENV_PREFIX}\` and the key in upper case with underscores: \`${envName("max-retry")}\` for
\`max-retry\`. Lists are separated by commas (\`${envName("api-keys")}=first,second\`), maps are written
\`name=value,name=value\`; a value that itself holds a comma goes into the file. An unknown \`${ENV_PREFIX}...\` variable is
a warning.

## Numbers

Times are whole seconds, sizes are whole bytes, both without a unit: \`60\`, not \`60s\`. Quotes around numbers do no harm.

## When something is wrong

The program does not start on a wrong configuration (exit code 2). It lists every fault of every source in one run, each
with its file and line, what was found and what is allowed. A key that nobody knows is a fault too, told with the nearest
known key. The values of \`api-keys\`, \`admin-key\`, \`proxy-url\`, \`credential-key\` and \`upstream-headers\` are never shown. \`codex-proxy check\` does the
same without starting.

## Changing it while the proxy runs

The file is read again when it changes and on SIGHUP. Keys marked "live" below take effect for new requests at once; for
the others the log says that a restart is needed. A file with a fault changes nothing: the old configuration stays, and
the log says why. The environment and the command line cannot change while the program runs, and still win over the
file.`;

function groups(): [heading: string, keys: readonly Key[]][] {
  return Object.entries(GROUPS).map(([group, heading]) => [
    heading,
    KEYS.filter((key) => specOf(key).group === group),
  ]);
}

function table(keys: readonly Key[]): string {
  const rows = keys.map((key) => {
    const spec = specOf(key);
    return [
      `\`${key}\`<br>\`${envName(key)}\``,
      shownDefault(key, spec),
      allowedOf(spec),
      spec.unit ?? "",
      spec.live ? "live" : "restart",
      spec.description,
    ];
  });
  const head = ["Key and environment variable", "Default", "Allowed", "Unit", "Change", "Meaning"];
  const lines = [head, ...rows.map((cells) => cells.map(escapeCell))];
  const widths = head.map((_, column) =>
    Math.max(...lines.map((cells) => cells[column]?.length ?? 0)),
  );
  // Padded as the formatter pads, so that formatting leaves the generated page as it is.
  const row = (cells: readonly string[], fill: string): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0, fill)).join(" | ")} |`;
  const [first = [], ...others] = lines;
  return [
    row(first, " "),
    row(
      Array.from(head, () => ""),
      "-",
    ),
    ...others.map((cells) => row(cells, " ")),
  ].join("\n");
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replace(/<(?!br>)/g, "&lt;");
}

function shownDefault(key: Key, spec: Spec): string {
  if (spec.fallback !== undefined) return spec.fallback;
  const value = defaults()[key];
  if (typeof value !== "object") return `\`${value}\``;
  return Object.entries(value)
    .map(([name, each]) => `\`${name}: ${each}\``)
    .join("<br>");
}

function clientKeys(): string {
  const lines = Object.entries(CLIENT_KEY_FIELDS).map(
    ([name, spec]) => `- \`${name}\`, ${allowedOf(spec)}: ${spec.description}`,
  );
  return `## Keys in object form

An entry of \`api-keys\` is a string, or a map that says more of a key. It needs \`key\` or \`key-sha256\`; what is left out
is not limited. In the environment all keys are strings.

${lines.join("\n")}

What a limit counts, and what its holder is told, is in [OWNER.md](OWNER.md#client-keys).`;
}

function keysOfTheGoProgram(): string {
  return `## Keys of the Go program only

Files made for the Go program of the same name may carry these. They are accepted and ignored, with one warning:

${bullets([...REFERENCE_ONLY])}`;
}

function bullets(keys: readonly string[]): string {
  return keys.map((key) => `- \`${key}\``).join("\n");
}

/** The text of config.example.yaml: a valid configuration that changes no default. */
export function exampleYaml(): string {
  const head = [
    "# Generated from src/config by `bun run docs`. As your own config.yaml it is yours to edit.",
    "#",
    ...comment(
      "Every key with its default; a line that begins with # is not in effect. Times are whole seconds. What each key does is told in full in docs/CONFIGURATION.md.",
    ),
  ];
  const parts = groups().flatMap(([heading, keys]) => [
    [`# ==== ${heading} ====`],
    ...keys.map(exampleOf),
  ]);
  return `${[head, ...parts].map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** A key as the example has it: what it means, and its default, commented out where that is nothing to write. */
export function exampleOf(key: Key): string[] {
  const spec = specOf(key);
  const lines = comment(spec.description);
  const range = spec.form.kind === "integer" || spec.form.kind === "choice";
  if (range) lines.push(...comment(`Allowed: ${allowedOf(spec)}.`));
  if (!spec.live) lines.push("# A change needs a restart.");
  if (spec.sample === undefined) return [...lines, ...yamlOf(key, defaults()[key])];
  const sample = spec.sample.length > 0 ? spec.sample : yamlOf(key, defaults()[key]);
  return [...lines, ...sample.map((line) => `# ${line}`)];
}

function yamlOf(key: Key, value: Setting): string[] {
  if (typeof value !== "object") return [`${key}: ${JSON.stringify(value)}`];
  const entries = Object.entries(value).map(
    ([name, each]) => `  ${JSON.stringify(name)}: ${JSON.stringify(each)}`,
  );
  return [`${key}:`, ...entries];
}

/** Sentences as comment lines of at most `LINE_WIDTH` characters. */
export function comment(text: string): string[] {
  const lines: string[] = [];
  let line = "#";
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > LINE_WIDTH) {
      lines.push(line);
      line = "#";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
