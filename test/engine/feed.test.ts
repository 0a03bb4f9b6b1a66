import { describe, expect, test } from "bun:test";
import { createFeed, MOST_FOLLOWERS, MOST_RECENT } from "../../src/engine/feed.ts";
import { openRecord, type TurnRecord } from "../../src/engine/record.ts";
import type { Dict } from "../../src/wire/json.ts";
import { attemptOf, NOON } from "./parts.ts";

function record(id: string, more: Partial<TurnRecord> = {}): TurnRecord {
  return { ...openRecord(id, NOON), client: "anyone", protocol: "chat", status: 200, ...more };
}

describe("the feed of requests", () => {
  test("tells of each what its owner wants to see at a glance", () => {
    const feed = createFeed();
    feed.add(
      record("req_1", {
        askedModel: "claude-opus",
        model: "gpt-5.4",
        effort: "high",
        isStream: true,
        attempts: [attemptOf({ label: "a#1" }), attemptOf({ label: "b#2" })],
        firstOutputMs: NOON + 400,
        waitedMs: 20,
        usage: { input: 10, cached: 4, output: 3, reasoning: 1 },
        bytesOut: 77,
      }),
      NOON + 1500,
    );
    expect(feed.recent()).toEqual([
      {
        id: "req_1",
        started_at: "2026-11-20T12:00:00.000Z",
        ended_at: "2026-11-20T12:00:01.500Z",
        duration_ms: 1500,
        ttft_ms: 400,
        waited_ms: 20,
        client: "anyone",
        protocol: "chat",
        asked_model: "claude-opus",
        model: "gpt-5.4",
        effort: "high",
        tier: null,
        stream: true,
        prewarm: false,
        status: 200,
        failure: null,
        account: "b#2",
        attempts: 2,
        tokens: { input: 10, cached: 4, output: 3, reasoning: 1 },
        bytes: 77,
      },
    ]);
  });

  test("remembers so many and no more, the oldest goes first", () => {
    const feed = createFeed();
    for (let at = 0; at < MOST_RECENT + 5; at++) feed.add(record(`req_${at}`), NOON);
    const ids = feed.recent().map(({ id }) => id);
    expect([ids.length, ids[0], ids.at(-1)]).toEqual([
      MOST_RECENT,
      "req_5",
      `req_${MOST_RECENT + 4}`,
    ]);
  });

  test("names that clients choose are clipped, and secrets in them are not told", () => {
    const feed = createFeed();
    feed.add(record("req_1", { model: "m".repeat(1000), askedModel: "sk-secret-0123456" }), NOON);
    const [told] = feed.recent();
    expect(String(told?.["model"]).length).toBeLessThan(210);
    expect(told?.["asked_model"]).toBe("[key]");
  });

  test("who watches hears of each request as it ends, until they leave", () => {
    const feed = createFeed();
    const heard: Dict[] = [];
    const leave = feed.follow({ item: (item) => heard.push(item), end: () => {} });
    feed.add(record("req_1"), NOON);
    leave?.();
    feed.add(record("req_2"), NOON);
    expect(heard.map(({ id }) => id)).toEqual(["req_1"]);
  });

  test("no more than so many may watch; one who leaves makes room", () => {
    const feed = createFeed();
    const follow = () => feed.follow({ item: () => {}, end: () => {} });
    const leaves = Array.from({ length: MOST_FOLLOWERS }, follow);
    expect(follow()).toBeUndefined();
    leaves[0]?.();
    expect(follow()).toBeDefined();
  });

  test("closing tells all who watch", () => {
    const feed = createFeed();
    let ends = 0;
    const end = (): void => {
      ends += 1;
    };
    feed.follow({ item: () => {}, end });
    const leave = feed.follow({
      item: () => {},
      end: () => {
        end();
        leave?.();
      },
    });
    feed.close();
    feed.close();
    expect(ends).toBe(2);
  });
});
