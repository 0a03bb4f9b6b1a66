import { describe, expect, test } from "bun:test";
import { createOutlet } from "../../src/server/outlet.ts";
import { NOON, settled } from "../engine/parts.ts";
import { createManualClock } from "../support/clock.ts";

function scene(heartbeatMs = 1000) {
  const clock = createManualClock(NOON);
  const sent: string[] = [];
  let pings = 0;
  let ends = 0;
  const reader = { isSlow: false };
  const outlet = createOutlet(
    {
      send: (frames) => {
        sent.push(...frames);
        return !reader.isSlow;
      },
      ping: () => {
        pings += 1;
      },
      close: () => {},
      end: () => {
        ends += 1;
      },
    },
    clock,
    heartbeatMs,
  );
  return { clock, sent, reader, outlet, pings: () => pings, ends: () => ends };
}

describe("createOutlet", () => {
  test("tells how many bytes went, the lane's name among them", async () => {
    const { outlet, sent } = scene();
    expect(outlet.tell("", [{ a: "é" }])).toBe(10);
    expect(await outlet.write("x", ['{"b":1}'])).toBe(Buffer.byteLength('{"stream_id":"x","b":1}'));
    expect(sent).toEqual(['{"a":"é"}', '{"stream_id":"x","b":1}']);
    expect(await outlet.write("x", [])).toBe(0);
  });

  test("of those who wait for a slow reader, one goes on at a time", async () => {
    const { outlet, sent, reader } = scene();
    reader.isSlow = true;
    await outlet.write("", ["1"]);
    void outlet.write("", ["2"]);
    void outlet.write("", ["3"]);
    await settled();
    expect(sent).toEqual(["1"]);
    outlet.drain();
    await settled();
    expect(sent).toEqual(["1", "2"]);
    reader.isSlow = false;
    outlet.drain();
    await settled();
    expect(sent).toEqual(["1", "2", "3"]);
  });

  test("large events go one by one, each when the one before has been read", async () => {
    const { outlet, sent, reader } = scene();
    const image = `"${"A".repeat(1_100_000)}"`;
    reader.isSlow = true;
    const written = outlet.write("", ["1", image, image, "2", "3"]);
    const seen: number[] = [];
    for (let drains = 0; drains < 4; drains++) {
      await settled();
      seen.push(sent.length);
      outlet.drain();
    }
    expect(seen).toEqual([1, 2, 3, 5]);
    expect(await written).toBe(3 + 2 * image.length);
  });

  test("an answer that nobody should wait for does not wait", async () => {
    const { outlet, sent, reader } = scene();
    reader.isSlow = true;
    await outlet.write("", ["1"]);
    outlet.tell("", [{}]);
    expect(sent).toEqual(["1", "{}"]);
  });

  test("pings when it has been silent, and only then", () => {
    const { outlet, clock, pings } = scene();
    clock.advance(900);
    outlet.tell("", [{}]);
    clock.advance(900);
    expect(pings()).toBe(0);
    clock.advance(100);
    expect(pings()).toBe(1);
    outlet.close();
    clock.advance(5000);
    expect(pings()).toBe(1);
  });

  test("asks who has long been silent, and gives up who does not answer, however much is sent", async () => {
    const { outlet, clock, pings, ends } = scene(0);
    clock.advance(59_000);
    outlet.heard();
    clock.advance(59_000);
    await outlet.write("", ["1"]);
    expect(pings()).toBe(0);
    clock.advance(1000);
    expect([pings(), ends()]).toEqual([1, 0]);
    outlet.heard();
    clock.advance(60_000);
    expect([pings(), ends()]).toEqual([2, 0]);
    await outlet.write("", ["2"]);
    clock.advance(60_000);
    expect([pings(), ends()]).toEqual([2, 1]);
    outlet.close();
    clock.advance(600_000);
    expect(ends()).toBe(1);
  });

  test("sends nothing after its end, and nobody waits any longer", async () => {
    const { outlet, sent, reader } = scene(0);
    reader.isSlow = true;
    await outlet.write("", ["1"]);
    const waiting = outlet.write("", ["2"]);
    outlet.close();
    expect(await waiting).toBe(0);
    expect(outlet.tell("", [{}])).toBe(0);
    expect(sent).toEqual(["1"]);
  });
});
