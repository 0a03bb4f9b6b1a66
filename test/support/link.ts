import { connect, type Socket } from "node:net";
import { type EgressProxy, type ProxyKey, readProxy } from "../../src/config/proxy-url.ts";
import { type Listener, listen } from "./listener.ts";

/** A connection, and the test's own end of it. */
export type Link = AsyncDisposable & {
  readonly near: Socket;
  readonly far: Socket;
  readonly listener: Listener;
};

/** Makes a connection within this process. */
export async function openLink(): Promise<Link> {
  const taken = Promise.withResolvers<Socket>();
  const listener = await listen(taken.resolve);
  const near = connect({ host: "127.0.0.1", port: listener.port, noDelay: true });
  near.on("error", () => {});
  const far = await taken.promise;
  return {
    near,
    far,
    listener,
    [Symbol.asyncDispose]: async () => {
      near.destroy();
      await listener.stop();
    },
  };
}

/** Something that happens once, as a promise. */
export function once(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve) => socket.once(event, () => resolve()));
}

/**
 * A proxy by its URL.
 * @throws Error where that is none
 */
export function proxyOf(url: string, key: ProxyKey = "proxy-url"): EgressProxy {
  const reading = readProxy(url, key);
  if (!reading.ok) throw new Error(reading.found);
  return reading.proxy;
}
