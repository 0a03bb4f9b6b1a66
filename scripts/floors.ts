// The static check of the house: imports go down, lower floors are pure, tests mirror sources.
// `bun scripts/floors.ts` checks every file that git tracks or would track.

import { posix } from "node:path";

/** Rooms and the two files above them. A room imports from floors below its own. */
const FLOORS: Readonly<Record<string, number>> = {
  // Below all others, and as impure as can be: what it offers is for floor 3 and above.
  platform: -1,
  wire: 0,
  turn: 1,
  tokens: 1,
  config: 1,
  protocols: 2,
  pool: 2,
  upstream: 3,
  store: 3,
  net: 3,
  engine: 4,
  server: 5,
  dashboard: 5,
  cli: 6,
  "app.ts": 7,
  "main.ts": 8,
};

/** Pairs that may import although the floors say no. */
const ALLOWED_PAIRS: ReadonlySet<string> = new Set(["upstream -> net", "cli -> app.ts"]);

/** The lowest floor that may touch the outside world. */
const FIRST_IMPURE_FLOOR = 3;

type PackageRule = { readonly isAllowed: (path: string) => boolean; readonly where: string };

const isAboveCore = (path: string): boolean =>
  roomOf(path) === "platform" || (floorOf(path) ?? 0) >= FIRST_IMPURE_FLOOR;

/** What only Bun runs: its side of the platform, and the bundler, which no executable needs. */
const isForBun = (path: string): boolean =>
  /^src\/platform\/bun[./]/.test(path) || path === "src/dashboard/bundle.ts";

/** Node's side of the platform. */
const isForNode = (path: string): boolean => /^src\/platform\/node[./]/.test(path);

/** What runs in the browser. */
const isPage = (path: string): boolean => path.startsWith("src/dashboard/page/");

const PACKAGES: Readonly<Record<string, PackageRule>> = {
  elysia: { isAllowed: (path) => roomOf(path) === "server", where: "src/server" },
  "@sinclair/typebox": {
    isAllowed: (path) =>
      roomOf(path) === "config" || /^src\/(?:protocols|server)\/(?:.*\/)?schema\.ts$/.test(path),
    where: "src/config and schema.ts of protocols and server",
  },
  "gpt-tokenizer": {
    isAllowed: (path) => path === "src/tokens/vocabulary.ts",
    where: "src/tokens/vocabulary.ts",
  },
  "prom-client": {
    isAllowed: (path) => path === "src/engine/metrics.ts",
    where: "src/engine/metrics.ts",
  },
  preact: { isAllowed: isPage, where: "src/dashboard/page" },
  "@preact/signals": { isAllowed: isPage, where: "src/dashboard/page" },
  uplot: { isAllowed: isPage, where: "src/dashboard/page" },
  "smol-toml": { isAllowed: isForNode, where: "src/platform/node" },
  "jsonc-parser": { isAllowed: isForNode, where: "src/platform/node" },
  ws: { isAllowed: isForNode, where: "src/platform/node" },
  yaml: { isAllowed: (path) => path === "src/config/load.ts", where: "src/config/load.ts" },
  bun: { isAllowed: isForBun, where: "src/platform/bun" },
  "#platform": {
    isAllowed: (path) => isAboveCore(path) || DOORS.has(path),
    where: "floor 3 and above",
  },
  node: { isAllowed: isAboveCore, where: "floor 3 and above" },
  // Hashing is pure; it has one door.
  "node:crypto": {
    isAllowed: (path) => path === "src/wire/digest.ts" || isAboveCore(path),
    where: "floor 3 and above, and src/wire/digest.ts",
  },
};

/** Files below floor 3 that are the door to the clock and to the output. */
const DOORS: ReadonlySet<string> = new Set(["src/wire/clock.ts", "src/wire/output.ts"]);

const BUN = /(?<![\w$.])Bun\s*\./g;

const IMPURE: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/(?<![\w$.])fetch\s*\(/g, "fetch"],
  [/(?<![\w$.])Date\s*\.\s*now\b/g, "Date.now"],
  [/(?<![\w$.])Date\s*\(\s*\)|\bnew\s+Date\b(?!\s*\()/g, "the current Date"],
  [/(?<![\w$.])performance\s*\./g, "performance"],
  [/(?<![\w$.])Math\s*\.\s*random\b/g, "Math.random"],
  [/\b(?:randomUUID|getRandomValues)\b/g, "random bytes"],
  [/(?<![\w$])(?:setTimeout|setInterval|setImmediate)\b/g, "a timer"],
  [BUN, "Bun"],
  [/(?<![\w$.])process\s*\??\./g, "process"],
  [/(?<![\w$.])console\s*\./g, "console"],
  [/(?<![\w$.])globalThis\b/g, "globalThis"],
];

/** The one file that narrows by assertion, so that the others need not. */
const CAST_FILE = "src/wire/json.ts";

/** Sources without a test file of their own, and why. */
const EXEMPT: ReadonlyMap<string, string> = new Map([
  ["src/main.ts", "the entry point; test/e2e runs the compiled program"],
  ["src/app.ts", "wiring only; test/e2e runs the whole app"],
  ["src/platform/bun/settle.ts", "it replaces the process; test/e2e runs the compiled program"],
]);

/** Places in test/ that mirror nothing in src/; two look at what all protocols write and read. */
const FREE_TESTS =
  /^test\/(?:(?:support|e2e|fixtures|scripts)\/|protocols\/(?:judges|wrong-values)\.)/;

const VAGUE_NAMES = /^(?:utils?|helpers?|common|shared|managers?|handlers?|types?)$/;
const KEBAB_FILE = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+)+$/;
const KEBAB_FOLDER = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

/** What one machine or one network calls itself has no place in a public repository. */
const LEAKS: readonly (readonly [pattern: RegExp, sentence: string])[] = [
  [/(?<![\w.-])\/(?:work|root)\//, "holds a path of one machine"],
  [/(?<![\w.-])\/(?:home|Users)\/[\w.-]+\//, "holds a path into somebody's home folder"],
  [/\b[A-Z]:\\+Users\\+[\w.-]+\\/, "holds a path into somebody's home folder"],
  [
    /\bregistry\.(?:[\w-]+\.)*(?:org|com|net|io|dev|cn|local|internal)\b/i,
    "names a package registry: installs use the one that is configured",
  ],
];

/** A source seen two ways. Both views have the text's own offsets: what is left out is blanked, line ends stay. */
type Source = {
  readonly path: string;
  readonly text: string;
  /** Without comments, and without the insides of strings, templates and regular expressions. */
  readonly code: string;
  /** Comments only. */
  readonly comments: string;
};

type Finding = { readonly at: number; readonly sentence: string };
type Rule = (source: Source) => Finding[];

/**
 * Every breach of the house's rules as `file:line: sentence`, in the order of `files`.
 * `files` maps paths from the repository's root, with forward slashes, to texts.
 */
export function checkFloors(files: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  for (const [path, text] of files) {
    const findings = [...placeFindings(path, files), ...leakFindings(text)];
    if (isSource(path)) {
      const source = readSource(path, text);
      for (const rule of SOURCE_RULES) findings.push(...rule(source));
      findings.push(...missingTestFindings(source, files));
    }
    findings.sort((one, other) => one.at - other.at);
    for (const { at, sentence } of findings) {
      problems.push(`${path}:${lineAt(text, at)}: ${sentence}`);
    }
  }
  return problems;
}

const SOURCE_RULES: readonly Rule[] = [
  importFindings,
  purityFindings,
  runtimeFindings,
  castFindings,
  directiveFindings,
];

function isSource(path: string): boolean {
  return path.startsWith("src/") && /\.[cm]?[jt]sx?$/.test(path);
}

/** `wire` for `src/wire/sse.ts`; the file's own name for what lies directly in src. */
function roomOf(path: string): string {
  return path.split("/")[1] ?? "";
}

function floorOf(path: string): number | undefined {
  return FLOORS[roomOf(path)];
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

function findAll(pattern: RegExp, code: string, sentence: string): Finding[] {
  return [...code.matchAll(pattern)].map(({ index }) => ({ at: index, sentence }));
}

// The opening quote of a module's name. `Array.from("x")` is kept out by its bracket and its dot.
const IMPORT = /(?<![\w$.])(?:from\s*|import\s*(?:\(\s*)?)(?=["'`])/g;
const COMPUTED_IMPORT = /(?<![\w$.])import\s*\((?!\s*["'`])/g;

function importFindings({ path, text, code }: Source): Finding[] {
  const findings = findAll(COMPUTED_IMPORT, code, "imports a module whose name is computed");
  for (const match of code.matchAll(IMPORT)) {
    const open = match.index + match[0].length;
    // The insides of strings are blank in `code`, so the next such quote closes this one.
    const name = text.slice(open + 1, code.indexOf(code.charAt(open), open + 1));
    const sentence = name.startsWith(".")
      ? roomFault(path, posix.join(posix.dirname(path), name))
      : packageFault(path, name);
    if (sentence !== undefined) findings.push({ at: match.index, sentence });
  }
  return findings;
}

function roomFault(path: string, target: string): string | undefined {
  const own = floorOf(path);
  const its = floorOf(target);
  if (!target.startsWith("src/")) return `imports ${target}, which lies outside src`;
  if (own === undefined) return undefined; // told once, by placeFindings
  if (its === undefined) return `imports ${target}, which is in no room of the house`;
  const room = roomOf(path);
  const other = roomOf(target);
  if (room === other) return protocolFault(path, target);
  if (its < own || ALLOWED_PAIRS.has(`${room} -> ${other}`)) return undefined;
  return its === own
    ? `${room} imports ${other}, but rooms on one floor do not know each other`
    : `${room} (floor ${own}) imports ${other} (floor ${its}), but imports go down`;
}

function protocolFault(path: string, target: string): string | undefined {
  const own = protocolOf(path);
  const its = protocolOf(target);
  if (own === undefined || its === undefined || own === its) return undefined;
  return `protocol ${own} imports protocol ${its}, but protocols do not know each other`;
}

function protocolOf(path: string): string | undefined {
  return /^src\/protocols\/([^/]+)\//.exec(path)?.[1];
}

function packageFault(path: string, name: string): string | undefined {
  const rule = PACKAGES[name] ?? PACKAGES[packageOf(name)];
  if (rule === undefined) return `imports ${name}, which is no package of this project`;
  return rule.isAllowed(path) ? undefined : `imports ${name}, which is for ${rule.where} only`;
}

/** `@a/b` for `@a/b/c`, `a` for `a/b`, `node` for `node:fs`. */
function packageOf(name: string): string {
  return /^(?:@[^/]+\/)?[^/:]+/.exec(name)?.[0] ?? name;
}

function purityFindings({ path, code }: Source): Finding[] {
  if (floorOf(path) === undefined || isAboveCore(path) || DOORS.has(path)) return [];
  return IMPURE.flatMap(([pattern, name]) =>
    findAll(pattern, code, `uses ${name} below floor ${FIRST_IMPURE_FLOOR}: pass it in`),
  );
}

/** A runtime's own names, outside of the one place for them. */
function runtimeFindings({ path, code }: Source): Finding[] {
  if (isForBun(path) || !isAboveCore(path)) return [];
  return findAll(BUN, code, "uses Bun: a runtime's own ways are for src/platform");
}

// Renames have an `as` that is no cast, and so has the key of a mapped type.
const RENAMES =
  /(?<![\w$.])(?:import|export)\s+(?:type\s+)?(?:[\w$]+\s*,\s*)?(?:\{[^}]*\}|\*\s*as\s+[\w$]+)/g;
const CAST = /(?<![\w$.])(?<!\[\s*[\w$]+\s+in\s[^\]]*)as\s+(?!const\b)(?=[\w$([{"'`])/g;
const ANY = /(?<![\w$.])any(?![\w$(:])/g;

function castFindings({ path, code }: Source): Finding[] {
  if (path === CAST_FILE) return [];
  return [
    ...findAll(CAST, code.replace(RENAMES, blank), "casts with `as`: narrow the value instead"),
    ...findAll(ANY, code, "says `any`: use `unknown` and narrow it"),
  ];
}

function directiveFindings({ comments }: Source): Finding[] {
  const directive = /(?:\/\/|\/\*)[\s*/]*@ts-(?:ignore|expect-error|nocheck)/g;
  return findAll(directive, comments, "silences the type checker");
}

/** Whether the file is where it may be, and has a name that says something. */
function placeFindings(path: string, files: ReadonlyMap<string, string>): Finding[] {
  const sentences: string[] = [];
  if (path.startsWith("src/")) sentences.push(...nameFaults(path));
  if (/^test\/.*\.test\.ts$/.test(path) && !FREE_TESTS.test(path)) {
    const source = path.replace(/^test\//, "src/").replace(/\.test\.ts$/, ".ts");
    if (!files.has(source)) sentences.push(`tests ${source}, which does not exist`);
  }
  return sentences.map((sentence) => ({ at: 0, sentence }));
}

function nameFaults(path: string): string[] {
  const faults: string[] = [];
  if (floorOf(path) === undefined) faults.push(`${roomOf(path)} is no room of the house`);
  const folders = path.split("/").slice(1);
  const file = folders.pop() ?? "";
  for (const name of [...folders, file]) {
    const stem = name.replace(/\..*$/, "");
    if (VAGUE_NAMES.test(stem)) faults.push(`the name ${stem} says nothing: name what it holds`);
  }
  if (!KEBAB_FILE.test(file) || !folders.every((folder) => KEBAB_FOLDER.test(folder))) {
    faults.push("the name is not kebab-case");
  }
  return faults;
}

const EXPORTED_VALUE = /^export\s+(?:(?:async\s+)?function|const|let|class|\{)/m;

function missingTestFindings(
  { path, code }: Source,
  files: ReadonlyMap<string, string>,
): Finding[] {
  if (!path.endsWith(".ts") || path.endsWith(".d.ts") || EXEMPT.has(path)) return [];
  const mirror = path.replace(/^src\//, "test/").replace(/\.ts$/, ".test.ts");
  const value = EXPORTED_VALUE.exec(code);
  if (value === null || files.has(mirror)) return [];
  return [{ at: value.index, sentence: `has no test file ${mirror}` }];
}

function leakFindings(text: string): Finding[] {
  const findings: Finding[] = [];
  for (const [pattern, sentence] of LEAKS) {
    let at = 0;
    for (const line of text.split("\n")) {
      if (pattern.test(line)) findings.push({ at, sentence });
      at += line.length + 1;
    }
  }
  return findings;
}

function blank(text: string): string {
  return text.replace(/[^\n]/g, " ");
}

const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y;
const STRING = /"(?:\\[\s\S]|[^"\\\n])*"?|'(?:\\[\s\S]|[^'\\\n])*'?/y;
// From a backtick, or from the brace that closes a substitution, to the next `${` or the end.
const TEMPLATE = /[`}](?:\\[\s\S]|\$(?!\{)|[^\\`$])*(?:`|\$\{|$)/y;
const REGEX = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y;
const OTHER = /[\w$]+|\s+|[\s\S]/y;

// A slash after a value divides; after anything else it begins a regular expression.
const BEFORE_REGEX =
  /^$|[^\w$)\]}"'`]$|^(?:return|typeof|case|in|of|delete|void|throw|new|else|do|await|yield)$/;

type Lexeme = { readonly kind: "code" | "comment" | "literal"; readonly text: string };

/** Splits a source into its two views. It knows the lexical grammar only as far as that needs. */
function readSource(path: string, text: string): Source {
  let code = "";
  let comments = "";
  let before = "";
  const open: string[] = [];
  for (let at = 0; at < text.length; at = code.length) {
    const lexeme = lexemeAt(text, at, before, open.at(-1) === "${");
    code += lexeme.kind === "code" ? lexeme.text : hollow(lexeme);
    comments += lexeme.kind === "comment" ? lexeme.text : blank(lexeme.text);
    if (lexeme.kind === "comment") continue;
    if (lexeme.text.trim() !== "") before = lexeme.text;
    if (lexeme.text.startsWith("}")) open.pop();
    if (lexeme.kind === "literal" && lexeme.text.endsWith("${")) open.push("${");
    if (lexeme.text === "{") open.push("{");
  }
  return { path, text, code, comments };
}

function lexemeAt(text: string, at: number, before: string, inTemplate: boolean): Lexeme {
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  const first = text.charAt(at);
  const comment = first === "/" ? take(COMMENT) : undefined;
  if (comment !== undefined) return { kind: "comment", text: comment };
  let literal: string | undefined;
  if (first === '"' || first === "'") literal = take(STRING);
  if (first === "`" || (first === "}" && inTemplate)) literal = take(TEMPLATE);
  if (first === "/" && BEFORE_REGEX.test(before)) literal = take(REGEX);
  if (literal !== undefined) return { kind: "literal", text: literal };
  return { kind: "code", text: take(OTHER) ?? first };
}

/** A comment as blanks; a literal as its delimiters around blanks. */
function hollow({ kind, text }: Lexeme): string {
  if (kind === "comment") return blank(text);
  const end = /(?:["'`]|\$\{)$/.exec(text.slice(1))?.[0] ?? "";
  return text.charAt(0) + blank(text.slice(1, text.length - end.length)) + end;
}

/** What git tracks, and what it would track if it were added; where there is no git, all but what is installed or built. */
async function readTree(root: string): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const path of listTree(root).toSorted()) {
    const file = Bun.file(posix.join(root, path));
    if (await file.exists()) files.set(path, await file.text());
  }
  return files;
}

function listTree(root: string): string[] {
  const git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  try {
    const { exitCode, stdout } = Bun.spawnSync(git, { cwd: root });
    if (exitCode === 0) return stdout.toString().split("\0").filter(Boolean);
  } catch {
    // There is no git here.
  }
  const all = [...new Bun.Glob("**/*").scanSync({ cwd: root, dot: true })];
  return all
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => !/^(?:\.git|node_modules|dist)\//.test(path));
}

if (import.meta.main) {
  const files = await readTree(posix.join(import.meta.dirname.replaceAll("\\", "/"), ".."));
  const problems = checkFloors(files);
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
  console.log(`floors: ${files.size} files, ok`);
}
