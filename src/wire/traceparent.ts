/** Where a request stands in a trace that somebody else has begun. Ids are lower-case hexadecimal digits. */
export type Trace = {
  readonly traceId: string;
  /** The span that the request is a child of. */
  readonly parentId: string;
  /** Whether the caller keeps the trace. */
  readonly isSampled: boolean;
};

// W3C Trace Context, 3.2.2: version, trace-id, parent-id, trace-flags. Later versions may have more behind a dash.
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 1;

/** Reads a `traceparent` header; undefined where there is none or it is not valid, and then it counts as not sent. */
export function readTraceparent(header: string | null): Trace | undefined {
  const [, version, traceId = "", parentId = "", flags = "", more] = FORM.exec(header ?? "") ?? [];
  if (version === undefined || version === "ff") return undefined;
  if (version === "00" && more !== undefined) return undefined;
  // All zeros is how an id says that it is none.
  if (!/[^0]/.test(traceId) || !/[^0]/.test(parentId)) return undefined;
  return { traceId, parentId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}
