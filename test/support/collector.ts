import { type Dict, dict, list, parseDict } from "../../src/wire/json.ts";

/** An OpenTelemetry collector that keeps what it is sent. */
export type Collector = AsyncDisposable & {
  readonly url: string;
  /** Everything that it was sent, as it came. */
  readonly words: () => string;
  readonly spans: () => readonly Dict[];
  /** Answers from now on with this status; 200 takes what comes. */
  readonly answers: (status: number) => void;
  readonly stop: () => Promise<void>;
};

/** Starts a collector on a free loopback port. */
export function startCollector(): Collector {
  const bodies: string[] = [];
  let status = 200;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const body = await request.text();
      if (status !== 200) return new Response(null, { status });
      if (new URL(request.url).pathname !== "/v1/traces")
        return new Response(null, { status: 404 });
      bodies.push(body);
      return Response.json({ partialSuccess: {} });
    },
  });
  const stop = (): Promise<void> => server.stop(true);
  return {
    url: `http://127.0.0.1:${server.port}`,
    words: () => bodies.join("\n"),
    spans: () => bodies.flatMap(spansIn),
    answers: (next) => {
      status = next;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function spansIn(body: string): readonly Dict[] {
  return list(parseDict(body)?.["resourceSpans"])
    .flatMap((resource) => list(dict(resource)["scopeSpans"]))
    .flatMap((scope) => list(dict(scope)["spans"]))
    .map(dict);
}

/** The attributes of a span, by their keys. */
export function attributesOf(span: Dict | undefined): Dict {
  const entries = list(span?.["attributes"]).map((each): [string, unknown] => {
    const { key, value } = dict(each);
    return [String(key), Object.values(dict(value))[0]];
  });
  return Object.fromEntries(entries);
}
