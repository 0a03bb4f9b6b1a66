import { afterEach, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { createFeed, type Feed } from "../../src/engine/feed.ts";
import { openRecord } from "../../src/engine/record.ts";
import { MOST_WAITING_BYTES, replyLive } from "../../src/server/live.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import { NOON } from "../engine/parts.ts";
import { eventsIn } from "../support/call.ts";
import { createManualClock } from "../support/clock.ts";
import { CONNECTION, watchedConnection } from "../support/connection.ts";
import { until } from "../support/until.ts";

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

function add(feed: Feed, id: string, model = "gpt-5.4"): void {
  feed.add({ ...openRecord(id, NOON), model, status: 200 }, NOON);
}

/** The feed, and how many watch it. */
function watched() {
  const feed = createFeed();
  let viewers = 0;
  const follow: Feed["follow"] = (follower) => {
    const leave = feed.follow(follower);
    viewers += 1;
    return () => {
      viewers -= 1;
      leave?.();
    };
  };
  return { feed: { ...feed, follow }, viewers: () => viewers };
}

function open(feed: Feed, clock = createManualClock(NOON), connection = CONNECTION) {
  const leaving = new AbortController();
  const response = replyLive({ feed, clock }, { signal: leaving.signal, connection });
  const reader = response?.body?.getReader();
  const read = async (): Promise<Dict> => {
    const { value } = (await reader?.read()) ?? {};
    return value === undefined ? {} : (eventsIn(value)[0] ?? { comment: true });
  };
  return { response, read, leave: () => leaving.abort(), reader };
}

function idsOf(event: Dict): readonly unknown[] {
  return list(event["requests"]).map((one) => dict(one)["id"]);
}

describe("the live list", () => {
  test("begins with the last requests, then tells of each as it ends", async () => {
    const { feed } = watched();
    add(feed, "req_1");
    add(feed, "req_2");
    const { response, read } = open(feed);
    expect(response?.headers.get("content-type")).toStartWith("text/event-stream");
    expect(response?.headers.get("cache-control")).toBe("no-store");
    const recent = await read();
    expect([recent["type"], idsOf(recent)]).toEqual(["recent", ["req_1", "req_2"]]);
    add(feed, "req_3");
    expect(await read()).toMatchObject({ type: "request", request: { id: "req_3" } });
  });

  test("says nothing for 15 seconds at most, and holds its connection", async () => {
    const clock = createManualClock(NOON);
    const connection = watchedConnection();
    const { read, leave } = open(watched().feed, clock, connection);
    await read();
    clock.advance(15_000);
    expect(await read()).toEqual({ comment: true });
    leave();
    expect(connection.told).toEqual(["hold", "rest"]);
  });

  test("who leaves is not told any more", async () => {
    const { feed, viewers } = watched();
    const byAbort = open(feed);
    const byCancel = open(feed);
    expect(viewers()).toBe(2);
    byAbort.leave();
    await byCancel.reader?.cancel();
    expect(viewers()).toBe(0);
    add(feed, "req_1");
  });

  test("ends when the program does", async () => {
    const { feed, viewers } = watched();
    const { read, reader } = open(feed);
    await read();
    feed.close();
    expect((await reader?.read())?.done).toBe(true);
    expect(viewers()).toBe(0);
  });

  test("is refused where too many watch already", () => {
    const { feed } = watched();
    const full: Feed = { ...feed, follow: () => undefined };
    expect(open(full).response).toBeUndefined();
  });

  test("who does not read is left behind, and nothing grows meanwhile", async () => {
    const { feed, viewers } = watched();
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 30,
      fetch: (request, its) =>
        replyLive(
          { feed, clock: systemClock },
          {
            signal: request.signal,
            connection: { ...CONNECTION, cut: () => its.timeout(request, 1) },
          },
        ) ?? new Response(null, { status: 429 }),
    });
    ends.push(() => server.stop(true));
    const sockets = await Promise.all([knock(server.port ?? 0), knock(server.port ?? 0)]);
    for (const socket of sockets) ends.push(() => socket.destroy());
    await until("they watch", () => viewers() === 2);
    const [stuck, reading] = sockets;
    stuck?.pause();
    let got = 0;
    reading?.on("data", (chunk) => {
      got += chunk.length;
    });
    // Written in portions, as requests end: the one who reads gets them all.
    let sent = 0;
    while (viewers() === 2 && sent < 64 * 1024 * 1024) {
      for (let at = 0; at < 20; at++) add(feed, `req_${sent}`, "m".repeat(150));
      sent += 20 * 500;
      const mark = sent;
      await until("it has been read", () => got >= mark || viewers() < 2);
    }
    expect(viewers()).toBe(1);
    // What waits for somebody is what the system keeps for a connection, and no more than this beside it.
    expect(sent).toBeLessThan(16 * 1024 * 1024 + MOST_WAITING_BYTES);
    stuck?.resume();
    await until("its connection ends", () => stuck?.closed === true);
    expect(reading?.closed).toBe(false);
  });
});

function knock(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
      resolve(socket);
    });
    socket.on("error", reject);
  });
}
