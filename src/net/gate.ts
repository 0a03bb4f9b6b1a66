import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join as joinPath } from "node:path";
import type { EgressProxy } from "../config/proxy-url.ts";
import { type DialPorts, dialTarget } from "./dial.ts";
import { join, reset } from "./forward.ts";
import { createIntake } from "./intake.ts";
import { EgressError, type Target } from "./trouble.ts";

/**
 * A door inside this machine behind which a server is, through a proxy: whoever connects to it is connected to there.
 * Fetch goes through it as if it were the server, TLS and all. Of the runtime's own proxies it would know no SOCKS, not
 * see what a proxy says or that it says nothing, and hold in memory whatever a slow reader leaves (ARCHITECTURE.md).
 */
export type Gate = {
  readonly place: Place;
  /** How many connections have failed so far. */
  readonly countFaults: () => number;
  /** What made the last of them fail. */
  readonly lastFault: () => EgressError | undefined;
};

/** Where a gate is: a socket in a folder that only this user can enter, or, where there is none, a port of this machine. */
export type Place =
  | { readonly kind: "socket"; readonly path: string }
  | { readonly kind: "port"; readonly port: number };

/** The gates of this process. */
export type Gates = {
  /** The gate to `target` through `proxy`, opened if need be. */
  readonly to: (proxy: EgressProxy, target: Target) => Promise<Gate>;
  /** Ends them, and whatever runs through them. */
  readonly close: () => Promise<void>;
};

/** What gates need. */
export type GatePorts = DialPorts & {
  /** Where the folder for their sockets is made. */
  readonly socketDir: string;
};

type Opened = Gate & { readonly server: Server };

// Those that nobody has used for longest are closed; what runs through them goes on.
const MOST_GATES = 512;

/** Gates, each opened when it is first wanted. */
export function createGates(ports: GatePorts): Gates {
  const gates = new Map<string, Promise<Opened>>();
  const clients = new Set<Socket>();
  let folder: Promise<string | undefined> | undefined;
  let count = 0;

  const pathOf = async (): Promise<string | undefined> => {
    // Windows has such sockets too, but its runtime's have not been tried.
    folder ??=
      process.platform === "win32"
        ? Promise.resolve(undefined)
        : mkdtemp(joinPath(ports.socketDir, "codex-proxy-")).catch(() => undefined);
    const dir = await folder;
    count += 1;
    return dir === undefined ? undefined : joinPath(dir, String(count));
  };

  const open = async (proxy: EgressProxy, target: Target): Promise<Opened> => {
    let faults = 0;
    let last: EgressError | undefined;
    const onFault = (cause: unknown): void => {
      faults += 1;
      last = cause instanceof EgressError ? cause : new EgressError(String(cause));
    };
    const server = createServer({ noDelay: true }, (client) => {
      clients.add(client);
      client.on("close", () => clients.delete(client));
      pass(client, proxy, target, ports).catch(onFault);
    });
    // Later on it can only be that a connection was not taken, which its client finds out by itself.
    server.on("error", () => {});
    const place = await listen(server, await pathOf());
    return { place, server, countFaults: () => faults, lastFault: () => last };
  };

  const closeOldest = (): void => {
    const [oldest] = gates;
    if (gates.size <= MOST_GATES || oldest === undefined) return;
    gates.delete(oldest[0]);
    oldest[1].then(({ server }) => server.close()).catch(() => {});
  };

  /** Forgets a gate whose socket somebody has removed, as whoever cleans the folder for what is temporary does. */
  const dropLost = async (key: string): Promise<void> => {
    const known = gates.get(key);
    const opened = await known?.catch(() => undefined);
    if (opened?.place.kind !== "socket" || existsSync(opened.place.path)) return;
    opened.server.close();
    // Somebody else may have opened it anew meanwhile.
    if (gates.get(key) === known) gates.delete(key);
  };

  return {
    to: async (proxy, target) => {
      const key = `${proxy.key} ${proxy.url} ${target.host} ${target.port}`;
      await dropLost(key);
      const gate = gates.get(key) ?? open(proxy, target);
      // Put last, so that those in use stay.
      gates.delete(key);
      gates.set(key, gate);
      // One that could not be opened is tried again by the next.
      gate.catch(() => gates.delete(key));
      closeOldest();
      return gate;
    },
    close: async () => {
      for (const gate of gates.values()) {
        await gate.then(({ server }) => server.close()).catch(() => {});
      }
      for (const client of clients) client.destroy();
      const dir = await folder;
      if (dir !== undefined) await rm(dir, { recursive: true, force: true });
    },
  };
}

/**
 * Connects a client to the target.
 * @throws EgressError when that fails; the client's connection is broken then. It may leave meanwhile, which is no fault.
 */
async function pass(
  client: Socket,
  proxy: EgressProxy,
  target: Target,
  ports: DialPorts,
): Promise<void> {
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  client.on("error", leave).on("end", leave).on("close", leave);
  // Read, so that it is seen when it leaves.
  const intake = createIntake(client);
  try {
    const far = await dialTarget(proxy, target, ports, gone.signal);
    join({ socket: client, early: intake.release() }, far, ports.clock);
  } catch (cause) {
    reset(client);
    if (!gone.signal.aborted) throw cause;
  }
}

async function listen(server: Server, path: string | undefined): Promise<Place> {
  if (path !== undefined) {
    const isThere = await settled(server, () => server.listen(path));
    if (isThere) return { kind: "socket", path };
  }
  await settled(server, () => server.listen(0, "127.0.0.1"));
  const address = server.address();
  if (typeof address === "object" && address !== null) {
    return { kind: "port", port: address.port };
  }
  throw new EgressError("This machine has no port left for connections to the egress proxy.");
}

/** Whether the server listens after `begin`. It does not keep the program alive. */
function settled(server: Server, begin: () => void): Promise<boolean> {
  return new Promise((resolve) => {
    const onListening = (): void => end(true);
    const onError = (): void => end(false);
    const end = (isListening: boolean): void => {
      server.off("listening", onListening).off("error", onError);
      resolve(isListening);
    };
    server.once("listening", onListening).once("error", onError);
    begin();
    server.unref();
  });
}
