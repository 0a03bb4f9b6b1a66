import { sha256 } from "../wire/digest.ts";

// The backend's limits for names of tools and for ids of calls (upstream.md 3.2).
const LONGEST = 64;
const TOOL_NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const DIGITS = 12;

/** The names of one request's tools, as the client writes them and as the backend takes them. */
export type ToolNames = {
  /** The name for the backend, remembered for the way back. */
  readonly toWire: (name: string) => string;
  /** The client's own name for what the backend calls `wire`; the same where it was never another. */
  readonly fromWire: (wire: string) => string;
  /** Whether any name is another on the wire, so that answers must be looked at. */
  readonly hasAliases: () => boolean;
};

/** No names yet. */
export function createToolNames(): ToolNames {
  const originals = new Map<string, string>();
  return {
    toWire: (name) => {
      const wire = wireToolName(name);
      if (wire !== name) originals.set(wire, name);
      return wire;
    },
    fromWire: (wire) => originals.get(wire) ?? wire,
    hasAliases: () => originals.size > 0,
  };
}

/**
 * A tool's name as the backend takes it: itself, or what is legible of it and a hash. The hash depends on the name
 * alone, so that a name stays the same over all turns, whatever other tools come and go, and two long names with one
 * beginning stay two.
 */
export function wireToolName(name: string): string {
  if (TOOL_NAME.test(name)) return name;
  const legible = name.replace(/[^a-zA-Z0-9_-]+/g, "_").slice(0, LONGEST - DIGITS - 1);
  return `${legible}_${sha256(name).slice(0, DIGITS)}`;
}

/** A call's id as the backend takes it: itself, or a hash of it. Calls and their outputs get the same. */
export function wireCallId(id: string): string {
  return id.length <= LONGEST ? id : `call_${sha256(id).slice(0, 40)}`;
}
