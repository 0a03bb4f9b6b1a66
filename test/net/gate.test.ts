import { describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createGates, type Gates, type Place } from "../../src/net/gate.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { createManualClock } from "../support/clock.ts";
import { holdUntilEnd } from "../support/held.ts";
import { once, proxyOf } from "../support/link.ts";
import { freePort, listen } from "../support/listener.ts";
import { startSocksServer } from "../support/proxies.ts";
import { until } from "../support/until.ts";

const { hold, use } = holdUntilEnd();

/** Gates whose sockets are in a folder of their own; without one, they are ports. */
async function openGates(isPort = false, clock = systemClock): Promise<Gates & { dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "gate-test-"));
  const socketDir = isPort ? join(dir, "missing") : dir;
  const gates = createGates({ clock, limitMs: () => 15_000, socketDir });
  hold({
    [Symbol.asyncDispose]: async () => {
      await gates.close();
      await rm(dir, { recursive: true, force: true });
    },
  });
  return { ...gates, dir };
}

function enter(place: Place): Socket {
  const socket = connect(
    place.kind === "socket" ? { path: place.path } : { host: "127.0.0.1", port: place.port },
  );
  return socket.on("error", () => {});
}

const echo = () => listen((socket) => void socket.pipe(socket));

for (const isPort of [false, true]) {
  describe(isPort ? "a gate at a port" : "a gate at a socket", () => {
    test("leads to its target, through its proxy", async () => {
      const { to } = await openGates(isPort);
      const server = await use(echo());
      const proxy = await use(startSocksServer());
      const gate = await to(proxyOf(proxy.url), { host: "localhost", port: server.port });
      expect(gate.place.kind).toBe(isPort ? "port" : "socket");
      const client = enter(gate.place);
      client.write("hello");
      const heard = await new Promise((resolve) => client.once("data", resolve));
      expect(`${heard}`).toBe("hello");
      expect(proxy.asked).toEqual([`name localhost:${server.port}`]);
      expect(gate.countFaults()).toBe(0);
      client.destroy();
      await until("the server's connection is closed", () => server.open() === 0);
    });

    test("breaks the client's connection where the proxy is not there, and says why", async () => {
      const { to } = await openGates(isPort);
      const gate = await to(proxyOf(`http://127.0.0.1:${await freePort()}`), {
        host: "h",
        port: 1,
      });
      await once(enter(gate.place), "close");
      expect(gate.countFaults()).toBe(1);
      expect(gate.lastFault()?.message).toContain("connection refused");
    });

    test("a client that leaves while the proxy is silent is no fault, and ends the dialling", async () => {
      const { to } = await openGates(isPort);
      const silent = await use(listen((socket) => void socket.resume()));
      const gate = await to(proxyOf(`http://127.0.0.1:${silent.port}`), { host: "h", port: 1 });
      const client = enter(gate.place);
      await until("the proxy is connected to", () => silent.open() === 1);
      client.destroy();
      await until("the proxy's connection is closed", () => silent.open() === 0);
      expect(gate.countFaults()).toBe(0);
    });

    test("a silent proxy ends the client's connection in time", async () => {
      const clock = createManualClock(0);
      const { to } = await openGates(isPort, clock);
      const silent = await use(listen((socket) => void socket.resume()));
      const gate = await to(proxyOf(`socks5://127.0.0.1:${silent.port}`), { host: "::1", port: 1 });
      const client = enter(gate.place);
      await until("the proxy is connected to", () => silent.open() === 1);
      clock.advance(15_000);
      await once(client, "close");
      expect(gate.lastFault()?.message).toContain("did not open a connection within 15 s");
    });

    test("closing ends what runs through it, and leaves nothing", async () => {
      const gates = await openGates(isPort);
      const server = await use(echo());
      const proxy = await use(startSocksServer());
      const gate = await gates.to(proxyOf(proxy.url), { host: "localhost", port: server.port });
      const client = enter(gate.place);
      client.write("x");
      await new Promise((resolve) => client.once("data", resolve));
      await gates.close();
      await until("the connection is over", () => client.destroyed && server.open() === 0);
      expect(await readdir(gates.dir)).toEqual([]);
      await once(enter(gate.place), "close");
      expect(server.peers).toHaveLength(1);
    });
  });
}

test("nobody but this user can enter the folder of the sockets", async () => {
  const { to } = await openGates();
  const gate = await to(proxyOf("http://h"), { host: "h", port: 1 });
  if (gate.place.kind !== "socket") throw new Error("it is a port");
  expect((await stat(dirname(gate.place.path))).mode & 0o777).toBe(0o700);
});

test("one gate for each target and proxy, and another one for another login", async () => {
  const { to } = await openGates();
  const target = { host: "h", port: 1 };
  const gate = await to(proxyOf("http://a:b@h"), target);
  expect(await to(proxyOf("http://a:b@h"), target)).toBe(gate);
  expect(await to(proxyOf("http://a:c@h"), target)).not.toBe(gate);
  expect(await to(proxyOf("http://a:b@h"), { host: "h", port: 2 })).not.toBe(gate);
});

test("gates that nobody uses are closed, and what runs through them goes on", async () => {
  const { to, dir } = await openGates();
  const server = await use(echo());
  const proxy = await use(startSocksServer());
  const target = { host: "localhost", port: server.port };
  const client = enter((await to(proxyOf(proxy.url), target)).place);
  client.write("x");
  await new Promise((resolve) => client.once("data", resolve));
  for (let port = 1; port <= 600; port++) await to(proxyOf(proxy.url), { host: "h", port });
  const [folder = ""] = await readdir(dir);
  await until(
    "the oldest are closed",
    async () => (await readdir(join(dir, folder))).length <= 512,
  );
  client.write("y");
  expect(`${await new Promise((resolve) => client.once("data", resolve))}`).toBe("y");
  client.destroy();
});

test("a gate whose socket somebody has removed is opened anew", async () => {
  const { to } = await openGates();
  const server = await use(echo());
  const proxy = await use(startSocksServer());
  const target = { host: "localhost", port: server.port };
  const lost = await to(proxyOf(proxy.url), target);
  if (lost.place.kind !== "socket") throw new Error("it is no socket");
  await rm(dirname(lost.place.path), { recursive: true });
  const { place } = await to(proxyOf(proxy.url), target);
  expect(place).not.toEqual(lost.place);
  const client = enter(place);
  client.write("hello");
  const heard = await new Promise((resolve) => client.once("data", resolve));
  expect(`${heard}`).toBe("hello");
});
