import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import type { Feature } from "../platform/platform.ts";
import { sha256 } from "../wire/digest.ts";
import { list } from "../wire/json.ts";
import { readPlace } from "./database.ts";
import type { Fault, Origin, Spot } from "./fault.ts";
import { nearest, REFERENCE_ONLY } from "./known.ts";
import { LACKS } from "./lacking.ts";
import { isLoopback } from "./rules.ts";
import {
  type ClientKeyEntry,
  type Config,
  defaults,
  ENV_PREFIX,
  envName,
  isConfig,
  isKey,
  type Key,
  keyDigestOf,
  specOf,
} from "./schema.ts";

import {
  type Complaint,
  readValue,
  showName,
  type Written,
  type WrittenEntry,
  writtenFromText,
} from "./value.ts";

/** Everything the configuration is made of. Nothing here reads a disk or the process. */
export type Sources = {
  /** `path` is only for messages. */
  readonly file?: { readonly path: string; readonly text: string };
  readonly env: { readonly [variable: string]: string | undefined };
  /** Overrides of the command line, by key: `{ listen: ":9000" }`. Lists as in the environment. */
  readonly flags: { readonly [key: string]: string | undefined };
  /** What this build cannot do; nothing where it says nothing. */
  readonly lacks?: ReadonlySet<Feature>;
};

/** A whole configuration, or every fault in one go. */
export type Loaded =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/** One `key: value` with the source it came from. */
type Given = {
  readonly name: string;
  readonly value: Written;
  readonly at: Spot;
  readonly origin: Origin;
};

/** What the top of a YAML document holds. */
type Top = { readonly given: readonly Given[]; readonly faults: readonly Fault[] };

/** What a file gives, with its syntax errors and the line where the first of them broke its structure. */
type FileLayer = Top & { readonly broken: readonly Fault[]; readonly cutLine: number };

/** What is collected while the sources are gone through. */
type Tally = {
  readonly values: Map<Key, unknown>;
  /** What set the value that counts. */
  readonly setBy: Map<Key, Given>;
  readonly faults: Fault[];
  readonly warnings: string[];
  readonly ignored: Set<string>;
};

/**
 * The configuration out of flags, environment, file and defaults, in this order of precedence.
 * Total: bad input gives faults, never an exception. Values that a stronger source overrides are checked too.
 */
export function loadConfig(sources: Sources): Loaded {
  const file =
    sources.file === undefined ? NO_FILE : readFile(sources.file.path, sources.file.text);
  const tally: Tally = {
    values: new Map(),
    setBy: new Map(),
    faults: [...file.faults],
    warnings: [],
    ignored: new Set(),
  };
  for (const given of [...file.given, ...readEnv(sources.env), ...readFlags(sources.flags)]) {
    take(given, tally);
  }
  tally.faults.push(...settleLacks(tally, sources.lacks ?? new Set()));
  tally.faults.push(...halfPair(tally, "tls-cert", "tls-key"));
  tally.faults.push(...unreadablePlace(tally));
  tally.faults.push(...rivals(tally, "credential-key", "credential-key-file"));
  // After the first break the keys are guesses of the parser: their faults would only mislead.
  const trusted = tally.faults.filter(({ line }) => line === undefined || line < file.cutLine);
  const faults = [...file.broken, ...trusted];
  if (faults.length > 0) return { ok: false, faults: inOrder(faults) };
  const config: unknown = { ...defaults(), ...Object.fromEntries(tally.values) };
  // Every value has been read by the same schema: this is for the compiler.
  if (!isConfig(config)) throw new Error("a value was read that the schema refuses");
  return {
    ok: true,
    config,
    warnings: [...tally.warnings, ...summary(tally), ...cautions(config)],
  };
}

const NOTHING: Top = { given: [], faults: [] };
const NO_FILE: FileLayer = { ...NOTHING, broken: [], cutLine: Number.POSITIVE_INFINITY };

function take(given: Given, tally: Tally): void {
  const { name } = given;
  if (isKey(name)) takeKey(name, given, tally);
  else if (REFERENCE_ONLY.includes(name)) tally.ignored.add(name);
  else takeUnknown(given, tally);
}

function takeUnknown({ name, origin, at }: Given, tally: Tally): void {
  const guess = nearest(name);
  const advice = guess === undefined ? "" : `; did you mean ${describeGuess(guess, origin)}?`;
  if (origin.kind === "env") {
    tally.warnings.push(`environment ${showName(origin.variable)}: unknown, ignored${advice}`);
    return;
  }
  tally.faults.push({
    ...at,
    origin,
    key: showName(name),
    found: "an unknown key",
    allowed: "a key that docs/CONFIGURATION.md lists",
    message: `unknown key${advice}`,
  });
}

function describeGuess(guess: string, origin: Origin): string {
  switch (origin.kind) {
    case "file":
      return guess;
    case "env":
      return envName(guess);
    case "flag":
      return `--${guess}`;
  }
}

function takeKey(key: Key, given: Given, tally: Tally): void {
  const reading = readValue(specOf(key), given.value);
  switch (reading.kind) {
    case "value":
      tally.values.set(key, reading.value);
      tally.setBy.set(key, given);
      return;
    case "unset":
      return;
    case "faulty":
      for (const each of reading.complaints) tally.faults.push(faultOf(key, given, each));
  }
}

/** Of two keys that mean something only together, the one that is there alone. */
function halfPair({ setBy, faults }: Tally, one: Key, other: Key): Fault[] {
  const [there, missing] = setBy.has(one) ? [one, other] : [other, one];
  const given = setBy.get(there);
  const isFaulty = faults.some(({ key }) => key === missing);
  if (given === undefined || setBy.has(missing) || isFaulty) return [];
  const [found, allowed] = [`no ${missing}`, `${one} and ${other} together, or neither`];
  const message = `found ${found} beside it, allowed: ${allowed}`;
  return [{ ...given.at, origin: given.origin, key: there, found, allowed, message }];
}

/** A database that is to be used, where what names it cannot be read. */
function unreadablePlace({ values, setBy }: Tally): Fault[] {
  const whole: unknown = { ...defaults(), ...Object.fromEntries(values) };
  if (!isConfig(whole) || !whole["db-enabled"]) return [];
  const key = whole["db-dsn"].trim() === "" ? "db-name" : "db-dsn";
  const given = setBy.get(key);
  const reading = readPlace(whole);
  if (given === undefined || reading.ok) return [];
  const { reason: message } = reading;
  const allowed = specOf(key).allowed ?? "";
  return [{ ...given.at, origin: given.origin, key, found: "", allowed, message }];
}

/** What was asked of a build that lacks it: faults, or a word that it is not to be had. */
function settleLacks({ values, setBy, warnings }: Tally, lacks: ReadonlySet<Feature>): Fault[] {
  const faults: Fault[] = [];
  for (const { feature, key, isRefused, says } of LACKS) {
    if (!lacks.has(feature)) continue;
    const given = setBy.get(key);
    const isAsked = given !== undefined && values.get(key) === true;
    if (isAsked && isRefused) {
      const { at, origin } = given;
      faults.push({ ...at, origin, key, found: "true", allowed: "false", message: says });
    } else if (isAsked) warnings.push(`${key}: true ${says}`);
    values.set(key, false);
  }
  return faults;
}

/** Of two keys that say the same in two ways, the second one, where both say something. */
function rivals({ setBy, values }: Tally, one: Key, other: Key): Fault[] {
  const given = setBy.get(other);
  if (given === undefined || !setBy.has(one) || list(values.get(one)).length === 0) return [];
  const [found, allowed] = [`${one} beside it`, `${one} or ${other}, not both`];
  const message = `found ${found}, allowed: ${allowed}`;
  return [{ ...given.at, origin: given.origin, key: other, found, allowed, message }];
}

function faultOf(key: Key, given: Given, complaint: Complaint): Fault {
  const { found, allowed } = complaint;
  const entry = complaint.entry === undefined ? "" : `${complaint.entry}: `;
  const hint = complaint.hint === undefined ? "" : ` (${complaint.hint})`;
  const at = complaint.at.line === undefined ? given.at : complaint.at;
  const message = `${entry}found ${found}, allowed: ${allowed}${hint}`;
  return { ...at, origin: given.origin, key, found, allowed, message };
}

function summary({ ignored }: Tally): string[] {
  if (ignored.size === 0) return [];
  return [`only the Go program had these, ignored: ${[...ignored].sort().join(", ")}`];
}

/** Settings that are allowed and that somebody may regret. */
function cautions(config: Config): string[] {
  const lines: string[] = [];
  for (const key of ["base-url", "oauth-issuer"] as const) {
    if (!/^http:/i.test(config[key])) continue;
    const { hostname } = new URL(config[key]);
    if (isLoopback(hostname)) continue;
    lines.push(`${key} begins with http: your tokens travel readable to ${hostname}`);
  }
  const { "admin-key": adminKey, "api-keys": keys } = config;
  if (adminKey !== "" && keys.some((entry) => keyDigestOf(entry) === sha256(adminKey))) {
    lines.push("admin-key is one of api-keys too, so it protects nothing; make it another one");
  }
  if (adminKey === "" && keys.some(isLimited)) {
    lines.push(
      "api-keys has keys with limits, and without an admin-key each of them opens the owner's routes too; set an admin-key",
    );
  }
  const isNamed = config["db-dsn"] !== "" || config["db-password"] !== "";
  if (isNamed && !config["db-enabled"]) {
    lines.push("a database is named, and db-enabled is not set: accounts are kept in files");
  }
  return lines;
}

/** Whether its holder is not trusted with everything. */
function isLimited(entry: string | ClientKeyEntry): boolean {
  if (typeof entry === "string") return false;
  const { key, name, "key-sha256": digest, ...limits } = entry;
  return Object.keys(limits).length > 0;
}

function readFlags(flags: Sources["flags"]): Given[] {
  return Object.entries(flags).flatMap(([name, text]) =>
    text === undefined ? [] : [givenAsText(name, text, { kind: "flag", flag: `--${name}` })],
  );
}

function readEnv(env: Sources["env"]): Given[] {
  return Object.entries(env).flatMap(([variable, text]) => {
    if (text === undefined || !variable.startsWith(ENV_PREFIX)) return [];
    const name = variable.slice(ENV_PREFIX.length).toLowerCase().replaceAll("_", "-");
    return [givenAsText(name, text, { kind: "env", variable })];
  });
}

function givenAsText(name: string, text: string, origin: Origin): Given {
  const form = isKey(name) ? specOf(name).form : { kind: "text" as const };
  return { name, value: writtenFromText(form, text), at: {}, origin };
}

/** The parts of a YAML document that are looked at. */
type Document = ReturnType<typeof parseDocument>;

function readFile(path: string, text: string): FileLayer {
  const origin: Origin = { kind: "file", path };
  const lines = new LineCounter();
  try {
    // Without pretty errors, whose texts quote the file; duplicates are found here, where the first one's line is known.
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: "error",
    });
    return readDocument(document, lines, origin);
  } catch {
    // The parser gives up by itself on what nests too deeply; this is for what it has not thought of.
    return { ...NO_FILE, broken: [syntaxFault({ line: 1 }, "", origin)] };
  }
}

function readDocument(document: Document, lines: LineCounter, origin: Origin): FileLayer {
  const spotOf = (offset: number): Spot => {
    const { line, col } = lines.linePos(offset);
    return line === 0 ? { line: 1, column: 1 } : { line, column: col };
  };
  const broken = new Map<number, Fault>();
  let cutLine = Number.POSITIVE_INFINITY;
  for (const { code, pos } of [...document.errors, ...document.warnings]) {
    const at = spotOf(pos[0]);
    const line = at.line ?? 1;
    if (!broken.has(line)) broken.set(line, syntaxFault(at, code, origin));
    if (code !== "TAG_RESOLVE_FAILED") cutLine = Math.min(cutLine, line);
  }
  const onBadAlias = (at: Spot): void => {
    const line = at.line ?? 1;
    if (!broken.has(line)) broken.set(line, syntaxFault(at, "BAD_ALIAS", origin));
  };
  const walk: Walk = { document, spotOf, onBadAlias, at: { line: 1, column: 1 } };
  const top = readTop(walk, origin);
  return { ...top, broken: [...broken.values()], cutLine };
}

/** Fixed sentences, because the parser's own quote the text, which may be a secret. */
const SYNTAX: { readonly [code: string]: string } = {
  ALIAS_PROPS: "a name after * cannot have a tag or an anchor",
  BAD_ALIAS: "a value that begins with * must be in quotes",
  BAD_DIRECTIVE: "a line that begins with % is not allowed here",
  BAD_DQ_ESCAPE:
    "a backslash inside \"double quotes\" begins an escape; use 'single quotes' for Windows paths",
  BAD_INDENT: "the indentation does not fit, or a bracket is not closed",
  BAD_PROP_ORDER: "an anchor or tag stands in the wrong place",
  BAD_SCALAR_START: "a value that begins with @, ` or % must be in quotes",
  BLOCK_AS_IMPLICIT_KEY: 'a value that contains ": " must be in quotes',
  BLOCK_IN_FLOW: "inside brackets, entries are separated by commas",
  MISSING_CHAR: "a colon, a quote or a bracket is missing",
  MULTILINE_IMPLICIT_KEY: "a key goes over several lines; a colon or a quote may be missing before",
  MULTIPLE_DOCS: "a second document begins here; the file must hold one",
  TAB_AS_INDENT: "the indentation is made with a tab; use spaces",
  TAG_RESOLVE_FAILED: "a value that begins with ! must be in quotes",
};

function syntaxFault(at: Spot, code: string, origin: Origin): Fault {
  const found = SYNTAX[code] ?? "this line cannot be read";
  return { ...at, origin, key: "", found, allowed: "YAML", message: `not valid YAML: ${found}` };
}

function readTop(walk: Walk, origin: Origin): Top {
  const top = written(walk.document.contents, walk, 4);
  if (top.kind === "nothing") return NOTHING;
  if (top.kind !== "map") {
    const found = top.kind === "list" ? "a list" : "a single value";
    const allowed = 'keys with values, such as listen: ":8080"';
    const message = `found ${found}, allowed: ${allowed}`;
    return { given: [], faults: [{ ...top.at, origin, key: "", found, allowed, message }] };
  }
  const firsts = new Map<string, Spot>();
  const faults: Fault[] = [];
  for (const { name, at } of top.entries) {
    const first = firsts.get(name);
    if (first === undefined) firsts.set(name, at);
    else faults.push(duplicateFault(name, at, first, origin));
  }
  return { given: top.entries.map(({ name, at, value }) => ({ name, at, value, origin })), faults };
}

function duplicateFault(name: string, at: Spot, first: Spot, origin: Origin): Fault {
  const found = `a second time, first on line ${first.line ?? 1}`;
  const allowed = "each key once";
  const message = `found ${found}, allowed: ${allowed}`;
  return { ...at, origin, key: showName(name), found, allowed, message };
}

/** What turning YAML nodes into written values needs; `at` is the place of a node that has none itself. */
type Walk = {
  readonly document: Document;
  readonly spotOf: (offset: number) => Spot;
  /** Told of a `*name` that refers to nothing: a secret beginning with a star must not pass as a blank. */
  readonly onBadAlias: (at: Spot) => void;
  readonly at: Spot;
};

/**
 * A YAML node as a written value, `depth` levels deep: no key goes deeper, and an alias could make it endless.
 * Numbers stay as they were typed, so that a key such as 0012 keeps its zeros.
 */
function written(node: unknown, walk: Walk, depth: number): Written {
  const target: unknown = isAlias(node) ? node.resolve(walk.document) : node;
  const at = isNode(node) ? spotOfNode(node, walk) : walk.at;
  if (isAlias(node) && target === undefined) walk.onBadAlias(at);
  if (isScalar(target)) {
    const [from = 0, to = from] = target.range ?? [];
    const isOneLine = walk.spotOf(from).line === walk.spotOf(to).line;
    if (typeof target.value === "string") {
      return { kind: "text", text: target.value, isOneLine, at };
    }
    return target.value === null
      ? { kind: "nothing", at }
      : { kind: "text", text: target.source ?? String(target.value), isOneLine, at };
  }
  const inner = { ...walk, at };
  if (isSeq(target)) {
    const items = depth === 0 ? [] : target.items;
    return { kind: "list", at, items: items.map((item) => written(item, inner, depth - 1)) };
  }
  if (!isMap(target)) return { kind: "nothing", at };
  const pairs = depth === 0 ? [] : target.items;
  const entries = pairs.map((pair): WrittenEntry => {
    const key = written(pair.key, inner, 0);
    const name = key.kind === "text" ? key.text : "";
    const value = written(pair.value, { ...inner, at: key.at }, depth - 1);
    return { name, at: key.at, value };
  });
  return { kind: "map", at, entries };
}

function isNode(node: unknown): node is Node {
  return isAlias(node) || isScalar(node) || isSeq(node) || isMap(node);
}

function spotOfNode(node: Node, walk: Walk): Spot {
  const offset = node.range?.[0];
  return offset === undefined ? walk.at : walk.spotOf(offset);
}

/** File faults first, by line; then environment and flags, as they came. */
function inOrder(faults: readonly Fault[]): Fault[] {
  const line = (fault: Fault): number =>
    fault.origin.kind === "file" ? (fault.line ?? 0) : Number.MAX_SAFE_INTEGER;
  return faults.toSorted((a, b) => line(a) - line(b));
}
