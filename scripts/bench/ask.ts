/** How every bare relay and floor asks the backend: as little as it must be told. */
export function askBackend(
  base: string,
  { headers, signal }: Request,
  body: ArrayBuffer | string,
): Promise<Response> {
  return fetch(`${base}/responses`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "text/event-stream",
      "accept-encoding": "identity",
      authorization: headers.get("authorization") ?? "",
    },
    body,
    signal,
    proxy: false,
  });
}
