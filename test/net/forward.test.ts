import { describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { join } from "../../src/net/forward.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { createManualClock } from "../support/clock.ts";
import { openLink } from "../support/link.ts";
import { until } from "../support/until.ts";

const NOTHING = Buffer.alloc(0);
const MEGABYTE = 1024 * 1024;

/** A client and a server that are joined in the middle; `near` and `far` are what was joined. */
async function stage(clock = systemClock, early = { near: NOTHING, far: NOTHING }) {
  const one = await openLink();
  const other = await openLink();
  join({ socket: one.far, early: early.near }, { socket: other.near, early: early.far }, clock);
  return {
    client: one.near,
    near: one.far,
    far: other.near,
    server: other.far,
    [Symbol.asyncDispose]: async () => {
      await one[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
    },
  };
}

/** All that comes, up to the end; rejects where the connection breaks instead. */
function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on("data", (part: Buffer) => parts.push(part));
    socket.once("end", () => resolve(Buffer.concat(parts)));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed before its end")));
  });
}

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("join", () => {
  test("hands on both ways, what came early first", async () => {
    const early = { near: Buffer.from("a"), far: Buffer.from("z") };
    await using scene = await stage(systemClock, early);
    scene.client.write("bc");
    const heard = new Promise((resolve) => {
      let text = "";
      scene.server.on("data", (part) => {
        text += part;
        if (text.length === 3) resolve(text);
      });
    });
    expect(await heard).toBe("abc");
    const answer = readAll(scene.client);
    scene.server.end("yx");
    expect(`${await answer}`).toBe("zyx");
  });

  test("a slow reader gets all of it to the end, and little is held for it meanwhile", async () => {
    await using scene = await stage();
    const body = randomBytes(24 * MEGABYTE);
    scene.client.pause();
    scene.server.end(body);
    await until("the far side is held up", () => scene.far.isPaused());
    expect(scene.near.writableLength).toBeLessThan(MEGABYTE);
    expect(scene.server.writableLength).toBeGreaterThan(12 * MEGABYTE);
    expect(digest(await readAll(scene.client.resume()))).toBe(digest(body));
  });

  test("the same for a request whose server is slow", async () => {
    await using scene = await stage();
    const body = randomBytes(24 * MEGABYTE);
    scene.server.pause();
    scene.client.write(body);
    await until("the near side is held up", () => scene.near.isPaused());
    expect(scene.far.writableLength).toBeLessThan(MEGABYTE);
    const parts: Buffer[] = [];
    scene.server.on("data", (part: Buffer) => parts.push(part)).resume();
    const count = () => parts.reduce((sum, { length }) => sum + length, 0);
    await until("it has all arrived", () => count() === body.length);
    expect(digest(Buffer.concat(parts))).toBe(digest(body));
  });

  test("a far side that breaks breaks the near one: half an answer does not look whole", async () => {
    await using scene = await stage();
    const answer = readAll(scene.client);
    scene.server.write("half");
    await new Promise((resolve) => scene.client.once("data", resolve));
    scene.server.resetAndDestroy();
    expect(answer).rejects.toMatchObject({ code: "ECONNRESET" });
    await answer.catch(() => {});
  });

  test("a client that leaves ends both at once", async () => {
    await using scene = await stage();
    scene.server.resume();
    scene.server.write("x");
    await new Promise((resolve) => scene.client.once("data", resolve));
    scene.client.destroy();
    await until("the server sees it", () => scene.server.destroyed);
  });

  test("a client that leaves a request that is stuck breaks the far side off", async () => {
    await using scene = await stage();
    scene.server.pause();
    scene.client.write(randomBytes(24 * MEGABYTE));
    await until("the near side is held up", () => scene.near.isPaused());
    scene.client.resetAndDestroy();
    await until("the far side is given up", () => scene.far.destroyed);
  });

  test("a server that takes nothing of a request for a minute is given up", async () => {
    const clock = createManualClock(0);
    await using scene = await stage(clock);
    scene.server.pause();
    scene.client.write(randomBytes(24 * MEGABYTE));
    await until("the near side is held up", () => scene.near.isPaused());
    clock.advance(59_999);
    expect(scene.far.destroyed).toBe(false);
    clock.advance(1);
    expect(scene.far.destroyed).toBe(true);
    await until("the client sees it", () => scene.client.destroyed);
  });

  test("a client that reads nothing for an hour is waited for", async () => {
    const clock = createManualClock(0);
    await using scene = await stage(clock);
    scene.client.pause();
    scene.server.end(randomBytes(24 * MEGABYTE));
    await until("the far side is held up", () => scene.far.isPaused());
    clock.advance(3_600_000);
    expect(scene.far.destroyed || scene.near.destroyed).toBe(false);
  });

  test("sides that ended before they were joined end each other", async () => {
    const one = await openLink();
    const other = await openLink();
    other.far.end();
    other.near.resume();
    await until("the far side has ended", () => other.near.readableEnded);
    join(
      { socket: one.far, early: NOTHING },
      { socket: other.near, early: Buffer.from("last") },
      systemClock,
    );
    expect(`${await readAll(one.near)}`).toBe("last");
    await one[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });
});
