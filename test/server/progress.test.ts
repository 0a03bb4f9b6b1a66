import { describe, expect, test } from "bun:test";
import type { Work } from "../../src/engine/work.ts";
import { replyWithProgress, type Spectator } from "../../src/server/progress.ts";
import type { Stop } from "../../src/turn/stop.ts";
import { CONNECTION, watchedConnection } from "../support/connection.ts";

const TWO: Work = async (report) => {
  report.start(2);
  report.item({ account: "a", outcome: "renewed" });
  report.item({ account: "b", outcome: "failed" });
  return { renewed: 1, failed: 1 };
};

function ask(accept: string, signal?: AbortSignal): Request {
  return new Request("http://localhost/refresh", {
    method: "POST",
    headers: { accept },
    ...(signal === undefined ? {} : { signal }),
  });
}

const faults: unknown[] = [];

function spectator(request: Request): Spectator {
  return { request, connection: CONNECTION, onFault: (cause) => void faults.push(cause) };
}

describe("progress", () => {
  test("who accepts a stream gets an event for each step, named twice", async () => {
    const response = await replyWithProgress(TWO, spectator(ask("text/event-stream")));
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    expect(await response.text()).toBe(
      'event: start\ndata: {"type":"start","total":2}\n\n' +
        'event: item\ndata: {"type":"item","account":"a","outcome":"renewed"}\n\n' +
        'event: item\ndata: {"type":"item","account":"b","outcome":"failed"}\n\n' +
        'event: done\ndata: {"type":"done","renewed":1,"failed":1}\n\n',
    );
  });

  test("everybody else gets one object with all of it", async () => {
    const response = await replyWithProgress(TWO, spectator(ask("application/json")));
    expect(await response.json()).toEqual({
      renewed: 1,
      failed: 1,
      items: [
        { account: "a", outcome: "renewed" },
        { account: "b", outcome: "failed" },
      ],
    });
  });

  test("a fault of our own ends the stream with an error that tells no more than it may", async () => {
    const broken: Work = async (report) => {
      report.start(1);
      throw new Error("secret inside");
    };
    const response = await replyWithProgress(broken, spectator(ask("text/event-stream")));
    const said = await response.text();
    expect(said).toContain("event: error");
    expect(said).not.toContain("secret");
    expect(String(faults.at(-1))).toContain("secret inside");
    expect(replyWithProgress(broken, spectator(ask("*/*")))).rejects.toThrow("secret");
  });

  test("the work hears that its client has left, and goes on without being told", async () => {
    let stop: Pick<Stop, "reason"> | undefined;
    const done = Promise.withResolvers<void>();
    const slow: Work = async (report, given) => {
      stop = given;
      report.start(1);
      await done.promise;
      report.item({ account: "a" });
      return {};
    };
    const response = await replyWithProgress(slow, spectator(ask("text/event-stream")));
    await response.body?.cancel();
    expect(stop?.reason()?.kind).toBe("client-left");
    done.resolve();
    const gone = new AbortController();
    gone.abort();
    await replyWithProgress(slow, spectator(ask("*/*", gone.signal)));
    expect(stop?.reason()?.kind).toBe("client-left");
  });

  test.each(["text/event-stream", "application/json"])(
    "the connection is held while the work goes on, and let go with its end (%s)",
    async (accept) => {
      const done = Promise.withResolvers<void>();
      const slow: Work = async () => {
        await done.promise;
        return {};
      };
      const connection = watchedConnection();
      const answer = replyWithProgress(slow, { ...spectator(ask(accept)), connection });
      expect(connection.told).toEqual(["hold"]);
      done.resolve();
      await (await answer).text();
      expect(connection.told).toEqual(["hold", "rest"]);
    },
  );
});
