import { redact } from "../wire/log.ts";
import type { Spot } from "./fault.ts";
import { nearestOf } from "./known.ts";
import { lengthOf, type Rule, type Verdict } from "./rules.ts";
import type { Entry, Form, Spec } from "./schema.ts";

/** A value as somebody wrote it, before its key says what it should be. */
export type Written = { readonly at: Spot } & (
  | { readonly kind: "nothing" }
  | {
      readonly kind: "text";
      readonly text: string;
      /** A text over several lines may have swallowed a neighbour's secret: it is never quoted. */
      readonly isOneLine: boolean;
    }
  | { readonly kind: "list"; readonly items: readonly Written[] }
  | { readonly kind: "map"; readonly entries: readonly WrittenEntry[] }
);

/** One `name: value` of a map; `at` is the place of the name. */
export type WrittenEntry = { readonly name: string; readonly at: Spot; readonly value: Written };

/** One thing wrong with a value. */
export type Complaint = {
  readonly at: Spot;
  /** Which entry of a list or map, in words. */
  readonly entry?: string;
  readonly found: string;
  readonly allowed: string;
  readonly hint?: string;
};

/** What a written value comes to. `unset` leaves the key to the sources of lower precedence. */
export type Reading =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "unset" }
  | { readonly kind: "faulty"; readonly complaints: readonly Complaint[] };

const NOWHERE: Spot = {};
const LONGEST_QUOTE = 60;

/** A value from a place without structure, the environment or a flag: `a,b` for a list, `k=v,k=v` for a map. */
export function writtenFromText(form: Form, text: string): Written {
  const whole = textAt(text);
  if (text.trim() === "") return whole;
  if (form.kind === "list") {
    return { kind: "list", at: NOWHERE, items: text.split(",").map((part) => textAt(part.trim())) };
  }
  if (form.kind !== "map") return whole;
  const entries = text.split(",").map((part): WrittenEntry => {
    const [name = "", ...rest] = part.split("=");
    const value: Written =
      rest.length === 0 ? { kind: "nothing", at: NOWHERE } : textAt(rest.join("=").trim());
    return { name: name.trim(), at: NOWHERE, value };
  });
  return { kind: "map", at: NOWHERE, entries };
}

function textAt(text: string): Written {
  return { kind: "text", text, isOneLine: true, at: NOWHERE };
}

/** Reads a value as its key wants it. Total: whatever was written, it is a value, unset or faulty. */
export function readValue(spec: Spec, written: Written): Reading {
  if (isUnset(spec, written)) return { kind: "unset" };
  switch (spec.form.kind) {
    case "integer":
      return readInteger(spec, spec.form, written);
    case "boolean":
      return readBoolean(spec, written);
    case "choice":
      return readChoice(spec, spec.form.values, written);
    case "text":
      return readText(spec, written);
    case "list":
      return readList(spec, written);
    case "map":
      return readMap(spec, written);
  }
}

/**
 * A blank value counts as not given, as in `base-url: ""`.
 * A blank list of keys does not: `CODEX_PROXY_API_KEYS=""` is an accident that would open the proxy to everybody.
 */
function isUnset(spec: Spec, written: Written): boolean {
  if (written.kind === "nothing") return true;
  if (written.kind !== "text") return false;
  if (spec.isSecret === true && spec.form.kind === "list") return false;
  // White space where a key belongs is a mistake, unlike the empty string, which is the default.
  return (spec.isSecret === true ? written.text : written.text.trim()) === "";
}

function readInteger(
  spec: Spec,
  form: Extract<Form, { kind: "integer" }>,
  written: Written,
): Reading {
  const text = written.kind === "text" ? written.text.trim() : "";
  const value = /^[\d+-]/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= form.minimum && value <= form.maximum) {
    // Not -0, which is 0 to everybody but Object.is.
    return { kind: "value", value: value + 0 };
  }
  return faulty(spec, written, unitHint(spec, text));
}

const IN_SECONDS: { readonly [unit: string]: number } = { s: 1, m: 60, h: 3600, d: 86_400 };
const IN_BYTES: { readonly [unit: string]: number } = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

function unitHint(spec: Spec, text: string): string | undefined {
  if (spec.unit === "s") {
    const [, digits, unit = ""] =
      /^(\d{1,9})\s*(ms|s|m|h|d|sec|secs|seconds?|min|mins|minutes?|hours?|days?)$/i.exec(text) ??
      [];
    if (digits === undefined) return undefined;
    const factor =
      unit.toLowerCase() === "ms" ? undefined : IN_SECONDS[unit.charAt(0).toLowerCase()];
    return factor === undefined
      ? "the unit is whole seconds"
      : `the unit is seconds: write ${Number(digits) * factor}`;
  }
  if (spec.unit !== "bytes") return undefined;
  const [, digits, unit = ""] = /^(\d{1,9})\s*([kmg])i?b?$/i.exec(text) ?? [];
  const factor = IN_BYTES[unit.toLowerCase()];
  return digits === undefined || factor === undefined
    ? undefined
    : `the unit is bytes: write ${Number(digits) * factor}`;
}

/** What people write for yes and no; the last four because YAML used to read them so. */
const BOOLEANS: { readonly [word: string]: boolean } = {
  true: true,
  "1": true,
  yes: true,
  on: true,
  false: false,
  "0": false,
  no: false,
  off: false,
};

/** `text` as yes or no, undefined when it is neither. */
export function readFlag(text: string): boolean | undefined {
  const word = text.trim().toLowerCase();
  return Object.hasOwn(BOOLEANS, word) ? BOOLEANS[word] : undefined;
}

function readBoolean(spec: Spec, written: Written): Reading {
  const value = written.kind === "text" ? readFlag(written.text) : undefined;
  return value === undefined ? faulty(spec, written) : { kind: "value", value };
}

function readChoice(spec: Spec, values: readonly string[], written: Written): Reading {
  const word = written.kind === "text" ? written.text.trim().toLowerCase() : "";
  return values.includes(word) ? { kind: "value", value: word } : faulty(spec, written);
}

function readText(spec: Spec, written: Written): Reading {
  if (written.kind !== "text") return faulty(spec, written);
  const verdict = judge(spec.rule, spec.isSecret ? written.text : written.text.trim());
  if (verdict.ok) return { kind: "value", value: verdict.value };
  return { kind: "faulty", complaints: [complaint(spec, written, verdict)] };
}

function readList(spec: Spec, written: Written): Reading {
  if (written.kind !== "list") {
    const isSingle = written.kind === "text" && written.text.trim() !== "";
    return faulty(
      spec,
      written,
      isSingle ? 'write each entry on a line of its own, after "- "' : undefined,
    );
  }
  const values: Entry[] = [];
  const complaints: Complaint[] = [];
  for (const [index, item] of written.items.entries()) {
    const name = `entry ${index + 1}`;
    const reading = readItem(spec, item);
    if (reading.kind === "faulty") {
      complaints.push(...reading.complaints.map((each) => within(name, each)));
      continue;
    }
    const fault = spec.entry?.judge(reading.value, values);
    if (fault !== undefined) complaints.push({ ...fault, at: item.at, entry: name });
    values.push(reading.value);
  }
  return complaints.length > 0 ? { kind: "faulty", complaints } : { kind: "value", value: values };
}

function within(name: string, complaint: Complaint): Complaint {
  const { entry } = complaint;
  return { ...complaint, entry: entry === undefined ? name : `${name}: ${entry}` };
}

type ItemReading =
  | { readonly kind: "value"; readonly value: Entry }
  | Extract<Reading, { readonly kind: "faulty" }>;

function readItem(spec: Spec, item: Written): ItemReading {
  if (item.kind === "map" && spec.entry !== undefined) {
    return readEntry(spec.entry.fields, item.entries);
  }
  const verdict = judgeItem(spec, item);
  return verdict.ok
    ? { kind: "value", value: verdict.value }
    : { kind: "faulty", complaints: [complaint(spec, item, verdict)] };
}

function judgeItem(spec: Spec, item: Written): Verdict {
  if (item.kind === "text") {
    return judge(spec.rule, spec.isSecret ? item.text : item.text.trim());
  }
  return item.kind === "nothing" ? judge(spec.rule, "") : { ok: false };
}

/** A map in a list: each field is read like a key. */
function readEntry(
  fields: Readonly<Record<string, Spec>>,
  entries: readonly WrittenEntry[],
): ItemReading {
  const value: { [field: string]: unknown } = {};
  const complaints: Complaint[] = [];
  const seen = new Set<string>();
  for (const { name, at, value: given } of entries) {
    const spec = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (spec === undefined) {
      complaints.push(unknownField(name, at, Object.keys(fields)));
      continue;
    }
    if (seen.has(name)) complaints.push({ at, found: `${name} twice`, allowed: "each field once" });
    seen.add(name);
    // A field that is there and says nothing would be a limit that somebody believes in.
    const reading: Reading = isBlank(given)
      ? { kind: "faulty", complaints: [complaint(spec, given, { ok: false })] }
      : readValue(spec, given);
    if (reading.kind === "value") value[name] = reading.value;
    if (reading.kind !== "faulty") continue;
    const hint = given.kind === "text" && given.text === "0" ? NO_LIMIT : {};
    complaints.push(...reading.complaints.map((each) => within(name, { ...each, ...hint })));
  }
  return complaints.length > 0 ? { kind: "faulty", complaints } : { kind: "value", value };
}

// Elsewhere 0 means it.
const NO_LIMIT = { hint: "leave it out for no limit" };

/** A name that is near none of the fields may be a key in the wrong place. */
function unknownField(name: string, at: Spot, fields: readonly string[]): Complaint {
  const guess = nearestOf(name, fields);
  const allowed = fields.join(", ");
  return guess === undefined
    ? { at, found: `an unknown field, ${lengthOf(name)}`, allowed }
    : {
        at,
        found: `an unknown field, ${showName(name)}`,
        allowed,
        hint: `did you mean ${guess}?`,
      };
}

function isBlank(written: Written): boolean {
  if (written.kind === "list") return written.items.length === 0;
  return written.kind === "nothing" || (written.kind === "text" && written.text.trim() === "");
}

function readMap(spec: Spec, written: Written): Reading {
  if (written.kind !== "map") return faulty(spec, written);
  const values = new Map<string, string>();
  const complaints: Complaint[] = [];
  for (const { name, at, value } of written.entries) {
    const nameVerdict = judge(spec.nameRule, name);
    const shown = showEntryName(spec, name, value, nameVerdict);
    if (!nameVerdict.ok) {
      complaints.push({ ...complaint(spec, written, nameVerdict), at, found: shown });
      continue;
    }
    if (values.has(nameVerdict.value)) {
      complaints.push({ at, found: `${shown} twice`, allowed: "each name once" });
      continue;
    }
    const text = entryText(spec, value);
    const verdict: Verdict = text === undefined ? { ok: false } : judge(spec.rule, text);
    if (!verdict.ok)
      complaints.push({ ...complaint(spec, value, verdict), entry: `entry ${shown}` });
    values.set(nameVerdict.value, verdict.ok ? verdict.value : "");
  }
  return complaints.length > 0
    ? { kind: "faulty", complaints }
    : { kind: "value", value: Object.fromEntries(values) };
}

/** An entry as one text; undefined where it is none. */
function entryText({ fields }: Spec, value: Written): string | undefined {
  if (value.kind === "text") return value.text.trim();
  if (value.kind !== "map" || fields === undefined) return undefined;
  const parts = new Map<string, string>();
  for (const { name, value: part } of value.entries) {
    if (part.kind !== "text" || !fields.includes(name) || parts.has(name)) return undefined;
    parts.set(name, part.text.trim());
  }
  return fields.flatMap((field) => parts.get(field) ?? []).join("/");
}

/** In a secret map, a name without a value, or one that cannot be a name, may be a value in the wrong place. */
function showEntryName(spec: Spec, name: string, value: Written, verdict: Verdict): string {
  const isDoubtful = value.kind === "nothing" || (!verdict.ok && verdict.hint === undefined);
  return spec.isSecret === true && isDoubtful ? lengthOf(name) : showName(name);
}

function judge(rule: Rule | undefined, text: string): Verdict {
  return rule === undefined ? { ok: true, value: text } : rule(text);
}

function faulty(spec: Spec, written: Written, hint?: string): Reading {
  const verdict: Verdict = hint === undefined ? { ok: false } : { ok: false, hint };
  return { kind: "faulty", complaints: [complaint(spec, written, verdict)] };
}

function complaint(
  spec: Spec,
  written: Written,
  verdict: Extract<Verdict, { ok: false }>,
): Complaint {
  return {
    at: written.at,
    found: verdict.found ?? show(written, spec.isSecret === true),
    allowed: allowedOf(spec),
    ...(verdict.hint === undefined ? {} : { hint: verdict.hint }),
  };
}

/** What may stand at a key, in words. */
export function allowedOf(spec: Spec): string {
  if (spec.allowed !== undefined) return spec.allowed;
  switch (spec.form.kind) {
    case "integer": {
      const unit = spec.unit === undefined ? "" : ` of ${spec.unit === "s" ? "seconds" : "bytes"}`;
      return `a whole number${unit} from ${spec.form.minimum} to ${spec.form.maximum}`;
    }
    case "boolean":
      return "true or false";
    case "choice":
      return `one of ${spec.form.values.join(", ")}`;
    case "text":
      return "a string";
    case "list":
      return "a list of strings";
    case "map":
      return "a map of strings";
  }
}

/** A written value in a fault. Quoted only when it is short, on one line and not secret; masked even then. */
export function show(written: Written, isSecret: boolean): string {
  switch (written.kind) {
    case "nothing":
      return "nothing";
    case "list":
      return "a list";
    case "map":
      return "a map";
    case "text": {
      const { text, isOneLine } = written;
      if (text === "") return "an empty string";
      if (isSecret || !isOneLine || text.length > LONGEST_QUOTE) return lengthOf(text);
      return /^-?\d+(?:\.\d+)?$/.test(text) ? text : JSON.stringify(redact(text));
    }
  }
}

/** A name as it may be shown: one that does not look like a name may be a misplaced secret. */
export function showName(name: string): string {
  if (name.trim() === "") return "a blank name";
  const shown = redact(name);
  return /^[\w.*?-]{1,40}$/.test(shown) || shown !== name ? shown.slice(0, 80) : lengthOf(name);
}
