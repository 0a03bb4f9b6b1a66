/** A request as the client sent it, and what it was answered. */
export type Overheard = {
  readonly path: string;
  readonly body: Buffer;
  readonly status: number;
};

/** Somebody who listens. */
export type Between = AsyncDisposable & {
  readonly url: string;
  /** In the order in which the answers began. */
  readonly requests: readonly Overheard[];
};

/** Stands between a client and the proxy, and writes down what the client says. */
export async function listenBetween(target: string): Promise<Between> {
  const requests: Overheard[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: async (request) => {
      const { pathname: path, search } = new URL(request.url);
      const body = Buffer.from(await request.arrayBuffer());
      const { method, headers } = request;
      const init = method === "GET" || method === "HEAD" ? {} : { body };
      const answer = await fetch(`${target}${path}${search}`, { method, headers, ...init });
      requests.push({ path, body, status: answer.status });
      return new Response(answer.body, { status: answer.status, headers: answer.headers });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    requests,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}
